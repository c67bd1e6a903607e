"""All layers of one row at a glance: who was chosen in which role, and with what weight.

A column is a layer; where layers depend on the task, each task has columns of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from aesm2.plots.ledger import Ledger, ledger
from aesm2.plots.style import Role, finish
from aesm2.routing.trace import RoutingTrace

SMALLEST, LARGEST = 9, 22  # pixels, of a weight of 0 and of 1


@dataclass(frozen=True)
class Column:
    """One column of a strip. task: index of its task, None in a scenario layer."""

    of: Ledger
    task: int | None
    title: str


def columns(
    trace: RoutingTrace, row: int, tasks: Sequence[int], titles: Sequence[str]
) -> list[Column]:
    """Return a row's layers in order of computation, task layers once for each of `tasks`.

    titles: of all tasks, to tell the task layers' columns apart.
    """
    shared = [layer for layer in trace.layers if layer.kind == "scenario"]
    own = [layer for layer in trace.layers if layer.kind == "task"]
    result = [Column(ledger(layer, row, 0), None, layer.name) for layer in shared]
    for task in tasks:
        for layer in own:
            result.append(Column(ledger(layer, row, task), task, f"{layer.name}<br>{titles[task]}"))
    return result


def strip(
    shown: Sequence[Column],
    layer: str,
    task: int,
    stamp: str,
    marked: Sequence[Sequence[int]] = (),
) -> go.Figure:
    """Draw role (colour and shape), weight (size, opacity, number) of every expert of each layer.

    layer, task: the current ones, framed. marked: for each column, experts to ring because their
    role differs from another strip's. Markers carry customdata [layer, task or -1, expert].
    """
    traces, bands = [_cells(shown)], []
    for place, column in enumerate(shown):
        traces.append(_column_trace(place, column))
        if marked and marked[place]:
            traces.append(_rings(place, list(marked[place])))
        if column.of.spec.name == layer and column.task in (None, task):
            bands.append(_band(place))
    most = max(column.of.spec.experts for column in shown)
    layout = {
        "xaxis": {
            "tickvals": list(range(len(shown))), "ticktext": [_heading(c) for c in shown],
            "side": "top", "range": [-0.5, len(shown) - 0.5], "showgrid": False,
            "zeroline": False, "fixedrange": True,
        },
        "yaxis": {
            "title": {"text": "expert"}, "tickvals": list(range(most)), "range": [most - 0.5, -0.5],
            "showgrid": True, "zeroline": False, "fixedrange": True,
        },
        "shapes": bands,
    }  # fmt: skip
    figure = go.Figure([*traces, *map(_key, Role)], layout)
    finish(figure, stamp, 170 + 26 * max(most, 4))
    return figure.update_layout(
        margin={"t": 84, "b": 64}, legend={"y": -0.02, "yanchor": "top", "x": 0, "xanchor": "left"}
    )


def changed_roles(one: Sequence[Column], other: Sequence[Column]) -> list[list[int]]:
    """Return for each column the experts whose role differs between two strips of equal shape."""
    pairs = zip(one, other, strict=True)
    return [
        [k for k, (a, b) in enumerate(zip(x.of.roles, y.of.roles, strict=True)) if a is not b]
        for x, y in pairs
    ]


def _column_trace(place: int, column: Column) -> go.Scatter:
    of, every = column.of, column.of.roles
    weights = of.mixing_weights
    text = [
        "" if role is Role.UNSELECTED else f" {weight:.2f}"
        for role, weight in zip(every, weights, strict=True)
    ]
    return go.Scatter(
        x=np.full(of.spec.experts, place),
        y=np.arange(of.spec.experts),
        mode="markers+text",
        marker={
            "symbol": [role.symbol for role in every],
            "color": [role.colour for role in every],
            "size": SMALLEST + (LARGEST - SMALLEST) * np.sqrt(weights),
            "opacity": np.where(weights > 0, 0.55 + 0.45 * weights, 0.45),
        },
        text=text,
        textposition="middle right",
        cliponaxis=False,
        customdata=[_address(column, k) for k in range(of.spec.experts)],
        hovertext=[
            f"{of.spec.name}, expert {k}: {role.value}, weight {weight:.4f}"
            for k, (role, weight) in enumerate(zip(every, weights, strict=True))
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        name=column.title,
    )


def _band(place: int) -> dict[str, Any]:
    return {
        "type": "rect", "yref": "paper", "x0": place - 0.5, "x1": place + 0.5, "y0": 0, "y1": 1,
        "name": "current", "fillcolor": "#F0E442", "opacity": 0.22, "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip


def _key(role: Role) -> go.Scatter:
    """One entry of the legend."""
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=role.value, hoverinfo="skip",
        marker={"symbol": role.symbol, "color": role.colour, "size": 11},
    )  # fmt: skip


def _heading(column: Column) -> str:
    return column.title if column.task is not None else f"{column.title}<br>→ {column.of.gate}"


def _cells(shown: Sequence[Column]) -> go.Scatter:
    """Transparent squares, so that a click anywhere in a column is heard."""
    places = [(place, k) for place, c in enumerate(shown) for k in range(c.of.spec.experts)]
    return go.Scatter(
        x=[place for place, _ in places],
        y=[expert for _, expert in places],
        mode="markers",
        marker={"symbol": "square", "size": 30, "color": "rgba(0,0,0,0)", "line": {"width": 0}},
        customdata=[_address(shown[place], expert) for place, expert in places],
        hoverinfo="none",
        showlegend=False,
        name="cells",
    )


def _address(column: Column, expert: int) -> list[str | int]:
    return [column.of.spec.name, -1 if column.task is None else column.task, expert]


def _rings(place: int, experts: list[int]) -> go.Scatter:
    return go.Scatter(
        x=[place] * len(experts),
        y=experts,
        mode="markers",
        marker={"symbol": "square-open", "size": 23, "color": "#009E73", "line": {"width": 2}},
        hoverinfo="skip",
        cliponaxis=False,
        showlegend=False,
        name="changed",
    )
