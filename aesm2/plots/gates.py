"""The gate matrix G and its row softmax G̃ as heatmaps whose cells can be clicked.

Streamlit hears no click on a heatmap: a transparent square lies on each cell and takes it.
"""

import numpy as np
import plotly.graph_objects as go

from aesm2.plots.ledger import Ledger, by_expert, number
from aesm2.plots.style import DIVERGING, SEQUENTIAL

TARGET = "#009E73"  # frame of the row's own gate
MAX_LABELLED = 240  # cells; more would be unreadable


def gate_matrix(of: Ledger, expert: int | None, stamp: str) -> go.Figure:
    """G (Eq. 7–8): experts × gates, zero in the middle of the scale, the target gate framed."""
    bound = float(np.abs(of.gate_logits).max()) or 1.0
    return _heatmap(of, of.gate_logits, expert, stamp, DIVERGING, (-bound, bound), "G")


def row_softmax(of: Ledger, expert: int | None, stamp: str) -> go.Figure:
    """G̃ (Eq. 9): each expert's row sums to 1 over the gates; the target gate framed."""
    return _heatmap(of, of.row_softmax, expert, stamp, SEQUENTIAL, (0.0, 1.0), "G̃")


def _heatmap(
    of: Ledger,
    values: np.ndarray,
    expert: int | None,
    stamp: str,
    scale: str,
    bounds: tuple[float, float],
    name: str,
) -> go.Figure:
    n, m = values.shape
    labels = values.size <= MAX_LABELLED
    heatmap = go.Heatmap(
        z=values, x=np.arange(m), y=np.arange(n), colorscale=scale, zmin=bounds[0], zmax=bounds[1],
        showscale=False, hoverinfo="skip", xgap=1, ygap=1, name=name,
        text=[[number(v) for v in row] for row in values] if labels else None,
        texttemplate="%{text}" if labels else None,
    )  # fmt: skip
    frame = {
        "type": "rect", "name": "target", "x0": of.target - 0.5, "x1": of.target + 0.5,
        "y0": -0.5, "y1": n - 0.5, "line": {"color": TARGET, "width": 3},
    }  # fmt: skip
    names = [f"<b>▼ {g}</b>" if j == of.target else g for j, g in enumerate(of.spec.gates)]
    axis = {
        "tickvals": list(range(m)), "ticktext": names, "side": "top", "showgrid": False,
        "zeroline": False, "range": [-0.5, m - 0.5],
    }  # fmt: skip
    figure = by_expert([heatmap, _squares(of, values, name)], n, expert, stamp, axis, [frame])
    figure.layout.annotations[-1].yshift = -4
    return figure.update_layout(margin={"t": 40, "b": 28})


def _squares(of: Ledger, values: np.ndarray, name: str) -> go.Scatter:
    n, m = values.shape
    experts, gates = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    return go.Scatter(
        x=gates,
        y=experts,
        mode="markers",
        marker={"symbol": "square", "size": 26, "color": "rgba(0,0,0,0)", "line": {"width": 0}},
        customdata=experts,
        text=[
            f"{name}[{k}, {of.spec.gates[j]}] = {values[k, j]:.5g}"
            for k, j in zip(experts.tolist(), gates.tolist(), strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        name="cells",
    )
