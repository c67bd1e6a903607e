"""Differences of AUC: brute force, the bootstrap, and rates of rejection where nothing differs."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from aesm2.errors import InputError
from aesm2.evidence.significance import Difference, compare, holm
from aesm2.metrics import auc

Pair = tuple[np.ndarray, np.ndarray]


def wins(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether each positive scores above each negative, half where equal, (P, N)."""
    positives, negatives = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return (positives > negatives) + 0.5 * (positives == negatives)


def covariance(x: np.ndarray, y: np.ndarray) -> float:
    """DeLong's covariance of two means of (P, N) numbers by their row and column means."""
    total = 0.0
    for axis in (1, 0):
        u, v = x.mean(axis), y.mean(axis)
        total += sum((u - u.mean()) * (v - v.mean())) / (len(u) - 1) / len(u)
    return float(total)


def models(
    rng: np.random.Generator, labels: np.ndarray, seeds: int, row: float, seed: float, both: float
) -> Pair:
    """Two models as good as each other: noise of a model's rows, of a seed, and of both."""
    signal = labels + rng.normal(size=len(labels))
    direction = 0.7 * labels + rng.normal(size=len(labels))
    a, b = (
        signal
        + row * rng.normal(size=len(labels))
        + seed * rng.normal(size=(seeds, 1)) * direction
        + both * rng.normal(size=(seeds, len(labels)))
        for _ in range(2)
    )
    return a, b


def case(seed: int, seeds: int = 4, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % 3 == 0).astype(np.float32)
    a, b = models(rng, labels, seeds, 0.5, 0.3, 0.4)
    return labels, a.round(1), (b + 0.2 * labels).round(1)


@pytest.mark.parametrize("number", range(5))
def test_errors_are_those_of_every_pair_of_seeds(number: int) -> None:
    """Variances from all pairs of a positive and a negative and all pairs of seeds."""
    labels, a, b = case(number)
    seeds = len(a)
    each = [wins(labels, x) - wins(labels, y) for x, y in zip(a, b, strict=True)]
    found = compare(labels, a, b)
    over_rows = [[covariance(x, y) for y in each] for x in each]
    mean_auc = [np.mean([auc(labels, x).value for x in model]) for model in (a, b)]
    assert found.difference == pytest.approx(100 * (mean_auc[0] - mean_auc[1]))
    assert found.rows_error == pytest.approx(100 * np.mean(over_rows) ** 0.5)
    between = np.var([x.mean() for x in each], ddof=1) / seeds
    assert found.seeds_error == pytest.approx(100 * between**0.5)
    shared = np.mean([over_rows[i][j] for i in range(seeds) for j in range(seeds) if i != j])
    variance = between + max(shared, 0)
    assert found.error == pytest.approx(100 * variance**0.5)
    assert found.freedom == pytest.approx((seeds - 1) * (variance / between) ** 2)


def test_p_over_seeds_is_the_paired_t() -> None:
    labels, a, b = case(7)
    values = [[auc(labels, x).value for x in model] for model in (a, b)]
    assert compare(labels, a, b).p_seeds == pytest.approx(ttest_rel(*values).pvalue)


def test_the_error_over_rows_is_the_bootstraps() -> None:
    """Rows of each class are drawn again; the trained models stay."""
    labels, a, b = case(3, rows=240)
    rng = np.random.default_rng(0)
    of_class = [np.flatnonzero(labels == label) for label in (0, 1)]
    differences = []
    for _ in range(400):
        drawn = np.concatenate([rng.choice(rows, len(rows)) for rows in of_class])
        y = labels[drawn]
        differences.append(
            np.mean([auc(y, x[drawn]).value - auc(y, z[drawn]).value
                     for x, z in zip(a, b, strict=True)])
        )  # fmt: skip
    assert compare(labels, a, b).rows_error == pytest.approx(100 * np.std(differences), rel=0.1)


def null(row: float, seed: float, both: float, seeds: int) -> dict[str, np.ndarray]:
    """400 comparisons of models as good as each other."""
    rng, labels = np.random.default_rng(1), np.repeat([0, 1], [140, 60])
    found = [compare(labels, *models(rng, labels, seeds, row, seed, both)) for _ in range(400)]
    return dict(zip(Difference._fields, np.array(found).T, strict=True))


@pytest.mark.parametrize(
    ("row", "seed", "both", "seeds"),
    [(0.7, 0.0, 0.0, 3), (0.0, 0.7, 0.0, 5), (0.0, 0.0, 0.7, 3), (0.5, 0.3, 0.3, 5)],
)
def test_equal_models_differ_significantly_5_times_in_100(
    row: float, seed: float, both: float, seeds: int
) -> None:
    """Whatever the noise is of; its interval covers 0 as often."""
    found = null(row, seed, both, seeds)
    assert 0.02 <= (found["p"] < 0.05).mean() <= 0.08
    covered = (found["low"] <= 0) & (found["high"] >= 0)
    assert (covered == (found["p"] >= 0.05)).all()
    ratio = (found["error"] ** 2).mean() / found["difference"].var()
    assert 0.8 < ratio < 1.25


def test_one_source_alone_is_fooled_by_the_other() -> None:
    assert (null(0.0, 0.7, 0.0, 5)["p_rows"] < 0.05).mean() > 0.5
    assert (null(0.7, 0.0, 0.0, 5)["p_seeds"] < 0.05).mean() > 0.1


def test_a_true_difference_is_found() -> None:
    rng, labels = np.random.default_rng(5), np.repeat([0, 1], [700, 300])
    a, b = models(rng, labels, 5, 0.3, 0.1, 0.1)
    found = compare(labels, a + 0.5 * labels, b)
    assert found.p < 0.001
    assert 0 < found.low < found.difference < found.high
    turned = compare(labels, b, a + 0.5 * labels)
    assert turned.difference == pytest.approx(-found.difference)
    assert [turned.p, turned.low] == pytest.approx([found.p, -found.high])


def test_equal_predictions_differ_by_nothing() -> None:
    labels, a, _ = case(1)
    found = compare(labels, a, a)
    assert (found.difference, found.error, found.low, found.high) == (0, 0, 0, 0)
    assert (found.p, found.p_rows, found.p_seeds) == (1, 1, 1)


def test_seeds_that_change_nothing_leave_the_rows_alone() -> None:
    labels, a, b = case(2)
    found = compare(labels, np.repeat(a[:1], 3, 0), np.repeat(b[:1], 3, 0))
    assert math.isinf(found.freedom)
    assert [found.error, found.p] == pytest.approx([found.rows_error, found.p_rows])


def test_what_cannot_be_told_is_undefined() -> None:
    labels, a, b = case(4)
    assert all(math.isnan(value) for value in compare(np.zeros(60), a, b))
    assert all(math.isnan(value) for value in compare(labels[:0], a[:, :0], b[:, :0]))
    one_seed = compare(labels, a[:1], b[:1])
    assert 0 < one_seed.p_rows < 1
    unknown = ("seeds_error", "error", "freedom", "p_seeds", "p", "low", "high")
    assert all(math.isnan(getattr(one_seed, name)) for name in unknown)
    one_positive = compare(np.arange(60) == 7, a, b)
    assert 0 <= one_positive.p_seeds <= 1
    assert all(math.isnan(getattr(one_positive, name)) for name in ("p_rows", "p", "low"))


def test_certainty_is_not_claimed_without_an_error() -> None:
    """One model always right, the other a coin: no row and no seed says otherwise."""
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    found = compare(labels, np.tile(labels, (3, 1)), np.zeros((3, 4)))
    assert (found.difference, found.error) == (50, 0)
    assert math.isnan(found.p)
    assert math.isnan(found.low)


@pytest.mark.parametrize("shape", [(3, 60), (4, 59), (60,), (0, 60)])
def test_predictions_that_do_not_pair_are_refused(shape: tuple[int, ...]) -> None:
    labels, a, _ = case(1)
    with pytest.raises(InputError, match="leave out seeds that only one model has"):
        compare(labels, a, np.zeros(shape))


def test_holm_by_hand() -> None:
    """Smallest first: 4 · 0.01, 3 · 0.02, 2 · 0.03 and 1 · 0.04, never falling, at most 1."""
    assert holm(np.array([0.02, 0.01, 0.04, 0.03])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.9, 0.6])) == pytest.approx([1, 1])
    adjusted = holm(np.array([0.02, np.nan, 0.01]))
    assert math.isnan(adjusted[1])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.02])
    assert len(holm(np.array([]))) == 0
