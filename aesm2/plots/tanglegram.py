"""Two trees of the same scenarios face to face: by transfer left, by use of the experts right."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.cluster.hierarchy import leaves_list

from aesm2.data.scenarios import SEPARATOR
from aesm2.evidence.relations import Correlation, Relations
from aesm2.plots.style import PLAIN, finish, narrow, scenario_colour

LINE_PX = 44


def tanglegram_figure(found: Relations, stamp: str) -> go.Figure:
    """Draw both trees with lines between equal scenarios, coloured by their outermost level.

    Leaves stand so that as few lines cross as can be, where there are few enough scenarios.
    """
    left, right = leaf_orders(found)
    figure = make_subplots(
        rows=1, cols=3, shared_yaxes=True, column_widths=[0.3, 0.4, 0.3], horizontal_spacing=0.0
    )
    for column, (tree, order) in enumerate(((found.transfer_tree, left), (found.use_tree, right))):
        for x, y in branches(tree, order):
            figure.add_trace(
                go.Scatter(x=x, y=y, mode="lines", line={"color": PLAIN}, hoverinfo="skip"),
                row=1, col=1 + 2 * column,
            )  # fmt: skip
    outer = list(dict.fromkeys(name.split(SEPARATOR)[0] for name in found.scenarios))
    for scenario, name in enumerate(found.scenarios):
        colour = scenario_colour(outer.index(name.split(SEPARATOR)[0]))
        ends = [left.index(scenario), right.index(scenario)]
        figure.add_trace(_link(name, ends, colour), row=1, col=2)
    count = len(found.scenarios)
    figure.update_yaxes(
        range=[count - 0.5, -0.5], showticklabels=False, showgrid=False, zeroline=False,
        fixedrange=True,
    )  # fmt: skip
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    figure.update_xaxes(title="by transfer:<br>points of AUC lost", autorange="reversed", nticks=4,
                        row=1, col=1, **plain)  # fmt: skip
    figure.update_xaxes(range=[-0.7, 1.7], showticklabels=False, row=1, col=2, **plain)
    figure.update_xaxes(title="by use of experts:<br>distance, 0 to 1", nticks=4, row=1, col=3,
                        **plain)  # fmt: skip
    figure.update_layout(showlegend=False, dragmode=False)
    return narrow(finish(figure, stamp, 156 + LINE_PX * count, top=16, bottom=124))


def pairs_table(found: Relations) -> pd.DataFrame:
    """Return one line a pair of scenarios with both distances."""
    one, other = np.triu_indices(len(found.scenarios), 1)
    names = np.array(found.scenarios, object)
    return pd.DataFrame(
        {
            "scenario": names[one],
            "other": names[other],
            "by transfer (points)": found.transfer[one, other],
            "by use of experts": found.use[one, other],
        }
    )


def relations_words(found: Relations) -> list[str]:
    """Say how far the two sets of distances agree, and what may be made of it."""
    count = len(found.scenarios)
    return [
        f"Distances of {count} scenarios: {_told(found.distances)}.",
        f"Heights at which the trees join them: {_told(found.trees)}.",
    ]


def leaf_orders(found: Relations) -> tuple[list[int], list[int]]:
    """Return the scenarios of both trees from top to bottom."""
    if found.tanglegram is not None:
        return found.tanglegram.left, found.tanglegram.right
    return leaves_list(found.transfer_tree).tolist(), leaves_list(found.use_tree).tolist()


def branches(tree: np.ndarray, order: list[int]) -> list[tuple[list[float], list[float]]]:
    """Brackets (x, y) of a tree in scipy's form: x is the height, y the place in `order`."""
    count = len(order)
    at = [float(order.index(leaf)) for leaf in range(count)]
    height, drawn = [0.0] * count, []
    for a, b, top, _ in tree.tolist():
        one, other = int(a), int(b)
        x = [height[one], top, top, height[other]]
        drawn.append((x, [at[one], at[one], at[other], at[other]]))
        at.append((at[one] + at[other]) / 2)
        height.append(top)
    return drawn


def _link(name: str, ends: list[int], colour: str) -> go.Scatter:
    crossing = "dot" if ends[0] != ends[1] else "solid"
    return go.Scatter(
        x=[0, 1], y=ends, mode="lines+text", text=[name, name], cliponaxis=False,
        textposition=["middle left", "middle right"],
        line={"color": colour, "width": 2, "dash": crossing}, hovertext=name, hoverinfo="text",
    )  # fmt: skip


def _told(found: Correlation) -> str:
    if np.isnan(found.rho):
        return "no correlation can be told, since one set is all equal"
    ways = f"all {found.relabellings:,}" if found.exact else f"{found.relabellings:,} random"
    rho = f"{found.rho:.2f}".replace("-", "−")
    return (
        f"Spearman's ρ = {rho}, one-sided p = {found.p:.3g} by {ways} relabellings of the scenarios"
        f" (with so many it is at least {1 / found.relabellings:.2g})"
    )
