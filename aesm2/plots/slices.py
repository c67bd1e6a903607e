"""Slices: how far each is from the rest, with its interval."""

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from aesm2.plots.style import AHEAD, BEHIND, PLAIN, finish, narrow
from aesm2.slices.find import Line
from aesm2.slices.words import said, tail

LINE_PX, TEXT_PX = 30, 15  # of a slice's interval, and of each line of its text
MARK_PX = 11  # from the text down to the mark
ACROSS = 50  # characters of a line of text
MOST_TEXT = 3  # lines of text; a longer slice is cut


def slices_figure(lines: Sequence[Line], rate: float, stamp: str) -> go.Figure:
    """Draw slices of one measure as marks with 95 % intervals around zero, the first on top.

    A mark points to its side and is hollow where q is above the rate. Log loss has the colours of
    better and worse, other measures one colour. customdata of a mark: the text of its slice.
    """
    texts = [_label(line) for line in lines]
    heights = [LINE_PX + TEXT_PX * (text.count("<br>") + 1) for text in texts]
    ends = [-sum(heights[: i + 1]) for i in range(len(lines))]  # in pixels, downwards
    places = [end + LINE_PX - MARK_PX for end in ends]
    figure = go.Figure([_marks(lines, places, rate), _zero(ends)])
    unit, name = (lines[0].measure.unit, lines[0].measure.name) if lines else ("", "")
    figure.update_xaxes(
        title=f"{name}:<br>slice minus all other rows, {unit}", title_standoff=12, fixedrange=True,
        zeroline=False, nticks=6, rangemode="tozero",
    )  # fmt: skip
    figure.update_yaxes(range=[-sum(heights), 0], visible=False, fixedrange=True)
    figure.update_layout(
        showlegend=False, dragmode=False, clickmode="event+select",
        annotations=[_text(text, end) for text, end in zip(texts, ends, strict=True)],
    )  # fmt: skip
    return narrow(finish(figure, stamp, 120 + sum(heights), top=8, bottom=112))


def slices_words(lines: Sequence[Line], rate: float) -> str:
    """Return what the figure shows, for those who cannot see it."""
    if not lines:
        return "No slice was tested."
    sure = sum(line.q <= rate for line in lines)
    first = lines[0]
    return (
        f"{sure} of {len(lines)} slices differ at q ≤ {rate:g}; the largest difference is that of"
        f" {first.slice.words}: {said(first.measure, first.difference)}"
    )


def _marks(lines: Sequence[Line], places: Sequence[float], rate: float) -> go.Scatter:
    scale = lines[0].measure.scale if lines else 1.0
    found = [line.difference for line in lines]
    symbols = ["triangle-right" if own.effect >= 0 else "triangle-left" for own in found]
    colours = [_colour(line) for line in lines]
    return go.Scatter(
        x=[own.effect * scale for own in found], y=list(places), mode="markers",
        customdata=[str(line.slice) for line in lines],
        marker={
            "symbol": [s if line.q <= rate else f"{s}-open"
                       for s, line in zip(symbols, lines, strict=True)],
            "color": colours, "size": 13, "line": {"width": 2, "color": colours},
        },
        error_x={
            "array": [(own.high - own.effect) * scale for own in found],
            "arrayminus": [(own.effect - own.low) * scale for own in found],
            "thickness": 1.5, "width": 3, "color": "#888888",
        },
        hovertext=[f"{said(line.measure, line.difference)}<br>q {tail(line.q)}" for line in lines],
        hoverinfo="text",
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _zero(ends: Sequence[float]) -> go.Scatter:
    """Draw the line at zero, beside the marks and not through the texts."""
    y = [place for end in ends for place in (end, end + LINE_PX - 2, None)]
    x = [place for _ in ends for place in (0, 0, None)]
    return go.Scatter(x=x, y=y, mode="lines", line={"width": 1.5, "color": "#888888"},
                      hoverinfo="skip")  # fmt: skip


def _colour(line: Line) -> str:
    if line.measure.kind != "loss":
        return PLAIN
    return BEHIND if line.difference.effect >= 0 else AHEAD


def _label(line: Line) -> str:
    parts = textwrap.wrap(line.slice.words, ACROSS)
    if len(parts) > MOST_TEXT:
        parts = [*parts[: MOST_TEXT - 1], f"{parts[MOST_TEXT - 1][: ACROSS - 1]}…"]
    safe = [part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for part in parts]
    return "<br>".join([*safe[:-1], f"{safe[-1]}  <i>n = {line.rows:,}</i>"])


def _text(text: str, end: float) -> dict[str, object]:
    return {
        "text": text, "xref": "paper", "x": 0, "xanchor": "left", "y": end + LINE_PX,
        "yanchor": "bottom", "showarrow": False, "align": "left", "font": {"size": 12},
        "captureevents": False,
    }  # fmt: skip
