"""Means over seeds, with how sure they are."""

import numpy as np
import pandas as pd
from scipy.stats import t as student


def summary(lines: pd.DataFrame, value: str = "auc") -> pd.DataFrame:
    """Mean over seeds with its 95 % interval (Student's t): one line a variant and cell.

    lines: as `comparison.lines_of` gives them. Columns: variant, scope, scenario, task, n (seeds in
    which the value is defined), mean, sd, low, high; in the order of `lines`.
    """
    keys = ["variant", "scope", "scenario", "task"]
    found = lines.groupby(keys, sort=False)[value].agg(["count", "mean", "std"]).reset_index()
    found = found.rename(columns={"count": "n", "std": "sd"})
    freedom = np.maximum(found["n"] - 1, 1)
    half = student.ppf(0.975, freedom) * found["sd"] / np.sqrt(found["n"])
    return found.assign(low=found["mean"] - half, high=found["mean"] + half)
