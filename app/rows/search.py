"""The search for rows: an id, or conditions on columns."""

import re

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.data.description import Description
from aesm2.errors import InputError, nearest
from app import cache, state

HELP = (
    "A row's id, or conditions on columns (=, !=, <, <=, >, >=), all of which must hold. A value"
    " with spaces goes in quotes; `missing` finds empty cells."
)
_CONDITION = re.compile(r"([^\s=<>!,]+)\s*(!=|>=|<=|=|>|<)\s*(\"[^\"]*\"|[^\s,]+)|([^\s,]+)")
_WHOLE = re.compile(r"-?[0-9]{1,20}")  # beyond 2**53 floats take ids for one another
_COMPARE = {
    "=": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal,
    "<=": np.less_equal,
}  # fmt: skip


def box(described: Description, name: str) -> None:
    """Draw the search; name: of the query in the view."""
    examples = list(described.fields)[:2]
    st.text_input(
        "Find rows", placeholder=f"a row's id, or {' '.join(f'{e}=3' for e in examples)}",
        help=HELP, icon=":material/search:", **state.bind(name, state.get(name)),
    )  # fmt: skip


def filtered(
    rows: cache.RowSet, described: Description, path: tuple[int | None, ...], query: str
) -> np.ndarray:
    """Return the positions of the rows of a scenario path that satisfy a query.

    path: scenario at each level, None for all. InputError for a column that is not there.
    """
    keep = np.ones(len(rows.frame), bool)
    scenarios = rows.batch.scenarios.numpy()
    for level, scenario in enumerate(path):
        if scenario is not None:
            keep &= scenarios[:, level] == scenario
    for column, sign, value, word in _CONDITION.findall(query):
        keep &= (
            has_id(rows.frame, word) if word else _holds(rows.frame, described, column, sign, value)
        )
    return np.flatnonzero(keep)


def columns_asked(described: Description, query: str) -> list[str]:
    """Columns that a query names."""
    return [_column(described, column) for column, *_ in _CONDITION.findall(query) if column]


def _column(described: Description, name: str) -> str:
    feature = described.fields.get(name)
    return name if feature is None else feature.column or name


def has_id(frame: pd.DataFrame, text: str) -> np.ndarray:
    """Mark the row that is called `text`."""
    index = frame.index
    if pd.api.types.is_integer_dtype(index):
        same = np.asarray(index == int(text)) if re.fullmatch(r"-?\d{1,18}", text) else None
        return np.zeros(len(frame), bool) if same is None else same
    return np.asarray(index.astype(str) == text)


def _holds(
    frame: pd.DataFrame, described: Description, name: str, sign: str, value: str
) -> np.ndarray:
    column = _column(described, name)
    if column not in frame.columns:
        known = [*described.fields, *described.input_columns]
        raise InputError(f"the search names '{name}', which is no column{nearest(name, known)}")
    cells, value = frame[column], value.strip('"')
    if value == "missing" and sign in ("=", "!="):
        return np.asarray(cells.isna() if sign == "=" else cells.notna())
    present = cells.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(cells):
        try:
            wanted = int(value) if _WHOLE.fullmatch(value) else float(value)
        except ValueError:
            raise InputError(
                f"the search compares '{name}' with “{value}”; it needs a number"
            ) from None
        exact = isinstance(wanted, int) and pd.api.types.is_integer_dtype(cells)
        numbers = cells.to_numpy(object if exact else np.float64, na_value=0)
        return np.asarray(_COMPARE[sign](numbers, wanted), bool) & present
    if sign not in ("=", "!="):
        raise InputError(f"the search orders '{name}', which holds text: use = or !=")
    return np.asarray(_COMPARE[sign](cells.astype(str).to_numpy(object), value)) & present
