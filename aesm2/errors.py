"""The one exception for bad input: what was wrong, where, and what to do about it."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used; its text is one line fit for a user's eyes."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest known word, or "" where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
