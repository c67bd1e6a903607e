"""Rates and values by scenario, with their intervals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.data.counts import Counts, rate_pairs, rates
from aesm2.data.description import Description
from aesm2.data.scenarios import OVERALL, PATH, SEPARATOR
from aesm2.data.worth import Worth, worth_table
from aesm2.plots.data import task_titles
from aesm2.plots.style import finish, line_at, narrow, scenario_colour
from aesm2.routing.findings import scenario_label

MOST = 24  # scenarios drawn: those with most impressions
NEUTRAL = "#777777"  # all rows: no scenario's colour
DECADES = 10.0  # values that differ by more than this factor stand on a logarithmic axis
LINE_PX = 34


@dataclass(frozen=True)
class Panel:
    """One measure: of all rows in the first line, then of every scenario that has rows.

    key: name for files. by: the grouping. axis: unit. lines: scenario, n, positives, value, low
    and high in that unit, told (the numbers in words), drawn (of more than MOST scenarios, those
    with most impressions); NaN where there is nothing to measure.
    """

    key: str
    by: str
    title: str
    axis: str
    lines: pd.DataFrame

    @property
    def drawn(self) -> "Panel":
        """The panel of the lines that are drawn."""
        return replace(self, lines=self.lines[self.lines["drawn"]].reset_index(drop=True))

    @property
    def logarithmic(self) -> bool:
        """Whether the values span more than DECADES."""
        above = self.lines["value"][self.lines["value"] > 0]
        return len(above) > 0 and bool(above.max() > DECADES * above.min())


def panels(counts: Counts, values: Worth | None, description: Description, by: str) -> list[Panel]:
    """Return a panel for each rate, in percent, and for each task's value, where there are any."""
    titles = task_titles(description.task)
    impressions = counts.by(by)[0]
    both = [rates(counts, OVERALL), rates(counts, by)]
    made: list[Panel] = []
    for task, of in rate_pairs(counts.schema):
        lines = _lines([f[(f["task"] == task) & (f["of"] == of)] for f in both], impressions)
        told = [f"{p:,} of {n:,}" for p, n in zip(lines["positives"], lines["n"], strict=True)]
        lines[["rate", "low", "high"]] *= 100
        lines = lines.rename(columns={"rate": "value"}).assign(told=told)
        made.append(Panel(f"{task}-{of}", by, f"{titles[task]} / {titles.get(of, of)}", "%", lines))
    return made if values is None else made + _worth_panels(values, titles, by, impressions)


def panel_table(panel: Panel) -> pd.DataFrame:
    """Return the numbers behind the figure: one line a scenario."""
    table = panel.lines[["scenario", "n", "positives", "value", "low", "high"]]
    names = {"value": panel.axis, "low": "95 % low", "high": "95 % high"}
    return table.assign(scenario=_names(panel)).rename(columns=names)


def panel_figure(panel: Panel, description: Description, stamp: str) -> go.Figure:
    """Draw a measure as dots with 95 % intervals, a line a scenario; all rows are dotted.

    Where values span more than DECADES the axis is logarithmic, and a value of 0 an arrow at the
    upper end of its interval.
    """
    panel = panel.drawn
    lines, figure = panel.lines, go.Figure(_dots(panel, description))
    every = float(lines["value"].iloc[0])
    if every > 0:
        dotted = {"dash": "dot", "width": 1.5, "color": NEUTRAL}
        figure.layout.shapes = [line_at(every, line=dotted)]
    figure.update_xaxes(
        title=f"{panel.axis}{', logarithmic' * panel.logarithmic}",
        title_standoff=4,
        fixedrange=True,
        **_scale(panel),
    )
    ticks = [f"{name}<br>n = {n:,}" for name, n in zip(_names(panel), lines["n"], strict=True)]
    figure.update_yaxes(
        range=[len(lines) - 0.5, -0.5], tickvals=list(range(len(lines))), ticktext=ticks,
        automargin=True, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 96 + LINE_PX * len(lines), top=8, bottom=88))


def _scale(panel: Panel) -> dict[str, Any]:
    """Return the axis: from 0, or logarithmic with ticks at 1, 2 and 5 times powers of ten."""
    if not panel.logarithmic:
        return {"rangemode": "tozero", "nticks": 6}
    ends = panel.lines[["low", "high"]].to_numpy(np.float64)
    low, high = np.log10(ends[ends > 0].min()), np.log10(np.nanmax(ends))
    powers = 10.0 ** np.arange(np.floor(low), np.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [step * power for power in powers for step in steps]
    room = 0.05 * (high - low)
    return {
        "type": "log", "range": [low - room, high + room], "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }  # fmt: skip


def panel_words(panel: Panel) -> str:
    """Return what the figure shows, for those who cannot see it."""
    known = panel.lines.assign(scenario=_names(panel)).iloc[1:].dropna(subset=["value"])
    if known.empty:
        return f"{panel.title}: there is nothing to measure"
    ordered = known.sort_values("value")
    ends = (ordered.iloc[0], ordered.iloc[-1])
    told = " to ".join(f"{end['value']:.3g} ({end['scenario']})" for end in ends)
    return f"{panel.title}, {panel.axis}: from {told}"


def _dots(panel: Panel, description: Description) -> go.Scatter:
    value, low, high = (panel.lines[c].to_numpy(np.float64) for c in ("value", "low", "high"))
    edge = float(np.min(low[low > 0], initial=np.inf)) if panel.logarithmic else 0.0
    none, nought = np.isnan(value), panel.logarithmic & (value == 0)
    x = np.where(none, edge, np.where(nought, high, value))
    symbols = np.where(nought, "triangle-left-open", "circle").tolist()
    return go.Scatter(
        x=x, y=list(range(len(x))), mode="markers+text",
        text=["\u00a0\u00a0nothing to measure" if gone else "" for gone in none],
        textposition="middle right", cliponaxis=False,
        marker={
            "size": np.where(none, 0, 9).tolist(), "symbol": ["diamond", *symbols[1:]],
            "color": _colours(panel, description),
        },
        error_x={
            "array": np.nan_to_num(high - x), "thickness": 1.5, "width": 3, "color": NEUTRAL,
            "arrayminus": np.nan_to_num(x - np.maximum(low, edge)),
        },
        hovertext=_hover(panel), hoverinfo="text",
    )  # fmt: skip


def _hover(panel: Panel) -> list[str]:
    told = []
    for name, line in zip(_names(panel), panel.lines.to_dict("records"), strict=True):
        interval = f"95 %: {line['low']:.3g} – {line['high']:.3g}"
        if np.isnan(line["low"]):
            interval = "no interval"
        value = f"{line['value']:.3g} {panel.axis}<br>{interval}<br>{line['told']}"
        told.append(f"{name}<br>{'nothing to measure' if np.isnan(line['value']) else value}")
    return told


def _names(panel: Panel) -> list[str]:
    return ["all rows", *(scenario_label(panel.by, name) for name in panel.lines["scenario"][1:])]


def _colours(panel: Panel, description: Description) -> list[str]:
    """Colour of each line; a fine-grained scenario has that of its outermost level."""
    levels = {level.name: level.scenarios for level in description.level}
    scenarios = levels.get(panel.by, description.level[0].scenarios)
    outer = [name.split(SEPARATOR)[0] for name in panel.lines["scenario"][1:]]
    names = outer if panel.by == PATH else list(panel.lines["scenario"][1:])
    return [NEUTRAL, *(scenario_colour(scenarios.index(name)) for name in names)]


def _lines(frames: list[pd.DataFrame], impressions: np.ndarray) -> pd.DataFrame:
    """Join the line of all rows and those of the scenarios that have rows."""
    every, each = frames
    least = np.sort(impressions)[-MOST] if len(impressions) > MOST else 0
    drawn = each.assign(drawn=impressions >= least)[impressions > 0]
    return pd.concat([every.assign(drawn=True), drawn], ignore_index=True)


def _worth_panels(
    values: Worth, titles: dict[str, str], by: str, impressions: np.ndarray
) -> list[Panel]:
    both, made = [worth_table(values, OVERALL), worth_table(values, by)], []
    for task in values.tasks:
        lines = _lines([frame[frame["task"] == task] for frame in both], impressions)
        pairs = zip(lines["positives"], lines["total"], strict=True)
        told = [f"{positives:,} positives, worth {total:,.6g}" for positives, total in pairs]
        lines = lines.rename(columns={"per_thousand": "value"}).assign(told=told)
        title = f"Value of {titles[task]}"
        made.append(Panel(f"{task}-value", by, title, "value per 1,000 impressions", lines))
    return made
