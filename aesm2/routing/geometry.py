"""Experts as points on the simplex of gates: where they lie, and where both divergences are level.

Axes: "..." stands for any leading axes (rows, experts); m gates. An expert's point is its row of G̃
(Eq. 9): the corners are the one-hot p_j, the centroid is the uniform q. All in float64.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from aesm2.errors import InputError

MOST_DRAWN = 4  # gates whose simplex can be drawn in space as it is
_HALVINGS = 80  # of an interval below 1e3: leaves less than the spacing of float64


def vertices(gates: int) -> np.ndarray:
    """Corners of a regular simplex with edges of length 1 around the origin, (m, m - 1).

    The line from 0 to 1 for two gates. InputError for one gate, whose simplex is a point, and for
    more than four.
    """
    if not 2 <= gates <= MOST_DRAWN:
        raise InputError(f"a simplex can be drawn for 2 to {MOST_DRAWN} gates, not for {gates}")
    if gates == 2:
        return np.array([[0.0], [1.0]])
    high, deep = math.sqrt(3) / 2, math.sqrt(2 / 3)
    corners = np.array([[0.5, high], [0.0, 0.0], [1.0, 0.0]])
    if gates == 4:
        top = [*corners.mean(0), deep]
        corners = np.vstack([np.hstack([corners, np.zeros((3, 1))]), top])
    centred: np.ndarray = corners - corners.mean(0)
    return centred


def coordinates(weights: np.ndarray) -> np.ndarray:
    """Place barycentric coordinates in space: (..., m) → (..., m - 1)."""
    placed: np.ndarray = weights @ vertices(weights.shape[-1])
    return placed


def barycentric(points: np.ndarray) -> np.ndarray:
    """Return the weights of the corners that `coordinates` placed: (..., m - 1) → (..., m)."""
    corners = vertices(points.shape[-1] + 1)
    system = np.vstack([corners.T, np.ones(len(corners))])  # and the weights add up to 1
    known = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)
    weights: np.ndarray = known @ np.linalg.inv(system).T
    return weights


def centred_log_ratio(gate_logits: np.ndarray) -> np.ndarray:
    """Return G less the mean of each of its rows, (..., m): clr(G̃), without the log of a softmax.

    In these coordinates the centroid is the origin and the corners lie at infinity.
    """
    centred: np.ndarray = gate_logits - gate_logits.mean(-1, keepdims=True)
    return centred


@dataclass(frozen=True)
class Projection:
    """The plane in which centred log-ratios vary most.

    centre: mean of the points it was found from, (m,). axes: orthonormal, (2, m). explained: share
    of the variance along each axis, (2,).
    """

    centre: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def of(self, gate_logits: np.ndarray) -> np.ndarray:
        """Project: gate logits (..., m) → (..., 2)."""
        projected: np.ndarray = (centred_log_ratio(gate_logits) - self.centre) @ self.axes.T
        return projected

    @property
    def centroid(self) -> np.ndarray:
        """Where the uniform q lies, (2,)."""
        return self.of(np.zeros(len(self.centre)))

    @property
    def directions(self) -> np.ndarray:
        """Where each corner lies from anywhere, infinitely far: unit vectors cut short, (m, 2)."""
        corners = centred_log_ratio(np.eye(len(self.centre)))
        turned: np.ndarray = corners / np.linalg.norm(corners, axis=1, keepdims=True) @ self.axes.T
        return turned


def projection(gate_logits: np.ndarray) -> Projection:
    """Find the plane of most variance by SVD of centred log-ratios: (points, m), m ≥ 3.

    Each axis points to where its largest component is positive, so that it does not depend on the
    sign that an SVD happens to return.
    """
    points = centred_log_ratio(gate_logits.astype(np.float64))
    centre, gates = points.mean(0), points.shape[-1]
    # Within all that adds up to 0, since an SVD of few points leaves it for want of variance.
    basis = _with_rows(np.empty((0, gates)), gates)
    _, values, within = np.linalg.svd((points - centre) @ basis.T, full_matrices=False)
    axes = _with_rows(within[:2] @ basis, gates)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], axis=1)
    total = float((values**2).sum())
    share = np.zeros(2)
    share[: min(2, len(values))] = values[:2] ** 2 / total if total else 0
    return Projection(centre, axes * np.where(largest < 0, -1, 1), share)


def specific_contour(level: float, target: int, gates: int) -> np.ndarray:
    """Corners of the piece of simplex where KL(p_j, ·) is `level` nats, (m - 1, m).

    It is flat, G̃_j = exp(-level): a point of a line, a line of a triangle, a triangle of a
    tetrahedron.
    """
    own = math.exp(-max(level, 0.0))
    corners = (1 - own) * np.delete(np.eye(gates), target, axis=0)
    corners[:, target] = own
    return corners


def shared_contour(level: float, directions: np.ndarray) -> np.ndarray:
    """Points of the simplex where KL(q, ·) is `level` nats, one a direction: (points, m).

    directions: in log-ratio coordinates from the centroid, (points, m), none all equal. Along each
    the divergence rises from 0 without end and is convex, so halving an interval finds its point.
    """
    unit = centred_log_ratio(directions)
    unit = unit / np.abs(unit).max(-1, keepdims=True)
    low = np.zeros((len(unit), 1))
    high = np.full((len(unit), 1), _beyond(max(level, 0.0), unit.shape[-1]))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = shared_divergence(middle * unit)[:, None] < level
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    weights: np.ndarray = softmax((low + high) / 2 * unit, axis=-1)
    return weights


def shared_divergence(gate_logits: np.ndarray) -> np.ndarray:
    """KL(q, softmax(G[k, :])) in nats: (..., m) → (...) (Eq. 13)."""
    level: np.ndarray = logsumexp(centred_log_ratio(gate_logits), axis=-1)
    return level - math.log(gate_logits.shape[-1])


def around(gates: int, points: int = 121) -> np.ndarray:
    """Directions all round the centroid, in log-ratio coordinates.

    gates: 2 gives both, (2, 2). 3: a closed turn, (points, 3). 4: a sphere, rows of a grid of
    points × (points // 2 + 1), the turn running fastest, (·, 4).
    """
    basis = _with_rows(np.empty((0, gates)), gates)[: gates - 1]
    turn = np.linspace(0, 2 * math.pi, points)
    if gates == 2:
        return np.array([[1.0, -1.0], [-1.0, 1.0]])
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if gates == 3:
        return np.asarray(circle @ basis)
    tilt = np.linspace(0, math.pi, points // 2 + 1)[:, None, None]
    ring = np.sin(tilt) * circle  # (tilts, points, 2)
    sphere = np.concatenate([ring, np.broadcast_to(np.cos(tilt), (*ring.shape[:2], 1))], axis=2)
    return np.asarray(sphere.reshape(-1, 3) @ basis)


def _with_rows(axes: np.ndarray, gates: int) -> np.ndarray:
    """Fill up orthonormal rows that add up to 0 to at least two, or to all m - 1 from none."""
    wanted = gates - 1 if len(axes) == 0 else 2
    found = list(axes)
    for candidate in centred_log_ratio(np.eye(gates)):
        for axis in found:
            candidate = candidate - (candidate @ axis) * axis
        size = float(np.linalg.norm(candidate))
        if len(found) < wanted and size > 1e-6:
            found.append(candidate / size)
    return np.array(found)


def _beyond(level: float, gates: int) -> float:
    """A scale of directions, of largest entry ±1, that lies beyond the contour of `level`."""
    return gates * (level + math.log(gates)) + 1
