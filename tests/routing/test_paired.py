"""Paired differences against counting pairs, resampling and scipy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from aesm2.errors import InputError
from aesm2.evaluation import measure
from aesm2.routing.paired import (
    Paired,
    paired_auc,
    paired_differences,
    paired_log_loss,
    rank_correlation,
)
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two predictions that go together, one of them better."""
    rng = np.random.default_rng(seed)
    common, labels = rng.normal(size=n), rng.random(n) < 0.4
    a, b = (common + rng.normal(size=n) + lift * labels for lift in (0.6, 1.0))
    a, b = (1 / (1 + np.exp(-x)) for x in (a, b))
    return labels.astype(np.float64), a.round(2), b.round(2)


def auc_by_pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for p in scores[labels == 1] for q in scores[labels == 0]
    ]  # fmt: skip
    return float(np.mean(pairs))


def test_values_are_those_of_counting_pairs() -> None:
    labels, a, b = rows(90)
    found = paired_auc(labels, a, b)
    wanted = auc_by_pairs(labels, a), auc_by_pairs(labels, b)
    np.testing.assert_allclose(found[:3], (*wanted, wanted[1] - wanted[0]), atol=1e-12)


@pytest.mark.parametrize("measured", [paired_auc, paired_log_loss])
def test_the_interval_is_that_of_resampling_rows(measured: Callable[..., Paired]) -> None:
    labels, a, b = rows(600)
    rng = np.random.default_rng(1)
    drawn = [
        measured(labels[i], a[i], b[i]).difference
        for i in (rng.integers(0, len(labels), len(labels)) for _ in range(400))
    ]
    found = measured(labels, a, b)
    error = (found.high - found.low) / (2 * 1.96)
    assert error == pytest.approx(np.std(drawn), rel=0.12)
    assert found.low < found.difference < found.high


def test_pairing_makes_it_narrower_than_two_intervals() -> None:
    labels, a, b = rows(600)
    other = np.random.default_rng(2).permutation(len(labels))
    width = [f.high - f.low for f in (paired_auc(labels, a, b), paired_auc(labels, a, b[other]))]
    assert width[0] < width[1]


def test_equal_predictions_do_not_differ_and_one_class_is_undefined() -> None:
    labels, a, _ = rows(50)
    assert paired_auc(labels, a, a)[2:] == (0.0, 0.0, 0.0)
    assert all(math.isnan(x) for x in paired_auc(np.ones(50), a, a))
    assert math.isnan(paired_auc(np.array([1.0, 0, 0]), a[:3], a[:3]).low)
    assert all(math.isnan(x) for x in paired_log_loss(labels[:0], a[:0], a[:0]))


def test_the_table_agrees_with_the_evaluation() -> None:
    batch = cases.batch(SHAPE, 400)
    rng = np.random.default_rng(0)
    a, b = rng.random((400, 2)), rng.random((400, 2))
    assert batch.labels is not None
    batch.labels[:7, 1] = np.nan
    found = paired_differences(a, b, batch, SHAPE)
    for side, predicted in (("a", a), ("b", b)):
        wanted = measure(predicted, batch, SHAPE, paths=False)
        np.testing.assert_allclose(found[f"auc_{side}"], 100 * wanted["auc"])
        np.testing.assert_allclose(found[f"log_loss_{side}"], wanted["log_loss"], rtol=1e-6)
        assert found["n"].tolist() == wanted["n"].tolist()
    np.testing.assert_allclose(found["delta_auc"], found["auc_b"] - found["auc_a"])
    only = paired_differences(a, b, batch, SHAPE, ("task1",))
    assert only["task"].unique().tolist() == ["task1"]


def test_rows_without_labels_are_refused() -> None:
    batch = cases.batch(SHAPE, 5)
    unlabelled = type(batch)(batch.fields, batch.scenarios)
    with pytest.raises(InputError, match="no labels"):
        paired_differences(np.zeros((5, 2)), np.zeros((5, 2)), unlabelled, SHAPE)


def test_rank_correlation_is_spearmans() -> None:
    _, a, b = rows(200)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert math.isnan(rank_correlation(a, np.ones(200)))
