"""A regime map: AESM²'s lead over the best baseline as one factor at a time moves."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.evidence.regimes import FACTORS, once
from aesm2.evidence.standings import variant_title
from aesm2.plots.style import finish, headed, narrow, scenario_colour

COLUMNS = 2
PANEL_PX = 230
SYMBOLS = ("circle", "diamond", "square", "triangle-up")


def regimes_figure(leads: pd.DataFrame, measure: str, stamp: str) -> go.Figure:
    """Draw `regimes.leads`: a panel a factor, a mark and its 95 % interval a task and value.

    Above the line at zero AESM² leads. The base point, in bold, is the same in every panel.
    measure: what the lead is of, for the axes.
    """
    factors, tasks = leads["factor"].unique().tolist(), leads["task"].unique().tolist()
    rows = math.ceil(len(factors) / COLUMNS)
    figure = make_subplots(
        rows, COLUMNS, shared_yaxes="all", vertical_spacing=0.34 / rows, horizontal_spacing=0.06,
        subplot_titles=[FACTORS[factor] for factor in factors],
    )  # fmt: skip
    for place, factor in enumerate(factors):
        row, column = divmod(place, COLUMNS)
        own = leads[leads["factor"] == factor]
        values = list(dict.fromkeys(zip(own["value"], own["base"], strict=True)))
        for index, task in enumerate(tasks):
            lines = own[own["task"] == task]
            shift = 0.16 * (index - (len(tasks) - 1) / 2)
            figure.add_trace(_marks(lines, index, task, shift, place == 0), row + 1, column + 1)
        figure.update_xaxes(
            row=row + 1, col=column + 1, tickvals=list(range(len(values))),
            ticktext=[f"<b>{v:g}</b>" if base else f"{v:g}" for v, base in values],
            range=[-0.5, len(values) - 0.5], fixedrange=True, zeroline=False, showgrid=False,
        )  # fmt: skip
    figure.update_yaxes(fixedrange=True, zeroline=True, zerolinewidth=1.5, zerolinecolor="#888888")
    figure.update_yaxes(title=f"lead, {measure}", title_standoff=4, col=1)
    headed(figure)
    figure.update_layout(dragmode=False)
    finished = narrow(finish(figure, stamp, 90 + PANEL_PX * rows, top=70, bottom=80))
    return finished.update_layout(legend={"y": 1 + 44 / (PANEL_PX * rows)})


def regimes_words(leads: pd.DataFrame) -> str:
    """Say at how many points AESM² leads, trails or neither, by its intervals."""
    shown = once(leads)
    counts = (len(shown), int((shown["low"] > 0).sum()), int((shown["high"] < 0).sum()))
    total, ahead, behind = counts
    ordered = shown.sort_values("lead").to_dict(orient="records")
    return (
        f"AESM² is ahead of its best baseline in {ahead} of {total} points and tasks, behind in"
        f" {behind}; in the other {total - ahead - behind} the 95 % interval over seeds contains 0."
        f" The lead is largest at {_at(ordered[-1])} and smallest at {_at(ordered[0])}."
    )


def regimes_table(leads: pd.DataFrame) -> pd.DataFrame:
    """Return the leads for reading."""
    return leads.assign(
        factor=leads["factor"].map(FACTORS), baseline=leads["baseline"].map(variant_title)
    ).rename(columns={"baseline": "best baseline", "low": "95 % low", "high": "95 % high"})


def _at(line: Mapping[Any, Any]) -> str:
    where = f"{FACTORS[line['factor']]} = {line['value']:g}"
    return f"{where} ({line['lead']:+.2f} points, {line['task'].upper()})"


def _marks(lines: pd.DataFrame, index: int, task: str, shift: float, first: bool) -> go.Scatter:
    hover = [
        f"{FACTORS[line['factor']]}: {line['value']:g}<br>{task.upper()} {line['lead']:+.2f} points"
        f" [{line['low']:+.2f}, {line['high']:+.2f}]<br>best baseline:"
        f" {variant_title(line['baseline'])}; {line['seeds']} seeds"
        for line in lines.to_dict(orient="records")
    ]
    return go.Scatter(
        x=[place + shift for place in range(len(lines))], y=lines["lead"].tolist(),
        mode="markers", name=task.upper(), legendgroup=task, showlegend=first,
        marker={"color": scenario_colour(index), "symbol": SYMBOLS[index % len(SYMBOLS)],
                "size": 9},
        error_y={"array": (lines["high"] - lines["lead"]).tolist(),
                 "arrayminus": (lines["lead"] - lines["low"]).tolist(),
                 "thickness": 1.5, "width": 3, "color": scenario_colour(index)},
        hovertext=hover, hoverinfo="text",
    )  # fmt: skip
