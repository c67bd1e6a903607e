"""How differently a feature is distributed in two sets of rows, and what chance alone would do.

The measure is the Jensen–Shannon divergence in bits over the encoded values, "missing" and "unseen"
among them, from 0 (distributed alike) to 1 (no value in common). Few rows over many values differ
by chance: two random halves of 1,000 rows over 1,000 users share hardly any. The expectation of
that is exact, from the hypergeometric distribution of each value's rows over the two sets, as in
adjusted mutual information (Vinh, Epps and Bailey, JMLR 2010). So ids need no binning.

Axes: F features; V values of a feature; S sets of rows.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import gamma

LEVEL = 0.95
FEW = 30  # rows; below, a set's distribution is hardly known
DENSE = 50.0  # rows of a value expected in the set; above, χ² is as good as the exact sum


@dataclass(frozen=True)
class Drift:
    """Divergence of each feature in each of S comparisons of two sets of rows, (F, S), in bits.

    rows: of the two sets, (2, S). chance: expected divergence where rows fall into either set at
    random. level: what LEVEL of such draws stay below. NaN where a set has no rows.
    """

    rows: np.ndarray
    divergence: np.ndarray
    chance: np.ndarray
    level: np.ndarray

    @property
    def adjusted(self) -> np.ndarray:
        """Divergence beyond chance: 0 where it is what chance gives, 1 at the most."""
        beyond, room = self.divergence - self.chance, 1 - self.chance
        adjusted: np.ndarray = beyond / np.where(room > 0, room, 1.0)
        return adjusted

    @property
    def beyond_chance(self) -> np.ndarray:
        """Whether the divergence is above `level`."""
        above: np.ndarray = self.divergence > self.level
        return above

    @property
    def few(self) -> np.ndarray:
        """Comparisons of a set of fewer than FEW rows, (S,) bool."""
        small: np.ndarray = self.rows.min(0) < FEW
        return small

    @property
    def rank(self) -> np.ndarray:
        """Mean of `adjusted` over the comparisons, (F,); those of few rows do not count."""
        counted = self.few if self.few.all() else ~self.few
        known = counted & ~np.isnan(self.divergence)
        total = np.where(known, self.adjusted, 0.0).sum(1)
        mean: np.ndarray = total / np.maximum(known.sum(1), 1)
        return mean


def scenario_drift(
    fields: np.ndarray, sizes: tuple[int, ...], sets: np.ndarray, count: int
) -> Drift:
    """Compare the rows of each scenario with those of all the others.

    fields: index of each feature's value, (rows, F). sizes: values of each feature. sets: the
    scenario of each row, (rows,), in 0 … count − 1.
    """
    compared = []
    for feature, size in enumerate(sizes):
        counts = value_counts(fields[:, feature], size, sets, count)
        compared.append(_compared(counts, counts.sum(0) - counts))
    rows = np.bincount(sets, minlength=count)
    return _gathered(compared, np.stack([rows, len(sets) - rows]))


def split_drift(
    a: np.ndarray, b: np.ndarray, sizes: tuple[int, ...], a_sets: np.ndarray, b_sets: np.ndarray,
    count: int,
) -> Drift:  # fmt: skip
    """Compare two splits: all their rows first, then those of each scenario.

    a, b: (rows, F). a_sets, b_sets: the scenario of each row, (rows,), in 0 … count − 1.
    """
    compared = []
    for feature, size in enumerate(sizes):
        both = [
            value_counts(fields[:, feature], size, sets, count)
            for fields, sets in ((a, a_sets), (b, b_sets))
        ]
        compared.append(_compared(*(np.vstack([counts.sum(0), counts]) for counts in both)))
    rows = [np.bincount(sets, minlength=count) for sets in (a_sets, b_sets)]
    return _gathered(compared, np.stack([np.append(n.sum(), n) for n in rows]))


def value_counts(values: np.ndarray, size: int, sets: np.ndarray, count: int) -> np.ndarray:
    """Count each value of one feature in each set of rows, (S, V)."""
    cells = np.bincount(sets * size + values, minlength=count * size)
    counts: np.ndarray = cells.reshape(count, size)
    return counts


def _compared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divergence, chance and level of each pair of sets of one feature: (S, V) twice → (3, S)."""
    found = np.full((3, len(a)), np.nan)
    for pair in np.flatnonzero((a.sum(1) > 0) & (b.sum(1) > 0)):
        drawn = chance(a[pair] + b[pair], int(a[pair].sum()))
        found[:, pair] = divergence(a[pair], b[pair]), *drawn
    return found


def _gathered(compared: list[np.ndarray], rows: np.ndarray) -> Drift:
    found, chances, levels = np.stack(compared, axis=1)
    return Drift(rows, found, chances, levels)


def divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Jensen–Shannon divergence in bits of two sets of rows; a, b: rows of each value, (V,)."""
    return float(_bits(a / a.sum(), b / b.sum()).sum().clip(0, 1))


def chance(whole: np.ndarray, rows: int) -> tuple[float, float]:
    """Divergence between `rows` rows drawn at random and all the others: mean, and 95 % level.

    whole: rows of each value, (V,). Of a value's m rows c are drawn, c being hypergeometric; the
    divergence is a sum over values, so its mean needs no more than that. The level is that of a
    gamma distribution with this mean and the variance of `_variance`: for many rows a value, that
    is χ² with V − 1 degrees of freedom times `_scale`.
    """
    total = int(whole.sum())
    rows = min(rows, total - rows)  # the divergence is symmetric
    values, times = np.unique(whole[whole > 0], return_counts=True)
    parts = _parts(values, rows, total)
    mean, variance = float(times @ parts.mean), _variance(values, times, parts, rows, total)
    if mean <= 0 or variance <= 0:
        return min(mean, 1.0), min(mean, 1.0)
    return min(mean, 1.0), min(float(gamma.ppf(LEVEL, mean**2 / variance, 0, variance / mean)), 1.0)


@dataclass(frozen=True)
class _Parts:
    """A value's part of the divergence: mean, slope over c, variance around that line."""

    mean: np.ndarray
    slope: np.ndarray
    variance: np.ndarray


def _parts(values: np.ndarray, rows: int, total: int) -> _Parts:
    """Moments of the parts of values that have so many rows each, (V,)."""
    share, scale = values / total, _scale(rows, total)
    mean = scale * (total - values) / max(total - 1, 1)  # many rows: squares of a normal deviate
    slope, variance = np.zeros(len(values)), 2 * scale**2 * (1 - share) ** 2
    few = values * (rows / total) <= DENSE
    if few.any():
        m = values[few]
        c, weight = _hypergeometric(m, rows, total)
        part = _bits(c / rows, (m[:, None] - c) / (total - rows))
        mean[few] = own = (weight * part).sum(1)
        spread = _spread(rows, total) * m * (1 - share[few])
        covariance = (weight * part * (c - share[few, None] * rows)).sum(1)
        slope[few] = np.divide(covariance, spread, out=np.zeros(len(m)), where=spread > 0)
        around = (weight * (part - own[:, None]) ** 2).sum(1)
        variance[few] = around - slope[few] ** 2 * spread
    return _Parts(mean, slope, variance)


def _hypergeometric(m: np.ndarray, rows: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers c of a value's m rows among those drawn, and their probabilities, (V, c) both.

    c goes up to ten standard deviations above DENSE.
    """
    most = min(int(m.max()), rows, math.ceil(DENSE + 10 * math.sqrt(DENSE)))
    c, m = np.arange(most + 1)[None, :], m[:, None]
    possible = (c <= m) & (m - c <= total - rows)
    c = np.where(possible, c, 0)
    logs = _choose(m, c) + _choose(total - m, rows - c) - _choose(total, rows)
    return c, np.where(possible, np.exp(logs), 0.0)


def _variance(values: np.ndarray, times: np.ndarray, parts: _Parts, rows: int, total: int) -> float:
    """Variance of the sum of the parts, of which `times` have so many rows, (V,).

    The counts c add up to `rows`: exact for what is linear in them, and in first order for what is
    quadratic, which is correlated as the squares of the counts are. The rest is as good as
    independent.
    """
    slopes = times * values * parts.slope
    linear = _spread(rows, total) * (slopes @ parts.slope - slopes.sum() ** 2 / total)
    quadratic = 2 * _scale(rows, total) ** 2 * (1 - times @ (values / total) ** 2)
    return float(linear + times @ parts.variance + quadratic)


def _spread(rows: int, total: int) -> float:
    """Variance of a hypergeometric c, over m (1 − m / total)."""
    share = rows / total
    return share * (1 - share) * total / max(total - 1, 1)


def _scale(rows: int, total: int) -> float:
    """(1/N₁ + 1/N₂) / 8 nats, in bits: χ² times it is the divergence of many rows a value."""
    return total / (rows * (total - rows)) / (8 * math.log(2))


def _bits(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Each value's part of the divergence."""
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log2(x / middle), 0.0) for x in (p, q)]
    half: np.ndarray = (parts[0] + parts[1]) / 2
    return half


def _choose(n: np.ndarray | int, k: np.ndarray | int) -> np.ndarray:
    """Logarithm of a binomial coefficient."""
    n, k = np.asarray(n, np.float64), np.asarray(k, np.float64)
    result: np.ndarray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return result
