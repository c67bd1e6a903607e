"""What chance would do: the divergence of two logs of the same traffic, from their groups of rows.

Two logs of the same traffic differ by chance. How much, their groups of rows tell (see
`routing.grouped`): drawing a log's groups with replacement moves its shares by d, and where nothing
drifted the shares of both logs would be the pooled ones, each moved by a d of its size. So the
divergence between two moved pooled shares is drawn many times. A d is the noise of a row over
√rows; a row is as noisy in both logs where nothing drifted, so each draw takes the noise of A or of
B, in proportion to their rows: a small log alone does not tell how noisy an expert is that it never
used. Groups bring their rows together, so rows of a group may be alike; groups are independent. The
same users in both logs make chance smaller than said here. A d is widened by √(G / (G − 1)) for G
groups, as a sample variance is. p is the share of draws that reach the divergence seen; below TAIL
draws it is that of a gamma distribution of the draws' mean and variance, a divergence being close
to a sum of squares.

Axes: B groups; n what shares are of, such as experts; R draws.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from scipy.stats import gamma

from aesm2.routing.grouped import RoutingSummary

TAIL = 10  # draws; with fewer beyond the divergence, its p is that of the gamma distribution


def adjusted(p: np.ndarray) -> np.ndarray:
    """q of Benjamini and Hochberg: the false discovery rate at which each p is told; NaN stays."""
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    q = np.full(len(p), math.nan)
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return q


def js(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence in nats along the last axis."""
    middle = (p + q) / 2
    both: np.ndarray = (rel_entr(p, middle) + rel_entr(q, middle)).sum(-1) / 2
    return both.clip(0, math.log(2))


@dataclass(frozen=True)
class Draws:
    """How often each group of either log is drawn, (2R, B): R draws for A's noise, R for B's.

    uniform: what decides whose noise a draw takes, (2R,).
    """

    a: np.ndarray
    b: np.ndarray
    uniform: np.ndarray


def draws(a: RoutingSummary, b: RoutingSummary, replicates: int, seed: int) -> Draws:
    """Draw groups that hold rows, as many as there are, with replacement."""
    random = np.random.default_rng(seed)

    def drawn(held: np.ndarray) -> np.ndarray:
        count = int(held.sum())
        times = np.zeros((2 * replicates, len(held)))
        times[:, held] = random.multinomial(count, np.full(count, 1 / count), 2 * replicates)
        return times

    held_a, held_b = (own.rows.sum(1) > 0 for own in (a, b))
    return Draws(drawn(held_a), drawn(held_b), random.random(2 * replicates))


def compared(a: np.ndarray, b: np.ndarray, draw: Draws) -> tuple[float, float, float]:
    """Divergence of one cell, its mean by chance, and p; a, b: amounts of each group, (B, n)."""
    total_a, total_b = a.sum(), b.sum()
    seen = float(js(a.sum(0) / total_a, b.sum(0) / total_b))
    pooled = (a.sum(0) + b.sum(0)) / (total_a + total_b)
    of_a = (draw.uniform < total_a / (total_a + total_b))[:, None]
    noise = np.where(of_a, _noise(a, draw.a), _noise(b, draw.b))  # (2R, n), of one row
    half = len(noise) // 2
    moved = []
    for own, total in ((noise[:half], total_a), (noise[half:], total_b)):
        near = np.maximum(pooled + own / math.sqrt(total), 0)
        moved.append(near / near.sum(1, keepdims=True))
    null = js(*moved)
    return seen, float(null.mean()), _tail(seen, null)


def _noise(own: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How far shares move where groups are drawn anew, times √rows: (2R, n)."""
    total, groups = own.sum(), int((times.sum(0) > 0).sum())
    amounts, share = times @ own, own.sum(0) / own.sum()
    whole = amounts.sum(1, keepdims=True)
    d = np.divide(amounts, whole, out=np.tile(share, (len(amounts), 1)), where=whole > 0) - share
    moved: np.ndarray = d * math.sqrt(total * groups / max(groups - 1, 1))
    return moved


def _tail(seen: float, null: np.ndarray) -> float:
    """Probability of a divergence as large as the one seen."""
    beyond = int((null >= seen - 1e-15).sum())
    plain = (beyond + 1) / (len(null) + 1)
    mean, variance = float(null.mean()), float(null.var(ddof=1))
    if beyond >= TAIL or mean <= 0 or variance <= 0:
        return plain
    return min(plain, float(gamma.sf(seen, mean**2 / variance, 0, variance / mean)))
