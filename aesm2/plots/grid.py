"""Shares by layer and scenario, as a heatmap: a line a scenario, a column a layer and task."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.data.scenarios import OVERALL
from aesm2.plots.style import finish, narrow
from aesm2.plots.utilisation import colour_axis
from aesm2.routing.findings import scenario_label

LINE_PX = 26


def grid_figure(table: pd.DataFrame, value: str, stamp: str) -> go.Figure:
    """Draw a share with its Wilson interval; columns: layer, task, scope, scenario, rows, low, high
    and `value`, a line a cell. Scenarios without rows have no line.
    """
    there = table[table["rows"] > 0]
    keys = list(zip(there["scope"], there["scenario"], strict=True))
    lines, names = list(dict.fromkeys(keys)), list(dict.fromkeys(columns(there)))
    places = (
        [lines.index(key) for key in keys],
        [names.index(name) for name in columns(there)],
    )

    def of(what: str) -> list[list[float]]:
        grid = np.full((len(lines), len(names)), np.nan)
        grid[places] = there[what]
        found: list[list[float]] = grid.tolist()
        return found

    z, labels = of(value), [_label(*line) for line in lines]
    told = [
        [_told(line, name, *cell) for name, *cell in zip(names, *parts, strict=True)]
        for line, *parts in zip(labels, z, of("low"), of("high"), of("rows"), strict=True)
    ]
    figure = go.Figure(go.Heatmap(
        z=z, text=[["" if v != v else f"{v:.2f}" for v in line] for line in z],
        texttemplate="%{text}", textfont_size=11, coloraxis="coloraxis", xgap=1, ygap=1,
        customdata=told, hovertemplate="%{customdata}<extra></extra>", hoverongaps=False,
    ))  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(names))), ticktext=names, side="top",
                        showgrid=False, zeroline=False, fixedrange=True)  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(lines))), ticktext=labels, range=[len(lines) - 0.5, -0.5],
        automargin=True, showgrid=False, zeroline=False, fixedrange=True, ticklabelstandoff=4,
    )  # fmt: skip
    figure.update_layout(coloraxis=colour_axis(1.0, ".0%"), dragmode=False)
    return narrow(finish(figure, stamp, LINE_PX * len(lines) + 166, top=104, bottom=62))


def columns(table: pd.DataFrame) -> list[str]:
    """Name the column of each line: its layer, and its task below."""
    pairs = zip(table["layer"], table["task"], strict=True)
    return [f"{layer}<br>{task}" if task else str(layer) for layer, task in pairs]


def _label(scope: str, scenario: str) -> str:
    return "all rows" if scope == OVERALL else scenario_label(scope, scenario)


def _told(line: str, name: str, value: float, low: float, high: float, rows: float) -> str:
    if value != value:
        return f"{name}, {line}: no rows"
    return (
        f"{name.replace('<br>', ', ')}, {line}: {100 * value:.1f} % of {rows:,.0f} rows"
        f"<br>95 %: {100 * low:.1f} to {100 * high:.1f} %"
    )
