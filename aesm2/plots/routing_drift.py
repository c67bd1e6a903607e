"""Where routing drifted, as heatmaps of divergence; and the shares of one cell, side by side.

Axes: a line is a scenario, a column a layer and target; n experts.
"""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.plots.style import finish, headed, narrow
from aesm2.plots.utilisation import colour_axis
from aesm2.routing.drift import LayerDrift, RoutingDrift
from aesm2.routing.findings import scenario_label

LINE_PX, PANEL_PX = 30, 78  # height of a line of cells; of a panel's title, ticks and margin
STAMP = 58  # characters of a line of the stamp, which names two logs
A, B = "#0072B2", "#E69F00"  # the two logs
MARK = "◆"  # a cell that drifted
Column = tuple[LayerDrift, int]


def drift_figure(
    found: RoutingDrift, stamp: str, chosen: tuple[str, int, int] | None = None
) -> go.Figure:
    """Draw the divergence of each cell in nats on one scale from 0, a panel a kind of scenarios.

    ◆ marks cells that drifted, brackets those within chance; cells without a test have a dash.
    Over each lies a transparent marker whose customdata is layer, target, scenario.
    chosen: the cell that is framed.
    """
    panels = _panels(found)
    heights = [LINE_PX * len(own[0][0].scenarios) for own in panels.values()]
    total = sum(heights) + PANEL_PX * len(panels)
    figure = make_subplots(
        rows=len(panels), cols=1, row_heights=heights,
        vertical_spacing=PANEL_PX / total if len(panels) > 1 else 0.0,
        subplot_titles=[f"by {by}" for by in panels],
    )  # fmt: skip
    for number, (by, columns) in enumerate(panels.items(), start=1):
        figure.add_trace(_heatmap(found, columns), row=number, col=1)
        figure.add_trace(_targets(columns), row=number, col=1)
        for place, (own, t) in enumerate(columns):
            if chosen and chosen[:2] == (own.spec.name, t):
                frame = {"x0": place - 0.5, "x1": place + 0.5, "y0": chosen[2] - 0.5,
                         "y1": chosen[2] + 0.5}  # fmt: skip
                figure.add_shape(type="rect", line={"color": "#EE3377", "width": 3}, name="chosen",
                                 row=number, col=1, **frame)  # fmt: skip
        names = [scenario_label(by, name) for name in columns[0][0].scenarios]
        heads = [own.spec.name + (f"<br>{own.targets[t]}" if own.targets[t] else "")
                 for own, t in columns]  # fmt: skip
        figure.update_xaxes(
            tickvals=list(range(len(heads))), ticktext=heads, range=[-0.5, len(heads) - 0.5],
            row=number, col=1,
        )  # fmt: skip
        figure.update_yaxes(
            tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5],
            automargin=True, row=number, col=1,
        )  # fmt: skip
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    headed(figure, x=0, xanchor="left")
    cells = np.concatenate([own.divergence.ravel() for own in found.layers])
    top = max(float(np.nanmax(cells, initial=0.0)), 1e-6)
    figure.update_layout(
        coloraxis=colour_axis(top, ".2~g"), hoverdistance=-1, dragmode=False, showlegend=False
    )
    finish(figure, stamp, total + 150, bottom=96)
    return narrow(figure.update_layout(margin={"t": 84}), STAMP)


def cell_figure(
    own: LayerDrift, target: int, scenario: int, names: tuple[str, str], stamp: str
) -> go.Figure:
    """Draw the shares of one cell in both logs, a pair of bars an expert; names: of the logs."""
    figure = go.Figure()
    experts = list(range(own.spec.experts))
    for side, (name, colour, pattern) in enumerate(zip(names, (A, B), ("", "/"), strict=True)):
        shares = own.shares[side, target, scenario]
        figure.add_trace(
            go.Bar(
                x=experts, y=shares, marker={"color": colour, "pattern": {"shape": pattern}},
                name=f"{'AB'[side]}: {name} (n = {own.rows[side, target, scenario]:,})",
                hovertemplate="expert %{x}: %{y:.3f}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(barmode="group", dragmode=False)
    figure.update_xaxes(title="expert", tickvals=experts, fixedrange=True)
    figure.update_yaxes(title=use_words(own.use), rangemode="tozero", fixedrange=True)
    finish(figure, stamp, 370, top=64, bottom=96)
    return narrow(figure.update_layout(legend={"orientation": "v", "y": 1.0}), STAMP)


def use_words(use: str) -> str:
    """Say what is spread over the experts."""
    return "share of the mixing weight" if use == "weight" else f"share of the {use} choices"


def drift_table(found: RoutingDrift) -> pd.DataFrame:
    """Return the numbers behind the heatmaps: one line a cell, the largest divergence first."""
    table = found.to_frame().drop(columns=["use"])
    return table.rename(
        columns={"js": "JS, nats", "js_share": "of log 2", "js_chance": "by chance"}
    )


def cell_table(own: LayerDrift, target: int, scenario: int, names: tuple[str, str]) -> pd.DataFrame:
    """Return the shares of one cell: one line an expert."""
    a, b = own.shares[:, target, scenario]
    columns = {"expert": np.arange(own.spec.experts), f"A: {names[0]}": a, f"B: {names[1]}": b}
    return pd.DataFrame(columns | {"B − A": b - a})


def mix_figure(found: RoutingDrift, names: tuple[str, str], stamp: str) -> go.Figure:
    """Draw the share of the rows that each scenario has in both logs; names: of the logs."""
    mix, figure = found.mix, go.Figure()
    labels = [scenario_label(mix.by, name) for name in mix.scenarios]
    for side, (name, colour, pattern) in enumerate(zip(names, (A, B), ("", "/"), strict=True)):
        rows = mix.rows[side]
        figure.add_trace(
            go.Bar(
                y=labels, x=rows / rows.sum(), customdata=rows, orientation="h",
                marker={"color": colour, "pattern": {"shape": pattern}},
                name=f"{'AB'[side]}: {name} (n = {rows.sum():,})",
                hovertemplate="%{y}: %{x:.3f}, %{customdata:,} rows<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(barmode="group", dragmode=False)
    figure.update_xaxes(title="share of rows", rangemode="tozero", fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", automargin=True, fixedrange=True)
    finish(figure, stamp, 190 + 34 * len(labels), top=64, bottom=96)
    legend = {"orientation": "v", "x": 0, "xref": "container", "y": 1, "yref": "container"}
    return narrow(figure.update_layout(legend=legend | {"yanchor": "top"}), STAMP)


def mix_table(found: RoutingDrift) -> pd.DataFrame:
    """Return the rows of each scenario in both logs and their shares."""
    mix = found.mix
    a, b = mix.rows
    columns = {"scenario": mix.scenarios, "rows A": a, "rows B": b}
    return pd.DataFrame(columns | {"share A": a / a.sum(), "share B": b / b.sum()})


def _panels(found: RoutingDrift) -> dict[str, list[Column]]:
    """Columns of each panel: the layers and targets whose scenarios are of one kind."""
    panels: dict[str, list[Column]] = {}
    for own in found.layers:
        panels.setdefault(own.by, []).extend((own, t) for t in range(len(own.targets)))
    return panels


def _heatmap(found: RoutingDrift, columns: list[Column]) -> go.Heatmap:
    cells = np.stack([own.divergence[t] for own, t in columns], axis=1)
    text = [
        [_written(own, found.drifted(own), t, s) for own, t in columns] for s in range(len(cells))
    ]
    return go.Heatmap(
        z=cells, text=text, texttemplate="%{text}", textfont_size=11,
        coloraxis="coloraxis", xgap=1, ygap=1, hoverinfo="skip",
    )  # fmt: skip


def _written(own: LayerDrift, drifted: np.ndarray, t: int, s: int) -> str:
    value = own.divergence[t, s]
    if math.isnan(value):
        return "–"
    short = f"{value:.1e}" if value < 1e-3 else f"{value:.3f}"
    if math.isnan(own.q[t, s]):
        return f"– {short}"
    return f"{MARK} {short}" if drifted[t, s] else f"({short})"


def _targets(columns: list[Column]) -> go.Scatter:
    x, y, custom, hover = [], [], [], []
    for place, (own, t) in enumerate(columns):
        for s in range(len(own.scenarios)):
            x.append(place)
            y.append(s)
            custom.append([own.spec.name, t, s])
            hover.append(_said(own, t, s))
    return go.Scatter(
        x=x, y=y, customdata=custom, hovertext=hover, hoverinfo="text", mode="markers",
        marker={"symbol": "square-open", "size": 24, "opacity": 0},
        selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip


def _said(own: LayerDrift, t: int, s: int) -> str:
    names = (own.spec.name, own.targets[t], scenario_label(own.by, own.scenarios[s]))
    said = f"by chance {own.chance[t, s]:.2g}; p = {own.p[t, s]:.2g}, q = {own.q[t, s]:.2g}"
    if math.isnan(own.q[t, s]):
        said = "not tested: too few rows, or groups of them"
    n = " and ".join(f"{rows:,}" for rows in own.rows[:, t, s])
    what = ", ".join(name for name in names if name)
    return f"{what}<br>JS {own.divergence[t, s]:.3g} nats; {said}<br>n = {n}"
