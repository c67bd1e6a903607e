"""How differently features are distributed, as a heatmap: a line a feature, a column a comparison.

sets: names of the comparisons, in the order of `Drift`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.data.drift import Drift
from aesm2.errors import InputError
from aesm2.plots.style import finish, narrow
from aesm2.plots.utilisation import colour_axis

CELL_PX = 24
MOST = 24  # comparisons drawn: those with most rows
LETTER_PX = 6  # of a name that stands on end


def drift_table(found: Drift, features: Sequence[str], sets: Sequence[str]) -> pd.DataFrame:
    """Return one line a feature and set that can be compared, the features that differ most first.

    Columns: feature, set, rows, rows of other, divergence (bits), by chance, 95 % of chance, beyond
    chance (`Drift.adjusted`), clear (whether it is above what chance does).
    """
    lines = [
        {
            "feature": features[f], "set": sets[s], "rows": int(found.rows[0, s]),
            "rows of other": int(found.rows[1, s]), "divergence (bits)": found.divergence[f, s],
            "by chance": found.chance[f, s], "95 % of chance": found.level[f, s],
            "beyond chance": found.adjusted[f, s], "clear": bool(found.beyond_chance[f, s]),
        }
        for f in ranked(found)
        for s in compared(found)
    ]  # fmt: skip
    return pd.DataFrame(lines)


def compared(found: Drift) -> list[int]:
    """Comparisons in which both sets have rows."""
    there: list[int] = np.flatnonzero(~np.isnan(found.divergence).all(0)).tolist()
    return there


def _drawn(found: Drift) -> list[int]:
    there = compared(found)
    return sorted(sorted(there, key=lambda s: -int(found.rows[0, s]))[:MOST])


def ranked(found: Drift) -> list[int]:
    """Features in falling order of `Drift.rank`."""
    order: list[int] = np.argsort(-np.nan_to_num(found.rank, nan=-1.0), kind="stable").tolist()
    return order


def drift_figure(
    found: Drift, features: Sequence[str], sets: Sequence[str], chosen: int, most: int, stamp: str
) -> go.Figure:
    """Draw divergence beyond chance, the features that differ most on top; a column a comparison.

    Comparisons without rows are left out, and of more than MOST those with few. A number in
    brackets is within chance. Over the heatmap lies a transparent marker a cell whose customdata is
    the feature's index: a click chooses it. chosen: the feature to frame. most: features to draw.
    Raises InputError where nothing can be compared.
    """
    order, shown = ranked(found)[:most], _drawn(found)
    if not shown:
        raise InputError("fewer than two sets have rows here: there is nothing to compare")
    cells, clear = found.adjusted[order][:, shown].clip(0, 1), found.beyond_chance[order][:, shown]
    text = [[_cell(v, c) for v, c in zip(*line, strict=True)] for line in
            zip(cells, clear, strict=True)]  # fmt: skip
    figure = go.Figure(
        go.Heatmap(
            z=cells, text=text, texttemplate="%{text}", textfont_size=10, coloraxis="coloraxis",
            xgap=1, ygap=1, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.add_trace(_targets(found, order, shown, features, sets))
    if chosen in order:
        at = order.index(chosen)
        figure.add_shape(
            type="rect", x0=-0.5, x1=len(shown) - 0.5, y0=at - 0.5, y1=at + 0.5, name="chosen",
            line={"color": "#EE3377", "width": 2.5},
        )  # fmt: skip
    names = [_set_label(found, s, sets) for s in shown]
    figure.update_xaxes(
        tickvals=list(range(len(shown))), ticktext=names,
        side="top", showgrid=False, zeroline=False, fixedrange=True, tickangle=-90,
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[features[f] for f in order],
        range=[len(order) - 0.5, -0.5], showgrid=False, zeroline=False, fixedrange=True,
        automargin=True, ticklabelstandoff=4,
    )  # fmt: skip
    figure.update_layout(
        coloraxis=colour_axis(1.0, ".1~f"), hoverdistance=-1, dragmode=False, showlegend=False
    )
    top = 64 + LETTER_PX * max(map(len, names))
    return narrow(finish(figure, stamp, CELL_PX * len(order) + top + 52, top=top, bottom=52))


def drift_words(found: Drift, features: Sequence[str], sets: Sequence[str]) -> str:
    """Return what the figure shows, for those who cannot see it."""
    first, last = ranked(found)[0], ranked(found)[-1]
    at = int(np.nan_to_num(found.adjusted[first], nan=-1.0).argmax())
    return (
        f"{features[first]} differs most, {found.adjusted[first, at]:.2f} in {sets[at]};"
        f" {features[last]} least"
    )


def _cell(value: float, clear: bool) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.2f}" if clear else f"({value:.2f})"


def _set_label(found: Drift, index: int, sets: Sequence[str]) -> str:
    warning = "⚠ " if found.few[index] else ""
    return f"{warning}{sets[index]} (n = {int(found.rows[0, index]):,})"


def _targets(
    found: Drift, order: list[int], shown: list[int], features: Sequence[str], sets: Sequence[str]
) -> go.Scatter:
    x, y, custom, hover = [], [], [], []
    for line, f in enumerate(order):
        for column, s in enumerate(shown):
            x.append(column)
            y.append(line)
            custom.append(f)
            hover.append(
                f"{features[f]}, {sets[s]}: {found.rows[0, s]:,} and {found.rows[1, s]:,} rows"
                f"<br>divergence {found.divergence[f, s]:.4f} bits"
                f"<br>by chance {found.chance[f, s]:.4f}, 95 % below {found.level[f, s]:.4f}"
                f"<br>beyond chance {found.adjusted[f, s]:.3f}"
            )
    return go.Scatter(
        x=x, y=y, customdata=custom, hovertext=hover, hoverinfo="text", mode="markers",
        marker={"symbol": "square-open", "size": 20, "opacity": 0}, selected={"marker":
        {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip
