"""Exact AUC and its structural components, log loss, calibration, and confidence intervals."""

import math
from typing import NamedTuple

import numpy as np

Z95 = 1.959963984540054


class Auc(NamedTuple):
    """AUC with a 95 % interval; all NaN where a class is missing, which makes it undefined."""

    value: float
    low: float
    high: float


def auc(labels: np.ndarray, scores: np.ndarray) -> Auc:
    """Exact area under the ROC curve, ties counted half, with DeLong's interval.

    The interval (DeLong et al., 1988) is built on the logit of the AUC, so it stays in [0, 1].
    labels: 0 or 1, (rows,). scores: (rows,), higher means more likely 1.
    """
    positive = labels > 0.5
    positives, negatives = np.sort(scores[positive]), np.sort(scores[~positive])
    if len(positives) == 0 or len(negatives) == 0:
        return Auc(math.nan, math.nan, math.nan)
    if len(positives) <= len(negatives):  # look up the fewer among the more
        above, below = _shares_lower(positives, negatives)
    else:
        below, above = _shares_lower(negatives, positives)
    # above: for each positive the share of negatives that score lower (V10); below: for each
    # negative the share of positives that do, 1 − V01.
    variance = _mean_variance(above) + _mean_variance(below)
    value = float(above.mean())
    return Auc(value, *logit_interval(value, math.sqrt(variance)))


def auc_value(labels: np.ndarray, scores: np.ndarray) -> float:
    """Exact area under the ROC curve alone, ties counted half; NaN where a class is missing.

    labels: 0 or 1, (rows,). scores: (rows,), higher means more likely 1. The value of `auc`, in
    half its time: the larger class is sorted, the smaller looked up in it.
    """
    positive = labels > 0.5
    positives, negatives = scores[positive], scores[~positive]
    pairs = len(positives) * len(negatives)
    if pairs == 0:
        return math.nan
    swapped = len(positives) > len(negatives)
    few, many = (negatives, positives) if swapped else (positives, negatives)
    few, many = np.sort(few), np.sort(many)  # looked up in order, they stay in the caches
    lower = np.searchsorted(many, few, side="left").sum(dtype=np.int64)
    lower += np.searchsorted(many, few, side="right").sum(dtype=np.int64)
    share = int(lower) / (2 * pairs)
    return 1 - share if swapped else share


def _shares_lower(few: np.ndarray, many: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `few` the share of `many` that is lower, and the other way round; both sorted.

    Ties count half.
    """
    first = np.searchsorted(many, few, side="left")
    last = np.searchsorted(many, few, side="right")
    of_few = (first + last) / (2 * len(many))
    lower = np.cumsum(np.bincount(last, minlength=len(many) + 1))[:-1]  # of few, than each of many
    up_to = np.cumsum(np.bincount(first, minlength=len(many) + 1))[:-1]
    return of_few, (lower + up_to) / (2 * len(few))


def structural(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structural components of the AUC (DeLong et al., 1988, Eq. 4 and 5), ties counted half.

    Returns V10, for each positive the share of negatives that score lower, and V01, for each
    negative the share of positives that score higher, both in the order of the rows; NaN where the
    other class is missing. The mean of either is the AUC. O(n log n).
    labels: 0 or 1, (rows,). scores: (rows,), higher means more likely 1.
    """
    order = np.argsort(scores)
    values, is_positive = scores[order], labels[order] > 0.5
    # For every row, how many rows, and how many positives, score lower, and lower or equal.
    first = np.searchsorted(values, values, side="left")
    last = np.searchsorted(values, values, side="right")
    before = np.concatenate([[0], np.cumsum(is_positive)])
    lower, up_to = before[first], before[last]
    positives, negatives = before[-1], len(labels) - before[-1]
    components = np.empty(len(labels))
    components[order] = np.where(
        is_positive,
        ((first - lower) + (last - up_to)) / (2 * negatives or math.nan),
        1 - (lower + up_to) / (2 * positives or math.nan),
    )
    return components[labels > 0.5], components[~(labels > 0.5)]


def soft_auc(
    probabilities: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """AUC expected over labels drawn from true probabilities, ties counted half.

    Each row is a positive of weight w·p and a negative of weight w·(1 − p). It has no noise from
    the labels, so that rare positives do not blur it. NaN where either weight is nil.
    probabilities, scores: (rows,). weights: (rows,), by default 1.
    """
    order = np.argsort(scores)
    values, p = scores[order], probabilities[order].astype(np.float64)
    w = np.ones(len(p)) if weights is None else weights[order]
    positive, negative = w * p, w * (1 - p)
    below = np.concatenate([[0.0], np.cumsum(negative)])
    first = np.searchsorted(values, values, side="left")
    last = np.searchsorted(values, values, side="right")
    pairs = positive.sum() * negative.sum()
    if pairs == 0:
        return math.nan
    return float(positive @ (below[first] + below[last]) / (2 * pairs))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean cross-entropy in nats; NaN without rows. Probabilities are clipped to 1e-7."""
    if len(labels) == 0:
        return math.nan
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p)))


def calibration_error(labels: np.ndarray, predicted: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean distance of rate and mean prediction, over bins of rows.

    Bins hold equally many rows of neighbouring predictions. Equal predictions stay together, in
    the bin of their middle rank, so that bins are unequal or empty where there are many. It is
    biased upwards: perfect probabilities p score about √(2 bins · p (1 − p) / (π rows)).
    labels: 0 or 1, (rows,). predicted: (rows,), in [0, 1]. NaN without rows.
    """
    if len(labels) == 0:
        return math.nan
    _, value, count = np.unique(predicted, return_inverse=True, return_counts=True)
    middle = (np.cumsum(count) - count / 2) / len(labels)  # of each value, in (0, 1)
    bin_of = np.floor(bins * middle).astype(np.int64)[value]
    excess = np.bincount(bin_of, labels - predicted.astype(np.float64))
    return float(np.abs(excess).sum() / len(labels))


def wilson(positives: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a rate by its score test (Wilson, 1927): low and high, NaN where n is 0.

    Unlike the normal interval it stays in [0, 1] and has a width where no or all rows are positive.
    """
    n = np.where(n > 0, n, np.nan)
    rate, z2 = positives / n, Z95**2 / n
    centre = rate + z2 / 2
    spread = np.sqrt(z2 * (rate * (1 - rate) + z2 / 4))
    low, high = (centre - spread) / (1 + z2), (centre + spread) / (1 + z2)
    return low.clip(0, 1), high.clip(0, 1)


def _mean_variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan


def logit_interval(value: float, error: float) -> tuple[float, float]:
    """95 % interval of an AUC with this standard error, built on its logit; NaN at 0 and 1."""
    if not 0 < value < 1 or math.isnan(error):
        return math.nan, math.nan
    centre, spread = math.log(value / (1 - value)), Z95 * error / (value * (1 - value))
    return _logistic(centre - spread), _logistic(centre + spread)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
