"""Tables of results as people read them: AUC × 100, models down, scenarios and tasks across."""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.data.schema import Schema


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


def wide(lines: pd.DataFrame, schema: Schema, value: str = "auc") -> pd.DataFrame:
    """Mean over seeds × 100: variants down; (scenario, task) across, overall last.

    Scenarios are the fine-grained ones.
    """
    means = summary(lines, value)
    inner = PATH if (means["scope"] == PATH).any() else schema.level_names[0]
    shown = means[means["scope"].isin([inner, OVERALL])]
    columns = [
        *((s, task) for s in shown.loc[shown["scope"] == inner, "scenario"].unique()
          for task in schema.tasks),
        *((OVERALL, task) for task in schema.tasks),
    ]  # fmt: skip
    table = shown.pivot_table(
        index="variant", columns=["scenario", "task"], values="mean", sort=False, dropna=False
    )
    return 100 * table.reindex(columns=pd.MultiIndex.from_tuples(columns))


def markdown(lines: pd.DataFrame, schema: Schema, value: str = "auc") -> str:
    """Write `wide` as Markdown: the best of each column bold, the second underlined."""
    table = wide(lines, schema, value)
    ranks = table.rank(ascending=False, method="min")
    rows = [["model", *(" ".join(column) for column in table.columns)]]
    rows.append(["---", *["---:"] * len(table.columns)])
    for name in table.index:
        cells = zip(table.loc[name], ranks.loc[name], strict=True)
        rows.append([str(name), *(_written(number, rank) for number, rank in cells)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _written(value: float, rank: float) -> str:
    if np.isnan(value):
        return "undefined"
    text = f"{value:.2f}"
    return {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(int(rank), text)
