"""The smallest change of a row's gate logits that makes one choice come out differently.

Both choices take the experts with the lowest φ(G[k, :]), which is convex in the gate logits:

    specific: φ(g) = logsumexp_{i≠j} g_i − g_j      shared: φ(g) = logsumexp(g) − mean(g)

The chosen set changes as soon as one expert a that is in it and one expert b that is not trade
places, φ(g_a + δ_a) = φ(g_b + δ_b), for which no other line of G has to move. The shortest such
(δ_a, δ_b) is found a pair at a time, by the improved HL-RF iteration of structural reliability
(Zhang and Der Kiureghian, 1995): step to the nearest point of the linearised boundary, as far as
that lowers a merit. φ(g_a) has to be raised, which is no convex problem, so that each pair starts
from several places; a pair that cannot beat the best found so far, by the largest slope there is,
is left out.

Axes: n experts; m gates; S starts, two lines (a, b) of G each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp, softmax

from aesm2.layers.selection import Selection, select
from aesm2.routing.margins import Choosing, has_choice, k_of
from aesm2.routing.trace import LayerTrace

_ROUNDS, _STEPS, _NEAR = 40, 0.5 ** np.arange(6), 1e-3
_NEWTON, _EXACT = 5, 1e-10


@dataclass(frozen=True)
class SmallestChange:
    """The change of least Euclidean norm that brings one choice to the point of flipping.

    taken, left: the experts that trade places. change: what to add to G, (n, m); all of its other
    lines are 0. gate_logits: G, (n, m). target: j. k: K of the specific and of the shared choice.
    """

    choosing: Choosing
    taken: int
    left: int
    change: np.ndarray
    gate_logits: np.ndarray
    target: int
    k: tuple[int, int]

    @property
    def norm(self) -> float:
        """Euclidean (Frobenius) norm of the change, in gate logits."""
        return float(np.linalg.norm(self.change))

    def selection(self, times: float) -> Selection:
        """Select with `times` the change added to G, in float64; 0 is the choice as it is."""
        gates = torch.from_numpy(self.gate_logits + times * self.change).unsqueeze(0)
        own = torch.arange(gates.shape[-1]).unsqueeze(0) == self.target
        return select(gates, own, *self.k)

    def flips(self, times: float) -> bool:
        """Whether the chosen set differs with `times` the change."""
        before, after = self.selection(0), self.selection(times)
        if self.choosing == "specific":
            return not torch.equal(before.specific, after.specific)
        return not torch.equal(before.shared, after.shared)


def smallest_change(
    layer: LayerTrace, row: int, task: int, choosing: Choosing
) -> SmallestChange | None:
    """Find the smallest change for one row of a layer; None where there is nothing to choose.

    task: whose choice it is, in a task layer.
    """
    spec, own = layer.spec, layer.of_task(task)
    if not has_choice(spec, choosing):
        return None
    logits = own.gate_logits[row].double().numpy()
    target = int(own.target[row])
    mask = (own.specific if choosing == "specific" else own.shared)[row].numpy()
    pair, moved = _best_pair(logits, mask, target if choosing == "specific" else None)
    change = np.zeros_like(logits)
    change[list(pair)] = moved
    k = (k_of(spec, "specific"), k_of(spec, "shared"))
    return SmallestChange(choosing, *pair, change, logits, target, k)


def _best_pair(
    logits: np.ndarray, mask: np.ndarray, target: int | None
) -> tuple[tuple[int, int], np.ndarray]:
    """Return the pair (a, b) that trades places most cheaply, and its change, (2, m)."""
    height = _height(logits, target)
    gaps = height[None, ~mask] - height[mask, None]  # (taken, left)
    inside, outside = np.flatnonzero(mask), np.flatnonzero(~mask)
    order = np.dstack(np.unravel_index(np.argsort(gaps, axis=None), gaps.shape))[0]
    m = logits.shape[-1]
    steepest = 2.0 if target is not None else np.sqrt(2 - 2 / m)  # of φ(b) − φ(a), both lines
    best: tuple[float, tuple[int, int], np.ndarray] = (np.inf, (-1, -1), np.zeros((2, m)))
    for i, j in order:
        if gaps[i, j] / steepest >= best[0]:
            break
        pair = int(inside[i]), int(outside[j])
        moved = _nearest(logits[list(pair)], target)
        if (norm := float(np.linalg.norm(moved))) < best[0]:
            best = (norm, pair, moved)
    return best[1], best[2]


def _nearest(lines: np.ndarray, target: int | None) -> np.ndarray:
    """Return the shortest change after which φ of the first of two lines is that of the second.

    lines: (2, m). Where the first already has the larger φ, which rounding may do, it is 0.
    """
    value, slope = _difference(lines, target)
    if value >= 0:
        return np.zeros_like(lines)
    moved = _starts(lines, float(-value / np.linalg.norm(slope)))  # (S, 2, m)
    for _ in range(_ROUNDS):
        value, slope = _difference(lines + moved, target)
        steep = np.square(slope).sum((-2, -1))
        along = (slope * moved).sum((-2, -1))
        step = ((along - value) / steep)[:, None, None] * slope - moved
        if np.abs(step).max() < _NEAR:
            break
        moved = moved + _damped(lines, target, moved, step, np.sqrt(steep)) * step
    moved = _sharpened(lines, target, moved)
    on = np.abs(_difference(lines + moved, target)[0]) < _EXACT
    norm = np.where(on, np.linalg.norm(moved, axis=(-2, -1)), np.inf)
    shortest: np.ndarray = moved[int(norm.argmin())]
    return shortest


def _sharpened(lines: np.ndarray, target: int | None, moved: np.ndarray) -> np.ndarray:
    """Take Newton's steps to δ = λ·slope on the boundary; a start they lead astray is kept."""
    starts, size = len(moved), moved[0].size
    value, slope = _difference(lines + moved, target)
    multiplier = (moved * slope).sum((-2, -1)) / np.square(slope).sum((-2, -1))
    found = moved.reshape(starts, size)
    system = np.zeros((starts, size + 1, size + 1))
    for _ in range(_NEWTON):
        value, slope = _difference(lines + found.reshape(moved.shape), target)
        flat = slope.reshape(starts, size)
        bent = _bend(lines + found.reshape(moved.shape), target)  # (S, 2m, 2m)
        system[:, :size, :size] = np.eye(size) - multiplier[:, None, None] * bent
        system[:, :size, size], system[:, size, :size] = -flat, flat
        rest = np.concatenate([found - multiplier[:, None] * flat, value[:, None]], axis=1)
        step = (np.linalg.pinv(system) @ rest[:, :, None])[:, :, 0]
        found, multiplier = found - step[:, :size], multiplier - step[:, size]
    sharp: np.ndarray = found.reshape(moved.shape)
    return sharp


def _damped(
    lines: np.ndarray, target: int | None, moved: np.ndarray, step: np.ndarray, steep: np.ndarray
) -> np.ndarray:
    """Return the length of step with the lowest merit ½‖δ‖² + c·|φ_a − φ_b|, (S, 1, 1)."""
    weight = 2 * np.linalg.norm(moved, axis=(-2, -1)) / steep + 1  # above ‖δ‖ / ‖slope‖ will do
    tried = moved + _STEPS[:, None, None, None] * step  # (steps, S, 2, m)
    off = np.abs(_difference(lines + tried, target)[0])
    merit = np.square(tried).sum((-2, -1)) / 2 + weight * off
    best: np.ndarray = _STEPS[merit.argmin(0)]
    return best[:, None, None]


def _starts(lines: np.ndarray, size: float) -> np.ndarray:
    """Begin from no change, and from the first line moved towards each gate, (m + 1, 2, m)."""
    m = lines.shape[-1]
    starts = np.zeros((m + 1, 2, m))
    starts[1:, 0] = size * (np.eye(m) - 1 / m)
    return starts


def _height(lines: np.ndarray, target: int | None) -> np.ndarray:
    """φ of each line: (..., m) → (...); target: j of the specific choice, None for the shared."""
    if target is None:
        level: np.ndarray = logsumexp(lines, axis=-1) - lines.mean(-1)
        return level
    against: np.ndarray = logsumexp(np.delete(lines, target, axis=-1), axis=-1)
    against -= lines[..., target]
    return against


def _difference(lines: np.ndarray, target: int | None) -> tuple[np.ndarray, np.ndarray]:
    """φ_a − φ_b and its slope: (..., 2, m) → (...), (..., 2, m)."""
    height, m = _height(lines, target), lines.shape[-1]
    if target is None:
        slope = softmax(lines, axis=-1) - 1 / m
    else:
        others = np.where(np.arange(m) == target, -np.inf, lines)
        slope = softmax(others, axis=-1) - (np.arange(m) == target)
    difference: np.ndarray = height[..., 0] - height[..., 1]
    return difference, slope * np.array([[1.0], [-1.0]])


def _bend(lines: np.ndarray, target: int | None) -> np.ndarray:
    """Second derivative of φ_a − φ_b: (S, 2, m) → (S, 2m, 2m)."""
    m = lines.shape[-1]
    kept = lines if target is None else np.where(np.arange(m) == target, -np.inf, lines)
    soft = softmax(kept, axis=-1)
    of_line = soft[..., None] * np.eye(m) - soft[..., :, None] * soft[..., None, :]
    bent = np.zeros((len(lines), 2 * m, 2 * m))
    bent[:, :m, :m], bent[:, m:, m:] = of_line[:, 0], -of_line[:, 1]
    return bent
