"""What a better ranking brings by scenario, and what would be possible."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.impact import LISTS, number, signed
from aesm2.plots.style import AHEAD, BEHIND, PLAIN, finish, line_at, narrow

LINE_PX = 40


def impact_figure(lines: pd.DataFrame, measure: str, stamp: str) -> go.Figure:
    """Draw what a measure gains by scenario with its range, and the possible gain as a diamond.

    lines: see `impact.impact`. A gain points right, a loss left; hollow where its range has 0 in
    it, so that it may be chance.
    """
    own = lines[lines["measure"] == measure].reset_index(drop=True)
    extra, low, high = (own[c].to_numpy(np.float64) for c in ("extra", "low", "high"))
    places, gone = list(range(len(own))), np.isnan(extra)
    hollow, gain = ~((low > 0) | (high < 0)), extra >= 0
    shapes = np.where(gain, "triangle-right", "triangle-left").astype(object)
    colours = np.where(gain, AHEAD, BEHIND).tolist()
    hover = [_told(line) for line in own.to_dict("records")]
    marks = go.Scatter(
        x=np.where(gone, 0.0, extra), y=places, mode="markers+text", name="expected",
        text=["\u00a0\u00a0nothing to compare" if own_ else "" for own_ in gone],
        textposition="middle right", cliponaxis=False,
        marker={
            "symbol": [f"{s}-open" if h else s for s, h in zip(shapes, hollow, strict=True)],
            "color": colours, "size": np.where(gone, 0, 13).tolist(),
            "line": {"width": 2, "color": colours},
        },
        error_x={
            "array": np.nan_to_num(high - extra), "arrayminus": np.nan_to_num(extra - low),
            "thickness": 1.5, "width": 3, "color": "#888888",
        },
        hovertext=hover, hoverinfo="text",
    )  # fmt: skip
    ceiling = go.Scatter(
        x=own["possible"], y=places, mode="markers", name="possible",
        marker={"symbol": "diamond-open", "size": 11, "color": PLAIN, "line": {"width": 2}},
        hovertext=hover, hoverinfo="text",
    )  # fmt: skip
    figure = go.Figure([marks, ceiling])
    figure.layout.shapes = [line_at(0, line={"width": 1.5, "color": "#888888"})]
    figure.update_xaxes(
        title=f"extra {measure} per {LISTS:,} result lists", title_standoff=4, nticks=5,
        fixedrange=True, zeroline=False,
    )  # fmt: skip
    names = ["everywhere" if name == OVERALL else name for name in own["scenario"]]
    ticks = [f"{name}<br>n = {n:,}" for name, n in zip(names, own["lists"], strict=True)]
    figure.update_yaxes(
        range=[len(own) - 0.5, -0.5], tickvals=places, ticktext=ticks, automargin=True,
        fixedrange=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 130 + LINE_PX * len(own), top=8, bottom=116), 48)


def _told(line: dict[Hashable, Any]) -> str:
    where = "everywhere" if line["scenario"] == OVERALL else line["scenario"]
    if np.isnan(line["extra"]):
        return f"{where}<br>nothing to compare"
    return (
        f"{where}<br>{signed(line['extra'])} {line['measure']}"
        f"<br>between {signed(line['low'])} and {signed(line['high'])}"
        f"<br>possible: {signed(line['possible'])}<br>today: {number(line['baseline'])}"
        f"<br>{line['lists']:,} searches, {line['seeds']} pairs of models"
    )
