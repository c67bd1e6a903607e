"""How close the calls of many rows were, and the smallest change of a row's gate logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.ledger import by_expert, number
from aesm2.plots.score_plane import log_ticks
from aesm2.plots.style import DIVERGING, PLAIN, finish, narrow, scenario_colour
from aesm2.routing.margins import Calls
from aesm2.routing.minimal import SmallestChange

SMALLEST = 1e-6  # nats: float32 tells narrower margins hardly apart
BINS = 48
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Margins:
    """Margins of one choice by scenario.

    title: which choice. names, places: of the scenarios with rows, and their places among all.
    nats: one array a scenario. row: that of the row in question, None where it has none.
    """

    title: str
    names: tuple[str, ...]
    places: tuple[int, ...]
    nats: tuple[np.ndarray, ...]
    row: float | None


def margins(
    call: Calls, groups: np.ndarray, names: Sequence[str], kept: np.ndarray, row: int | None
) -> Margins:
    """Group a choice's margins by scenario.

    groups: index of each row's scenario in `names`, (rows,). kept: which rows count, (rows,) bool.
    row: position of the row in question.
    """
    present = [place for place in range(len(names)) if (kept & (groups == place)).any()]
    return Margins(
        f"{call.choosing} choice",
        tuple(names[place] for place in present),
        tuple(present),
        tuple(call.nats[kept & (groups == place)] for place in present),
        None if row is None else float(call.nats[row]),
    )


def margins_table(panels: Sequence[Margins]) -> pd.DataFrame:
    """Return the numbers behind the figure: one line a choice and scenario."""
    lines = [
        {
            "choice": panel.title, "scenario": name, "rows": len(values),
            "5 % below, nats": np.quantile(values, 0.05), "median, nats": np.median(values),
            "95 % below, nats": np.quantile(values, 0.95),
            "below 0.01 nats, %": 100 * (values < 0.01).mean(),
        }
        for panel in panels
        for name, values in zip(panel.names, panel.nats, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(lines)


def margins_figure(panels: Sequence[Margins], stamp: str) -> go.Figure:
    """Draw how margins are distributed, a panel a choice and a line a scenario.

    Bins are even on the logarithmic axis; a line is the share of its scenario's rows in each, the
    first bin holding all narrower margins too. The row in question is a vertical line.
    """
    edges = bin_edges(panels)
    layout: dict[str, Any] = {"annotations": [], "shapes": [], "dragmode": False, "yaxis": {
        "title": {"text": "share of rows, %"}, "fixedrange": True, "rangemode": "tozero",
        "zeroline": False,
    }}  # fmt: skip
    traces, told, wide = [], set(), 1 / len(panels)
    for column, panel in enumerate(panels):
        axis = "x" if column == 0 else f"x{column + 1}"
        domain = [column * wide + 0.02 * (column > 0), (column + 1) * wide]
        layout[axis.replace("x", "xaxis")] = _margin_axis(edges, domain)
        layout["annotations"].append(
            {"text": panel.title, "x": sum(domain) / 2, "y": 1, "xref": "paper", "yref": "paper",
             "xanchor": "center", "yanchor": "bottom", "showarrow": False}
        )  # fmt: skip
        if panel.row is not None:
            x = float(np.clip(panel.row, edges[0], edges[-1]))
            layout["shapes"].append(
                {"type": "line", "name": "row", "xref": axis, "yref": "paper", "x0": x, "x1": x,
                 "y0": 0, "y1": 1, "line": {"color": PLAIN, "width": 2}}
            )  # fmt: skip
        for name, place, nats in zip(panel.names, panel.places, panel.nats, strict=True):
            traces.append(_histogram(name, place, nats, edges, axis, name not in told))
            told.add(name)
    figure = finish(go.Figure(traces, layout), stamp, 400, top=104, bottom=84)
    return narrow(figure.update_layout(legend={"y": 1.12}))


def _margin_axis(edges: np.ndarray, domain: list[float]) -> dict[str, Any]:
    return {
        "type": "log", "range": np.log10([edges[0], edges[-1]]).tolist(), "domain": domain,
        "title": {"text": "margin, nats", "standoff": 4}, "fixedrange": True, "showgrid": False,
        "anchor": "y", **log_ticks(edges[0], edges[-1]),
    }  # fmt: skip


def bin_edges(panels: Sequence[Margins]) -> np.ndarray:
    """Edges of the bins over all panels, even on a logarithmic scale; the lowest 0.1 % is cut."""
    every = np.concatenate([np.zeros(0), *(nats for panel in panels for nats in panel.nats)])
    low = max(SMALLEST, float(np.quantile(every, 0.001)) / 1.01)
    return np.geomspace(low, max(float(every.max()), low * 10) * 1.01, BINS + 1)


def change_figure(found: SmallestChange, gates: Sequence[str], stamp: str) -> go.Figure:
    """Draw what to add to each gate logit, (n, m): both lines that move, the others blank."""
    moved = np.zeros(len(found.change), bool)
    moved[[found.taken, found.left]] = True
    shown = np.where(moved[:, None], found.change, np.nan)
    n, m = shown.shape
    most = float(np.abs(found.change).max()) or 1.0
    heatmap = go.Heatmap(
        z=shown, x=list(range(m)), y=list(range(n)), colorscale=DIVERGING, zmin=-most, zmax=most,
        showscale=False, xgap=1, ygap=1, name="change", hoverinfo="skip", texttemplate="%{text}",
        text=[[_signed(v) if row else "" for v in line]
              for row, line in zip(moved, found.change, strict=True)],
    )  # fmt: skip
    names = [f"<b>▼ {g}</b>" if j == found.target else g for j, g in enumerate(gates)]
    axis = {"tickvals": list(range(m)), "ticktext": names, "side": "top", "showgrid": False,
            "zeroline": False, "range": [-0.5, m - 0.5]}  # fmt: skip
    figure = by_expert([heatmap], n, None, stamp, axis)
    signs = {found.taken: "out", found.left: "in"}
    ticks = [f"<b>{signs[k]} {k}</b>" if k in signs else str(k) for k in range(n)]
    figure.update_yaxes(ticktext=ticks, fixedrange=True)
    figure.update_xaxes(fixedrange=True)
    figure.layout.annotations[-1].yshift = -4
    return narrow(figure.update_layout(margin={"t": 40, "b": 48}, dragmode=False))


def change_words(found: SmallestChange) -> str:
    """Say what the smallest change is and that it was tried."""
    held = not found.flips(0.999) and found.flips(1.001)
    tried = (
        "With 99.9 % of it the set is still the same, with 100.1 % it is another."
        if held
        else "The two are so close that rounding decides between them."
    )
    return (
        f"Expert {found.left} takes the place of expert {found.taken} once the gate logits move by"
        f" {number(found.norm)} in all (Euclidean norm). {tried}"
    )


def _histogram(
    name: str, place: int, values: np.ndarray, edges: np.ndarray, axis: str, told: bool
) -> go.Scatter:
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    share = 100 * counts / max(len(values), 1)
    return go.Scatter(
        x=edges, y=np.append(share, share[-1]), mode="lines", name=f"{name} (n = {len(values):,})",
        legendgroup=name, showlegend=told, xaxis=axis, yaxis="y", text=[name] * len(edges),
        line={"shape": "hv", "color": scenario_colour(place), "width": 2,
              "dash": DASHES[place % len(DASHES)]},
        hovertemplate="%{text}<br>from %{x:.3g} nats: %{y:.2f} % of rows<extra></extra>",
    )  # fmt: skip


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)
