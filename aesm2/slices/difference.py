"""How much a slice differs from the rest, how sure that is, and how many such finds are chance.

Two things go wrong with a plain Welch test here. A rare event: of 200 rows with half an event to
be expected, most have none, their variance is 0, and Welch is sure of a difference. And rows whose
spread differs: those with a probability of a half scatter more than others, which a permutation
test takes for a difference of means. So p is the larger of both: Welch's, and that of drawing the
slice's rows at random from all, with the exact variance and skewness of such a draw (its
distribution approximated by Pearson's type III, a shifted gamma).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc, ndtr, stdtr, stdtrit

RATE = 0.05  # of discoveries that may be false
FEWEST = 2  # rows on either side


class Difference(NamedTuple):
    """Mean of the slice minus mean of the rest, with its 95 % interval and two-sided p.

    rows, others: how many of each were compared. The interval is Welch's, but never narrower than
    with the variance within both sides pooled. Everything NaN where a side has fewer than FEWEST
    rows.
    """

    rows: int
    others: int
    inside: float
    outside: float
    effect: float
    low: float
    high: float
    p: float


def difference(values: np.ndarray, inside: np.ndarray) -> Difference:
    """Compare the values inside a slice with all others.

    values: (rows,), NaN where unknown: such rows do not count. inside: (rows,) bool.
    """
    known = ~np.isnan(values)
    x, y = values[known & inside], values[known & ~inside]
    n, m = len(x), len(y)
    if min(n, m) < FEWEST:
        return Difference(n, m, *[float("nan")] * 6)
    effect = float(x.mean() - y.mean())
    spread, around = x.var(ddof=1), y.var(ddof=1)
    own, other = spread / n, around / m
    freedom = n + m - 2.0
    pooled = ((n - 1) * spread + (m - 1) * around) / freedom * (1 / n + 1 / m)
    if own + other > 0:
        freedom = (own + other) ** 2 / (own**2 / (n - 1) + other**2 / (m - 1))
    half = float(stdtrit(freedom, 0.975) * np.sqrt(max(own + other, pooled)))
    p = max(
        _welch(effect, own + other, freedom), drawn_at_random(values[known], float(x.mean()), n)
    )
    means = float(x.mean()), float(y.mean())
    return Difference(n, m, *means, effect, effect - half, effect + half, p)


def drawn_at_random(values: np.ndarray, mean: float, n: int) -> float:
    """Two-sided p of a mean of n of the N values, drawn without replacement.

    The variance of such a mean is σ²/n · (N − n)/(N − 1), its third central moment
    μ₃/n² · (N − n)(N − 2n)/((N − 1)(N − 2)).
    """
    total = len(values)
    centred = values - values.mean()
    variance = float((centred**2).mean()) / n * (total - n) / (total - 1)
    if variance == 0 or total < 3:
        return 1.0
    third = float((centred**3).mean()) / n**2
    third *= (total - n) * (total - 2 * n) / ((total - 1) * (total - 2))
    z, skew = (mean - values.mean()) / np.sqrt(variance), third / variance**1.5
    return min(1.0, 2 * min(_above(z, skew), _above(-z, -skew)))


def _above(z: float, skew: float) -> float:
    """P(Z > z) of Pearson's type III with mean 0, variance 1 and the skewness."""
    if abs(skew) < 1e-4:
        return float(ndtr(-z))
    shape = 4 / skew**2  # of the gamma it is a shifted, for skew < 0 mirrored, copy of
    place = max(0.0, shape + np.sign(skew) * z * np.sqrt(shape))
    return float((gammaincc if skew > 0 else gammainc)(shape, place))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q of each p, (tests,): the least rate of false discoveries at which it counts as one.

    q of the i-th smallest p of N is min over j ≥ i of p_j · N / j (Benjamini and Hochberg, 1995).
    """
    order = np.argsort(p, kind="stable")
    raw = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q


def _welch(effect: float, variance: float, freedom: float) -> float:
    if variance == 0:
        return 1.0 if effect == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(effect) / np.sqrt(variance)))
