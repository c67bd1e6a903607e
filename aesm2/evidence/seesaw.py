"""The seesaw: a model that beats another in some cells and loses in others (§4.2 of the paper).

A cell is a scenario and a task.
"""

import pandas as pd

from aesm2.evidence.standings import variant_title

PAIR, CELL = ["reference", "variant"], ["scope", "scenario", "task"]


def differences(figures: pd.DataFrame) -> pd.DataFrame:
    """Return the difference of every ordered pair of models in every cell they share.

    figures: columns model, scenario, task, value, and scope if need be; where there are several
    lines of a model and cell, such as seeds, their mean. Columns: reference, variant, the cell's,
    difference (value of the reference minus the variant's).
    """
    cell = _cell(figures)
    means = figures.groupby(["model", *cell], sort=False)["value"].mean().reset_index()
    pairs = means.merge(means, on=cell, suffixes=("", "_variant"))
    pairs = pairs[pairs["model"] != pairs["model_variant"]]
    pairs = pairs.rename(columns={"model": "reference", "model_variant": "variant"})
    pairs["difference"] = pairs["value"] - pairs["value_variant"]
    return pairs[[*PAIR, *cell, "difference"]].reset_index(drop=True)


def seesaw(
    differences: pd.DataFrame, margin: float = 0.0, level: float | None = None
) -> pd.DataFrame:
    """Count, for every ordered pair of models, the cells in which one is better and worse.

    differences: columns reference, variant, scenario, task, difference, scope if need be, and
    p_adjusted where `level` is given; a pair that is there in one order counts in both. margin:
    what a difference must exceed, in its own units. level: p_adjusted must be below it as well.
    Columns: reference, variant, cells (where the difference is defined), better, worse, trades
    (whether it is better in some and worse in others).
    """
    both = _both_orders(differences)
    counts = pd.Series(True, both.index) if level is None else both["p_adjusted"] < level
    marked = both.assign(
        cells=both["difference"].notna(),
        better=counts & (both["difference"] > margin),
        worse=counts & (both["difference"] < -margin),
    )
    found = marked.groupby(PAIR, sort=False)[["cells", "better", "worse"]].sum().reset_index()
    return found.assign(trades=(found["better"] > 0) & (found["worse"] > 0))


def auc_seesaw(runs: pd.DataFrame, scope: str, margin: float = 0.0) -> pd.DataFrame:
    """Count which models trade with which in the AUC of a grouping's cells; see `seesaw`.

    runs: table of that name of a study. margin: points of AUC × 100.
    """
    own = runs[runs["scope"] == scope]
    figures = own.assign(model=own["variant"].map(variant_title), value=100 * own["auc"])
    return seesaw(differences(figures[["model", *CELL, "value"]]), margin)


def _both_orders(differences: pd.DataFrame) -> pd.DataFrame:
    turned = differences.rename(columns={"reference": "variant", "variant": "reference"})
    both = pd.concat([differences, turned.assign(difference=-turned["difference"])])
    return both.drop_duplicates([*PAIR, *_cell(both)], ignore_index=True)


def _cell(frame: pd.DataFrame) -> list[str]:
    return [column for column in CELL if column in frame.columns]
