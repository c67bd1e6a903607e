"""What becomes of an error: a page says what happened and what to do.

One that nobody expected is a line of the log, whose id the page shows.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec

import streamlit as st

from aesm2.errors import InputError
from app import cache, log, state
from app.markdown import escaped
from app.people import who

_OF_CALLBACK = "failures-of-callback"
Given = ParamSpec("Given")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn an error of a page, or of what called it, into a message."""
    before = state.recall(_OF_CALLBACK)
    state.remember(_OF_CALLBACK, None)
    if before is not None:
        _tell(*before)
    try:
        yield
    except Exception as error:
        _tell(*_noted("a page failed", "page", error))


def callback(act: Callable[Given, object]) -> Callable[Given, None]:
    """Let the page that is drawn next tell of an error of what a widget calls."""

    @functools.wraps(act)
    def careful(*arguments: Given.args, **named: Given.kwargs) -> None:
        try:
            act(*arguments, **named)
        except Exception as error:
            state.remember(_OF_CALLBACK, _noted("a button failed", "callback", error))

    return careful


def _noted(event: str, where: str, error: Exception) -> tuple[str, str]:
    """Log an error if nobody expected it, count it, and return words and icon."""
    if isinstance(error, InputError):
        said, refused = escaped(str(error)), isinstance(error, who.Forbidden)
        return f"{said[:1].upper()}{said[1:]}" if refused else said, "lock" if refused else "error"
    id_ = log.problem(event, error, **_facts())
    cache.metrics().error(where)
    return (
        f"Something went wrong on our side (error {id_}), and nothing was changed. The rest of"
        " the app still works: reload the page, or start over from Home. If it comes back, give"
        " whoever runs this app that id."
    ), "error"


def _tell(words: str, icon: str) -> None:
    (st.warning if icon == "lock" else st.error)(words, icon=f":material/{icon}:")


def _facts() -> dict[str, str]:
    """Return whose run of which page this is, for the log: short, and no names."""
    found = {"page": str(state.recall("page") or "home"), "session": state.session()[:8]}
    with contextlib.suppress(InputError):
        found |= {"person": who.person().id[:8]} if who.person().id else {}
    return found
