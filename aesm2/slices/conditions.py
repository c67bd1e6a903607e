"""A slice of rows as a value: conditions on columns, all of which must hold, and how it is written.

    tab = 1 & price >= 3 & 18 <= age < 30 or missing & brand in (a, "b c") & city not missing

`&` joins the conditions; "or missing" belongs to the comparison before it.
"""

import math
import re
from dataclasses import dataclass

from aesm2.errors import InputError

WORDS = frozenset({"missing", "in", "not", "or", "and"})  # in quotes where they are values
BARE = re.compile(r"[^\s&<>=!(),\"\\]+")  # what needs no quotes


@dataclass(frozen=True)
class OneOf:
    """The value is one of `members`, as text; or none of them, which a missing value is too."""

    column: str
    members: tuple[str, ...]
    negated: bool = False

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError(f"a slice names no value of '{self.column}'")
        object.__setattr__(self, "members", tuple(dict.fromkeys(self.members)))

    def __str__(self) -> str:
        name, values = column_text(self.column), [value_text(value) for value in self.members]
        if len(values) == 1:
            return f"{name} {'!=' if self.negated else '='} {values[0]}"
        return f"{name} {'not in' if self.negated else 'in'} ({', '.join(values)})"


@dataclass(frozen=True)
class Range:
    """The number is between two bounds, of which one may be None; a missing one is not.

    or_missing: a missing one is as well.
    """

    column: str
    low: float | None = None
    high: float | None = None
    low_included: bool = True
    high_included: bool = False
    or_missing: bool = False

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if not bounds or not all(map(math.isfinite, bounds)):
            raise InputError(f"a slice compares '{self.column}' with no finite number")
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is None:  # one way to write it
                object.__setattr__(self, f"{name}_included", name == "low")
            else:
                object.__setattr__(self, name, float(bound) + 0.0)  # -0 and 0 are one number

    def __str__(self) -> str:
        name = column_text(self.column)
        above = "<=" if self.low_included else "<"
        below = "<=" if self.high_included else "<"
        if self.low is not None and self.high is not None:
            text = f"{number_text(self.low)} {above} {name} {below} {number_text(self.high)}"
        elif self.low is not None:
            text = f"{name} {'>=' if self.low_included else '>'} {number_text(self.low)}"
        else:
            text = f"{name} {below} {number_text(self.high or 0.0)}"
        return f"{text} or missing" if self.or_missing else text


@dataclass(frozen=True)
class Missing:
    """The value is missing; or, negated, there is one."""

    column: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{column_text(self.column)}{' not' if self.negated else ''} missing"


Condition = OneOf | Range | Missing


@dataclass(frozen=True)
class Slice:
    """Rows on which all conditions hold: all rows where there is none.

    `str` writes it, and `text.read` reads that back to an equal slice.
    """

    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " & ".join(map(str, self.conditions))

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it asks about, each once."""
        return tuple(dict.fromkeys(condition.column for condition in self.conditions))

    @property
    def words(self) -> str:
        """The slice for reading."""
        text = " and ".join(map(str, self.conditions)) or "anything"
        return text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠")


def number_text(number: float) -> str:
    """Write a number so that it reads back the same: 3, 0.25, 1e-07."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def value_text(value: str) -> str:
    """Write a value, in quotes where it has spaces or signs or is a word of the language."""
    if BARE.fullmatch(value) and value.lower() not in WORDS:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def column_text(column: str) -> str:
    """Write the name of a column; in quotes too where it would be taken for a number."""
    quoted = value_text(column)
    return f'"{column}"' if quoted == column and is_number(column) else quoted
