"""The look that all figures share: role colours and shapes, scales, the provenance stamp."""

import textwrap
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import plotly.graph_objects as go

from aesm2.data.description import Description


class Role(Enum):
    """Role of an expert for a row: told by colour and by shape (Okabe–Ito palette)."""

    SPECIFIC = "specific"
    SHARED = "shared"
    BOTH = "both"
    UNSELECTED = "unselected"

    @property
    def colour(self) -> str:
        """Hex colour."""
        return _COLOURS[self]

    @property
    def symbol(self) -> str:
        """Plotly's name of the marker."""
        return _SYMBOLS[self]

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return _GLYPHS[self]


_COLOURS = {
    Role.SPECIFIC: "#D55E00",
    Role.SHARED: "#0072B2",
    Role.BOTH: "#CC79A7",
    Role.UNSELECTED: "#999999",
}
_SYMBOLS = {
    Role.SPECIFIC: "triangle-up",
    Role.SHARED: "circle",
    Role.BOTH: "diamond",
    Role.UNSELECTED: "circle-open",
}
_GLYPHS = {Role.SPECIFIC: "▲", Role.SHARED: "●", Role.BOTH: "◆", Role.UNSELECTED: "○"}

SCENARIO_COLOURS = (
    "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#882255", "#44AA99",
    "#999933", "#332288",
)  # fmt: skip
STAMP_PX = 15  # height of the stamp
AHEAD, BEHIND = "#009E73", "#AA4499"  # AESM² against another model
PLAIN = "#777777"  # a model or scenario without a colour of its own
SEQUENTIAL = "Cividis"
DIVERGING = "RdBu"  # signed quantities only, centred at zero


def roles(specific: np.ndarray, shared: np.ndarray) -> list[Role]:
    """Role of each expert from its two masks, (n,) each."""
    table = {
        (True, False): Role.SPECIFIC,
        (False, True): Role.SHARED,
        (True, True): Role.BOTH,
        (False, False): Role.UNSELECTED,
    }
    pairs = zip(specific.tolist(), shared.tolist(), strict=True)
    return [table[sp, sh] for sp, sh in pairs]


def scenario_colour(index: int) -> str:
    """Colour of a scenario, fixed by its place in its level."""
    return SCENARIO_COLOURS[index % len(SCENARIO_COLOURS)]


def provenance(description: Description) -> str:
    """Say where data come from, as it stands on charts and in exports."""
    return origin(description.provenance, description.title, description.licence)


def origin(kind: str, title: str, licence: str) -> str:
    """Say where data come from. kind: "public", "simulated" or "private"."""
    return f"{kind} data: {title}, {licence}"


def finish(
    figure: go.Figure,
    stamp: str,
    height: int,
    top: int = 36,
    bottom: int = 52,
) -> go.Figure:
    """Give a figure its margins, fonts and provenance stamp; return it.

    stamp: see `provenance`. height, and the margins top and bottom: pixels. The stamp stands at the
    foot of the bottom margin.
    """
    stamped = {
        "text": stamp, "name": "provenance", "xref": "paper", "yref": "paper", "x": 1, "y": 0,
        "yshift": -(bottom - STAMP_PX), "xanchor": "right", "yanchor": "top", "showarrow": False,
        "font": {"size": 10}, "opacity": 0.7,
    }  # fmt: skip
    figure.update_layout(  # at once: plotly checks every change, which takes its time
        height=height,
        margin={"l": 8, "r": 8, "t": top, "b": bottom},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.layout.annotations = [*figure.layout.annotations, stamped]
    return figure


def narrow(figure: go.Figure, characters: int = 56) -> go.Figure:
    """Break the stamp of a finished figure into lines, for charts beside each other; return it."""
    lines = "<br>".join(textwrap.wrap(stamp_of(figure), characters))
    return restamp(
        figure, text=lines, align="right", yanchor="bottom", yshift=-figure.layout.margin.b
    )


def restamp(figure: go.Figure, **changes: Any) -> go.Figure:
    """Change the stamp of a finished figure, by names of `go.layout.Annotation`; return it."""
    return _annotated(figure, changes, lambda own: own.name == "provenance")


def headed(figure: go.Figure, size: int = 13, **changes: Any) -> go.Figure:
    """Give the headings of subplots their size; changes: see `restamp`. Return the figure."""
    return _annotated(figure, {"font": {"size": size}, **changes}, lambda _: True)


def _annotated(
    figure: go.Figure, changes: Mapping[str, Any], which: Callable[[Any], bool]
) -> go.Figure:
    """Change annotations all at once: plotly compares each with all others, one by one."""
    figure.layout.annotations = [
        own.to_plotly_json() | (changes if which(own) else {}) for own in figure.layout.annotations
    ]
    return figure


def folded(title: str, characters: int = 12) -> str:
    """Break a panel's heading between words, for panels that stand narrow beside each other."""
    return "<br>".join(textwrap.wrap(title, characters, break_long_words=False))


def line_at(x: float | None = None, y: float | None = None, **more: Any) -> dict[str, Any]:
    """Return a line through the whole of a plot, upright at x or level at y, for `shapes`.

    more: as of `go.layout.Shape`. Figures take all their shapes at once, for each one added alone
    is compared with all others.
    """
    if x is not None:
        return {"type": "line", "x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1,
                "yref": "y domain", **more}  # fmt: skip
    return {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y",
            **more}  # fmt: skip


def stamp_of(figure: go.Figure) -> str:
    """Return the provenance stamp that `finish` gave a figure, on one line."""
    found = next(str(a.text) for a in figure.layout.annotations if a.name == "provenance")
    return found.replace("<br>", " ")
