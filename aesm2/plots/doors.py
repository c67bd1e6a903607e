"""One row through every door: its probability under each scenario of a level."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import finish, line_at, narrow, scenario_colour
from aesm2.routing.findings import scenario_label

LINE_PX = 46


def doors_figure(doors: pd.DataFrame, task: str, title: str, stamp: str) -> go.Figure:
    """Draw a row's probability of a task, in percent, a line a scenario; a diamond is its own.

    doors: lines of one level of `counterfactual.doors`. title: of the task. It is one prediction a
    door, so there is no interval; where the task does not exist the line says so.
    """
    value = 100 * doors[task].to_numpy(np.float64)
    gone, own = np.isnan(value), doors["own"].to_numpy(bool)
    labels = [
        scenario_label(level, name)
        for level, name in zip(doors["level"], doors["scenario"], strict=True)
    ]
    marks = go.Scatter(
        x=np.where(gone, 0.0, value), y=list(range(len(doors))), mode="markers+text",
        text=["no such task here" if g else f"{v:.2f} %" for g, v in zip(gone, value, strict=True)],
        textposition=["middle right" if g else "top center" for g in gone], cliponaxis=False,
        marker={
            "symbol": np.where(own, "diamond", "circle").tolist(),
            "size": np.where(gone, 0, np.where(own, 16, 11)).tolist(),
            "color": [scenario_colour(place) for place in range(len(doors))],
        },
        hovertext=[
            f"{label}{' (its own)' if o else ''}: {'no such task' if g else f'{v:.3f} %'}"
            for label, o, g, v in zip(labels, own, gone, value, strict=True)
        ],
        hoverinfo="text",
    )  # fmt: skip
    figure = go.Figure(marks)
    if own.any() and not gone[own].any():
        dotted = {"dash": "dot", "width": 1.5, "color": "#888888"}
        figure.layout.shapes = [line_at(float(value[own][0]), line=dotted, layer="below")]
    most = float(np.nanmax(value, initial=0.0)) or 1.0
    figure.update_xaxes(
        title=f"{title}, predicted, %", title_standoff=4, range=[-0.04 * most, 1.12 * most],
        fixedrange=True, zeroline=False, nticks=6,
    )  # fmt: skip
    figure.update_yaxes(
        range=[len(doors) - 0.5, -0.5], tickvals=list(range(len(doors))),
        ticktext=[f"◆ {label}" if o else label for label, o in zip(labels, own, strict=True)],
        automargin=True, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 130 + LINE_PX * len(doors), top=8, bottom=104))


def doors_words(doors: pd.DataFrame, task: str) -> str:
    """Return what the figure shows, for those who cannot see it."""
    told = [
        f"{line['scenario']}{' (its own)' if line['own'] else ''}:"
        f" {'no such task' if np.isnan(line[task]) else f'{100 * line[task]:.2f} %'}"
        for line in doors.to_dict("records")
    ]
    return f"Predicted {task} through every scenario. {'; '.join(told)}"
