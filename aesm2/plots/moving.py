"""Utilisation over training as heatmaps that move: a frame a measurement, played in the browser."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.plots.style import finish, headed, narrow
from aesm2.plots.utilisation import LINE_PX, PANEL_PX, Panel, colour_axis
from aesm2.routing.shares import LayerShares, RoleName

ROLES: tuple[RoleName, ...] = ("specific", "shared")
FRAME_MS = 350


def moving_figure(snapshots: Sequence[tuple[int, LayerShares]], stamp: str) -> go.Figure:
    """Draw one layer's shares of rows at every measurement; it opens on the last one.

    snapshots: (step, shares) of one layer, in order; at least one. One colour scale, from 0 to 1,
    over all of them. A role that takes no expert has no panel.
    """
    shown = [(step, _panels(shares)) for step, shares in snapshots]
    _, last = shown[-1]
    lines = len(last[0].lines)
    heights = LINE_PX * lines * len(last) + PANEL_PX * len(last)
    figure = make_subplots(
        rows=len(last), cols=1, subplot_titles=[panel.title for panel in last],
        vertical_spacing=PANEL_PX / heights if len(last) > 1 else 0.0,
    )  # fmt: skip
    for number, panel in enumerate(last, start=1):
        figure.add_trace(_heatmap(panel), row=number, col=1)
        figure.update_xaxes(tickvals=list(range(panel.shares.spec.experts)), row=number, col=1)
        figure.update_yaxes(
            tickvals=list(range(lines)), ticktext=panel.labels, automargin=True,
            range=[lines - 0.5, -0.5], row=number, col=1,
        )  # fmt: skip
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    headed(figure, x=0, xanchor="left")
    figure.frames = [
        go.Frame(name=str(step), data=[_heatmap(panel) for panel in panels],
                 traces=list(range(len(panels))))
        for step, panels in shown
    ]  # fmt: skip
    figure.update_layout(
        coloraxis=colour_axis(1.0, ".1~f"), dragmode=False, showlegend=False,
        sliders=[_slider([step for step, _ in shown])], updatemenus=[_buttons()],
    )  # fmt: skip
    finished = narrow(finish(figure, stamp, heights + 230, top=76, bottom=150))
    return finished.update_layout(margin={"t": 76, "b": 150})


def _panels(shares: LayerShares) -> list[Panel]:
    return [Panel(shares, role, "share") for role in ROLES if shares.chosen(role)]


def _heatmap(panel: Panel) -> go.Heatmap:
    text = np.where(np.isnan(panel.cells), "", np.char.mod("%.2f", np.nan_to_num(panel.cells)))
    return go.Heatmap(
        z=panel.cells, text=text, texttemplate="%{text}", textfont_size=11, coloraxis="coloraxis",
        xgap=1, ygap=1, hovertemplate="expert %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip


def _slider(steps: Sequence[int]) -> dict[str, Any]:
    return {
        "active": len(steps) - 1, "x": 0.12, "len": 0.88, "y": 0, "yanchor": "top",
        "pad": {"t": 42}, "currentvalue": {"prefix": "step ", "font": {"size": 12}},
        "steps": [
            {"label": f"{step:,}", "method": "animate",
             "args": [[str(step)], {"mode": "immediate", "frame": {"duration": 0, "redraw": True},
                                    "transition": {"duration": 0}}]}
            for step in steps
        ],
    }  # fmt: skip


def _buttons() -> dict[str, Any]:
    play = {"fromcurrent": False, "mode": "immediate", "transition": {"duration": 0},
            "frame": {"duration": FRAME_MS, "redraw": True}}  # fmt: skip
    return {
        "type": "buttons", "x": 0, "y": 0, "yanchor": "top", "pad": {"t": 58}, "showactive": False,
        "buttons": [{"label": "▶", "method": "animate", "args": [None, play]}],
    }  # fmt: skip
