"""What interventions do: causal importance of experts, changes of AUC, flips of the choice.

Axes: a column is a scenario, all rows first; a line an expert, or a layer's target.
"""

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.plots.style import AHEAD, BEHIND, DIVERGING, SEQUENTIAL, finish, headed, line_at, narrow
from aesm2.routing.causal_words import signed
from aesm2.routing.findings import scenario_label

Measure = Literal["auc", "log_loss"]
UNITS: dict[Measure, str] = {"auc": "Δ AUC × 100, points", "log_loss": "Δ log loss, nats × 1000"}
FACTORS: dict[Measure, float] = {"auc": 1.0, "log_loss": 1000.0}
LINE_PX, PANEL_PX, MARK_PX = 27, 34, 36
WRITTEN = 12  # up to so many scenarios the cells are wide enough for their number


def importance_figure(cells: pd.DataFrame, task: str, measure: Measure, stamp: str) -> go.Figure:
    """Draw what changes without each expert: a panel a layer, one scale, zero in its middle.

    cells: see `Knockouts.to_frame`. Blue is better without the expert, red is worse. A number in
    brackets has an interval that holds zero. Over each cell lies a transparent marker whose
    customdata is [layer, expert, scope, scenario]; a heatmap tells nothing of a click.
    """
    own = cells[cells["task"] == task]
    layers = list(dict.fromkeys(own["layer"]))
    names = _columns(own)
    experts = [own.loc[own["layer"] == layer, "expert"].nunique() for layer in layers]
    total = LINE_PX * sum(experts) + PANEL_PX * len(layers)
    figure = make_subplots(
        rows=len(layers), cols=1, shared_xaxes=True, row_heights=[LINE_PX * n for n in experts],
        vertical_spacing=PANEL_PX / total if len(layers) > 1 else 0.0,
        subplot_titles=[f"experts of {layer}" for layer in layers],
    )  # fmt: skip
    for number, layer in enumerate(layers, start=1):
        lines = own[own["layer"] == layer]
        n = experts[number - 1]
        figure.add_trace(_heatmap(lines, measure, len(names)), row=number, col=1)
        figure.add_trace(_targets(lines, measure, len(names)), row=number, col=1)
        figure.update_yaxes(
            tickvals=list(range(n)), range=[n - 0.5, -0.5], automargin=True, row=number, col=1
        )
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[-0.5, len(names) - 0.5],
        showticklabels=True, tickangle=-90 if len(names) > 4 else 0,
        row=len(layers), col=1,
    )  # fmt: skip
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True, ticks="")
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    headed(figure, x=0, xanchor="left")
    known = np.abs(FACTORS[measure] * own[f"{measure}_change"].to_numpy(np.float64))
    most = float(np.nanmax(known, initial=0.0)) or 1.0
    figure.update_layout(
        coloraxis={
            "colorscale": DIVERGING, "reversescale": measure == "log_loss", "cmin": -most,
            "cmax": most, "colorbar": _bar(),
        },
        hoverdistance=-1, dragmode=False, showlegend=False,
    )  # fmt: skip
    return narrow(finish(figure, stamp, total + 232, top=76, bottom=156))


def change_figure(measures: pd.DataFrame, task: str, measure: Measure, stamp: str) -> go.Figure:
    """Draw the change of each scenario with its 95 % interval around a line at zero.

    measures: see `Effect.measures`. A mark points to where the change goes, is green where that is
    better and purple where it is worse, and hollow where the interval holds zero.
    """
    own = measures[measures["task"] == task].reset_index(drop=True)
    value, low, high = (FACTORS[measure] * own[f"{measure}_{c}"].to_numpy(np.float64)
                        for c in ("change", "low", "high"))  # fmt: skip
    gone, up = np.isnan(value), value >= 0
    colours = np.where(up == (measure == "auc"), AHEAD, BEHIND).tolist()
    hollow = ~((low > 0) | (high < 0))
    shapes = np.where(up, "triangle-right", "triangle-left")
    dots = go.Scatter(
        x=np.where(gone, 0.0, value).tolist(), y=list(range(len(own))), mode="markers+text",
        text=["\u00a0\u00a0undefined" if own_ else "" for own_ in gone],
        textposition="middle right", cliponaxis=False,
        marker={
            "symbol": [f"{s}-open" if h else s for s, h in zip(shapes, hollow, strict=True)],
            "color": colours, "size": np.where(gone, 0, 12).tolist(),
            "line": {"width": 2, "color": colours},
        },
        error_x={
            "array": np.nan_to_num(high - value).tolist(),
            "arrayminus": np.nan_to_num(value - low).tolist(),
            "thickness": 1.5, "width": 3, "color": "#888888",
        },
        hovertext=[_told(line, measure) for line in own.to_dict("records")], hoverinfo="text",
    )  # fmt: skip
    figure = go.Figure(dots)
    figure.layout.shapes = [line_at(0, line={"width": 1.5, "color": "#888888"})]
    figure.update_xaxes(
        title=f"{UNITS[measure]}, 95 %", title_standoff=4, fixedrange=True, zeroline=False,
        nticks=7,
    )  # fmt: skip
    figure.update_yaxes(
        range=[len(own) - 0.5, -0.5], tickvals=list(range(len(own))), ticktext=_columns(own),
        automargin=True, fixedrange=True, zeroline=False,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 130 + MARK_PX * len(own), top=8, bottom=96))


def flip_figure(flips: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw the share of rows whose chosen sets change, by layer and scenario, from 0 to 1.

    flips: see `Effect.flips`.
    """
    labels = flips["layer"] + flips["target"].map(lambda target: f" · {target}" if target else "")
    lines, names = list(dict.fromkeys(labels)), _columns(flips.assign(line=labels), "rows")
    shape = (len(lines), len(names))
    share = flips["share"].to_numpy(np.float64).reshape(shape)
    hover = [
        f"{label}, {scenario_label(line['scope'], line['scenario'])}<br>{_flip_words(line)}"
        for label, line in zip(labels, flips.to_dict("records"), strict=True)
    ]
    heat = go.Heatmap(
        z=share, xgap=1, ygap=1, coloraxis="coloraxis", hoverinfo="text",
        hovertext=np.array(hover, object).reshape(shape),
        text=[["–" if np.isnan(v) else f"{v:.0%}" for v in line] for line in share],
        texttemplate="%{text}" if len(names) <= WRITTEN else None, textfont_size=11,
    )  # fmt: skip
    figure = go.Figure(heat)
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=names, tickangle=-90 if len(names) > 4 else 0,
        showgrid=False, zeroline=False, fixedrange=True,
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(lines))), ticktext=lines, range=[len(lines) - 0.5, -0.5],
        automargin=True, showgrid=False, zeroline=False, fixedrange=True,
    )  # fmt: skip
    bar = _bar() | {"tickformat": ".0%"}
    figure.update_layout(
        coloraxis={"colorscale": SEQUENTIAL, "cmin": 0, "cmax": 1, "colorbar": bar},
        dragmode=False,
    )  # fmt: skip
    return narrow(finish(figure, stamp, LINE_PX * len(lines) + 196, top=40, bottom=156))


def _heatmap(lines: pd.DataFrame, measure: Measure, columns: int) -> go.Heatmap:
    value, low, high = (
        FACTORS[measure] * lines[f"{measure}_{c}"].to_numpy(np.float64).reshape(-1, columns)
        for c in ("change", "low", "high")
    )
    sure = (low > 0) | (high < 0)
    text = [
        [_written(v, s) for v, s in zip(*pair, strict=True)]
        for pair in zip(value, sure, strict=True)
    ]
    return go.Heatmap(
        z=value, text=text, texttemplate="%{text}" if columns <= WRITTEN else None,
        textfont_size=9, coloraxis="coloraxis", xgap=1, ygap=1, hoverinfo="skip",
        hoverongaps=False,
    )  # fmt: skip


def _targets(lines: pd.DataFrame, measure: Measure, columns: int) -> go.Scatter:
    expert, column = np.divmod(np.arange(len(lines)), columns)
    cells = lines.to_dict("records")
    marker = {"symbol": "square-open", "size": 24, "color": "#EE3377", "line": {"width": 3}}
    return go.Scatter(
        x=column, y=expert, mode="markers", hoverinfo="text",
        customdata=[[c["layer"], c["expert"], c["scope"], c["scenario"]] for c in cells],
        hovertext=[
            f"without expert {c['expert']} of {c['layer']}<br>{_told(c, measure)}"
            f"<br>{_share(c['share'])}" for c in cells
        ],
        marker=marker | {"opacity": 0}, selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0}},
    )  # fmt: skip


def _columns(own: pd.DataFrame, n: str = "n") -> list[str]:
    """Name of each scenario, with its number of rows."""
    first = own.drop_duplicates(["scope", "scenario"])
    return [
        f"{scenario_label(scope, scenario)}<br>n = {rows:,}"
        for scope, scenario, rows in zip(first["scope"], first["scenario"], first[n], strict=True)
    ]


def _written(value: float, sure: bool) -> str:
    if np.isnan(value):
        return "–"
    if value == 0:
        return "0"
    return signed(value) if sure else f"({signed(value)})"


def _told(line: dict[Hashable, Any], measure: Measure) -> str:
    where = f"{line['task']}, {scenario_label(line['scope'], line['scenario'])}"
    size = f"n = {line['n']:,}, {line['positives']:,} positives"
    value, low, high = (
        FACTORS[measure] * line[f"{measure}_{c}"] for c in ("change", "low", "high")
    )
    if np.isnan(value):
        return f"{where}<br>undefined: a class is missing<br>{size}"
    interval = "no interval" if np.isnan(low) else f"95 %: {signed(low)} to {signed(high)}"
    return f"{where}<br>{UNITS[measure]}: {signed(value)}<br>{interval}<br>{size}"


def _share(share: float) -> str:
    return "no rows" if np.isnan(share) else f"{share:.1%} of its rows take the expert"


def _flip_words(line: dict[Hashable, Any]) -> str:
    if not line["rows"]:
        return "no rows"
    return (
        f"{line['flipped']:,} of {line['rows']:,} rows: {line['share']:.1%}"
        f" ({line['low']:.1%} to {line['high']:.1%})"
        f"<br>E_sp changes for {line['specific']:,}, E_sh for {line['shared']:,}"
    )


def _bar() -> dict[str, Any]:
    return {
        "orientation": "h", "thickness": 10, "len": 0.7, "x": 0, "xanchor": "left", "y": 1,
        "xref": "container", "yref": "container", "yanchor": "top",
    }  # fmt: skip
