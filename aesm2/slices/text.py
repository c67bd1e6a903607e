"""Reading a slice from text."""

import re
from typing import NamedTuple

from aesm2.errors import InputError
from aesm2.slices.conditions import BARE, WORDS, Condition, Missing, OneOf, Range, Slice, is_number

LONGEST, MOST = 2000, 20  # characters of a text, conditions of a slice
EXAMPLE = "tab = 1 & price >= 3 & brand in (a, b) & age missing"
_TOKEN = re.compile(
    rf'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<sign><=|>=|!=|[<>=&(),])|(?P<bare>{BARE.pattern}))',
    re.DOTALL,
)


class Token(NamedTuple):
    """A piece of the text. kind: "quoted", "sign", "bare" or "end"."""

    kind: str
    text: str

    def word(self) -> str:
        """Return the word of the language that it is, or ""."""
        low = self.text.lower()
        return low if self.kind == "bare" and low in WORDS else ""

    def number(self) -> float | None:
        """Return the number that it is, or None."""
        return float(self.text) if self.kind == "bare" and is_number(self.text) else None


def read(text: str) -> Slice:
    """Read a slice; "" is all rows. InputError says what is wrong, and where."""
    if len(text) > LONGEST:
        raise InputError(f"the slice is longer than {LONGEST:,} characters; use fewer values")
    reader = _Reader(_tokens(text))
    conditions: list[Condition] = []
    while reader.now.kind != "end":
        conditions.append(reader.condition())
        if reader.now.kind != "end":
            reader.joint()
    if len(conditions) > MOST:
        raise InputError(f"the slice has more than {MOST} conditions; use fewer")
    return Slice(tuple(conditions))


def _tokens(text: str) -> list[Token]:
    found, place = [], 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].strip()[:20]
            hint = "the quotes do not end" if rest.startswith('"') else "not understood"
            raise InputError(f"the slice at “{rest}”: {hint}; write it as in {EXAMPLE}")
        kind = str(match.lastgroup)
        own = match[kind]
        found.append(
            Token(kind, re.sub(r"\\(.)", r"\1", own, flags=re.S) if kind[0] == "q" else own)
        )
        place = match.end()
    return [*found, Token("end", "the end")]


class _Reader:
    """Takes tokens from the left."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place = tokens, 0

    @property
    def now(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def takes(self, *signs: str) -> str:
        """Take the sign or word that stands here if it is one of these, else return ""."""
        here = self.now.text if self.now.kind == "sign" else self.now.word()
        if here not in signs:
            return ""
        self.place += 1
        return here

    def problem(self, wanted: str) -> InputError:
        return InputError(
            f"the slice at “{self.now.text}”: {wanted} was expected; write it as in {EXAMPLE}"
        )

    def joint(self) -> None:
        if not self.takes("&", "and"):
            raise self.problem("& between two conditions")
        if self.now.kind == "end":
            raise self.problem("a condition after &")

    def condition(self) -> Condition:
        if self.now.number() is not None and self.tokens[self.place + 1].text in ("<", "<="):
            return self.chained()
        column = self.text("the name of a column")
        negated = bool(self.takes("not"))
        if self.takes("missing"):
            return Missing(column, negated)
        if self.takes("in"):
            return OneOf(column, self.values(), negated)
        if negated:
            raise self.problem("in or missing")
        sign = self.takes("=", "!=", "<", "<=", ">", ">=")
        if sign in ("=", "!="):
            if self.takes("missing"):
                return Missing(column, sign == "!=")
            return OneOf(column, (self.text("a value"),), sign == "!=")
        if not sign:
            raise self.problem("one of =, !=, <, <=, >, >=, in, missing")
        number = self.number()
        if sign in (">", ">="):
            return Range(
                column, low=number, low_included=sign == ">=", or_missing=self.or_missing()
            )
        return Range(column, high=number, high_included=sign == "<=", or_missing=self.or_missing())

    def chained(self) -> Condition:
        low, included = self.number(), self.take().text == "<="
        column, high, high_included = self.text("the name of a column"), None, False
        if sign := self.takes("<", "<="):
            high, high_included = self.number(), sign == "<="
        return Range(column, low, high, included, high_included, self.or_missing())

    def or_missing(self) -> bool:
        if not self.takes("or"):
            return False
        if not self.takes("missing"):
            raise self.problem("missing after or")
        return True

    def values(self) -> tuple[str, ...]:
        if not self.takes("("):
            raise self.problem("( and a list of values")
        found = [self.text("a value")]
        while self.takes(","):
            found.append(self.text("a value"))
        if not self.takes(")"):
            raise self.problem(", or )")
        return tuple(found)

    def text(self, what: str) -> str:
        if self.now.kind not in ("quoted", "bare"):
            raise self.problem(what)
        if word := self.now.word():
            raise InputError(
                f'the slice at “{word}”: {what} was expected; write "{word}" in quotes'
            )
        return self.take().text

    def number(self) -> float:
        number = self.now.number()
        if number is None:
            raise self.problem("a number")
        self.place += 1
        return number
