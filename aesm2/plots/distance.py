"""How differently scenarios use the experts: a heatmap in the order of its dendrogram."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.cluster.hierarchy import dendrogram

from aesm2.errors import InputError
from aesm2.plots.style import finish, restamp
from aesm2.plots.utilisation import colour_axis
from aesm2.routing.distance import FEW, Distances
from aesm2.routing.findings import scenario_label

WRITTEN = 12  # up to so many scenarios the cells are wide enough for their number
CELL_PX, TREE_PX = 34, 90


def distance_figure(found: Distances, stamp: str) -> go.Figure:
    """Draw the distances between scenarios, like ones side by side, under their dendrogram.

    A number in brackets is within chance. Raises InputError for fewer than two scenarios.
    """
    if found.tree is None:
        raise InputError("fewer than two scenarios have rows here: there is no distance to show")
    order = found.order
    count = len(order)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[TREE_PX, CELL_PX * count],
        vertical_spacing=0.02,
    )  # fmt: skip
    for x, y in _branches(found.tree):
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", line={"color": "#888888"}, hoverinfo="skip"),
            row=1, col=1,
        )  # fmt: skip
    figure.add_trace(_heatmap(found), row=2, col=1)
    labels = [_label(found, i) for i in order]
    ticks = {"tickvals": list(range(count)), "showgrid": False, "zeroline": False}
    figure.update_xaxes(fixedrange=True, range=[-0.5, count - 0.5], showgrid=False, zeroline=False)
    figure.update_xaxes(
        ticktext=[label.split("<br>")[0] for label in labels], row=2, col=1, **ticks
    )
    figure.update_yaxes(
        ticktext=labels, range=[count - 0.5, -0.5], automargin=True, fixedrange=True,
        row=2, col=1, **ticks,
    )  # fmt: skip
    figure.update_yaxes(
        title="distance", rangemode="tozero", nticks=4, fixedrange=True, zeroline=False,
        row=1, col=1,
    )  # fmt: skip
    figure.update_layout(
        coloraxis=colour_axis(1.0, ".1~f"),
        showlegend=False, dragmode=False,
    )  # fmt: skip
    finish(figure, stamp, TREE_PX + CELL_PX * count + 210)
    return restamp(figure.update_layout(margin={"t": 84, "b": 110}), yshift=-88)


def distance_table(found: Distances) -> pd.DataFrame:
    """Return one line a pair of scenarios: rows, distance, and the level of noise it must beat."""
    names, pairs = found.scenarios, zip(*np.triu_indices(len(found.scenarios), 1), strict=True)
    lines = [
        {
            "scenario": names[a],
            "other": names[b],
            "rows": int(found.rows[a]),
            "rows of other": int(found.rows[b]),
            "distance": found.distance[a, b],
            "chance up to": found.noise[a, b],
            "beyond chance": bool(found.distance[a, b] > found.noise[a, b]),
        }
        for a, b in pairs
    ]
    return pd.DataFrame(lines)


def _heatmap(found: Distances) -> go.Heatmap:
    grid = np.ix_(found.order, found.order)
    distance, noise = found.distance[grid], found.noise[grid]
    names = [scenario_label(found.by, found.scenarios[i]) for i in found.order]
    text, hover = [], []
    for i, a in enumerate(names):
        shown, told = [], []
        for j, b in enumerate(names):
            value, level = distance[i, j], noise[i, j]
            within = i != j and value <= level
            shown.append("" if i == j else f"({value:.2f})" if within else f"{value:.2f}")
            verdict = "within chance" if within else "beyond chance"
            told.append(
                a if i == j else f"{a} and {b}: {value:.3f}<br>{verdict}: up to {level:.3f}"
            )
        text.append(shown)
        hover.append(told)
    return go.Heatmap(
        z=distance, text=text, texttemplate="%{text}" if len(names) <= WRITTEN else None,
        hovertext=hover, hoverinfo="text", coloraxis="coloraxis", xgap=1, ygap=1,
        textfont_size=11,
    )  # fmt: skip


def _branches(tree: np.ndarray) -> list[tuple[list[float], list[float]]]:
    """Lines of the dendrogram; scipy puts leaf i at 10 i + 5."""
    drawn = dendrogram(tree, no_plot=True)
    return [
        ([(value - 5) / 10 for value in x], list(y))
        for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    ]


def _label(found: Distances, index: int) -> str:
    few = "⚠ " if found.rows[index] < FEW else ""
    name = scenario_label(found.by, found.scenarios[index])
    return f"{few}{name}<br>n = {int(found.rows[index]):,}"
