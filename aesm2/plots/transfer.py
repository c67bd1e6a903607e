"""Transfer between scenarios as a matrix: trained on the line, tested on the column."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import SEQUENTIAL, finish, narrow

WRITTEN = 8  # up to so many scenarios the cells are wide enough for mean and sd
CELL_PX, SMALL_PX = 48, 28  # height of a cell, and of one where nothing is written
LETTER_PX = 6.5  # of a name that stands upright


def transfer_figure(
    cells: pd.DataFrame, task: str, scale: tuple[float, float], stamp: str
) -> go.Figure:
    """Draw the mean AUC × 100 of a task, with its sd, and an outline where trained and tested meet.

    cells: see `related.transfer_cells`. scale: ends of the colours. n is that of the test rows.
    """
    own = cells[cells["task"] == task]
    trains, tests = own["train"].unique().tolist(), own["test"].unique().tolist()
    shape, many = (len(trains), len(tests)), len(tests) > WRITTEN
    z, text = np.full(shape, np.nan), np.full(shape, "", object)
    hover = text.copy()
    for line in own.to_dict("records"):
        at = trains.index(line["train"]), tests.index(line["test"])
        z[at], text[at], hover[at] = line["mean"], _written(line), _told(line)
    figure = go.Figure(
        go.Heatmap(
            z=z, text=text, hovertext=hover, hoverinfo="text", xgap=1, ygap=1,
            texttemplate=None if many else "%{text}", textfont_size=11,
            colorscale=SEQUENTIAL, zmin=scale[0], zmax=scale[1], hoverongaps=True,
            colorbar={"title": "AUC<br>× 100", "thickness": 10},
        )
    )  # fmt: skip
    _undefined(figure, z)
    own_cells = [(row, tests.index(name)) for row, name in enumerate(trains) if name in tests]
    figure.layout.shapes = [
        {"type": "rect", "x0": column - 0.48, "x1": column + 0.48, "y0": row - 0.48,
         "y1": row + 0.48, "line": {"color": "#EE3377", "width": 2}}
        for row, column in own_cells
    ]  # fmt: skip
    sizes = own.drop_duplicates("test").set_index("test")
    ticks = tests if many else [f"{name}<br>{_size(sizes.loc[name])}" for name in tests]
    figure.update_xaxes(
        title="tested on", tickvals=list(range(len(tests))), ticktext=ticks, showgrid=False,
        fixedrange=True, tickangle=-90 if many else 0, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(
        title="trained on", tickvals=list(range(len(trains))), ticktext=trains, showgrid=False,
        range=[len(trains) - 0.5, -0.5], fixedrange=True, automargin=True, zeroline=False,
    )  # fmt: skip
    figure.update_layout(dragmode=False)
    below = int(LETTER_PX * max(map(len, tests), default=0)) + 88 if many else 136
    height = (SMALL_PX if many else CELL_PX) * len(trains) + below + 54
    return narrow(finish(figure, stamp, height, top=8, bottom=below))


def scale_of(cells: pd.DataFrame) -> tuple[float, float]:
    """Return one range for matrices that stand beside each other."""
    known = cells["mean"].dropna()
    return (float(known.min()), float(known.max())) if len(known) else (50.0, 100.0)


def transfer_words(cells: pd.DataFrame, task: str) -> str:
    """Return what the figure shows, for those who cannot see it."""
    own = cells[(cells["task"] == task) & cells["mean"].notna()]
    best = own.sort_values("mean", kind="stable").groupby("test", sort=False).tail(1)
    home = int((best["train"] == best["test"]).sum())
    undefined = int(cells.loc[cells["task"] == task, "mean"].isna().sum())
    gone = f"; {undefined} pairs are undefined for want of a class" if undefined else ""
    return (
        f"In {home} of {len(best)} scenarios the model that was trained there is the best for"
        f" {task.upper()}{gone}"
    )


def _undefined(figure: go.Figure, z: np.ndarray) -> None:
    """Write a word into cells that have no colour, which a heatmap leaves blank."""
    rows, columns = np.nonzero(np.isnan(z))
    if len(rows):
        figure.add_trace(
            go.Scatter(
                x=columns.tolist(), y=rows.tolist(), mode="text", text=["undefined"] * len(rows),
                textfont={"size": 11}, hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip


def _written(line: dict[Hashable, Any]) -> str:
    if np.isnan(line["mean"]):
        return ""
    spread = "" if np.isnan(line["sd"]) else f"<br>± {line['sd']:.1f}"
    return f"{line['mean']:.1f}{spread}"


def _told(line: dict[Hashable, Any]) -> str:
    where = f"trained on {line['train']}<br>tested on {line['test']}"
    size = f"<br>n = {line['n']:,}, {line['positives']:,} positives" if line["n"] else ""
    if np.isnan(line["mean"]):
        return f"{where}<br>undefined: a class is missing{size}"
    spread = "" if np.isnan(line["sd"]) else f" ± {line['sd']:.2f} ({line['seeds']} seeds)"
    return f"{where}<br>AUC × 100: {line['mean']:.2f}{spread}{size}"


def _size(line: pd.Series) -> str:
    return f"n = {line['n']:,}<br>{line['positives']:,} +" if line["n"] else ""
