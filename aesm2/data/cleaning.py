"""What a table's own spelling hides: markers of missing values, and dates written as text."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aesm2.data.description import Scalar, Source
from aesm2.errors import InputError

ISO = "ISO8601"  # as a form: whatever the standard allows


def cleaned(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the frame with markers made missing and dates made timestamps.

    Columns that need no change are not copied; cleaning twice is the same as once.
    Raises InputError for a text that is no date of the described form.
    """
    changed = {}
    for name in frame.columns if source.missing else ():
        marked = _marked(frame[name], source)
        if marked.any():
            changed[name] = frame[name].mask(marked)
    for name, form in source.dates.items():
        if name in frame.columns and not pd.api.types.is_datetime64_any_dtype(frame[name]):
            changed[name] = _dates(changed.get(name, frame[name]), form)
    return frame.assign(**changed) if changed else frame


def _marked(column: pd.Series, source: Source) -> pd.Series:
    """Which values are markers: texts among texts, numbers among numbers."""
    if pd.api.types.is_bool_dtype(column):
        return pd.Series(False, index=column.index)
    if pd.api.types.is_numeric_dtype(column):
        return column.isin([m for m in source.missing if not isinstance(m, str)])
    return is_one_of(column, source.missing)


def is_one_of(column: pd.Series, values: Sequence[Scalar]) -> pd.Series:
    """Whether each value of a column is one of some; a text is none of the numbers."""
    if isinstance(column.dtype, pd.StringDtype):  # asked for 10**20, it would raise OverflowError
        values = [value for value in values if isinstance(value, str)]
    return column.isin(list(values))


def _dates(column: pd.Series, form: str) -> pd.Series:
    texts = column.map(_plain_number, na_action="ignore")
    zones = "%z" in form or form == ISO  # offsets change with the season: all are put into UTC
    dates = pd.to_datetime(texts, format=form, errors="coerce", utc=zones)
    bad = (dates.isna() & column.notna()).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"row {row}: '{column.name}' is {column.iloc[row]!r}, no date of the form '{form}'"
            " that source.dates gives"
        )
    return dates


def _plain_number(value: object) -> str:
    """Spell 20220503 and 20220503.0 alike."""
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(float(value))) if whole else str(value)  # type: ignore[arg-type]
