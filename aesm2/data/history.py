"""Features of the past: counts, rates and recency over strictly earlier rows of the same key."""

import numpy as np
import pandas as pd

from aesm2.data.description import History


def history_columns(frame: pd.DataFrame, block: History, time: str) -> pd.DataFrame:
    """Compute one block of history features for every row, in the frame's order.

    A row counts for another when it has the same keys and is earlier; for outcomes, earlier by
    more than `block.delay`. Rows at the same instant never count for each other. Column names are
    `block.columns`; recency is NaN without an earlier row, an outcome without any earlier outcome.
    """
    instants = frame[time].to_numpy(np.int64)
    key = frame.groupby(list(block.keys), sort=False, dropna=False).ngroup().to_numpy()
    past = _Past(key, instants, 0)
    columns = {f"{block.name}_count": past.count, f"{block.name}_recency": past.recency}
    known = _Past(key, instants, block.delay)
    everything = _Past(np.zeros_like(key), instants, block.delay)
    for outcome in block.outcomes:
        values = frame[outcome].to_numpy(np.float64)
        prior = everything.sum(values) / np.maximum(everything.count, 1)
        mean = (known.sum(values) + block.smoothing * prior) / (known.count + block.smoothing)
        columns[f"{block.name}_{outcome}"] = np.where(everything.count > 0, mean, np.nan)
    return pd.DataFrame(columns, index=frame.index).astype(np.float32)


class _Past:
    """For each row, the range of earlier rows with its key, in (key, time) order."""

    def __init__(self, key: np.ndarray, instants: np.ndarray, delay: float) -> None:
        elapsed = instants - instants.min()
        span = int(elapsed.max()) + 1
        code = key * span + elapsed  # ordered by key, then by time
        self._order = np.argsort(code, kind="stable")
        ordered = code[self._order]
        self._start = np.searchsorted(ordered, key * span)
        latest = np.maximum(elapsed - int(delay), 0)
        self._end = np.maximum(np.searchsorted(ordered, key * span + latest), self._start)
        self.count = self._end - self._start
        last = self._order[np.maximum(self._end - 1, 0)]
        self.recency = np.where(self.count > 0, instants - instants[last], np.nan)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` over each row's earlier rows."""
        running = np.concatenate([[0.0], np.cumsum(values[self._order])])
        total: np.ndarray = running[self._end] - running[self._start]
        return total
