"""Two models side by side: matched experts, and how their use and their predictions differ."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.plots.style import DIVERGING, Role, finish, headed, line_at, narrow
from aesm2.plots.utilisation import colour_axis
from aesm2.routing.alignment import NONE, Alignment
from aesm2.routing.shares import ROLES

CELL_PX, BINS = 30, 48
TICKS = (1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)  # probabilities on a logit axis
FLOOR = 1e-6


def similarity_figure(found: Alignment, names: tuple[str, str], stamp: str) -> go.Figure:
    """Draw the similarity of every pair of experts; matched pairs are framed.

    The second model's experts stand in the order of their counterparts. names: of the models.
    """
    order = column_order(found)
    z = found.similarity[:, order]
    figure = go.Figure(go.Heatmap(
        z=z, text=[[f"{v:.2f}" if v else "0" for v in line] for line in z],
        texttemplate="%{text}", textfont_size=11, coloraxis="coloraxis", xgap=1, ygap=1,
        customdata=np.broadcast_to(np.array(order), z.shape),
        hovertemplate="expert %{y} of " + names[0] + "<br>expert %{customdata} of " + names[1]
        + "<br>similarity %{z:.3f}<extra></extra>",
    ))  # fmt: skip
    pairs = [(own, order.index(int(theirs))) for own, theirs in zip(*found.pairs, strict=True)]
    figure.layout.shapes = [
        {"type": "rect", "x0": at - 0.5, "x1": at + 0.5, "y0": own - 0.5, "y1": own + 0.5,
         "name": "matched", "line": {"color": "#EE3377", "width": 2.5}}
        for own, at in pairs
    ]  # fmt: skip
    figure.update_xaxes(
        title=f"expert of {names[1]}", title_standoff=4, tickvals=list(range(len(order))),
        ticktext=[str(k) for k in order], fixedrange=True, showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(
        title=f"expert of {names[0]}", tickvals=list(range(len(z))), range=[len(z) - 0.5, -0.5],
        fixedrange=True, showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_layout(coloraxis=colour_axis(1.0, ".1~f"), dragmode=False)
    return narrow(finish(figure, stamp, CELL_PX * len(z) + 158, top=62, bottom=92))


def column_order(found: Alignment) -> list[int]:
    """Return b's experts: the counterparts in the order of a's, then those that have none."""
    own = [int(k) for k in found.expert if k != NONE]
    return own + [k for k in range(found.similarity.shape[1]) if k not in own]


def similarity_words(found: Alignment) -> str:
    """Say how alike matched experts are, and what no relation at all would give."""
    return (
        f"In {found.layer} matched experts overlap by {found.matched:.2f} on average (1: the same"
        f" rows in the same roles). Matching them at random would give {found.random:.2f} (95 %"
        f" below {found.random_high:.2f}); the best matching, were one model's choices dealt to"
        f" other rows, {found.unrelated:.2f} (at most {found.unrelated_high:.2f})."
    )


def use_figure(
    difference: np.ndarray, labels: Sequence[str], found: Alignment, stamp: str
) -> go.Figure:
    """Draw `use_difference`, (2, S, n), one panel a role, in percentage points around zero."""
    experts = [f"{k}↔{other if other != NONE else '–'}" for k, other in enumerate(found.expert)]
    figure = make_subplots(
        rows=2, cols=1, vertical_spacing=0.14, shared_xaxes=True,
        subplot_titles=[f"{Role(role).glyph} {role}" for role in ROLES],
    )  # fmt: skip
    points = 100 * difference
    for number, z in enumerate(points, start=1):
        figure.add_trace(go.Heatmap(
            z=z, text=[[_points(v) for v in line] for line in z],
            texttemplate="%{text}", textfont_size=10, coloraxis="coloraxis", xgap=1, ygap=1,
            customdata=np.broadcast_to(np.array(labels, object)[:, None], z.shape),
            hovertemplate="%{customdata}<br>experts " + "%{x}: %{z:+.1f} points<extra></extra>",
            x=experts, hoverongaps=False,
        ), row=number, col=1)  # fmt: skip
        figure.update_yaxes(tickvals=list(range(len(labels))), ticktext=list(labels),
                            range=[len(labels) - 0.5, -0.5], row=number, col=1)  # fmt: skip
    most = max(1.0, float(np.nanmax(np.abs(points))) if np.isfinite(points).any() else 1.0)
    bar = colour_axis(1.0, "+.0f") | {"colorscale": DIVERGING, "cmin": -most, "cmax": most}
    figure.update_xaxes(type="category", showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(automargin=True, showgrid=False, zeroline=False, fixedrange=True)
    figure.update_xaxes(title="expert ↔ counterpart", title_standoff=4, row=2, col=1)
    headed(figure, x=0, xanchor="left")
    figure.update_layout(coloraxis=bar, dragmode=False)
    return narrow(finish(figure, stamp, 236 + 52 * len(labels), top=78, bottom=84))


def density_figure(a: np.ndarray, b: np.ndarray, names: tuple[str, str], stamp: str) -> go.Figure:
    """Draw how many rows have which pair of probabilities, both on a logit axis; (rows,) each."""
    x, y = logit(a), logit(b)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    edges = np.linspace(low - 1e-6, high + 1e-6, BINS + 1)
    counts = np.histogram2d(y, x, [edges, edges])[0]
    middle = (edges[:-1] + edges[1:]) / 2
    with np.errstate(divide="ignore"):
        z = np.where(counts > 0, np.log10(counts), np.nan)
    figure = go.Figure(go.Heatmap(
        x=middle, y=middle, z=z, customdata=counts, coloraxis="coloraxis", hoverongaps=False,
        hovertemplate="%{customdata:,.0f} rows<extra></extra>",
    ))  # fmt: skip
    bar = colour_axis(max(1.0, float(np.log10(counts.max()))), "")
    bar["colorbar"] |= {
        "tickvals": list(range(7)), "ticktext": ["1 row", *(f"{10**k:,}" for k in range(1, 7))],
    }  # fmt: skip
    figure.add_shape(type="line", x0=edges[0], y0=edges[0], x1=edges[-1], y1=edges[-1],
                     line={"color": "#888888", "width": 1, "dash": "dot"})  # fmt: skip
    ticks = [p for p in TICKS if edges[0] <= logit(np.array([p]))[0] <= edges[-1]]
    places = logit(np.array(ticks or [0.5])).tolist()
    words = [f"{100 * p:.4g} %" for p in ticks or [0.5]]
    span = [float(edges[0]), float(edges[-1])]
    for axis, name in ((figure.update_xaxes, names[0]), (figure.update_yaxes, names[1])):
        axis(title=name, title_standoff=14, tickvals=places, ticktext=words, range=span,
             fixedrange=True, showgrid=False, zeroline=False)  # fmt: skip
    figure.update_layout(coloraxis=bar, dragmode=False)
    return narrow(finish(figure, stamp, 450, top=56, bottom=96))


def change_figure(difference: np.ndarray, stamp: str) -> go.Figure:
    """Draw a histogram of differences of probability, (rows,), in percentage points."""
    points = 100 * difference
    most = max(1e-6, float(np.abs(points).max()))
    edges = np.linspace(-most, most, BINS + 2)  # an odd number: one is around zero
    counts, _ = np.histogram(points, edges)
    figure = go.Figure(go.Bar(
        x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), marker_color="#777777",
        customdata=np.stack([edges[:-1], edges[1:]], -1),
        hovertemplate="%{customdata[0]:+.2f} to %{customdata[1]:+.2f} points: %{y:,} rows"
        "<extra></extra>",
    ))  # fmt: skip
    figure.layout.shapes = [line_at(0, line={"width": 1, "color": "#888888", "dash": "dot"})]
    figure.update_xaxes(title="difference of probability, percentage points", title_standoff=4,
                        fixedrange=True, zeroline=False, nticks=7)  # fmt: skip
    figure.update_yaxes(title="rows", type="log", fixedrange=True, dtick=1)
    figure.update_layout(dragmode=False, bargap=0)
    return narrow(finish(figure, stamp, 360, top=16, bottom=96))


def change_table(a: np.ndarray, b: np.ndarray, rows: Sequence[str]) -> pd.DataFrame:
    """Return each row's two probabilities and their difference, the largest change first."""
    order = np.argsort(-np.abs(b.astype(np.float64) - a), kind="stable")
    named = np.array(rows, dtype=object)[order]
    return pd.DataFrame({"row": named, "a": a[order], "b": b[order], "difference": (b - a)[order]})


def _points(value: float) -> str:
    """Write points of a cell; nothing where they round to nothing."""
    rounded = 0.0 if np.isnan(value) else round(value)
    return f"{rounded:+.0f}".replace("-", "−") if rounded else ""


def logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, clipped to FLOOR from either end."""
    clipped = np.clip(p.astype(np.float64), FLOOR, 1 - FLOOR)
    odds: np.ndarray = np.log(clipped / (1 - clipped))
    return odds
