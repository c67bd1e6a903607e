"""Features of the past: counts, rates and recency over strictly earlier rows of the same key."""

import numpy as np
import pandas as pd

from aesm2.data.description import History
from aesm2.data.encoder import as_numbers
from aesm2.errors import InputError


def history_columns(frame: pd.DataFrame, block: History, time: str) -> pd.DataFrame:
    """Compute one block of history features for every row, in the frame's order.

    A row counts for another when it has the same keys and is earlier by more than `block.delay`;
    rows at the same instant never count for each other. Column names are `block.columns`; recency
    and outcomes are NaN where no row counts.
    Raises InputError where a row has no time, or an outcome that is not a number.
    """
    instants = _instants(frame[time])
    key = frame.groupby(list(block.keys), sort=False, dropna=False).ngroup().to_numpy()
    past = _Past(key, instants, block.delay)
    everything = _Past(np.zeros_like(key), instants, block.delay)
    columns = {f"{block.name}_count": past.count, f"{block.name}_recency": past.recency}
    for outcome in block.outcomes:
        values = _outcomes(frame[outcome])
        prior = everything.sum(values) / np.maximum(everything.count, 1)
        mean = (past.sum(values) + block.smoothing * prior) / (past.count + block.smoothing)
        columns[f"{block.name}_{outcome}"] = np.where(past.count > 0, mean, np.nan)
    return pd.DataFrame(columns, index=frame.index).astype(np.float32)


class _Past:
    """For each row, the range of earlier rows with its key, in (key, time) order."""

    def __init__(self, key: np.ndarray, instants: np.ndarray, delay: float) -> None:
        # Ranks, since key times time would overflow where time is in nanoseconds.
        moments, rank = np.unique(instants, return_inverse=True)
        code = key * len(moments) + rank  # ordered by key, then by time
        self._order = np.argsort(code, kind="stable")
        ordered = code[self._order]
        self._start = np.searchsorted(ordered, key * len(moments))
        whole = instants.dtype.kind == "i"  # then a fraction of the delay makes no difference
        hidden = np.searchsorted(moments, instants - (int(delay) if whole else delay))
        self._end = np.searchsorted(ordered, key * len(moments) + hidden)
        self.count = self._end - self._start
        last = self._order[np.maximum(self._end - 1, 0)]
        self.recency = np.where(self.count > 0, instants - instants[last], np.nan)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` over each row's earlier rows."""
        running = np.concatenate([[0.0], np.cumsum(values[self._order])])
        total: np.ndarray = running[self._end] - running[self._start]
        return total


def _instants(column: pd.Series) -> np.ndarray:
    """Return a time column as int64, as float64 where it has fractions, timestamps in seconds."""
    is_time = pd.api.types.is_datetime64_any_dtype(column)
    if not is_time and not pd.api.types.is_numeric_dtype(column):
        raise InputError(
            f"source.time: '{column.name}' holds {column.dtype}; expected numbers or timestamps"
        )
    if column.isna().any():
        row = int(np.argmax(column.isna()))
        raise InputError(f"row {row}: '{column.name}' is missing; history needs every row's time")
    if is_time:
        return as_numbers(column, str(column.name))
    if column.dtype.kind == "u" and column.max() > np.iinfo(np.int64).max:
        raise InputError(f"source.time: '{column.name}' holds {column.max()}, beyond 64 bits")
    fractions = pd.api.types.is_float_dtype(column)
    return column.astype("float64" if fractions else "int64").to_numpy()


def _outcomes(column: pd.Series) -> np.ndarray:
    values = as_numbers(column, str(column.name))
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise InputError(
            f"row {row}: '{column.name}' is {column.iloc[row]!s}; history needs a number"
        )
    return values
