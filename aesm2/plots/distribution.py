"""How a feature's values are distributed in several sets of rows, side by side.

Axes: S sets of rows (scenarios, or splits); V values of a feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import finish, narrow, scenario_colour

VALUE_PX = 26
MOST_VALUES = 20  # values drawn one by one; the rest are one line
MOST_SETS = 10  # sets side by side; more have no colour of their own
OTHERS = "all other values"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


@dataclass(frozen=True)
class Distribution:
    """Shares of a feature's values in some sets of rows.

    names: of the values. sets, rows: names and numbers of rows of the sets, (S,). places: of the
    sets among all, which colours and shapes go by, (S,). share: (S, V), sums to 1 over the values.
    """

    feature: str
    names: tuple[str, ...]
    sets: tuple[str, ...]
    rows: np.ndarray
    places: tuple[int, ...]
    share: np.ndarray


def distribution(
    feature: str, values: Sequence[str], ordered: bool, sets: Sequence[str], counts: np.ndarray
) -> Distribution:
    """Return the shares of the values that tell the sets apart.

    counts: rows of each value in each set, (S, V). Sets without rows are left out, and of more than
    MOST_SETS those with few. ordered: keep all values in their order, as of numbers; of more than
    MOST_VALUES others, those whose share differs most come first, and the rest are one.
    """
    rows = counts.sum(1)
    places = np.sort(np.argsort(-rows, kind="stable")[:MOST_SETS])
    places = places[rows[places] > 0]
    counts, some = counts[places], counts[places].sum(0) > 0
    share = counts[:, some] / counts.sum(1, keepdims=True)
    names = np.array(values, dtype=object)[some]
    if not ordered and len(names) > MOST_VALUES:
        kept = np.argsort(-np.ptp(share, axis=0), kind="stable")[:MOST_VALUES]
        rest = 1 - share[:, kept].sum(1, keepdims=True)
        names, share = np.append(names[kept], OTHERS), np.hstack([share[:, kept], rest])
    own = tuple(sets[place] for place in places)
    return Distribution(feature, tuple(names), own, rows[places], tuple(places.tolist()), share)


def distribution_table(shown: Distribution) -> pd.DataFrame:
    """Return the numbers behind the figure: a line a value, a column a set, in percent."""
    columns = {f"{name} (n = {n:,}) %": 100 * share for name, n, share in
               zip(shown.sets, shown.rows, shown.share, strict=True)}  # fmt: skip
    return pd.DataFrame({"value": shown.names, **columns})


def distribution_figure(shown: Distribution, stamp: str) -> go.Figure:
    """Draw the share of each value as one dot a set; the line spans the sets.

    All other values together would dwarf the single ones: they are told below the axis.
    """
    single, rest = _without_others(shown)
    percent, places = 100 * single.share, list(range(len(single.names)))
    figure = go.Figure(
        go.Scatter(
            x=_spans(percent), y=[y for place in places for y in (place, place, None)],
            mode="lines", line={"color": "#999999", "width": 2}, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    for number, (name, n, share) in enumerate(zip(single.sets, single.rows, percent, strict=True)):
        figure.add_trace(_dots(single, number, f"{name} (n = {n:,})", share))
    figure.update_xaxes(title=f"share of rows, %{rest}", title_standoff=4, rangemode="tozero",
                        fixedrange=True)  # fmt: skip
    figure.update_yaxes(
        tickvals=places, ticktext=list(single.names), range=[len(places) - 0.5, -0.5],
        automargin=True, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(dragmode=False)
    legend = 24 * -(-len(single.sets) // 2)
    height = VALUE_PX * len(places) + 132 + legend
    return narrow(finish(figure, stamp, height, top=24 + legend, bottom=100))


def _without_others(shown: Distribution) -> tuple[Distribution, str]:
    """Return the single values, and how many rows have any other, in words."""
    if shown.names[-1:] != (OTHERS,):
        return shown, ""
    rest = 100 * shown.share[:, -1]
    single = replace(shown, names=shown.names[:-1], share=shown.share[:, :-1])
    return single, f"<br>{OTHERS}: {rest.min():.3g} to {rest.max():.3g} %"


def _dots(shown: Distribution, number: int, name: str, share: np.ndarray) -> go.Scatter:
    told = zip(shown.names, share, strict=True)
    return go.Scatter(
        x=share, y=list(range(len(share))), name=name, mode="markers", hoverinfo="text",
        cliponaxis=False,
        hovertext=[f"{value}<br>{shown.sets[number]}: {s:.3g} %" for value, s in told],
        marker={
            "size": 9, "symbol": SYMBOLS[shown.places[number] % len(SYMBOLS)],
            "color": scenario_colour(shown.places[number]),
        },
    )  # fmt: skip


def _spans(percent: np.ndarray) -> list[float | None]:
    low, high = percent.min(0), percent.max(0)
    return [x for pair in zip(low, high, strict=True) for x in (*map(float, pair), None)]
