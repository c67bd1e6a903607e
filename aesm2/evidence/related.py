"""Transfer and use of the experts as a study's tables have them, for `relations`."""

import numpy as np
import pandas as pd

from aesm2.data.scenarios import PATH
from aesm2.errors import InputError
from aesm2.evidence.paper import published
from aesm2.evidence.relations import Relations, relations
from aesm2.routing.distance import Distances

PAPER = {"ctr": 5, "ctcvr": 7}  # tables of the paper


def transfer_cells(transfer: pd.DataFrame, value: str = "auc") -> pd.DataFrame:
    """Mean AUC × 100 over seeds of every pair, one line a pair and task, in the table's order.

    transfer: the table of that name. value: "auc" or "truth_auc". Columns: train, test, task, n and
    positives (test rows), seeds (in which it is defined), mean and sd.
    """
    keys = ["train", "test", "task"]
    found = transfer.assign(value=100 * transfer[value]).groupby(keys, sort=False)
    sizes = found[["n", "positives"]].first()
    measured = found["value"].agg(seeds="count", mean="mean", sd="std")
    return sizes.join(measured).reset_index()


def published_cells(task: str) -> pd.DataFrame:
    """Return the paper's own table of a task in the form of `transfer_cells`, without n and sd."""
    told = published(PAPER[task]).rename(columns={"scenario": "test", "value": "mean"})
    return told[["train", "test", "task", "mean"]].assign(n=0, positives=0, seeds=1, sd=np.nan)


def matrix(cells: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the means of a task: trained on the index, tested on the columns."""
    own = cells[cells["task"] == task]
    grid = own.pivot_table(index="train", columns="test", values="mean", sort=False, dropna=False)
    tests, trains = own["test"].unique(), own["train"].unique()
    return grid.reindex(index=trains, columns=tests)


def related(
    transfer: pd.DataFrame, distances: pd.DataFrame, task: str, variant: str, value: str = "auc"
) -> Relations:
    """Relate scenarios by transfer in a task and by a variant's use of the experts.

    Both are means over seeds. A scenario in which the measure is undefined is left out. Raises
    InputError where fewer than two are left.
    """
    means = matrix(transfer_cells(transfer, value), task)
    names = [name for name in means.columns if name in means.index]
    square = means.loc[names, names]
    kept = [name for name in names if square[name].notna().all()]
    own = distances[distances["variant"] == variant]
    if own.empty:
        raise InputError(f"no distances of {variant}; its runs select no experts")
    return relations(square.loc[kept, kept], _distances(own))


def _distances(own: pd.DataFrame) -> Distances:
    """Mean distances over seeds; rows and noise are not known here."""
    means = own.groupby(["a", "b"], sort=False)["distance"].mean().reset_index()
    names = tuple(dict.fromkeys([*own["a"], *own["b"]]))
    square = np.zeros((len(names), len(names)))
    one, other = (means[column].map(names.index).to_numpy() for column in ("a", "b"))
    square[one, other] = square[other, one] = means["distance"]
    unknown = np.zeros_like(square)
    return Distances(PATH, names, np.zeros(len(names)), (), square, unknown, None)
