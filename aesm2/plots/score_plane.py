"""The experts of a row as marks, the cloud behind them, and the plane of both divergences.

The row in question has a marker an expert, told by role in colour and shape; behind it lies a cloud
of other rows' experts. Axes: n experts; m gates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType

from aesm2.plots.ledger import Ledger, number
from aesm2.plots.style import Role, finish, narrow, roles
from aesm2.routing.margins import CHOOSING, Choosing, Scores, has_choice, scores
from aesm2.routing.trace import LayerTrace

HEIGHT = 470
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LINEAR, LOG, TINY = "linear", "log", 1e-9
AXES: dict[str, Choosing] = {"x": "specific", "y": "shared"}  # of the score plane
ROLE_OF: dict[Choosing, Role] = {"specific": Role.SPECIFIC, "shared": Role.SHARED}


@dataclass(frozen=True)
class Cloud:
    """Experts of many rows, a point each.

    gate_logits: their lines of G, (points, m). kl_specific, kl_shared: nats, (points,), the former
    from the own gate of the point's row. roles: (points,). experts: (points,). rows: how many rows
    were drawn, of `of_rows`.
    """

    gate_logits: np.ndarray
    kl_specific: np.ndarray
    kl_shared: np.ndarray
    roles: tuple[Role, ...]
    experts: np.ndarray
    rows: int
    of_rows: int

    def of(self, choosing: Choosing) -> np.ndarray:
        """Return the divergence of a choice."""
        return self.kl_specific if choosing == "specific" else self.kl_shared


def cloud(layer: LayerTrace, task: int, expert: int | None, of_rows: int) -> Cloud:
    """Make a cloud of a traced layer's rows; expert: only this one, None for all of them."""
    own = layer.of_task(task)
    kept = slice(None) if expert is None else slice(expert, expert + 1)
    scored = scores(own.gate_logits, own.target)

    def flat(values: torch.Tensor) -> np.ndarray:
        points: np.ndarray = values[:, kept].flatten(0, 1).numpy()
        return points

    experts = torch.arange(layer.experts).expand(len(own.gate_logits), -1)
    return Cloud(
        flat(own.gate_logits.double()), flat(scored.kl_specific), flat(scored.kl_shared),
        tuple(roles(flat(own.specific), flat(own.shared))), flat(experts),
        len(own.gate_logits), of_rows,
    )  # fmt: skip


def row_scores(of: Ledger) -> Scores:
    """Return a row's scores in float64, (1, n) each."""
    return scores(torch.from_numpy(of.gate_logits)[None], torch.tensor([of.target]))


def decision(of: Ledger, choosing: Choosing) -> float | None:
    """The divergence up to which experts are taken, that of the K-th best; None without one."""
    if not has_choice(of.spec, choosing):
        return None
    score = row_scores(of).of(choosing)[0].numpy()
    return float(score[of.score(choosing)[1]].max())


def points_table(of: Ledger) -> pd.DataFrame:
    """Return the numbers behind both figures: one line an expert."""
    scored, softmax = row_scores(of), of.row_softmax
    table = pd.DataFrame({"expert": range(of.spec.experts), "role": [r.value for r in of.roles]})
    for gate, name in enumerate(of.spec.gates):
        table[f"G̃, {name}"] = softmax[:, gate]
    for choosing in CHOOSING:
        table[f"kl_{choosing}"] = scored.of(choosing)[0].numpy()
    return table


def score_figure(of: Ledger, behind: Cloud | None, stamp: str, axes: str = LINEAR) -> go.Figure:
    """Draw KL(p_j, ·) across and KL(q, ·) upwards: exact for any number of gates.

    Left of the one line an expert is specific, below the other it is shared. axes: LINEAR, or LOG,
    which spreads out what is close to 0 and draws everything below TINY nats there.
    """
    scored, low = row_scores(of), TINY if axes == LOG else 0.0
    ranges, own, traces = {}, {}, []
    for axis, choosing in AXES.items():
        own[axis] = scored.of(choosing)[0].numpy().clip(min=low)
        ranges[axis] = _range(own[axis], None if behind is None else behind.of(choosing), axes)
    if behind is not None:
        columns = {axis: behind.of(choosing).clip(min=low) for axis, choosing in AXES.items()}
        traces = cloud_marks(go.Scatter, behind, columns)
    for (axis, choosing), (other, _) in zip(AXES.items(), reversed(AXES.items()), strict=True):
        if (level := decision(of, choosing)) is not None:
            ends = {axis: [max(level, low)] * 2, other: list(ranges[other])}
            traces.append(contour_line(go.Scatter, ends, choosing, level, True))
    figure = go.Figure([*traces, *expert_marks(of, (go.Scatter, own))])
    for axis, target in (("x", "p_j"), ("y", "q")):
        words = f"KL({target}, G̃[k, :]), nats: lower is more {AXES[axis]}"
        shown = np.log10(ranges[axis]).tolist() if axes == LOG else list(ranges[axis])
        figure.update_layout({f"{axis}axis": {
            "title": {"text": words, "standoff": 4}, "range": shown, "zeroline": False,
            "type": axes, **(log_ticks(*ranges[axis]) if axes == LOG else {}),
        }})  # fmt: skip
    return narrow(finish(figure, stamp, HEIGHT, top=56, bottom=84))


def _range(own: np.ndarray, behind: np.ndarray | None, axes: str) -> tuple[float, float]:
    """Return the ends of an axis: all of the row, and nearly all of the cloud."""
    every = own if behind is None or not len(behind) else np.append(
        np.quantile(behind, [0.01, 0.99]), own
    )  # fmt: skip
    top = float(every.max()) or 1.0
    if axes == LOG:
        return max(float(every.min()), TINY) / 1.6, top * 1.6
    return -0.04 * top, 1.12 * top


def log_ticks(low: float, high: float) -> dict[str, list[float] | list[str]]:
    """Ticks of a logarithmic axis; on a short one between powers of ten as well."""
    short = high / low < 1e3
    places = [(first, power) for power in range(-10, 5) for first in ((1, 2, 5) if short else (1,))]
    words = [
        f"{first}·10{str(power).translate(_RAISED)}".removeprefix("1·")
        if power < -3
        else f"{first * 10.0**power:g}"
        for first, power in places
    ]
    return {"tickvals": [first * 10.0**power for first, power in places], "ticktext": words}


def expert_marks(
    of: Ledger, placed: tuple[type[BaseTraceType], dict[str, np.ndarray]]
) -> list[BaseTraceType]:
    """Draw the row's experts, a trace a role."""
    trace, columns = placed
    scored, every = row_scores(of), of.roles
    solid = trace is go.Scatter3d  # has no triangles: there the sign itself is written
    hover = np.array([_hover(of, scored, k) for k in range(of.spec.experts)], dtype=object)
    found = []
    for role in Role:
        at = np.array([k for k, own in enumerate(every) if own is role], dtype=int)
        sign = f"{role.glyph} " if solid else ""
        marker = {"color": role.colour, "size": 7 if solid else 13,
                  "symbol": "circle" if solid else role.symbol, "line": {"width": 1.5}}  # fmt: skip
        found.append(trace(
            **{axis: values[at] for axis, values in columns.items()},
            mode="markers+text", name=f"{sign}{role.value}", marker=marker,
            text=[f"{sign}{k}" for k in at], customdata=at, hovertext=hover[at],
            textposition="top center", textfont={"size": 15 if solid else 12} |
            ({"color": role.colour} if solid else {}),
            hovertemplate="%{hovertext}<extra></extra>",
        ))  # fmt: skip
    return found


def _hover(of: Ledger, scored: Scores, expert: int) -> str:
    gates = zip(of.spec.gates, of.row_softmax[expert], strict=True)
    return "<br>".join(
        [
            f"<b>expert {expert}: {of.roles[expert].value}</b>",
            f"KL from specific {number(float(scored.kl_specific[0, expert]))} nats",
            f"KL from shared {number(float(scored.kl_shared[0, expert]))} nats",
            *(f"G̃, {name}: {number(float(share))}" for name, share in gates),
        ]
    )


def cloud_marks(
    trace: type[BaseTraceType], behind: Cloud, columns: dict[str, np.ndarray]
) -> list[BaseTraceType]:
    """Draw the cloud, a trace a role."""
    every = np.array([role.value for role in behind.roles], dtype=object)
    found = []
    for role in Role:
        at = np.flatnonzero(every == role.value)
        solid = trace is go.Scatter3d
        symbol = "circle" if solid else role.symbol
        found.append(trace(
            **{axis: values[at] for axis, values in columns.items()}, mode="markers",
            name=f"cloud {role.value}", showlegend=False, hoverinfo="skip", opacity=0.25,
            marker={"color": role.colour, "symbol": symbol, "size": 1.5 if solid else 5},
        ))  # fmt: skip
    return found


def contour_line(
    trace: Callable[..., BaseTraceType], columns: dict[str, Any], choosing: Choosing,
    level: float, decides: bool,
) -> BaseTraceType:  # fmt: skip
    """Draw one contour; its name tells whose it is and its level."""
    what = f"KL {choosing} = {number(level)} nats"
    return trace(
        **columns, mode="lines", hoverinfo="text", showlegend=False,
        text=f"K-th best: {what}" if decides else what, name=f"{choosing} {level!r}",
        legendgroup="boundary" if decides else "contour", opacity=1.0 if decides else 0.35,
        line={"color": ROLE_OF[choosing].colour, "width": 2 if decides else 1,
              "dash": "dash" if decides else "solid"},
    )  # fmt: skip
