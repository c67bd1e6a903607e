"""The released masking rule against Eq. 14: how much weight it moves, and one row's case."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import SEQUENTIAL, Role, finish, narrow, roles
from aesm2.routing.audit import LayerAudit

BINS = 20


def moved_figure(layer: LayerAudit, target: int, rows: np.ndarray, stamp: str) -> go.Figure:
    """Draw a histogram of the weight that the rule moves, for one target; rows: (rows,) bool."""
    edges = np.linspace(0, 1, BINS + 1)
    counts, _ = np.histogram(np.clip(layer.moved[target, rows], 0, 1), edges)
    middle = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure(go.Bar(
        x=middle, y=counts, width=1 / BINS, customdata=np.stack([edges[:-1], edges[1:]], -1),
        marker={"color": middle, "colorscale": SEQUENTIAL, "cmin": 0, "cmax": 1},
        hovertemplate="%{customdata[0]:.2f} to %{customdata[1]:.2f}: %{y:,} rows<extra></extra>",
    ))  # fmt: skip
    figure.update_xaxes(title="weight moved (total variation)", title_standoff=4, range=[0, 1],
                        fixedrange=True, tickformat=".1~f")  # fmt: skip
    figure.update_yaxes(title="rows", fixedrange=True, tickformat=",~s", rangemode="tozero")
    figure.update_layout(dragmode=False, bargap=0.05)
    return narrow(finish(figure, stamp, 330, top=12, bottom=92))


def case_figure(case: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw one row's mixing weights by Eq. 14 and by the rule; role by colour and shape.

    case: see `audit.audit_case`. Filled marks are Eq. 14, hollow bars the rule.
    """
    own = roles(case["specific"].to_numpy(), case["shared"].to_numpy())
    experts = case["expert"].tolist()
    figure = go.Figure(go.Bar(
        x=experts, y=case["rule_weight"], name="the released rule", width=0.7,
        marker={"color": "rgba(0,0,0,0)", "line": {"width": 2, "color": "#777777"}},
        customdata=case[["logit", "factor"]].to_numpy(),
        hovertemplate="expert %{x}: weight %{y:.3f}<br>g = %{customdata[0]:+.3f}, times"
        " %{customdata[1]:.3g}<extra>the released rule</extra>",
    ))  # fmt: skip
    for role in Role:
        at = [i for i, mine in enumerate(own) if mine is role]
        if at:
            figure.add_trace(go.Scatter(
                x=[experts[i] for i in at], y=case["weight"].iloc[at], mode="markers",
                name=f"Eq. 14: {role.value}", cliponaxis=False,
                marker={"symbol": role.symbol, "color": role.colour, "size": 12},
                hovertemplate="expert %{x}: weight %{y:.3f}<extra>Eq. 14, " + role.value
                + "</extra>",
            ))  # fmt: skip
    figure.update_xaxes(title="expert", title_standoff=4, tickvals=experts, fixedrange=True)
    figure.update_yaxes(title="mixing weight", range=[0, 1.04], fixedrange=True)
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 380, top=84, bottom=84))
