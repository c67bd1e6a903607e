"""What a slice means for a dataset: which column a name stands for, and which rows satisfy it."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from aesm2.data.description import Description, Level
from aesm2.data.encoder import as_numbers, as_text, encode_scenario, require_columns
from aesm2.errors import InputError, nearest
from aesm2.slices.conditions import Condition, Missing, OneOf, Range, Slice, is_number, number_text
from aesm2.slices.text import read


class Source(NamedTuple):
    """What a name stands for: a level, or the column of a feature; numeric: its values are."""

    column: str | None
    level: Level | None
    numeric: bool


def source_of(name: str, described: Description) -> Source:
    """Find what a name stands for: a level, a feature, or the column of one; else InputError."""
    fields = described.fields
    level = next((own for own in described.level if own.name == name), None)
    if level is not None:
        return Source(level.column, level, False)
    if name in fields:
        return Source(fields[name].column or name, None, fields[name].kind == "numeric")
    kinds = [f.kind for own, f in fields.items() if (f.column or own) == name]
    if kinds:
        return Source(name, None, "numeric" in kinds)
    level = next((own for own in described.level if own.column == name), None)
    if level is not None:
        return Source(level.column, level, False)
    known = [*fields, *described.input_columns, *(own.name for own in described.level)]
    raise InputError(
        f"the slice names '{name}', which is no feature or level of {described.title}"
        f"{nearest(name, known)}"
    )


def parse(text: str, described: Description) -> Slice:
    """Read a slice of a dataset; InputError names what does not fit, and the nearest column."""
    return checked(read(text), described)


def checked(of: Slice, described: Description) -> Slice:
    """Return the slice with its numbers in one spelling; InputError where it does not fit."""
    return Slice(tuple(_checked(condition, described) for condition in of.conditions))


def mask(of: Slice, frame: pd.DataFrame, described: Description) -> np.ndarray:
    """Mark the rows of a frame that are in the slice, (rows,) bool.

    Values of features are compared as they stand in the frame, texts as training spells them (1,
    1.0 and "1" are one value); those of a level are names of scenarios. A comparison never holds
    for a missing value; != and "not in" do.
    """
    keep = np.ones(len(frame), bool)
    for condition in of.conditions:
        keep &= _holds(condition, frame, described)
    return keep


def within(frame: pd.DataFrame, text: str, described: Description) -> pd.DataFrame:
    """Return the rows of a frame that are in the slice a text describes."""
    return frame[mask(parse(text, described), frame, described)]


def _checked(condition: Condition, described: Description) -> Condition:
    source = source_of(condition.column, described)
    if isinstance(condition, OneOf):
        return _checked_values(condition, source)
    if source.level is not None and (isinstance(condition, Missing) or condition.or_missing):
        raise InputError(
            f"the slice asks for '{condition.column}' missing, but a row always has a scenario"
        )
    if source.column is None:
        raise InputError(f"the slice orders '{condition.column}', which has one scenario only")
    return condition


def _checked_values(condition: OneOf, source: Source) -> OneOf:
    name, level = condition.column, source.level
    if level is not None:
        wrong = [value for value in condition.members if value not in level.scenarios]
        if wrong:
            known = ", ".join(level.scenarios[:12]) + (", …" if len(level.scenarios) > 12 else "")
            raise InputError(
                f"the slice names '{wrong[0]}', which is no scenario of '{name}' (known: {known})"
                f"{nearest(wrong[0], level.scenarios)}"
            )
    if not source.numeric:
        return condition
    wrong = [value for value in condition.members if not is_number(value)]
    if wrong:
        raise InputError(f"the slice compares '{name}' with “{wrong[0]}”; it needs a number")
    numbers = tuple(number_text(float(value) + 0.0) for value in condition.members)
    return OneOf(name, numbers, condition.negated)


def _holds(condition: Condition, frame: pd.DataFrame, described: Description) -> np.ndarray:
    source = source_of(condition.column, described)
    if source.column is not None:
        require_columns(frame, (source.column,), "the table")
    if isinstance(condition, OneOf):
        found = _is_one_of(condition.members, frame, source)
        return ~found if condition.negated else found
    if source.column is None:
        return np.zeros(len(frame), bool)
    cells = frame[source.column]
    if isinstance(condition, Missing):
        gone = cells.isna().to_numpy()
        return ~gone if condition.negated else gone
    return _is_between(condition, cells)


def _is_one_of(values: tuple[str, ...], frame: pd.DataFrame, source: Source) -> np.ndarray:
    if source.level is not None:
        wanted = np.isin(source.level.scenarios, values)
        return np.asarray(wanted[encode_scenario(frame, source.level)])
    cells = frame[str(source.column)]
    if source.numeric:
        return np.isin(as_numbers(cells, str(source.column)), [float(value) for value in values])
    codes, uniques = pd.factorize(cells)  # missing values have code -1
    texts = as_text(pd.Series(uniques)).to_numpy(object)
    found: np.ndarray = np.append(np.isin(texts.astype(str), values), False)[codes]
    return found


def _is_between(condition: Range, cells: pd.Series) -> np.ndarray:
    try:
        numbers = as_numbers(cells, condition.column)
    except InputError:
        raise InputError(
            f"the slice orders '{condition.column}', which holds text: use =, != or in"
        ) from None
    keep: np.ndarray = ~np.isnan(numbers)
    if condition.low is not None:
        above = np.greater_equal if condition.low_included else np.greater
        keep &= above(numbers, condition.low)
    if condition.high is not None:
        below = np.less_equal if condition.high_included else np.less
        keep &= below(numbers, condition.high)
    if condition.or_missing:
        keep |= np.isnan(numbers)
    return keep
