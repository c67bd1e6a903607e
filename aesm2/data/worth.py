"""What positives are worth, such as gross merchandise value (GMV), by scenario.

Axes: P fine-grained scenarios, S scenarios of a grouping; K tasks whose description names a value.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.data.encoder import as_numbers, require_columns
from aesm2.data.scenarios import path_index, scenario_names, summed_by
from aesm2.data.schema import Schema
from aesm2.metrics import Z95


@dataclass(frozen=True)
class Worth:
    """Sums over a set of rows, (P, K) each; the sum of two of them is that of both sets.

    labelled: rows with a label. positives: of them, those with 1. unknown: positives without a
    value, which add nothing. total, squares: sums of the value and of its square over positives.
    """

    schema: Schema
    tasks: tuple[str, ...]
    labelled: np.ndarray
    positives: np.ndarray
    unknown: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @property
    def sums(self) -> tuple[np.ndarray, ...]:
        """The five sums, in the order above."""
        return self.labelled, self.positives, self.unknown, self.total, self.squares

    def __add__(self, other: "Worth") -> "Worth":
        sums = (a + b for a, b in zip(self.sums, other.sums, strict=True))
        return Worth(self.schema, self.tasks, *sums)


def worth(frame: pd.DataFrame, batch: Batch, description: Description, schema: Schema) -> Worth:
    """Add up the values of the positives of `batch`, the encoding of `frame`.

    Raises InputError where a value column is missing or holds text.
    """
    if batch.labels is None:
        raise ValueError("these rows have no labels")
    valued = [(i, task) for i, task in enumerate(description.task) if task.value is not None]
    columns = [str(task.value) for _, task in valued]
    require_columns(frame, columns, "task.value: the table")
    own = path_index(batch.scenarios.numpy(), schema)
    labels = batch.labels.numpy()[:, [i for i, _ in valued]]
    values = np.empty(labels.shape)
    for position, column in enumerate(columns):
        values[:, position] = as_numbers(frame[column], column)
    positive, known = labels == 1, ~np.isnan(values)
    value = np.where(positive & known, values, 0.0)

    def per_path(rows: np.ndarray) -> np.ndarray:
        total = np.zeros((int(np.prod([len(level) for level in schema.levels])), len(valued)))
        np.add.at(total, own, rows)
        return total

    sums = (~np.isnan(labels), positive, positive & ~known, value, value**2)
    return Worth(schema, tuple(task.name for _, task in valued), *map(per_path, sums))


def worth_table(found: Worth, by: str) -> pd.DataFrame:
    """Value by scenario and task, and per 1,000 impressions with its 95 % interval.

    Columns: task, scenario, n, positives, unknown, total, mean (a positive's), per_thousand, low,
    high. The interval is normal on the logarithm, so that it stays positive as values are, and is
    wide where few positives hold most of it; NaN where there is no value.
    """
    names = scenario_names(found.schema, by)
    parts = []
    for k, task in enumerate(found.tasks):
        sums = (summed_by(found.schema, by, part)[:, k] for part in found.sums)
        n, positives, unknown, total, squares = sums
        some, given = np.where(n > 0, n, np.nan), positives - unknown
        low, high = _interval(total / some, squares / some, some)
        columns = {
            "task": task, "scenario": names, "n": n.astype(int), "positives": positives.astype(int),
            "unknown": unknown.astype(int), "total": total,
            "mean": total / np.where(given > 0, given, np.nan),
            "per_thousand": 1000 * total / some, "low": 1000 * low, "high": 1000 * high,
        }  # fmt: skip
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _interval(mean: np.ndarray, square: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a mean, by the normal interval of its logarithm (delta method)."""
    mean = np.where(mean > 0, mean, np.nan)
    factor = np.exp(Z95 * np.sqrt((square - mean**2).clip(0) / n) / mean)
    return mean / factor, mean * factor
