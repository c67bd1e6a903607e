"""Tuning: the validation scores of every trial, so that equal care can be seen."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.evidence.standings import variant_title
from aesm2.plots.style import AHEAD, PLAIN, finish, narrow

LINE_PX = 24


def tuning_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials for reading: the score × 100, settings of AESM² only where they act."""
    acts = trials["variant"].str.startswith("aesm2")
    table = trials.assign(
        model=trials["variant"].map(variant_title),
        score=100 * trials["score"],
        auxiliary=trials["auxiliary"].where(acts),
        noise_scale=trials["noise_scale"].where(acts),
    ).drop(columns="variant")
    return table[["model", *(column for column in table.columns if column != "model")]]


def tuning_figure(trials: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw the score × 100 of every trial, a line a variant; the chosen one is a green diamond."""
    names = list(dict.fromkeys(trials["variant"]))
    chosen = trials["chosen"].to_numpy(bool)
    hover = [
        f"{variant_title(line['variant'])}, trial {line['trial']}<br>{100 * line['score']:.2f}"
        f"<br>learning rate {line['learning_rate']:g}, l2 {line['l2']:g}"
        f"<br>best after {line['steps']:,} steps, {line['seconds']:.0f} s"
        for line in trials.to_dict("records")
    ]
    figure = go.Figure(
        go.Scatter(
            x=100 * trials["score"].to_numpy(np.float64),
            y=trials["variant"].map(names.index).tolist(), mode="markers",
            marker={
                "symbol": np.where(chosen, "diamond", "circle-open").tolist(),
                "color": np.where(chosen, AHEAD, PLAIN).tolist(),
                "size": np.where(chosen, 11, 8).tolist(),
                "line": {"width": 1.5, "color": np.where(chosen, AHEAD, PLAIN).tolist()},
            },
            hovertext=hover, hoverinfo="text",
        )
    )  # fmt: skip
    figure.update_xaxes(
        title="validation AUC × 100, mean of the tasks", title_standoff=4,
        fixedrange=True, nticks=7,
    )  # fmt: skip
    counts = trials["variant"].value_counts()
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))), fixedrange=True,
        ticktext=[f"{variant_title(name)} (n = {counts[name]})" for name in names], automargin=True,
    )  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 110 + LINE_PX * len(names), top=8, bottom=88))


def tuning_words(trials: pd.DataFrame) -> str:
    """Return what the figure shows, for those who cannot see it."""
    counts = trials.groupby("variant")["trial"].count()
    best = 100 * trials.loc[trials["chosen"], "score"]
    low, high = counts.min(), counts.max()
    each = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{each} trials for each of {len(counts)} variants; the chosen ones score"
        f" {best.min():.2f} to {best.max():.2f}"
    )
