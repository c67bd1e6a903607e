"""Accuracy against cost: the AUC of every model by its multiply-adds a row and by its speed."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.evidence.standings import variant_title
from aesm2.evidence.study import IDS
from aesm2.plots.style import AHEAD, finish, narrow

AXES = {
    "multiply_adds": "multiply-adds for a row (logarithmic)",
    "rows_per_second": "rows/s (logarithmic)",
}
OWN = "aesm2"
LOOKS = (  # of the other models, in their order
    ("circle", "#0072B2"), ("square", "#D55E00"), ("diamond", "#AA4499"), ("cross", "#777777"),
    ("x", "#E69F00"), ("triangle-up", "#7B6FD0"), ("triangle-down", "#CC79A7"),
    ("pentagon", "#56B4E9"), ("hexagon2", "#999933"), ("bowtie", "#B5651D"),
    ("hourglass", "#44AA99"), ("star-triangle-up", "#A0522D"), ("star-square", "#6699CC"),
)  # fmt: skip


def tradeoff_lines(means: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Join means of one cell with costs: one line a variant that has both, cheapest first.

    means: variant, mean, low, high of AUC × 100, as `tables.summary` has them. costs: the table of
    that name. Columns: variant, model (its title), own (whether it is AESM²), mean, low, high,
    parameters, embedding_parameters, multiply_adds, rows_per_second; and frontier: whether no model
    of fewer or as many multiply-adds has a higher mean.
    """
    found = means.merge(costs, on="variant").dropna(subset=["mean"])
    found = found.sort_values(["multiply_adds", "mean"], ascending=[True, False], ignore_index=True)
    columns = ["parameters", "embedding_parameters", "multiply_adds", "rows_per_second"]
    return found[["variant", "mean", "low", "high", *columns]].assign(
        model=found["variant"].map(variant_title),
        frontier=found["mean"] >= found["mean"].cummax(),
    )


def tradeoff_figure(lines: pd.DataFrame, size: str, stamp: str) -> go.Figure:
    """Draw AUC × 100 with its 95 % interval over seeds against both costs.

    Each model has a shape and colour; hollow where hidden layers see scenario ids, which the
    legend leaves out where it has the model without.
    """
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.03)
    for column, (cost, title) in enumerate(AXES.items(), start=1):
        ordered = lines.sort_values("variant")  # a model before the same with ids
        named = ~ordered["variant"].str.removesuffix(IDS).duplicated() & (column == 1)
        dots = [
            _dot(line, cost, _look(line["variant"], lines), legend)
            for line, legend in zip(ordered.to_dict("records"), named, strict=True)
        ]
        figure.add_traces(dots, rows=[1] * len(dots), cols=[column] * len(dots))
        figure.update_xaxes(
            title=title, type="log", title_standoff=4, fixedrange=True, row=1, col=column,
            **_ticks(lines[cost].to_numpy(np.float64)),
        )  # fmt: skip
    figure.update_yaxes(title=f"AUC × 100<br>{size}", row=1, col=1)
    figure.update_yaxes(fixedrange=True, automargin=True)
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 500, top=120, bottom=84), 90)


def tradeoff_words(lines: pd.DataFrame) -> str:
    """Return what the figure shows, for those who cannot see it."""
    best = lines.sort_values("mean").iloc[-1]
    front = ", ".join(lines["model"][lines["frontier"]])
    return (
        f"The best is {best['model']} with {best['mean']:.2f} at {best['multiply_adds']:,.0f}"
        f" multiply-adds for a row; no cheaper model beats {front}"
    )


def _look(variant: str, lines: pd.DataFrame) -> tuple[str, str]:
    """Return the symbol and colour of a variant; those of a model are the same with ids."""
    models = sorted(set(lines["variant"].str.removesuffix(IDS)) - {OWN})
    model = variant.removesuffix(IDS)
    symbol, colour = ("star", AHEAD) if model == OWN else LOOKS[models.index(model) % len(LOOKS)]
    return symbol + ("-open" if variant.endswith(IDS) else ""), colour


def _dot(
    line: Mapping[Hashable, Any], cost: str, look: tuple[str, str], legend: bool
) -> go.Scatter:
    (symbol, colour), mean, low, high = look, line["mean"], line["low"], line["high"]
    told = (
        f"{line['model']}<br>AUC × 100: {mean:.2f} ({low:.2f} – {high:.2f})"
        f"<br>{line['multiply_adds']:,.0f} multiply-adds for a row"
        f"<br>{line['rows_per_second']:,.0f} rows/s<br>{line['parameters']:,} parameters,"
        f" {line['embedding_parameters']:,} of them in tables"
    )
    return go.Scatter(
        x=[line[cost]], y=[mean], mode="markers", name=line["model"], showlegend=legend,
        marker={"size": 13 if "star" in symbol else 10, "color": colour, "symbol": symbol,
                "line": {"width": 2, "color": colour}},
        error_y={
            "array": np.nan_to_num([high - mean]), "arrayminus": np.nan_to_num([mean - low]),
            "thickness": 1, "width": 3, "color": colour,
        },
        hovertext=told, hoverinfo="text",
    )  # fmt: skip


def _ticks(values: np.ndarray) -> dict[str, list[float] | list[str]]:
    """Return ticks at 1, 2 and 5 times powers of ten, and a range with room for names."""
    low, high = np.log10(values.min()), np.log10(values.max())
    room = max(0.15 * (high - low), 0.15)
    powers = 10.0 ** np.arange(np.floor(low - room), np.ceil(high + room) + 1)
    ticks = [step * power for power in powers for step in (1, 2, 5)]
    return {
        "range": [low - room, high + room], "tickvals": ticks,
        "ticktext": [_short(tick) for tick in ticks],
    }  # fmt: skip


def _short(value: float) -> str:
    """Write 20000 as 20 k."""
    for size, sign in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"
