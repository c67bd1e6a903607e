"""Paired differences in a table against the evaluation, and rank correlation against scipy."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from aesm2.errors import InputError
from aesm2.evaluation import measure
from aesm2.routing.paired import paired_differences, rank_correlation
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two predictions that go together, one of them better."""
    rng = np.random.default_rng(seed)
    common, labels = rng.normal(size=n), rng.random(n) < 0.4
    a, b = (common + rng.normal(size=n) + lift * labels for lift in (0.6, 1.0))
    a, b = (1 / (1 + np.exp(-x)) for x in (a, b))
    return labels.astype(np.float64), a.round(2), b.round(2)


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
