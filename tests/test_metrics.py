"""AUC, its interval and log loss against slow definitions and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from sklearn import metrics as sklearn_metrics

from aesm2.metrics import (
    Z95,
    auc,
    auc_value,
    calibration_error,
    log_loss,
    soft_auc,
    structural,
    wilson,
)

SCORED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=30)


def psi(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def slow_auc(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Share of pairs in the right order, and DeLong's variance from its structural components."""
    positives = [float(s) for y, s in zip(labels, scores, strict=True) if y == 1]
    negatives = [float(s) for y, s in zip(labels, scores, strict=True) if y == 0]
    value = sum(psi(p, n) for p in positives for n in negatives) / len(positives) / len(negatives)
    of_positives = [sum(psi(p, n) for n in negatives) / len(negatives) for p in positives]
    of_negatives = [sum(psi(p, n) for p in positives) / len(positives) for n in negatives]
    variance = 0.0
    for components in (of_positives, of_negatives):
        spread = sum((c - value) ** 2 for c in components) / max(len(components) - 1, 1)
        variance += spread / len(components)
    return value, variance


def arrays(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.array(rows).T
    return labels, scores / 7


@given(SCORED)
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, int]]) -> None:
    labels, scores = arrays(rows)
    assume(0 < labels.sum() < len(labels))
    value = auc(labels, scores).value
    assert value == pytest.approx(slow_auc(labels, scores)[0], abs=1e-12)
    assert value == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)


@given(SCORED)
def test_the_interval_is_delongs_on_the_logit(rows: list[tuple[int, int]]) -> None:
    labels, scores = arrays(rows)
    assume(1 < labels.sum() < len(labels) - 1)
    value, variance = slow_auc(labels, scores)
    assume(0 < value < 1)
    logit, error = math.log(value / (1 - value)), math.sqrt(variance) / (value * (1 - value))
    bounds = [1 / (1 + math.exp(-(logit + side * 1.959964 * error))) for side in (-1, 1)]
    found = auc(labels, scores)
    assert [found.low, found.high] == pytest.approx(bounds, abs=1e-6)
    assert 0 <= found.low <= value <= found.high <= 1


@given(SCORED)
def test_structural_components_are_shares_of_pairs(rows: list[tuple[int, int]]) -> None:
    labels, scores = arrays(rows)
    assume(0 < labels.sum() < len(labels))
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = np.array([[psi(p, n) for n in negatives] for p in positives])
    for found, wanted in zip(structural(labels, scores), (wins.mean(1), wins.mean(0)), strict=True):
        assert found == pytest.approx(wanted, abs=1e-12)


def test_components_of_a_single_class_are_undefined() -> None:
    for label in (0, 1):
        found = structural(np.full(3, label), np.arange(3.0))
        assert [len(part) for part in found] == [3 * label, 3 * (1 - label)]
        assert np.isnan(np.concatenate(found)).all()


def test_large_random_scores_agree_with_sklearn() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(5000) < 0.05).astype(np.float32)
    scores = (rng.normal(size=5000) + labels).round(1).astype(np.float32)
    wanted = sklearn_metrics.roc_auc_score(labels, scores)
    assert auc(labels, scores).value == pytest.approx(wanted, abs=1e-12)


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng, shift = np.random.default_rng(0), 1.0
    truth = 0.5 * (1 + math.erf(shift / 2))  # P(N(1, 1) > N(0, 1)) = Φ(1 / √2)
    labels = np.repeat([0, 1], [80, 40])
    covered = 0
    for _ in range(600):
        found = auc(labels, rng.normal(size=120) + shift * labels)
        covered += found.low <= truth <= found.high
    assert 0.92 < covered / 600 < 0.98


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1], []])
def test_a_single_class_has_no_auc(labels: list[int]) -> None:
    found = auc(np.array(labels), np.linspace(0, 1, len(labels)))
    assert all(math.isnan(value) for value in found)


@pytest.mark.parametrize("labels", [[0, 0, 1], [1, 1, 0]])
def test_one_row_of_a_class_has_an_auc_without_an_interval(labels: list[int]) -> None:
    found = auc(np.array(labels), np.array([0.5, 0.6, 0.6]))
    assert found.value in (0.25, 0.75)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_perfect_order_is_1_without_a_claim_of_certainty() -> None:
    found = auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert found.value == 1
    assert math.isnan(found.low)


def test_equal_scores_are_a_coin() -> None:
    assert auc(np.array([0, 1, 0, 1]), np.full(4, 0.3)).value == 0.5


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(1e-6, 1 - 1e-6)), min_size=1, max_size=20))
def test_log_loss_agrees_with_sklearn(rows: list[tuple[int, float]]) -> None:
    labels, probabilities = np.array([y for y, _ in rows]), np.array([p for _, p in rows])
    wanted = sklearn_metrics.log_loss(labels, probabilities, labels=[0, 1])
    assert log_loss(labels, probabilities) == pytest.approx(wanted, rel=1e-9)


def test_log_loss_is_finite_at_certainty_and_nan_without_rows() -> None:
    assert log_loss(np.array([1, 0]), np.array([0.0, 1.0])) == pytest.approx(-math.log(1e-7))
    assert log_loss(np.array([1, 0]), np.float32([1.0, 0.0])) == pytest.approx(0, abs=1e-6)
    assert math.isnan(log_loss(np.array([]), np.array([])))


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32), st.integers(0, 5), st.floats(0.125, 4, width=32)),
        min_size=2, max_size=9,
    )
)  # fmt: skip
def test_soft_auc_is_the_expected_share_of_ordered_pairs(
    rows: list[tuple[float, int, float]],
) -> None:
    right = pairs = 0.0
    for p, score, weight in rows:
        for q, other, own in rows:
            pair = weight * p * own * (1 - q)
            pairs += pair
            right += pair * ((score > other) + 0.5 * (score == other))
    assume(pairs > 1e-6)
    p, score, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    assert soft_auc(p, score, weight) == pytest.approx(right / pairs, abs=1e-9)


def test_soft_auc_of_certain_labels_is_the_auc() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200).round(1)
    assert soft_auc(labels, scores) == pytest.approx(auc(labels, scores).value)
    assert math.isnan(soft_auc(np.ones(5), np.arange(5.0)))


def slow_calibration_error(labels: np.ndarray, predicted: np.ndarray, bins: int) -> float:
    """Rows by the middle rank of their prediction, bin by bin."""
    held: dict[int, list[int]] = {}
    for row, p in enumerate(predicted):
        middle = sum((q < p) + (q == p) / 2 for q in predicted) / len(predicted)
        held.setdefault(int(bins * middle), []).append(row)
    distances = [
        len(rows) * abs(labels[rows].mean() - predicted[rows].mean()) for rows in held.values()
    ]
    return float(sum(distances) / len(labels))


@given(SCORED, st.integers(1, 6))
def test_the_calibration_error_is_that_of_the_bins(rows: list[tuple[int, int]], bins: int) -> None:
    labels, predicted = arrays(rows)
    found = calibration_error(labels, predicted, bins)
    assert found == pytest.approx(slow_calibration_error(labels, predicted, bins), abs=1e-12)
    order = np.random.default_rng(1).permutation(len(labels))
    assert calibration_error(labels[order], predicted[order], bins) == pytest.approx(found)


def test_bins_hold_equally_many_rows() -> None:
    """Ten rows in five bins: those of 0 and 1 are right on average, the others 0.1 off."""
    predicted = np.arange(10) / 10
    labels = predicted + np.array([0.1, -0.1, 0.1, 0.1, -0.1, -0.1, 0.1, 0.1, -0.1, -0.1])
    assert calibration_error(labels, predicted, 5) == pytest.approx(0.08)
    assert calibration_error(labels, predicted, 1) == pytest.approx(0)


def test_equal_predictions_are_one_bin_and_no_rows_none() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert calibration_error(labels, np.full(6, 0.25)) == pytest.approx(1 / 3 - 0.25)
    assert math.isnan(calibration_error(np.array([]), np.array([])))


def test_perfect_probabilities_score_about_what_the_docstring_says() -> None:
    rng = np.random.default_rng(2)
    predicted = rng.normal(0.3, 1e-6, (200, 3000))
    found = [calibration_error((rng.random(3000) < p).astype(int), p) for p in predicted]
    assert np.mean(found) == pytest.approx(math.sqrt(30 * 0.21 / (math.pi * 3000)), rel=0.05)


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    positives = data.draw(st.integers(0, n))
    low, high = wilson(np.array([positives]), np.array([n]))
    wanted = binomtest(positives, n).proportion_ci(0.95, method="wilson")
    assert low[0] == pytest.approx(wanted.low, abs=1e-9)
    assert high[0] == pytest.approx(wanted.high, abs=1e-9)


def test_wilson_of_no_rows_is_undefined_and_of_none_or_all_positive_has_a_width() -> None:
    low, high = wilson(np.array([0, 0, 20]), np.array([0, 20, 20]))
    assert math.isnan(low[0])
    assert math.isnan(high[0])
    assert (low[1], high[2]) == (0, 1)
    assert high[1] == pytest.approx(Z95**2 / (20 + Z95**2))  # its closed form
    assert low[2] == pytest.approx(1 - high[1])


def test_wilson_covers_a_rare_rate() -> None:
    """Over every outcome of 40 rows at 3 %, of which the normal interval covers 70 in 100."""
    n, rate = 40, 0.03
    low, high = wilson(np.arange(n + 1), np.full(n + 1, n))
    covered = binom.pmf(np.arange(n + 1), n, rate)[(low <= rate) & (rate <= high)].sum()
    assert 0.93 < covered < 0.99


@given(SCORED)
def test_the_value_alone_is_that_of_auc(rows: list[tuple[int, int]]) -> None:
    labels, scores = arrays(rows)
    np.testing.assert_allclose(auc_value(labels, scores), auc(labels, scores).value, rtol=1e-12)
    assert math.isnan(auc_value(labels, scores)) == (len(set(labels.tolist())) == 1)
