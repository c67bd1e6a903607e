"""The one exception for bad input: what was wrong, where, and what to do about it."""

import difflib
from collections.abc import Iterable

LONGEST = 1_000  # characters of a line: a value that is quoted may be a whole file
_COMPARED = 200  # characters of a word that is compared with others, which takes their square


class InputError(ValueError):
    """Input that cannot be used; its text is one line fit for a user's eyes.

    Input quotes itself in errors, so the text is made such a line here: line ends and signs that
    steer a terminal are spelt out, and the middle of a very long text is left out.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))

    def at(self, place: object) -> "InputError":
        """Return the same error with the place it was found at, if its text does not say so yet."""
        text = str(self)
        return self if text.startswith(one_line(str(place))) else InputError(f"{place}: {text}")


def one_line(text: str) -> str:
    """Return text as one printable line of at most LONGEST characters."""
    if len(text) > 2 * LONGEST:  # no more is looked at than could be shown
        text = f"{text[:LONGEST]} … {text[-LONGEST:]}"
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else _spelt(sign) for sign in text)
    half = LONGEST // 2 - 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def _spelt(sign: str) -> str:
    return " " if sign.isspace() and sign.isascii() else ascii(sign)[1:-1]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest known word, or "" where none is close."""
    words = [own for own in known if len(own) <= _COMPARED] if len(word) <= _COMPARED else []
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
