"""Bins of scores: AUC, its bound and its interval against exact ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.metrics import auc
from aesm2.streaming.scores import MANTISSA, ScoreCounts, mantissa_for

CELLS = np.array([0]), np.array([1])


def counted(labels: np.ndarray, scores: np.ndarray, mantissa: int = 7) -> ScoreCounts:
    return ScoreCounts.of(labels.astype(np.int64), scores.astype(np.float32), mantissa)


def drawn(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 5, rows).astype(np.float32)
    return (rng.random(rows) < scores).astype(np.float32), scores


def rounded(scores: np.ndarray, mantissa: int) -> np.ndarray:
    """The lowest score of each score's bin."""
    bits = scores.astype(np.float32).view(np.uint32) >> (MANTISSA - mantissa)
    return (bits << (MANTISSA - mantissa)).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("mantissa", [7, 10, 12])
def test_the_bound_holds_and_is_small(mantissa: int) -> None:
    labels, scores = drawn(0, 20_000)
    found, exact = counted(labels, scores, mantissa).auc(*CELLS), auc(labels, scores)
    assert abs(found.value - exact.value) <= found.error + 1e-12
    assert found.error < {7: 3e-3, 10: 4e-4, 12: 1e-4}[mantissa]
    assert abs(found.value - exact.value) < 3e-5
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-4)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=2, max_size=60),
    st.sampled_from([7, 12]),
)
def test_the_bound_holds_for_any_scores(rows: list[tuple[bool, float]], mantissa: int) -> None:
    labels = np.array([label for label, _ in rows], np.float32)
    scores = np.array([score for _, score in rows], np.float32)
    found, exact = counted(labels, scores, mantissa).auc(*CELLS), auc(labels, scores)
    if math.isnan(exact.value):
        assert math.isnan(found.value) and math.isnan(found.error)
        return
    assert abs(found.value - exact.value) <= found.error + 1e-12


def test_scores_that_are_alike_in_a_bin_or_apart_are_exact() -> None:
    """Ties of one value, and bins in which the classes do not overlap, hide nothing."""
    scores = np.array([0.5, 0.5, 0.5001, 0.5002, 0.9], np.float32)
    labels = np.array([0, 1, 0, 1, 0], np.float32)
    tied = counted(labels[[0, 1, 4]], scores[[0, 1, 4]]).auc(*CELLS)
    assert (tied.value, tied.error) == (auc(labels[[0, 1, 4]], scores[[0, 1, 4]]).value, 0)
    apart = counted(labels[[2, 3, 4]], scores[[2, 3, 4]]).auc(*CELLS)
    assert (apart.value, apart.error) == (0.5, 0)  # below 0.9, above 0.5001


def test_the_interval_is_delongs_of_the_binned_scores() -> None:
    labels, scores = drawn(1, 3000)
    found, exact = counted(labels, scores).auc(*CELLS), auc(labels, rounded(scores, 7))
    value = pytest.approx((exact.low, exact.high), abs=2e-4)  # around the refined value
    assert (found.low, found.high) == value


def test_bins_add_up() -> None:
    labels, scores = drawn(2, 4000)
    parts = np.array_split(np.arange(4000), 7)
    summed = sum(
        (counted(labels[p], scores[p]) for p in parts[1:]),
        counted(labels[parts[0]], scores[parts[0]]),
    )
    whole = counted(labels, scores)
    for name, values in whole.arrays().items():
        assert np.array_equal(summed.arrays()[name], values), name
    bins = whole.bins(*CELLS)
    assert bins[1].sum() == 4000
    assert bins[1][1].sum() == labels.sum()
    assert whole.auc(*CELLS) == summed.auc(*CELLS)


def test_a_class_that_is_missing_leaves_the_auc_undefined() -> None:
    found = counted(np.ones(5), np.linspace(0, 1, 5)).auc(*CELLS)
    assert all(math.isnan(value) for value in found)
    nothing = counted(np.zeros(0), np.zeros(0))
    assert math.isnan((nothing + nothing).auc(*CELLS).value)


def test_many_cells_have_coarser_bins() -> None:
    assert [mantissa_for(cells) for cells in (1, 80, 560, 10**6)] == [12, 12, 10, 7]
