"""The seesaw of models as a matrix: in how many cells one beats the other, and the reverse."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import DIVERGING, finish, narrow

WRITTEN = 14  # up to so many models the cells are wide enough for their numbers
CELL_PX = 34


def trades_figure(found: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw the counts of `seesaw.seesaw`: the model of the line against that of the column.

    The colour is better minus worse; a cell says "better:worse".
    """
    names = list(dict.fromkeys(found["reference"]))
    places = {name: place for place, name in enumerate(names)}
    shape = (len(names), len(names))
    net, text = np.full(shape, np.nan), np.full(shape, "", object)
    hover = text.copy()
    for line in found.to_dict("records"):
        at = places[line["reference"]], places[line["variant"]]
        better, worse = line["better"], line["worse"]
        net[at] = better - worse
        text[at] = f"{better}:{worse}"
        hover[at] = (
            f"{line['reference']} against {line['variant']}<br>better in {better}, worse in"
            f" {worse} of {line['cells']} cells"
        )
    most = max(float(np.nanmax(np.abs(net), initial=0.0)), 1.0)
    figure = go.Figure(
        go.Heatmap(
            z=net, x=names, y=names, text=text, hovertext=hover, hoverinfo="text",
            texttemplate="%{text}" if len(names) <= WRITTEN else None, textfont_size=11,
            colorscale=DIVERGING, zmin=-most, zmax=most, xgap=1, ygap=1,
            colorbar={"title": "better<br>− worse", "thickness": 12, "len": 0.9},
        )
    )  # fmt: skip
    figure.update_xaxes(fixedrange=True, tickangle=-45, automargin=True, showgrid=False)
    figure.update_yaxes(fixedrange=True, autorange="reversed", automargin=True, showgrid=False)
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 190 + CELL_PX * len(names), top=8, bottom=150), 80)


def trades_words(found: pd.DataFrame) -> str:
    """Return what the figure shows, for those who cannot see it."""
    traders = int(found["trades"].sum()) // 2
    return f"{traders} of {len(found) // 2} pairs of models are each better in some cells"
