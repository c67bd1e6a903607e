"""Differences of AUC between a reference and other models, with their intervals."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.evidence.standings import LEVEL, variant_title
from aesm2.plots.style import AHEAD, BEHIND, finish, line_at, narrow

LINE_PX = 26


def forest_lines(
    comparisons: pd.DataFrame, reference: str, scope: str, scenario: str, task: str
) -> pd.DataFrame:
    """Return a reference's differences in one cell, the largest first; undefined ones last.

    Columns: model (its title), difference, low, high (points of AUC × 100), p_adjusted.
    """
    where = {"reference": reference, "scope": scope, "scenario": scenario, "task": task}
    own = comparisons[np.logical_and.reduce([comparisons[k] == v for k, v in where.items()])]
    own = own.sort_values("difference", ascending=False, ignore_index=True)
    columns = ["difference", "low", "high", "p_adjusted"]
    return own[columns].assign(model=own["variant"].map(variant_title))[["model", *columns]]


def forest_figure(lines: pd.DataFrame, reference: str, size: str, stamp: str) -> go.Figure:
    """Draw `forest_lines` as marks with 95 % intervals around a line at zero.

    A mark points to the better model and is hollow where p_adjusted is not below LEVEL.
    reference: its title. size: number of rows and seeds, in words.
    """
    value, low, high = (lines[c].to_numpy(np.float64) for c in ("difference", "low", "high"))
    gone, ahead = np.isnan(value), value >= 0
    hollow = ~(lines["p_adjusted"].to_numpy(np.float64) < LEVEL)
    names = np.where(ahead, "triangle-right", "triangle-left").astype(object)
    dots = go.Scatter(
        x=np.where(gone, 0.0, value), y=list(range(len(lines))), mode="markers+text",
        text=["\u00a0\u00a0undefined" if own else "" for own in gone],
        textposition="middle right", cliponaxis=False,
        marker={
            "symbol": [f"{n}-open" if own else n for n, own in zip(names, hollow, strict=True)],
            "color": np.where(ahead, AHEAD, BEHIND).tolist(),
            "size": np.where(gone, 0, 12).tolist(),
            "line": {"width": 2, "color": np.where(ahead, AHEAD, BEHIND).tolist()},
        },
        error_x={
            "array": np.nan_to_num(high - value), "arrayminus": np.nan_to_num(value - low),
            "thickness": 1.5, "width": 3, "color": "#888888",
        },
        hovertext=[_told(line) for line in lines.to_dict("records")], hoverinfo="text",
    )  # fmt: skip
    figure = go.Figure(dots)
    figure.layout.shapes = [line_at(0, line={"width": 1.5, "color": "#888888"})]
    figure.update_xaxes(
        title=f"{reference} minus model, AUC × 100 (points)<br>{size}", title_standoff=4,
        fixedrange=True, zeroline=False, nticks=7,
    )  # fmt: skip
    figure.update_yaxes(
        range=[len(lines) - 0.5, -0.5], tickvals=list(range(len(lines))),
        ticktext=lines["model"].tolist(), automargin=True, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 130 + LINE_PX * len(lines), top=8, bottom=108))


def forest_words(lines: pd.DataFrame, reference: str) -> str:
    """Return what the figure shows, for those who cannot see it."""
    significant = lines[lines["p_adjusted"] < LEVEL]
    ahead, behind = (significant["difference"] > 0).sum(), (significant["difference"] < 0).sum()
    return (
        f"{reference} is significantly ahead of {ahead} and behind {behind} of {len(lines)} models;"
        f" the differences go from {lines['difference'].min():.2f} to"
        f" {lines['difference'].max():.2f} points"
    )


def _told(line: dict[Hashable, Any]) -> str:
    if np.isnan(line["difference"]):
        return f"{line['model']}<br>undefined: a class is missing"
    interval = f"95 %: {line['low']:+.2f} to {line['high']:+.2f}"
    if np.isnan(line["low"]):
        interval = "no interval"
    p = "no p" if np.isnan(line["p_adjusted"]) else f"p = {line['p_adjusted']:.3g} (Holm)"
    return f"{line['model']}<br>{line['difference']:+.2f} points<br>{interval}<br>{p}"
