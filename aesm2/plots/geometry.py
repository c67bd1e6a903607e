"""Experts on the simplex of gates: a strip, a triangle, a tetrahedron, or a projection.

Lines are contours of KL(p_j, ·) around the row's own corner and of KL(q, ·) around the centroid;
the dashed ones, and the surfaces of a tetrahedron, pass through the K-th best expert, up to which
experts are taken. Axes: n experts; m gates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType

from aesm2.errors import InputError
from aesm2.plots.ledger import Ledger
from aesm2.plots.score_plane import (
    HEIGHT,
    ROLE_OF,
    Cloud,
    cloud_marks,
    contour_line,
    decision,
    expert_marks,
)
from aesm2.plots.style import Role, finish, narrow
from aesm2.routing import geometry
from aesm2.routing.margins import CHOOSING, Choosing

LEVELS: dict[Choosing, tuple[float, ...]] = {
    "specific": (0.25, 0.5, 1.0, 2.0), "shared": (0.05, 0.2, 0.5, 1.0),
}  # fmt: skip
SIMPLEX, LOG_RATIO = "simplex", "log-ratio"
_TRACE_OF = {2: go.Scatter, 3: go.Scatterternary, 4: go.Scatter3d}
_FRAME = "#888888"


def simplex_figure(of: Ledger, behind: Cloud | None, stamp: str, space: str = SIMPLEX) -> go.Figure:
    """Draw a row's experts on the simplex of gates: strip, triangle, tetrahedron, or projection.

    space: SIMPLEX, for two to four gates, or LOG_RATIO, for three and more. Every marker of the row
    has its expert as customdata. InputError for one gate, whose simplex is a point.
    """
    gates = len(of.spec.gates)
    if gates == 1:
        raise InputError("one gate: its simplex is a single point, with every expert on it")
    if gates > geometry.MOST_DRAWN or (space == LOG_RATIO and gates > 2):
        return _projected(of, behind, stamp)
    figure = go.Figure([*_background(of, behind), *expert_marks(of, _placed(of, of.row_softmax))])
    layout = {2: _strip_layout, 3: _ternary_layout, 4: _solid_layout}[gates]
    figure.update_layout(layout(of))
    return narrow(finish(figure, stamp, HEIGHT, top=56, bottom=84))


def contour_levels(of: Ledger) -> list[tuple[Choosing, float, bool]]:
    """Return (choice, level in nats, whether it is the decision boundary) of all contours."""
    found: list[tuple[Choosing, float, bool]] = []
    for choosing in CHOOSING:
        found += [(choosing, level, False) for level in LEVELS[choosing]]
        if (level := decision(of, choosing)) is not None:
            found.append((choosing, level, True))
    return found


def _background(of: Ledger, behind: Cloud | None) -> list[BaseTraceType]:
    """Draw wireframe, contours and cloud of a simplex that is drawn as it is."""
    gates = len(of.spec.gates)
    traces: list[BaseTraceType] = []
    if behind is not None:
        softmax = torch.from_numpy(behind.gate_logits).softmax(-1).numpy()
        trace, columns = _placed(of, softmax, behind.experts)
        traces += cloud_marks(trace, behind, columns)
    if gates == 4:
        traces += [*_wireframe(of), *_surfaces(of)]
    else:
        for choosing, level, decides in contour_levels(of):
            for weights in _contour(of, choosing, level):
                columns = _contour_columns(of, weights)
                traces.append(contour_line(_TRACE_OF[gates], columns, choosing, level, decides))
    return traces


def _contour(of: Ledger, choosing: Choosing, level: float) -> list[np.ndarray]:
    """Return the pieces of a contour, (points, m) each: both points of a strip are one."""
    gates = len(of.spec.gates)
    if choosing == "specific":
        return [geometry.specific_contour(level, of.target, gates)]
    around = geometry.shared_contour(level, geometry.around(gates))
    return [around[:1], around[1:]] if gates == 2 else [around]


def _contour_columns(of: Ledger, weights: np.ndarray) -> dict[str, np.ndarray]:
    if len(of.spec.gates) == 2:  # a point of the interval is drawn as a line across all experts
        return {"x": np.repeat(weights[:, 1], 2), "y": np.array([-0.5, of.spec.experts - 0.5])}
    return {axis: weights[:, gate] for gate, axis in enumerate("abc")}


def _placed(
    of: Ledger, softmax: np.ndarray, experts: np.ndarray | None = None
) -> tuple[type[BaseTraceType], dict[str, np.ndarray]]:
    """Return the kind of trace and the columns that place points, (points, m), on a simplex."""
    gates = softmax.shape[1]
    if gates == 2:
        lines = np.arange(of.spec.experts) if experts is None else experts
        return go.Scatter, {"x": softmax[:, 1], "y": lines}
    if gates == 3:
        return go.Scatterternary, {axis: softmax[:, i] for i, axis in enumerate("abc")}
    return go.Scatter3d, dict(zip("xyz", geometry.coordinates(softmax).T, strict=True))


def _strip_layout(of: Ledger) -> dict[str, Any]:
    zero, one = (_corner(of, gate) for gate in range(2))
    return {
        "xaxis": {
            "title": {"text": f"G̃ of {of.spec.gates[1]}", "standoff": 2}, "range": [-0.03, 1.03],
            "tickvals": [0, 0.25, 0.5, 0.75, 1], "zeroline": False,
            "ticktext": [f"0: {zero}", "¼", "½: all alike", "¾", f"1: {one}"],
            "ticklabeloverflow": "allow",
        },
        "yaxis": {
            "title": {"text": "expert"}, "tickvals": list(range(of.spec.experts)),
            "range": [of.spec.experts - 0.4, -0.9], "zeroline": False,
        },
    }  # fmt: skip


def _ternary_layout(of: Ledger) -> dict[str, Any]:
    axes = {
        f"{axis}axis": {"title": {"text": _corner(of, gate)}, "nticks": 5, "linecolor": _FRAME,
                        "gridcolor": "rgba(136,136,136,0.25)", "min": 0}
        for gate, axis in enumerate("abc")
    }  # fmt: skip
    return {"ternary": {"sum": 1, "bgcolor": "rgba(0,0,0,0)", **axes}}


def _solid_layout(_: Ledger) -> dict[str, Any]:
    hidden = {f"{axis}axis": {"visible": False} for axis in "xyz"}
    eye = {"x": 0.95, "y": -1.4, "z": 0.5}
    return {
        "scene": {**hidden, "aspectmode": "data", "camera": {"eye": eye}, "dragmode": "turntable"}
    }


def _corner(of: Ledger, gate: int) -> str:
    name = of.spec.gates[gate]
    return f"<b>▼ {name}</b>" if gate == of.target else name


def _wireframe(of: Ledger) -> list[BaseTraceType]:
    """Draw the edges and corners of the tetrahedron, and its centroid."""
    corners = geometry.vertices(4)
    edges = [(a, b) for a in range(4) for b in range(a)]
    ends = np.array([[corners[a], corners[b], [np.nan] * 3] for a, b in edges]).reshape(-1, 3)
    names = [*(_corner(of, gate) for gate in range(4)), "q"]
    spots = np.vstack([corners * 1.12, np.zeros((1, 3))])
    return [
        go.Scatter3d(
            **dict(zip("xyz", ends.T, strict=True)), mode="lines", hoverinfo="skip",
            line={"color": _FRAME, "width": 3}, showlegend=False, name="edges",
        ),
        go.Scatter3d(
            **dict(zip("xyz", spots.T, strict=True)), mode="text", text=names, hoverinfo="skip",
            textfont={"size": 13, "color": _FRAME}, showlegend=False, name="corners",
        ),
    ]  # fmt: skip


def _surfaces(of: Ledger) -> list[BaseTraceType]:
    """Draw the two surfaces through the K-th best experts: a flat one, and one round q."""
    found: list[BaseTraceType] = []
    for choosing, level, decides in contour_levels(of):
        if not decides:
            continue
        if choosing == "specific":
            weights, faces = geometry.specific_contour(level, of.target, 4), np.array([[0, 1, 2]])
        else:
            weights = geometry.shared_contour(level, geometry.around(4, 41))
            faces = _grid_faces(41, 21)
        found.append(go.Mesh3d(
            **dict(zip("xyz", geometry.coordinates(weights).T, strict=True)),
            **dict(zip("ijk", faces.T, strict=True)), color=ROLE_OF[choosing].colour,
            opacity=0.18, name=f"{choosing} {level!r}", legendgroup="boundary",
            hoverinfo="skip", showlegend=False,
        ))  # fmt: skip
    return found


def _grid_faces(across: int, down: int) -> np.ndarray:
    """Triangles of a grid of points, `across` of them running fastest, (faces, 3)."""
    first = (np.arange(down - 1)[:, None] * across + np.arange(across - 1)).ravel()
    below = first + across
    upper = np.stack([first, first + 1, below], axis=1)
    return np.vstack([upper, np.stack([first + 1, below + 1, below], axis=1)])


def _projected(of: Ledger, behind: Cloud | None, stamp: str) -> go.Figure:
    """Draw the plane in which centred log-ratios vary most; corners are directions there."""
    sets = [of.gate_logits] if behind is None else [of.gate_logits, behind.gate_logits]
    plane = geometry.projection(np.vstack(sets))
    own = plane.of(of.gate_logits)
    traces: list[BaseTraceType] = []
    reach = np.abs(own - plane.centroid).max()
    if behind is not None:
        around = plane.of(behind.gate_logits)
        reach = max(reach, float(np.quantile(np.abs(around - plane.centroid), 0.99)))
        traces += cloud_marks(go.Scatter, behind, {"x": around[:, 0], "y": around[:, 1]})
    ends = plane.centroid + 0.95 * (float(reach) or 1.0) * plane.directions
    for gate, end in enumerate(ends):
        x, y = zip(plane.centroid, end, strict=True)
        traces.append(_ray(_corner(of, gate), x, y, gate == of.target))
    traces.append(go.Scatter(
        x=plane.centroid[:1], y=plane.centroid[1:], mode="markers+text", text=["q"], name="q",
        textposition="bottom center", hoverinfo="skip", showlegend=False,
        marker={"symbol": "cross-thin-open", "size": 12, "color": _FRAME, "line": {"width": 2}},
    ))  # fmt: skip
    figure = go.Figure([*traces, *expert_marks(of, (go.Scatter, {"x": own[:, 0], "y": own[:, 1]}))])
    for axis, share, place in zip(("x", "y"), plane.explained, ("1st", "2nd"), strict=True):
        words = f"{place} component of the log-ratios: {share:.0%} of their variance"
        figure.update_layout({f"{axis}axis": {"title": {"text": words, "standoff": 4},
                                              "zeroline": False}})  # fmt: skip
    figure.update_yaxes(scaleanchor="x", scaleratio=1)
    return narrow(finish(figure, stamp, HEIGHT, top=56, bottom=84))


def _ray(name: str, x: Sequence[float], y: Sequence[float], own: bool) -> go.Scatter:
    return go.Scatter(
        x=x, y=y, mode="lines+text", text=["", name], textposition="top center", name="corner",
        hoverinfo="skip", showlegend=False, cliponaxis=False,
        line={"color": Role.SPECIFIC.colour if own else _FRAME, "width": 2 if own else 1},
    )  # fmt: skip
