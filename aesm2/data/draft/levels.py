"""From columns to scenario levels: which could be one, which should be, and their scenarios."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.data.description import RESERVED, Level
from aesm2.data.draft.names import OUTCOME, SCENARIO, says
from aesm2.data.draft.profile import Looked, Profile
from aesm2.data.draft.value import Column, Draft
from aesm2.errors import InputError

MOST = 20  # scenarios of a level that are listed
MOST_NAMED = 200  # values of a column whose name tells of scenarios; the rare ones become "other"
BY_DEFAULT = 2  # levels of a draft
DIFFER = 6.0  # χ² per degree of freedom of the label rates, for a level whose name tells nothing
SMALL, SMALL_SHARE = 100, 0.1  # fewer rows, and less than this share of an even split, is tiny
MANY = 3  # tiny scenarios that become one; fewer are kept, with a warning
ONLY = "everywhere"  # the scenario of a table without levels


@dataclass(frozen=True)
class LevelDraft:
    """A level, notes on how it came about, and warnings about what may be wrong with it."""

    level: Level
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def could_be_level(name: str, profile: Profile) -> bool:
    """Whether a column has few enough values that repeat, and is no outcome."""
    named = says(SCENARIO, name)
    countable = profile.form in ("text", "flag") or profile.whole
    countable |= named and profile.form == "numbers"
    outcome = profile.form != "text" and says(OUTCOME, name) and not named
    few = 2 <= profile.distinct <= (MOST_NAMED if named else MOST)
    return countable and few and not profile.unique and profile.missing < 0.5 and not outcome


def suggested(looked: Looked, names: Iterable[str], labels: Sequence[np.ndarray]) -> list[str]:
    """Choose the levels of a draft among candidates, at most two.

    Those whose names tell of scenarios come first, then the one whose rates differ most.
    """
    rates = {name: differ(looked.frame[name], labels) for name in names}
    best = sorted(rates, key=lambda name: -rates[name])
    chosen: list[str] = []
    for name in (name for name in best if says(SCENARIO, name)):
        if len(chosen) < BY_DEFAULT and not any(_same(looked.frame, name, c) for c in chosen):
            chosen.append(name)
    if chosen:
        return chosen
    texts = [name for name in best if looked.profiles[name].form == "text"]
    others = [name for name in best if looked.profiles[name].form != "text"]
    return [name for name in (*texts, *others) if rates[name] >= DIFFER][:1]


def candidates(draft: Draft) -> list[Column]:
    """The features that could be levels, those first whose label rates differ most."""
    flags = draft.looked.flags
    labels = [flags[c.name] for c in draft.of("label") if c.name in flags]
    able = [c for c in draft.of("feature") if could_be_level(c.name, c.profile)]
    return sorted(able, key=lambda column: -differ(draft.frame[column.name], labels))


def differ(column: pd.Series, labels: Sequence[np.ndarray]) -> float:
    """The largest χ² per degree of freedom of a label's rates by value; near 1 is chance."""
    codes, values = pd.factorize(column)
    found = [_chi_square(codes, len(values), label) for label in labels]
    return max(found, default=0.0)


def _chi_square(codes: np.ndarray, count: int, label: np.ndarray) -> float:
    known = ~np.isnan(label) & (codes >= 0)
    rows = np.bincount(codes[known], minlength=count)
    positive = np.bincount(codes[known], label[known], minlength=count)
    rate = positive.sum() / max(rows.sum(), 1)
    spread = rate * (1 - rate)
    degrees = int((rows > 0).sum()) - 1
    if degrees < 1 or spread == 0:
        return 0.0
    return float(((positive - rows * rate) ** 2 / np.maximum(rows, 1)).sum() / spread / degrees)


def levels(draft: Draft) -> list[LevelDraft]:
    """Draft the levels, outermost first: the fewer values, the further out."""
    columns = sorted(draft.of("level"), key=lambda column: column.profile.distinct)
    taken = {*RESERVED, *(identifier(column.name, RESERVED) for column in draft.of("label"))}
    drafted = []
    for position, column in enumerate(columns):
        outer = columns[position - 1].name if position else None
        drafted.append(level_of(draft, column, taken, outer))
        taken.add(drafted[-1].level.name)
    note = "no column tells scenarios apart: all rows are of one"
    return drafted or [LevelDraft(Level(name="scenario", values=(ONLY,)), (note,))]


def level_of(
    draft: Draft, column: Column, taken: Iterable[str] = RESERVED, outer: str | None = None
) -> LevelDraft:
    """Draft one level from a column; outer: the column of the level around it."""
    values = draft.frame[column.name]
    counts = values.value_counts() * (draft.looked.sample.rows / len(values))
    if counts.empty or column.profile.form in ("lists", "date"):
        raise InputError(f"'{column.name}' cannot be a level: it has no values to tell apart")
    tiny = counts[counts < min(SMALL, SMALL_SHARE * counts.sum() / len(counts))]
    kept = counts.drop(tiny.index) if len(tiny) >= MANY else counts
    kept = kept.head(MOST)
    scenarios = _in_order([plain_value(value) for value in kept.index])
    whole = draft.looked.sample.whole
    rest = len(counts) - len(kept)
    level = Level(
        name=identifier(column.name, taken),
        column=column.name,
        values=tuple(scenarios),
        other=_other(scenarios) if rest or column.profile.missing or not whole else None,
    )
    notes = _rates(draft, column, kept)
    if outer is not None and determines(draft.frame, column.name, outer):
        notes.append(f"each value of {column.name} lies in one of {outer}")
    if rest:
        notes.append(f"{rest:,} rare values are together in “{level.other}”")
    if column.profile.missing:
        share = f"{100 * column.profile.missing:.2g} %"
        notes.append(f"{share} of the rows have no value: they are in “{level.other}”")
    elif not whole and not rest:
        notes.append("other: for values in rows not looked at; take it out if there are none")
    return LevelDraft(level, tuple(notes), _small(level, kept[kept.index.isin(tiny.index)]))


def _small(level: Level, rows: pd.Series) -> tuple[str, ...]:
    return tuple(
        f"{level.name} {plain_value(value)} has only {count:,.0f} rows: what is learnt there is"
        " uncertain"
        for value, count in rows.items()
    )


def _rates(draft: Draft, column: Column, kept: pd.Series) -> list[str]:
    """Rows of each scenario, and its rate of the label whose rates differ most."""
    values, flags = draft.frame[column.name], draft.looked.flags
    labels = [c.name for c in draft.of("label") if c.name in flags]
    if not labels:
        return []
    label = max(labels, key=lambda name: differ(values, [flags[name]]))
    by = pd.Series(flags[label], index=values.index).groupby(values)
    rates, rows = by.mean(), by.size()
    parts = [f"{plain_value(v)} {_percent(rates[v])} of {rows[v]:,}" for v in kept.index]
    return [f"{column.name}: rate of {label} by value: {', '.join(parts)} rows"]


def _percent(rate: float) -> str:
    return "unknown" if np.isnan(rate) else f"{100 * rate:.3g} %"


def determines(frame: pd.DataFrame, inner: str, outer: str) -> bool:
    """Whether each value of `inner` comes with one value of `outer`."""
    pairs = frame[[inner, outer]].dropna().drop_duplicates()
    return len(pairs) > 0 and not pairs[inner].duplicated().any()


def _same(frame: pd.DataFrame, one: str, other: str) -> bool:
    return determines(frame, one, other) and determines(frame, other, one)


def plain_value(value: object) -> int | str:
    """A value as a scenario is named in a description: a whole number or text."""
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return int(value) if float(value).is_integer() else repr(float(value))
    return str(value)


def _in_order(values: list[int | str]) -> list[int | str]:
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _other(scenarios: Sequence[int | str]) -> str:
    return next(name for name in ("other", "none of these", "the rest") if name not in scenarios)


def identifier(column: str, taken: Iterable[str]) -> str:
    """A valid name for a level or task made of a column's, none of those taken."""
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", column)
    name = cleaned if re.match(r"[A-Za-z]", cleaned) else f"c_{cleaned}"
    used = set(taken)
    while name in used:
        name = f"c_{name}"
    return name
