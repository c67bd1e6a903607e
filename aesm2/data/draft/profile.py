"""What each column looks like: its form, markers of missing values, dates, flags, distinct values.

Nothing here looks at names, except to let "20260311" in a column called "day" be a date.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from aesm2.data.cleaning import cleaned
from aesm2.data.description import Scalar, Source
from aesm2.data.draft.dates import date_form
from aesm2.data.draft.names import ID, is_date, says
from aesm2.data.draft.sample import Sample

Form = Literal["numbers", "text", "flag", "date", "lists", "empty"]
FEW = 20  # rows below which nothing is said about values that do not repeat
MARKERS = frozenset(
    ("", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "null", "(null)", "<null>", "<na>", "\\n")
)
# Markers only where all other values are numbers, dates, or yes and no.
DOUBTFUL = frozenset(
    ("none", "nil", "unknown", "undefined", "missing", "0000-00-00", "0000-00-00 00:00:00")
)
NINES = re.compile(r"-9{2,}(\.0+)?")  # -99, -999, … among numbers that are never negative
YES = frozenset(("1", "yes", "y", "true", "t", "on", "ja", "oui", "si", "sí"))
NO = frozenset(("0", "no", "n", "false", "f", "off", "nein", "non"))


@dataclass(frozen=True)
class Profile:
    """What a column looks like.

    distinct: number of values. missing: share of rows without one. whole: numbers without
    fractions. unique: (nearly) every row has a value of its own. positive: of a flag, the values
    that mean 1 where they are not 1 itself. date: how text spells dates, as in strptime; doubt: why
    that may be wrong.
    """

    form: Form
    distinct: int = 0
    missing: float = 0.0
    whole: bool = False
    unique: bool = False
    positive: tuple[Scalar, ...] = ()
    date: str = ""
    doubt: str = ""


@dataclass(frozen=True, eq=False)
class Looked:
    """A sample and what its columns look like.

    sample: cleaned as training will clean it; text that spells numbers is numbers. missing: markers
    of missing values. flags: 0, 1 or NaN for each row of each flag.
    """

    sample: Sample
    profiles: Mapping[str, Profile]
    missing: tuple[Scalar, ...]
    flags: Mapping[str, np.ndarray]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, (rows looked at, columns)."""
        return self.sample.frame


def look(sample: Sample) -> Looked:
    """Tell what every column of a sample looks like."""
    frame = sample.frame
    first = {name: _first_look(frame[name], name) for name in frame.columns}
    markers: list[Scalar] = [marker for _, own in first.values() for marker in own]
    markers += _nines(frame, [n for n, (profile, _) in first.items() if profile.form == "numbers"])
    missing = tuple(dict.fromkeys(markers))
    dates = {name: profile.date for name, (profile, _) in first.items() if profile.date}
    frame = cleaned(frame, Source(table=sample.table, missing=missing, dates=dates))
    frame = frame.assign(**{n: _settled(frame[n], profile) for n, (profile, _) in first.items()})
    profiles = {n: _counted(frame[n], n, profile) for n, (profile, _) in first.items()}
    flags = {n: _as_flag(frame[n], p) for n, p in profiles.items() if p.form == "flag"}
    return Looked(replace(sample, frame=frame), profiles, missing, flags)


def _first_look(column: pd.Series, name: str) -> tuple[Profile, tuple[str, ...]]:
    """The form of a column, and the texts in it that mark missing values."""
    try:
        values = column.dropna().unique()
    except TypeError:  # lists cannot be compared
        return Profile("lists"), ()
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if len(values) == 0:
        return Profile("empty"), ()
    if kind in ("datetime64", "datetime", "date"):
        return Profile("date"), ()
    if kind == "boolean":
        return Profile("flag"), ()
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        return _number_flag(values), ()
    return _text_look([str(value) for value in values], name)


def _number_flag(values: object) -> Profile:
    try:
        numbers = set(np.asarray(values, np.float64).tolist())
    except OverflowError:  # whole numbers that no float holds, such as ids of 400 digits
        return Profile("text")
    if numbers in ({0.0, 1.0}, {-1.0, 1.0}):
        return Profile("flag", positive=(1,) if -1.0 in numbers else ())
    return Profile("numbers")


def _text_look(texts: list[str], name: str) -> tuple[Profile, tuple[str, ...]]:
    spelt = {text: text.strip().lower() for text in texts}
    sure = [text for text, low in spelt.items() if low in MARKERS]
    rest = [text for text in texts if text not in set(sure)]
    if rest and all(re.fullmatch("[A-Z]{2}", text) for text in rest):
        sure = [text for text in sure if text != "NA"]  # Namibia, among countries
    likely = [text for text in rest if spelt[text] in DOUBTFUL or NINES.fullmatch(spelt[text])]
    plain = [text for text in rest if text not in set(likely)]
    profile = _parsed(plain, name) if plain else None
    if profile is not None:
        return profile, (*sure, *likely)
    return Profile("text" if rest else "empty"), tuple(sure)


def _parsed(texts: list[str], name: str) -> Profile | None:
    """What texts are where all of them are yes and no, numbers or dates."""
    low = {text: text.strip().lower() for text in texts}
    said = set(low.values())
    if said <= YES | NO and said & YES and said & NO:
        positive = tuple(sorted(text for text in texts if low[text] in YES))
        return Profile("flag", positive=() if positive == ("1",) else positive)
    dates = date_form(texts, is_date(name))
    if dates is not None:
        return Profile("date", date=dates.form, doubt=dates.doubt)
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce")
    return _number_flag(numbers.unique()) if numbers.notna().all() else None


def _nines(frame: pd.DataFrame, numbers: list[str]) -> list[Scalar]:
    """Numbers such as -999 that are a marker in every column of numbers that has them."""
    found: dict[int, list[bool]] = {}
    for name in numbers:
        values = frame[name].dropna()
        if not pd.api.types.is_numeric_dtype(values) or not (values < 0).any():
            continue
        negative = sorted(set(values[values < 0].unique().tolist()))
        for value in negative:
            if NINES.fullmatch(str(value)):
                found.setdefault(int(value), []).append(len(negative) == 1 and len(values) > FEW)
    return [value for value, clear in found.items() if all(clear)]


def _settled(column: pd.Series, profile: Profile) -> pd.Series:
    if profile.form == "numbers" and not pd.api.types.is_numeric_dtype(column):
        return pd.to_numeric(column, errors="coerce")
    if profile.form == "date" and not pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column)
    return column


def _counted(column: pd.Series, name: str, profile: Profile) -> Profile:
    if profile.form == "lists":
        return replace(profile, missing=float(column.isna().mean()))
    present = column.dropna()
    distinct = int(present.nunique())
    whole = profile.form == "numbers" and bool((present == present.round()).all())
    several = distinct > 0.95 * len(present) and len(present) > FEW
    is_id = profile.form == "text" or (whole and (says(ID, name) or _consecutive(present)))
    return replace(
        profile, distinct=distinct, missing=float(column.isna().mean()), whole=whole,
        unique=several and is_id, form=profile.form if distinct else "empty",
    )  # fmt: skip


def _consecutive(numbers: pd.Series) -> bool:
    return bool(numbers.max() - numbers.min() < 1.05 * len(numbers))


def _as_flag(column: pd.Series, profile: Profile) -> np.ndarray:
    """0, 1 or NaN for each row of a flag, (rows,) float64."""
    if not profile.positive:
        return pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    own = column.isin(list(profile.positive)).to_numpy(np.float64)
    own[column.isna().to_numpy()] = np.nan
    return own
