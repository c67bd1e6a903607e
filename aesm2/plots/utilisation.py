"""Who uses which experts, as small multiples of heatmaps (Fig. 7).

Axes: a line is one scenario, task, or both; n experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.plots.style import SEQUENTIAL, Role, finish, headed, narrow
from aesm2.routing.findings import scenario_label
from aesm2.routing.shares import LayerShares, RoleName, Value

LINE_PX, PANEL_PX = 34, 62  # height of a line of cells; of a panel's title and its margin


@dataclass(frozen=True)
class Panel:
    """One heatmap: a layer, and a role (None for mixing weights, which have none)."""

    shares: LayerShares
    role: RoleName | None
    value: Value

    @property
    def lines(self) -> list[tuple[int, int]]:
        """(target, scenario) of each line, the scenario changing fastest.

        There are many fine-grained scenarios: those without rows have no line.
        """
        shares = self.shares
        there = (shares.rows > 0) | (shares.by != PATH)
        return [(t, int(s)) for t in range(len(shares.targets)) for s in np.flatnonzero(there)]

    @property
    def labels(self) -> list[str]:
        """Name of each line."""
        return [line_label(self.shares, target, scenario) for target, scenario in self.lines]

    @property
    def rows(self) -> list[int]:
        """Number of rows of each line; of a task, those whose scenario has it."""
        return [int(self.shares.counted[line]) for line in self.lines]

    @property
    def counts(self) -> list[str]:
        """Number of rows of each line in words."""
        there = [int(self.shares.rows[scenario]) for _, scenario in self.lines]
        return [
            f"n = {n:,}" if n or not some else "no such task here"
            for n, some in zip(self.rows, there, strict=True)
        ]

    @property
    def cells(self) -> np.ndarray:
        """Values, (lines, n); NaN for a scenario without rows."""
        values = self.shares.values(self.role or "specific", self.value)
        targets, scenarios = np.array(self.lines, np.int64).reshape(-1, 2).T
        cells: np.ndarray = values[targets, scenarios]
        return cells

    @property
    def title(self) -> str:
        """Layer, role and its shape."""
        spec = self.shares.spec
        if self.role is None:
            return f"{spec.name} · mixing weight"
        k = self.shares.chosen(self.role)
        return f"{spec.name} · {Role(self.role).glyph} {self.role}, K = {k}"


def line_label(shares: LayerShares, target: int, scenario: int) -> str:
    """Name a line: its task, its scenario, or both."""
    task, name = shares.targets[target], shares.scenarios[scenario]
    if task and shares.by == OVERALL:
        return task
    label = scenario_label(shares.by, name)
    return f"{task} · {label}" if task else label


def panels(layers: Sequence[LayerShares], roles: Sequence[RoleName], value: Value) -> list[Panel]:
    """Return the panels of some layers, in order; a role that takes no expert has none."""
    if value == "weight":
        return [Panel(shares, None, value) for shares in layers]
    return [
        Panel(shares, role, value) for shares in layers for role in roles if shares.chosen(role)
    ]


def utilisation_figure(shown: Sequence[Panel], stamp: str) -> go.Figure:
    """Draw the panels below each other on one colour scale.

    Over each heatmap lies a transparent marker a cell, whose customdata says which cell a click
    meant: layer, role ("" for weights), target, by, scenario, expert; a heatmap tells nothing.
    """
    heights = [LINE_PX * len(panel.lines) for panel in shown]
    total = sum(heights) + PANEL_PX * len(shown)
    figure = make_subplots(
        rows=len(shown), cols=1, row_heights=heights,
        vertical_spacing=PANEL_PX / total if len(shown) > 1 else 0.0,
        subplot_titles=[panel.title for panel in shown],
    )  # fmt: skip
    for number, panel in enumerate(shown, start=1):
        figure.add_trace(_heatmap(panel), row=number, col=1)
        figure.add_trace(_targets(panel), row=number, col=1)
        experts, lines = range(panel.shares.spec.experts), len(panel.lines)
        figure.update_xaxes(
            tickvals=list(experts), range=[-0.5, len(experts) - 0.5], row=number, col=1
        )
        figure.update_yaxes(
            tickvals=list(range(lines)), range=[lines - 0.5, -0.5], automargin=True,
            ticktext=[f"{a}<br>{n}" for a, n in zip(panel.labels, panel.counts, strict=True)],
            row=number, col=1,
        )  # fmt: skip
    figure.update_xaxes(title="expert", title_standoff=2, row=len(shown), col=1)
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    headed(figure, x=0, xanchor="left")
    value = shown[0].value
    top = 1.0 if value != "count" else max(1.0, *(float(panel.cells.max()) for panel in shown))
    figure.update_layout(
        coloraxis=colour_axis(top, ",~s" if value == "count" else ".1~f"),
        hoverdistance=-1, dragmode=False, showlegend=False,
    )  # fmt: skip
    finish(figure, stamp, total + 148, bottom=78)
    return narrow(figure.update_layout(margin={"t": 76}))


def colour_axis(top: float, tick_format: str) -> dict[str, Any]:
    """Return the one colour scale of a figure, from 0 to `top`, its bar above the panels."""
    bar = {
        "orientation": "h", "thickness": 10, "len": 0.6, "x": 0, "xanchor": "left", "y": 1,
        "xref": "container", "yref": "container", "yanchor": "top", "tickformat": tick_format,
    }  # fmt: skip
    return {"colorscale": SEQUENTIAL, "cmin": 0, "cmax": top, "colorbar": bar}


def utilisation_table(shown: Sequence[Panel]) -> pd.DataFrame:
    """Return the numbers behind the figure: one line a cell."""
    lines = []
    for panel in shown:
        spec, cells = panel.shares.spec, panel.cells
        for number, (target, scenario) in enumerate(panel.lines):
            for expert in range(spec.experts):
                lines.append(
                    {
                        "layer": spec.name,
                        "role": panel.role or "either",
                        "task": panel.shares.targets[target],
                        "scenario": panel.shares.scenarios[scenario],
                        "rows": panel.rows[number],
                        "expert": expert,
                        panel.value: cells[number, expert],
                    }
                )
    return pd.DataFrame(lines)


def _heatmap(panel: Panel) -> go.Heatmap:
    text = [[_written(value, panel.value) for value in line] for line in panel.cells]
    return go.Heatmap(
        z=panel.cells, text=text, texttemplate="%{text}", textfont_size=11,
        coloraxis="coloraxis", xgap=1, ygap=1, hoverinfo="skip",
    )  # fmt: skip


def _written(value: float, measure: Value) -> str:
    if np.isnan(value):
        return ""
    return f"{value:,.0f}" if measure == "count" or value == 0 else f"{value:.2f}"


def _targets(panel: Panel) -> go.Scatter:
    x, y, custom, hover = [], [], [], []
    spec, labels = panel.shares.spec, panel.labels
    for number, (target, scenario) in enumerate(panel.lines):
        for expert in range(spec.experts):
            x.append(expert)
            y.append(number)
            custom.append([spec.name, panel.role or "", target, panel.shares.by, scenario, expert])
            value = panel.cells[number, expert]
            told = "no rows" if np.isnan(value) else f"{value:,.3f}".rstrip("0").rstrip(".")
            hover.append(
                f"{spec.name}, {labels[number]}<br>expert {expert}"
                f"{f' as {panel.role}' if panel.role else ''}: {told}"
                f"<br>{panel.counts[number]}"
            )
    marker = {"symbol": "square-open", "size": 26, "color": "#EE3377", "line": {"width": 3}}
    return go.Scatter(
        x=x, y=y, customdata=custom, hovertext=hover, hoverinfo="text", mode="markers",
        marker=marker | {"opacity": 0}, selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0}},
    )  # fmt: skip
