"""Metrics by scenario and task as a dot plot, and the tables beside it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.data.description import Description
from aesm2.data.scenarios import OVERALL, PATH, SEPARATOR
from aesm2.plots.style import finish, folded, headed, restamp, scenario_colour

NEUTRAL = "#777777"  # all rows: no scenario's colour
UNDEFINED, UNLABELLED = "undefined", "no labels here"
LINE_PX = 26


def measured(evaluation: pd.DataFrame, split: str, paths: bool) -> pd.DataFrame:
    """Return the lines of one split, by fine-grained scenario or else overall and by level."""
    of_split = evaluation[evaluation["split"] == split]
    own = of_split[(of_split["scope"] == PATH) == paths]
    return own.reset_index(drop=True)


def metrics_table(lines: pd.DataFrame) -> pd.DataFrame:
    """Return `measured` lines for reading: AUC × 100 with its 95 % interval, rates in percent.

    "predicted / actual" is the mean prediction over the rate of positives: 1 is calibrated.
    """
    area = pd.to_numeric(lines["auc"])
    rate, predicted = pd.to_numeric(lines["rate"]), pd.to_numeric(lines["mean_prediction"])
    return pd.DataFrame(
        {
            "scope": lines["scope"],
            "scenario": lines["scenario"],
            "task": lines["task"],
            "AUC × 100": [_written(a, n) for a, n in zip(area, lines["n"], strict=True)],
            "95 % low": (100 * pd.to_numeric(lines["auc_low"])).round(2),
            "95 % high": (100 * pd.to_numeric(lines["auc_high"])).round(2),
            "n": lines["n"],
            "positives": lines["positives"],
            "rate %": (100 * rate).round(2),
            "mean prediction %": (100 * predicted).round(2),
            "predicted / actual": (predicted / rate.where(rate > 0)).round(3),
            "log loss": pd.to_numeric(lines["log_loss"]).round(4),
        }
    )


def metrics_figure(lines: pd.DataFrame, description: Description, stamp: str) -> go.Figure:
    """Draw AUC × 100 of `measured` lines with intervals: a column a task, a line a scenario.

    The dotted line is the AUC over all rows, where it is among the lines.
    """
    tasks = [task for task in description.task if (lines["task"] == task.name).any()]
    places = list(dict.fromkeys(zip(lines["scope"], lines["scenario"], strict=True)))
    heads = [folded(task.title or task.name) for task in tasks]
    figure = make_subplots(
        rows=1, cols=len(tasks), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=heads
    )
    headed(figure)
    low, high = _range(lines)
    for column, task in enumerate(tasks, start=1):
        own = lines[lines["task"] == task.name].set_index(["scope", "scenario"])
        figure.add_trace(_dots(own, places, description, low), row=1, col=column)
        overall = own.loc[own.index == (OVERALL, OVERALL), "auc"].to_numpy(np.float64)
        if np.isfinite(overall).any():
            line = {"dash": "dot", "width": 1.5, "color": NEUTRAL}
            figure.add_vline(float(100 * overall[0]), line=line, row=1, col=column)
    figure.update_xaxes(title="AUC × 100", range=[low, high], title_standoff=4)
    counts = lines.groupby(["scope", "scenario"], sort=False)["n"].max()
    ticks = [f"{_label(*place)} (n = {n:,})" for place, n in zip(places, counts, strict=True)]
    figure.update_yaxes(range=[len(places) - 0.5, -0.5], tickvals=list(range(len(places))),
                        ticktext=ticks, automargin=True)  # fmt: skip
    figure.update_layout(showlegend=False)
    more = 16 * max((head.count("<br>") for head in heads), default=0)
    drawn = finish(figure, stamp, 120 + more + LINE_PX * len(places), top=36 + more)
    return restamp(drawn.update_layout(margin={"b": 64}), yshift=-48)


def comparison_table(evaluations: Mapping[str, pd.DataFrame], split: str) -> pd.DataFrame:
    """AUC × 100 of several runs side by side, and each one's difference to the first in points.

    A difference is missing where the two were not measured on the same number of rows and
    positives, or either AUC is undefined.
    """
    key = ["scope", "scenario", "task"]
    (first, base), *others = (
        (name, frame[frame["split"] == split].set_index(key)) for name, frame in evaluations.items()
    )
    base = base[base.index.get_level_values("scope") != PATH]
    table = base[["n"]].assign(**{first: (100 * pd.to_numeric(base["auc"])).round(2)})
    for name, frame in others:
        own = frame.reindex(base.index)
        area = 100 * pd.to_numeric(own["auc"])
        same = (own["n"] == base["n"]) & (own["positives"] == base["positives"])
        table[name] = area.round(2)
        difference = (area - 100 * pd.to_numeric(base["auc"])).where(same)
        table[f"{name}: difference"] = difference.round(2)
    return table.reset_index()


def _range(lines: pd.DataFrame) -> tuple[float, float]:
    """One range for all panels, with room on both sides."""
    columns = [pd.to_numeric(lines[c]) for c in ("auc", "auc_low", "auc_high")]
    values = 100 * pd.concat(columns).dropna().to_numpy(np.float64)
    if len(values) == 0:
        return 0.0, 100.0
    room = max(1.0, 0.06 * float(np.ptp(values)))
    return max(0.0, float(values.min()) - room), min(100.5, float(values.max()) + room)


def _dots(
    own: pd.DataFrame, places: list[tuple[str, str]], description: Description, left: float
) -> go.Scatter:
    """Dots of one task; an undefined AUC is a word at the left edge."""
    own = own.reindex(pd.MultiIndex.from_tuples(places))
    area, low, high = (
        100 * pd.to_numeric(own[c]).to_numpy(np.float64) for c in ("auc", "auc_low", "auc_high")
    )
    gone, counts = np.isnan(area), own["n"].fillna(0).to_numpy(np.int64)
    words = [_written(a / 100, n) for a, n in zip(area, counts, strict=True)]
    hover = [
        f"{_label(*place)} (n = {n:,})<br>{_told(value, a, b, n)}"
        for place, value, a, b, n in zip(places, area, low, high, counts, strict=True)
    ]
    return go.Scatter(
        x=np.where(gone, left, area), y=list(range(len(places))), mode="markers+text",
        text=[f"\u00a0\u00a0{word}" if g else "" for g, word in zip(gone, words, strict=True)],
        textposition="middle right",
        marker={
            "size": [0 if g else 9 for g in gone],
            "color": [_colour(*place, description) for place in places],
            "symbol": ["diamond" if place[0] == OVERALL else "circle" for place in places],
        },
        error_x={
            "array": np.nan_to_num(high - area), "arrayminus": np.nan_to_num(area - low),
            "thickness": 1.5, "width": 3, "color": NEUTRAL,
        },
        hovertext=hover, hoverinfo="text",
    )  # fmt: skip


def _written(area: float, n: int) -> str:
    if np.isnan(area):
        return UNDEFINED if n else UNLABELLED
    return f"{100 * area:.2f}"


def _told(area: float, low: float, high: float, n: int) -> str:
    if np.isnan(area):
        return f"{UNDEFINED}: a class is missing" if n else UNLABELLED
    return f"{area:.2f} (no interval)" if np.isnan(low) else f"{area:.2f} ({low:.2f} – {high:.2f})"


def _label(scope: str, scenario: str) -> str:
    if scope == OVERALL:
        return "all rows"
    return scenario if scope == PATH else f"{scope} {scenario}"


def _colour(scope: str, scenario: str, description: Description) -> str:
    """Colour of a scenario; a fine-grained one has that of its outermost level."""
    if scope == OVERALL:
        return NEUTRAL
    names = description.level[0].scenarios
    if scope != PATH:
        names = next((lv.scenarios for lv in description.level if lv.name == scope), ())
    name = scenario.split(SEPARATOR)[0] if scope == PATH else scenario
    return scenario_colour(names.index(name)) if name in names else NEUTRAL
