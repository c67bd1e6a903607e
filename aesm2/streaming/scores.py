"""Scores in bins: AUC of any number of rows, with a bound on what the bins hide.

A score in [0, 1] is a float32 whose bits are in the order of its value. A bin is the scores that
agree in the leading bits: the exponent and `mantissa` bits of 23. Only bins that hold a score are
kept, with the number of scores and the lowest and the highest of them: where those of the two
classes do not overlap, the order within the bin is known after all.

Axes: E entries, one for each cell and bin that holds scores; V bins of one cell.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aesm2.metrics import logit_interval

MOST, LEAST = 12, 7  # bits of the mantissa; 7 are the leading 16 bits of a float32
OCTAVES = 6  # powers of two that scores of one cell usually spread over
MOST_ENTRIES = 2**22  # that a summary is meant to hold
MANTISSA = 23


class SketchedAuc(NamedTuple):
    """AUC from bins with DeLong's 95 % interval, all NaN where a class is missing.

    error: bound on the distance to the exact AUC, which depends on the data alone: half of the
    pairs of a positive and a negative whose order the bins do not tell, of all pairs.
    """

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class ScoreCounts:
    """Scores of several cells in bins; the sum of two is that of both sets of scores.

    mantissa: bits of the mantissa that tell bins apart. keys: cell and bin of each entry, rising,
    (E,). counts: scores in it. low, high: bits of the lowest and the highest of them.
    """

    mantissa: int
    keys: np.ndarray
    counts: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(cells: np.ndarray, scores: np.ndarray, mantissa: int) -> "ScoreCounts":
        """Count scores, (rows,) float32 in [0, 1]; cells: the cell of each, below 2³¹."""
        bits = np.ascontiguousarray(scores, np.float32).view(np.uint32).astype(np.int64)
        whole = np.sort((cells.astype(np.int64) << 32) | bits)
        bins = whole >> (MANTISSA - mantissa)
        first = np.flatnonzero(np.diff(bins, prepend=-1))
        end = np.append(first[1:], len(bins))[: len(first)]  # where no label is known: no bins
        of_score = np.int64(2**32 - 1)
        return ScoreCounts(
            mantissa, bins[first], end - first, whole[first] & of_score, whole[end - 1] & of_score
        )

    def __add__(self, other: "ScoreCounts") -> "ScoreCounts":
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")  # two rising runs: linear
        first = np.flatnonzero(np.diff(keys[order], prepend=-1))

        def joined(name: str, how: np.ufunc) -> np.ndarray:
            both = np.concatenate([getattr(self, name), getattr(other, name)])[order]
            return how.reduceat(both, first) if len(first) else both

        return ScoreCounts(
            self.mantissa,
            keys[order][first],
            joined("counts", np.add),
            joined("low", np.minimum),
            joined("high", np.maximum),
        )

    def arrays(self, prefix: str = "scores") -> dict[str, np.ndarray]:
        """Return what it holds by name."""
        names = ("keys", "counts", "low", "high")
        return {f"{prefix}.{name}": getattr(self, name) for name in names}

    @staticmethod
    def of_arrays(
        mantissa: int, arrays: dict[str, np.ndarray], prefix: str = "scores"
    ) -> "ScoreCounts":
        """Rebuild what `arrays` gave."""
        names = ("keys", "counts", "low", "high")
        return ScoreCounts(mantissa, *(arrays[f"{prefix}.{name}"] for name in names))

    def auc(self, negative: np.ndarray, positive: np.ndarray) -> SketchedAuc:
        """Return the AUC of all scores of some cells; negative, positive: cells of each class."""
        _, counts, bounds = self.bins(negative, positive)
        return auc_of_bins(counts, bounds)

    def bins(
        self, negative: np.ndarray, positive: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Put cells together: bins in rising order, (V,), their counts and bounds, (2, V), (4, V).

        Bounds: lowest and highest bits of negatives, then of positives.
        """
        shift = 32 - (MANTISSA - self.mantissa)
        cell, bin_ = self.keys >> shift, self.keys & ((np.int64(1) << shift) - 1)
        classes = [np.isin(cell, negative), np.isin(cell, positive)]
        values = np.unique(bin_[classes[0] | classes[1]])
        counts = np.zeros((2, len(values)), np.int64)
        bounds = np.tile(np.array([[2**32], [-1], [2**32], [-1]], np.int64), len(values))
        for number, own in enumerate(classes):
            place = np.searchsorted(values, bin_[own])
            np.add.at(counts[number], place, self.counts[own])
            np.minimum.at(bounds[2 * number], place, self.low[own])
            np.maximum.at(bounds[2 * number + 1], place, self.high[own])
        return values, counts, bounds


def mantissa_for(cells: int, most: int = MOST_ENTRIES) -> int:
    """Bits of the mantissa, so that so many cells stay within `most` entries as a rule."""
    room = most / max(1, cells) / OCTAVES
    return int(min(MOST, max(LEAST, math.floor(math.log2(max(room, 1))))))


def auc_of_bins(counts: np.ndarray, bounds: np.ndarray) -> SketchedAuc:
    """Return the AUC of negatives and positives in bins, see `ScoreCounts.bins`.

    A pair in one bin counts half, unless the bounds tell its order. The interval is DeLong's with
    the structural components of the bins: V₁₀ of a positive is the share of negatives in lower
    bins, those of its own counted half; V₀₁ of a negative likewise.
    """
    negative, positive = counts.astype(np.float64)
    value, variance = _delong(negative, positive)
    pairs = negative.sum() * positive.sum()
    if not pairs:
        return SketchedAuc(math.nan, math.nan, math.nan, math.nan)
    own = negative * positive
    low_negative, high_negative, low_positive, high_positive = bounds
    above, below = low_positive > high_negative, high_positive < low_negative
    value += 0.5 * float((own * above).sum() - (own * below).sum()) / pairs
    same = (low_negative == high_positive) & (high_negative == low_positive)
    unknown = own * ~(above | below | same)
    error = 0.5 * float(unknown.sum()) / pairs
    return SketchedAuc(value, *logit_interval(value, math.sqrt(variance)), error)


def _delong(negative: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """AUC of bins, pairs in one bin counted half, and its variance; NaN where undefined."""
    below, above = np.cumsum(negative) - negative, positive.sum() - np.cumsum(positive)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_positive = (below + negative / 2) / negative.sum()
        of_negative = (above + positive / 2) / positive.sum()
    variance = _mean_variance(of_positive, positive) + _mean_variance(of_negative, negative)
    total = positive.sum()
    return (float(of_positive @ positive / total) if total else math.nan), variance


def _mean_variance(values: np.ndarray, counts: np.ndarray) -> float:
    """Variance of the mean of values that are there so many times."""
    n = counts.sum()
    if n < 2:
        return math.nan
    mean = values @ counts / n
    return float(((values - mean) ** 2) @ counts / (n - 1) / n)
