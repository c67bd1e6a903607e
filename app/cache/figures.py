"""Figures that are kept."""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from aesm2.checkpoint import Checkpoint
from app.cache.checkpoint import Opened, ids

Draw = Callable[[str, Callable[[], go.Figure]], go.Figure]  # script, how it is drawn → figure


class Drawn(go.Figure):  # type: ignore[misc]  # plotly has no types
    """A figure that is kept: what the browser gets is made once, so it is not to be changed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as plain data, the same each time."""
        made: dict[str, Any] | None = getattr(self, "_made", None)
        if made is None:
            made = self._made = super().to_dict()
        return made


def drawn(opened: Opened, of: str, code: str, build: Callable[[], go.Figure]) -> go.Figure:
    """Return the figure of a checkpoint that a script determines; not to be changed.

    of: id of the rows or counts that the script begins with, "" where it begins with none. Building
    a figure takes plotly longer than anything else in a page's run.
    """
    return _drawn(code, ids([opened.checkpoint]), of, build)


def figure(
    key: str, checkpoints: Sequence[Checkpoint], build: Callable[[], go.Figure]
) -> go.Figure:
    """Return a figure that `key` and the checkpoints determine; it must not be changed."""
    return _drawn(key, ids(checkpoints), "", build)


@st.cache_resource(max_entries=576, show_spinner=False)
def _drawn(
    key: str, models: tuple[str, ...], of: str, _build: Callable[[], go.Figure]
) -> go.Figure:
    return Drawn(_build())


def anew(code: str, build: Callable[[], go.Figure]) -> go.Figure:
    """Build a figure, whatever its script: a `Draw` that keeps none."""
    return build()
