"""How rows are split: by time where a column tells it, else at random with a key."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aesm2.data.dataset import drawn
from aesm2.data.description import Interval, RandomSplit, Scalar, Split
from aesm2.data.draft.names import DATE, KEYS, is_date, says
from aesm2.data.draft.profile import Looked, Profile
from aesm2.data.draft.value import Draft
from aesm2.errors import InputError

TRAIN, VALIDATION = 0.8, 0.9  # shares of rows before the bounds
EPOCHS = ((1e9, 2.2e9), (1e12, 2.2e12), (1e15, 2.2e15), (1e18, 2.2e18))  # s, ms, µs, ns since 1970
FIRST_DAY, LAST_DAY = 19_700_101, 21_001_231  # days as numbers, such as 20260311
SEEDS, EVEN = 20, (0.05, 0.2)  # seeds tried, and shares of validation and test that will do
MISSING = 0.2  # share of rows without a time above which a column does not split them


@dataclass(frozen=True)
class SplitDraft:
    """A split, notes on how it came about, and warnings about what may be wrong with it."""

    split: Split
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def time_column(looked: Looked) -> str | None:
    """The column that orders rows in time, None where none does; dates before numbers."""
    several = {n: p for n, p in looked.profiles.items() if p.distinct >= 3 and p.missing <= MISSING}
    dates = [n for n, p in several.items() if p.form == "date"]
    named = [n for n in dates if says(DATE, n)]
    numbers = [n for n, p in several.items() if counts_time(looked.frame[n], n, p)]
    return next(iter([*named, *numbers, *dates]), None)


def counts_time(column: pd.Series, name: str, profile: Profile) -> bool:
    """Whether numbers are dates such as 20260311, an epoch, or a count of days as they pass."""
    if profile.form != "numbers" or not says(DATE, name):
        return False
    present = column.dropna()
    if any(low <= present.min() and present.max() <= high for low, high in EPOCHS):
        return True
    if not profile.whole or not is_date(name):
        return False
    if present.between(FIRST_DAY, LAST_DAY).all():
        texts = present.drop_duplicates().astype("int64").astype(str)
        return bool(pd.to_datetime(texts, format="%Y%m%d", errors="coerce").notna().all())
    return bool(present.is_monotonic_increasing)


def key_column(looked: Looked) -> str | None:
    """The column whose rows should stay together in a random split: a user, a session, a search."""
    repeated = [n for n, p in looked.profiles.items() if _keeps_together(n, p, looked)]
    found = [n for pattern in KEYS for n in repeated if says(pattern, n)]
    return next(iter(found), None)


def _keeps_together(name: str, profile: Profile, looked: Looked) -> bool:
    """Whether a column names many things, no attribute of them, that come back."""
    rows = len(looked.frame)
    an_id = profile.form == "text" or profile.whole
    many = profile.distinct >= max(10, rows // 1000)
    biggest = looked.frame[name].value_counts().max() if an_id and many else rows
    return an_id and many and profile.missing < MISSING and biggest <= 0.1 * rows


def split(draft: Draft) -> SplitDraft:
    """Draft the split; InputError where the role is given to a column that cannot have it."""
    columns = draft.of("split")
    if len(columns) > 1:
        names = " and ".join(f"'{column.name}'" for column in columns)
        raise InputError(f"{names} are both to split the rows: only one column can")
    if not columns:
        return _random(draft, draft.key)
    column = columns[0]
    values = draft.frame[column.name].dropna().sort_values()
    if column.profile.form not in ("date", "numbers") or column.profile.distinct < 3:
        raise InputError(
            f"'{column.name}' cannot split the rows: it needs three dates or numbers, or more"
        )
    note = f"by {column.name}: the first {100 * TRAIN:.0f} % of the rows are for training"
    warnings = [f"{column.name}: {column.profile.doubt}"] * bool(column.profile.doubt)
    if column.profile.missing:
        share = f"{100 * column.profile.missing:.2g} %"
        warnings.append(f"{share} of the rows have no {column.name} and are left out")
    bounds = _by_bounds(column.name, values, draft.looked.sample.whole)
    return SplitDraft(bounds, (note,), tuple(warnings))


def _random(draft: Draft, key: str | None) -> SplitDraft:
    """Draw at random, with the first seed that gives every split its share or nearly."""
    note = "at random: no column tells the time"
    if key is not None:
        note += f"; rows of the same {key} stay together"
    tried = [RandomSplit(key=key, seed=seed) for seed in range(SEEDS)]
    found = next((split for split in tried if _is_even(draft.frame, split)), None)
    if found is None and key is not None:
        uneven = f"{key} has too few values to keep its rows together: rows are drawn one by one"
        return replace(_random(draft, None), warnings=(uneven,))
    return SplitDraft(Split(random=found or tried[0]), (note,))


def _is_even(frame: pd.DataFrame, split: RandomSplit) -> bool:
    counts = np.bincount(drawn(frame, split), minlength=3)[1:] / len(frame)
    return bool((counts >= EVEN[0]).all() and (counts <= EVEN[1]).all())


def _by_bounds(column: str, values: pd.Series, whole: bool) -> Split:
    """Bounds between distinct values, whole days where there are three.

    values: sorted. whole: they are all there are; else others may lie between two of them, and the
    bounds leave no gap.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind == "M":
        days = values.dt.floor("D")
        values = days if days.nunique() >= 3 else values
    distinct = values.drop_duplicates()
    share = np.searchsorted(values, distinct) / len(values)  # of rows before each value
    test = max(2, min(int(np.argmin(abs(share - VALIDATION))), len(distinct) - 1))
    validation = max(1, min(int(np.argmin(abs(share - TRAIN))), test - 1))
    first = [_spelt(distinct.iloc[i]) for i in (validation, test)]
    last = [
        _spelt(distinct.iloc[i - 1]) if whole else _before(distinct.iloc[i])
        for i in (validation, test)
    ]
    return Split(
        column=column,
        train=Interval(last=last[0]),
        validation=Interval(first=first[0], last=last[1]),
        test=Interval(first=first[1]),
    )


def _spelt(value: object) -> Scalar:
    """Spell a bound: a day where it is midnight, else a moment, or a number."""
    if isinstance(value, pd.Timestamp):
        day = value == value.normalize()
        return value.strftime("%Y-%m-%d") if day else value.isoformat(sep=" ")
    number = float(value)  # type: ignore[arg-type]
    return int(number) if number.is_integer() else number


def _before(value: object) -> Scalar:
    """Spell the last value before a bound."""
    if isinstance(value, pd.Timestamp):
        if value == value.normalize():  # a day as a last bound counts to its end
            return (value - pd.Timedelta(days=1)).strftime("%Y-%m-%d")
        return (value - pd.Timedelta(1, unit="us")).isoformat(sep=" ")
    number = float(value)  # type: ignore[arg-type]
    day = pd.to_datetime(f"{number:.0f}", format="%Y%m%d", errors="coerce")
    if FIRST_DAY <= number <= LAST_DAY and not pd.isna(day):
        return int(f"{day - pd.Timedelta(days=1):%Y%m%d}")
    return int(number) - 1 if number.is_integer() else float(np.nextafter(number, -np.inf))
