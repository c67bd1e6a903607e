"""Differences between two predictions of the same rows, with their paired intervals."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.data.scenarios import OVERALL
from aesm2.plots.style import AHEAD, BEHIND, finish, line_at, narrow
from aesm2.routing.findings import scenario_label

LINE_PX = 28


def of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the lines of one task that have rows; table: see `paired.paired_differences`."""
    own = table[(table["task"] == task) & (table["n"] > 0)]
    return own.reset_index(drop=True)


def paired_figure(lines: pd.DataFrame, title: str, stamp: str) -> go.Figure:
    """Draw differences of AUC (points) as marks with 95 % intervals around a line at zero.

    lines: see `of_task`. A mark points to the side of its sign, hollow where zero is inside its
    interval. title: of the axis.
    """
    value, low, high = (lines[c].to_numpy(np.float64) for c in ("delta_auc", "low", "high"))
    gone, ahead = np.isnan(value), value >= 0
    hollow = ~((low > 0) | (high < 0))
    names = np.where(ahead, "triangle-right", "triangle-left").astype(object)
    colours = np.where(ahead, AHEAD, BEHIND).tolist()
    figure = go.Figure(go.Scatter(
        x=np.where(gone, 0.0, value), y=list(range(len(lines))), mode="markers+text",
        text=["\u00a0\u00a0undefined" if own else "" for own in gone],
        textposition="middle right", cliponaxis=False,
        marker={
            "symbol": [f"{n}-open" if h else n for n, h in zip(names, hollow, strict=True)],
            "color": colours, "size": np.where(gone, 0, 12).tolist(),
            "line": {"width": 2, "color": colours},
        },
        error_x={"array": np.nan_to_num(high - value), "arrayminus": np.nan_to_num(value - low),
                 "thickness": 1.5, "width": 3, "color": "#888888"},
        hovertext=_told(lines), hoverinfo="text",
    ))  # fmt: skip
    figure.layout.shapes = [line_at(0, line={"width": 1.5, "color": "#888888"})]
    figure.update_xaxes(title=title, title_standoff=4, fixedrange=True, zeroline=False, nticks=6)
    figure.update_yaxes(
        range=[len(lines) - 0.5, -0.5], tickvals=list(range(len(lines))), ticktext=labels(lines),
        automargin=True, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 116 + LINE_PX * len(lines), top=8, bottom=96))


def paired_words(lines: pd.DataFrame) -> str:
    """Return what the figure shows, for those who cannot see it."""
    clear = lines[(lines["low"] > 0) | (lines["high"] < 0)]
    if lines["delta_auc"].isna().all():
        return "No difference of AUC is defined here: a class is missing"
    return (
        f"Differences of AUC × 100 go from {lines['delta_auc'].min():+.2f} to"
        f" {lines['delta_auc'].max():+.2f} points over {len(lines)} groups of rows; the interval"
        f" leaves out zero in {len(clear)}"
    )


def labels(lines: pd.DataFrame) -> list[str]:
    """Name each line: its scenario and the number of its rows."""
    named = zip(lines["scope"], lines["scenario"], lines["n"], strict=True)
    return [f"{_scenario(scope, name)} (n = {n:,})" for scope, name, n in named]


def _scenario(scope: str, name: str) -> str:
    return "all rows" if scope == OVERALL else scenario_label(scope, name)


def _told(lines: pd.DataFrame) -> list[str]:
    told = []
    for label, line in zip(labels(lines), lines.to_dict("records"), strict=True):
        if np.isnan(line["delta_auc"]):
            told.append(f"{label}<br>undefined: a class is missing")
            continue
        told.append(
            f"{label}, {line['positives']:,} positive<br>AUC × 100: {line['auc_a']:.2f} →"
            f" {line['auc_b']:.2f}<br>{line['delta_auc']:+.2f} points (95 %: {line['low']:+.2f} to"
            f" {line['high']:+.2f})<br>log loss {line['delta_log_loss']:+.5f} nats (95 %:"
            f" {line['log_loss_low']:+.5f} to {line['log_loss_high']:+.5f})"
        )
    return told
