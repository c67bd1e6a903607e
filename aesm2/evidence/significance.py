"""Whether one model's AUC is better than another's, over test rows and over training seeds.

Two things make a difference of AUCs uncertain: the test rows are a sample, and another seed trains
another model. The difference of one seed is

    true difference + effect of the rows + effect of the seed + effect of that seed on those rows,

a design known from reading studies, with seeds as readers and rows as cases. Its analysis is
Obuchowski and Rockette's (1995) with Hillis's degrees of freedom (2007), on DeLong's covariances:

    variance of the mean = S² / n + max(c, 0)
    degrees of freedom   = variance² / ((S² / n)² / (n − 1))

S² is the variance of the n differences between seeds. c is the covariance of two seeds' differences
over rows: what the rows blur whatever the seed. Adding the whole variance over rows instead would
count the last effect twice, since S² has it already. Only S² is known from few numbers, and only it
costs degrees of freedom (Satterthwaite, 1946).

Axes: n seeds; rows; P positives and N negatives among them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from aesm2.errors import InputError
from aesm2.metrics import structural

POINTS = 100  # AUC × 100, as the paper prints it


class Difference(NamedTuple):
    """Difference of two models' AUC, a minus b, averaged over seeds; AUC × 100.

    rows_error, p_rows: standard error from the test rows alone, these trained models being given
    (DeLong et al., 1988), and its normal p. seeds_error, p_seeds: from the seeds alone, these rows
    being given, and its paired t. error, freedom, p, low, high: from both, as the file explains,
    with the 95 % interval. All p are two-sided. NaN where it cannot be told: everything where a
    class is missing, what needs the seeds where there is one, errors over rows where a class has
    one row, and p and the interval where the error is 0 and the difference is not.
    """

    difference: float
    rows_error: float
    seeds_error: float
    error: float
    freedom: float
    p_rows: float
    p_seeds: float
    p: float
    low: float
    high: float


def compare(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> Difference:
    """Compare the AUC of two models, each trained with the same seeds, on the same rows.

    labels: 0 or 1, (rows,). a, b: predictions, (n, rows), the same seed in the same line; models
    whose seeds have nothing to do with each other may be paired in any order. Equal predictions
    differ by 0 with p = 1. Raises InputError where the shapes do not fit.
    """
    if a.ndim != 2 or a.shape != b.shape or labels.shape != a.shape[1:] or len(a) == 0:
        raise InputError(
            f"expected predictions (seeds, rows) of equal shapes and labels (rows,); found "
            f"{a.shape}, {b.shape} and {labels.shape}; leave out seeds that only one model has"
        )
    of_positives, of_negatives = _difference_components(labels, a, b)
    if of_positives.size == 0 or of_negatives.size == 0:
        return Difference(*[math.nan] * len(Difference._fields))
    seeds, each = len(a), of_positives.mean(1)
    difference = float(each.mean())
    rows_variance = float(_rows_variance(of_positives.mean(0), of_negatives.mean(0)))
    seeds_variance = float(each.var(ddof=1)) / seeds if seeds > 1 else math.nan
    variance, freedom = math.nan, math.nan
    if seeds > 1:
        of_each = float(_rows_variance(of_positives, of_negatives).mean())
        shared = (seeds * rows_variance - of_each) / (seeds - 1)  # c of the file's docstring
        variance = seeds_variance + (0.0 if shared < 0 else shared)  # NaN stays NaN
        freedom = _freedom(variance, seeds_variance, seeds)
    rows_error, seeds_error, error = map(math.sqrt, (rows_variance, seeds_variance, variance))
    p, spread = _p(difference, error, freedom), float(student.ppf(0.975, freedom)) * error
    defined = not math.isnan(p)
    return Difference(
        difference=POINTS * difference,
        rows_error=POINTS * rows_error,
        seeds_error=POINTS * seeds_error,
        error=POINTS * error,
        freedom=freedom,
        p_rows=_p(difference, rows_error, math.inf),
        p_seeds=_p(difference, seeds_error, seeds - 1),
        p=p,
        low=POINTS * (difference - spread) if defined else math.nan,
        high=POINTS * (difference + spread) if defined else math.nan,
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values of a family of tests so that the chance of any false one keeps the level.

    Holm's step-down (1979), which holds however the tests depend on each other; NaN stays NaN and
    is no test. (tests,) → (tests,).
    """
    adjusted, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(stepped).clip(max=1.0)
    return adjusted


def _difference_components(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Structural components of a minus those of b, (n, P) and (n, N)."""
    pairs = [(structural(labels, x), structural(labels, y)) for x, y in zip(a, b, strict=True)]
    of_positives, of_negatives = (np.stack([x[c] - y[c] for x, y in pairs]) for c in (0, 1))
    return of_positives, of_negatives


def _rows_variance(of_positives: np.ndarray, of_negatives: np.ndarray) -> np.ndarray:
    """DeLong's variance of the mean of components, (…, P) and (…, N) → (…)."""
    parts = (of_positives, of_negatives)
    if min(part.shape[-1] for part in parts) < 2:
        return np.full(of_positives.shape[:-1], np.nan)
    variance: np.ndarray = sum(part.var(-1, ddof=1) / part.shape[-1] for part in parts)
    return variance


def _freedom(variance: float, seeds_variance: float, seeds: int) -> float:
    if seeds_variance == 0:
        return math.inf
    return variance**2 / (seeds_variance**2 / (seeds - 1))


def _p(difference: float, error: float, freedom: float) -> float:
    """Two-sided p of a difference by its standard error; Student's t, or normal without bound."""
    if error == 0:
        return 1.0 if difference == 0 else math.nan
    return 2 * float(student.sf(abs(difference) / error, freedom))
