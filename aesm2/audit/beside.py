"""The figures of a paper's table beside what a study here has of the same cell.

The data differ, so the two are to be looked at side by side and never subtracted.
"""

import pandas as pd

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.evidence.ablation import FULL
from aesm2.evidence.folder import Evidence
from aesm2.evidence.paper import published
from aesm2.evidence.related import transfer_cells
from aesm2.evidence.standings import TITLES, cell_title
from aesm2.evidence.tables import summary

COLUMNS = ["model", "train", "scenario", "task", "measure", "paper", "here", "sd", "seeds", "note"]
STUDIES = {3: "alipay-sim", 4: "aliexpress-sim", **dict.fromkeys((5, 6, 7, 8, 9), "alipay-sim")}
REFERENCE, INSTEAD = "aesm2", "mlp"  # of the replay: AESM² instead of a shared MLP


def beside(table: int, evidence: Evidence | None) -> pd.DataFrame:
    """Return one line a figure of Table `table`, 3 to 9; see COLUMNS.

    paper: what it prints. here: the mean over seeds with its sd in the study, of the same model,
    scenario and task, NaN where the study has none: AUC × 100, or of Tables 8 and 9 the uplift in %
    of a replay of simulated searches. Raises InputError for another table.
    """
    quoted = published(table).rename(columns={"value": "paper"})
    keys = ["model", "train", "scenario", "task"]
    found = quoted.merge(_here(table, evidence), on=keys, how="left")
    return found[COLUMNS]


def laid_out(lines: pd.DataFrame, where: str) -> pd.DataFrame:
    """Lay `beside` out as the paper does: a line a model and source, a column a cell, as text.

    where: what the figures of the study are called.
    """
    cells = [cell_title(s, t) for s, t in zip(lines["scenario"], lines["task"], strict=True)]
    ours = [
        "–" if pd.isna(mean) else f"{mean:.2f}" if pd.isna(sd) else f"{mean:.2f} ± {sd:.2f}"
        for mean, sd in zip(lines["here"], lines["sd"], strict=True)
    ]
    texts = {"the paper": lines["paper"].map("{:.2f}".format), where: pd.Series(ours, lines.index)}
    parts = [
        lines[["model", "train"]].assign(source=source, cell=cells, text=text)
        for source, text in texts.items()
    ]
    order = dict.fromkeys(cells)
    told = pd.concat(parts).rename(columns={"train": "trained on"})
    keys = ["model", "trained on", "source"]
    wide = told.pivot_table(
        index=keys, columns="cell", values="text", aggfunc="first", sort=False
    )[list(order)].reset_index()  # fmt: skip
    lead = lines["model"] + lines["train"]
    place = {name: number for number, name in enumerate(dict.fromkeys(lead))}
    by = (wide["model"] + wide["trained on"]).map(place)
    wide = wide.iloc[by.argsort(kind="stable")].reset_index(drop=True)
    wide.columns.name = None
    return wide if lines["train"].any() else wide.drop(columns="trained on")


def _here(table: int, evidence: Evidence | None) -> pd.DataFrame:
    """What the study has: model, train, scenario, task, here, sd, seeds."""
    tables = {} if evidence is None else evidence.tables
    if table in (3, 4) and "runs" in tables:
        return _means(tables["runs"], TITLES)
    if table == 6 and "ablation" in tables:
        names = {n: n if n == FULL else f"{FULL} {n}" for n in tables["ablation"]["variant"]}
        return _means(tables["ablation"], names)
    if table in (5, 7) and "transfer" in tables:
        cells = transfer_cells(tables["transfer"])
        return cells.rename(columns={"test": "scenario", "mean": "here"}).assign(
            model=published(table)["model"].iloc[0]
        )[["model", "train", "scenario", "task", "here", "sd", "seeds"]]
    if table in (8, 9) and "replay" in tables:
        return _uplifts(tables["replay"])
    empty = ["model", "train", "scenario", "task"]
    return pd.DataFrame(columns=empty, dtype=str).assign(
        here=pd.Series(dtype=float), sd=pd.Series(dtype=float), seeds=pd.Series(dtype=float)
    )


def _means(runs: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Mean AUC × 100 of every variant that `titles` names; of fine-grained scenarios and all."""
    finest = PATH if PATH in set(runs["scope"]) else runs.loc[runs["scope"] != OVERALL, "scope"]
    scope = finest if isinstance(finest, str) else finest.iloc[0]
    shown = runs[runs["scope"].isin([scope, OVERALL]) & runs["variant"].isin(titles)]
    means = summary(shown)
    return pd.DataFrame(
        {
            "model": means["variant"].map(titles),
            "train": "",
            "scenario": means["scenario"],
            "task": means["task"],
            "here": 100 * means["mean"],
            "sd": 100 * means["sd"],
            "seeds": means["n"],
        }
    )


def _uplifts(replay: pd.DataFrame) -> pd.DataFrame:
    """Mean uplift in % of ordering by AESM² instead of by a shared MLP."""
    own = replay[(replay["reference"] == REFERENCE) & (replay["variant"] == INSTEAD)]
    found = own.groupby(["scenario", "metric"], sort=False)["uplift"].agg(
        here="mean", sd="std", seeds="count"
    )
    return found.reset_index().rename(columns={"metric": "task"}).assign(model=FULL, train="")
