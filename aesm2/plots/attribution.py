"""Attributions of one row as bars, and their means over many rows with intervals."""

import html
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.attribution import METHODS, Attribution
from aesm2.plots.style import PLAIN, finish, line_at, narrow, scenario_colour

RAISES, LOWERS = "#4393C3", "#D6604D"  # as in the gate matrix: blue is high, red is low
MOST, MOST_MEANS, LETTERS = 20, 10, 30  # bars, features with means, letters of a label
BAR_PX, DOT_PX = 24, 13
UNITS = {
    "probability": "probability",
    "log-odds": "log-odds",
    "nats": "KL, nats",
    "gate logit": "gate logit",
    "logits": "logits",
}
Measure = Literal["mean", "absolute"]
MEASURES: dict[Measure, str] = {
    "mean": "mean attribution", "absolute": "mean size of the attribution",
}  # fmt: skip


def attribution_table(found: Attribution, values: Sequence[str], row: int = 0) -> pd.DataFrame:
    """Return one line a feature, the largest first. values: what each feature is in the row.

    Columns: feature, value, attribution.
    """
    own = found.contributions[row]
    table = pd.DataFrame({"feature": found.names, "value": list(values), "attribution": own})
    order = np.argsort(-np.abs(own), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def attribution_figure(
    found: Attribution, values: Sequence[str], stamp: str, row: int = 0, most: int = MOST
) -> go.Figure:
    """Draw a row's attributions as bars around zero, the largest on top.

    values: what each feature is in the row, "" to leave it out of the label. most: bars; of more
    features the smallest are added up in a last, grey one, so that the bars add up to the same.
    """
    table = attribution_table(found, values, row)
    shown, rest = table.head(most), table.iloc[most:]
    sizes = shown["attribution"].tolist()
    labels = [_label(line["feature"], line["value"]) for line in shown.to_dict("records")]
    colours = [RAISES if size >= 0 else LOWERS for size in sizes]
    if len(rest):
        sizes.append(float(rest["attribution"].sum()))
        labels.append(f"{len(rest)} others")
        colours.append(PLAIN)
    figure = go.Figure(
        go.Bar(
            x=sizes, y=list(range(len(sizes))), orientation="h", marker_color=colours,
            text=[_signed(size) for size in sizes], textposition="outside", cliponaxis=False,
            hovertext=[f"{label}<br>{_signed(size)}" for label, size in
                       zip(labels, sizes, strict=True)],
            hoverinfo="text",
        )
    )  # fmt: skip
    figure.layout.shapes = [line_at(0, line={"width": 1.5, "color": "#888888"})]
    figure.update_xaxes(
        title=UNITS[found.unit], range=_room(np.array(sizes)), title_standoff=4, tickangle=0,
        nticks=5, fixedrange=True, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.5],
        automargin=True, fixedrange=True, showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False, bargap=0.25)
    stamp = f"{METHODS[found.method]}; {stamp}"
    return narrow(finish(figure, stamp, 116 + BAR_PX * len(sizes), top=8, bottom=100))


def attribution_words(found: Attribution, row: int = 0) -> str:
    """Return what the bars show, for those who cannot see it."""
    table = attribution_table(found, [""] * len(found.names), row).head(3)
    parts = [f"{a} {_signed(b)}" for a, b in zip(table["feature"], table["attribution"],
                                                 strict=True)]  # fmt: skip
    return f"{METHODS[found.method]}: the largest are {', '.join(parts)} ({UNITS[found.unit]})"


def means_figure(
    table: pd.DataFrame, measure: Measure, unit: str, scenarios: Sequence[str], stamp: str,
    most: int = MOST_MEANS,
) -> go.Figure:  # fmt: skip
    """Draw `means` with 95 % intervals: a line a feature, a mark a scenario; all rows a diamond.

    The features with the largest mean size over all rows are drawn, the largest on top.
    scenarios: names in the order of their colours. unit: of the attributions.
    """
    features, groups = ranked(table)[:most], _blocks(table)
    figure = go.Figure()
    for place, block in enumerate(groups):
        own = block.set_index("feature").loc[features].reset_index()
        shift = (place - (len(groups) - 1) / 2) / (len(groups) + 0.5)
        figure.add_trace(_marks(own, measure, scenarios, place == 0, shift))
    thin = {"width": 0.5, "color": "#888888"}
    figure.layout.shapes = [
        line_at(0, line={"width": 1.5, "color": "#888888"}),
        *(line_at(y=place - 0.5, line=thin, opacity=0.5) for place in range(1, len(features))),
    ]  # marks between two lines are of one feature
    figure.update_xaxes(
        title=f"{MEASURES[measure]}, {UNITS[unit]}", title_standoff=4, fixedrange=True,
        zeroline=False, nticks=6, rangemode="tozero",
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(features))), ticktext=[_label(name, "") for name in features],
        range=[len(features) - 0.5, -0.5], automargin=True, fixedrange=True, showgrid=False,
        zeroline=False,
    )  # fmt: skip
    figure.update_layout(dragmode=False)
    line = max(BAR_PX, DOT_PX * len(groups))
    rows = 1 + len(groups) // 4  # of the legend, on a narrow screen
    return narrow(finish(figure, stamp, 110 + 24 * rows + line * len(features),
                         top=24 + 24 * rows, bottom=92))  # fmt: skip


def means_alt(table: pd.DataFrame, unit: str) -> str:
    """Return what the means show, for those who cannot see it."""
    every = _blocks(table)[0]
    sizes = dict(zip(every["feature"], every["absolute"], strict=True))
    parts = [f"{name} {sizes[name]:.2g}" for name in ranked(table)[:3]]
    return (
        f"Over {int(every['n'].iloc[0]):,} rows the largest mean sizes are {', '.join(parts)}"
        f" ({UNITS[unit]})"
    )


def ranked(table: pd.DataFrame) -> list[str]:
    """Return the features of `means` by their mean size over all rows, the largest first."""
    every = _blocks(table)[0]
    ordered: list[str] = every.sort_values("absolute", ascending=False, kind="stable")[
        "feature"
    ].tolist()
    return ordered


def _blocks(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Take `means` apart, all rows first: by place, since a scenario may be called "all"."""
    size = table["feature"].nunique()
    return [table.iloc[start : start + size] for start in range(0, len(table), size)]


def _marks(
    own: pd.DataFrame, measure: Measure, scenarios: Sequence[str], every: bool, shift: float
) -> go.Scatter:
    name = str(own["scenario"].iloc[0])
    colour = PLAIN if every else scenario_colour(list(scenarios).index(name))
    low, high = ("low", "high") if measure == "mean" else ("absolute_low", "absolute_high")
    value = own[measure].to_numpy(np.float64)
    title = f"{'all rows' if every else name} (n = {int(own['n'].iloc[0]):,})"
    return go.Scatter(
        x=value.tolist(), y=[place + shift for place in range(len(own))], mode="markers",
        name=html.escape(title),
        marker={"color": colour, "size": 8 if every else 7,
                "symbol": "diamond" if every else "circle"},
        error_x={
            "array": np.nan_to_num(own[high].to_numpy() - value).tolist(),
            "arrayminus": np.nan_to_num(value - own[low].to_numpy()).tolist(),
            "thickness": 1.5, "width": 3, "color": colour,
        },
        hovertext=[_told(line, measure, low, high, title) for line in own.to_dict("records")],
        hoverinfo="text",
    )  # fmt: skip


def _told(line: dict[Hashable, Any], measure: Measure, low: str, high: str, title: str) -> str:
    interval = f"95 %: {_signed(line[low])} to {_signed(line[high])}"
    if np.isnan(line[low]):
        interval = "no interval: one row"
    return (
        html.escape(f"{line['feature']}, {title}") + f"<br>{_signed(line[measure])}<br>{interval}"
    )


def _label(name: str, value: str) -> str:
    text = f"{name} = {value}" if value else name
    return html.escape(text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…", quote=False)


def _room(sizes: np.ndarray) -> list[float]:
    """Leave room beside the bars for their numbers."""
    low, high = min(0.0, float(sizes.min())), max(0.0, float(sizes.max()))
    pad = 0.5 * (high - low or 1.0)
    return [low - pad * (low < 0) - 0.02 * pad, high + pad * (high > 0 or low == 0)]


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")
