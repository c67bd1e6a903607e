"""What the paper's tables print: Tables 3 to 9 of Zou et al., SIGIR 2022.

Figures only; what is best, second best or significant is markup there and not repeated. Where the
paper contradicts itself:

- AESM² in VP → BS has a CTR AUC of 72.13 in Table 3 and 72.18 in Table 6; see `note`. Its other
  cells are the same in both.
- Table 8: +0.10 % CTR and +2.61 % CVR make +2.71 % CTCVR, where +2.51 % is printed; see `note`.
- §4.2 has STAR beat HMoE in ES on CTR and lose on CTCVR. Table 4 has it the other way round: 71.94
  against 72.06, and 88.21 against 88.01.
- §4.2 calls HMoE the poorest on AliPay; in HP → BS on CTR it is STAR (74.04 against 75.61).
- §4.3 has every baseline lose against the model of HP → BS alone; MMoE does not on CTCVR (82.31 in
  Table 3 against 82.11 in Table 7).
- §4.3 has scenarios of the same domain closer than others; on CTCVR in VP → BS the model of VP → RI
  does better than that of HP → BS (66.13 against 65.64, Table 7).
- In Table 4 the second best CTR in NL is Cross-Stitch's 72.04; PLE's 71.91 is marked.
"""

from importlib.resources import files

import pandas as pd

from aesm2.errors import InputError

SOURCE = "Zou et al., SIGIR 2022"
TABLES = (3, 4, 5, 6, 7, 8, 9)


def published(table: int | None = None) -> pd.DataFrame:
    """Return the figures of a table, or of all of them: one line a figure.

    Columns: table; model; train, the scenario trained on in Tables 5 and 7, else ""; scenario, the
    one measured, "all" for all; task (Tables 8 and 9 also have "cvr" and "gmv"); measure, "auc" for
    AUC × 100 or "uplift" for the relative improvement in % of the online test; value; note, "" or
    what contradicts it. Raises InputError for a table that is not one of TABLES.
    """
    if table is not None and table not in TABLES:
        raise InputError(f"no figures of table {table}; there are {TABLES[0]} to {TABLES[-1]}")
    with (files("aesm2.evidence") / "paper.csv").open(encoding="utf-8") as file:
        figures = pd.read_csv(file, keep_default_na=False)
    return figures if table is None else figures[figures["table"] == table].reset_index(drop=True)
