"""Differences, their intervals and p, and the control of false discoveries."""

import itertools

import numpy as np
import pytest
from scipy import stats

from aesm2.slices import benjamini_hochberg, difference
from aesm2.slices.difference import drawn_at_random


def test_benjamini_hochberg_by_hand() -> None:
    # 5 tests, sorted .01 .02 .03 .04 .5 → p·5/i: .05 .05 .05 .05 .5
    p = np.array([0.5, 0.02, 0.01, 0.04, 0.03])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.5, 0.05, 0.05, 0.05, 0.05])
    # 3 tests: .001·3, .04·3/2 = .06, .05·3/3 = .05: the second takes the third's
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.05, 0.04, 0.001])), [0.05, 0.05, 0.003]
    )
    assert len(benjamini_hochberg(np.array([]))) == 0


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    p = np.random.default_rng(0).random(50) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


def test_a_difference_is_welchs_where_that_is_the_wider() -> None:
    rng = np.random.default_rng(1)
    values, inside = np.r_[rng.normal(1, 3, 80), rng.normal(0, 1, 400)], np.arange(480) < 80
    found = difference(np.r_[values, np.nan], np.r_[inside, True])
    welch = stats.ttest_ind(values[:80], values[80:], equal_var=False)
    interval = welch.confidence_interval()
    assert (found.rows, found.others) == (80, 400)
    assert found.effect == pytest.approx(values[:80].mean() - values[80:].mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(welch.pvalue)


def test_a_random_draw_agrees_with_every_draw_there_is() -> None:
    values = np.array([0.0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 5])
    means = np.array([np.mean(draw) for draw in itertools.combinations(values, 5)])
    for mean in np.unique(means):
        exact = 2 * min((means >= mean).mean(), (means <= mean).mean())
        below = 2 * min((means > mean).mean(), (means < mean).mean())
        assert below - 0.06 <= drawn_at_random(values, mean, 5) <= exact + 0.06


@pytest.mark.parametrize("kind", ["rare events", "unequal spread"])
def test_p_is_honest_where_one_of_the_two_tests_is_not(kind: str) -> None:
    """Of 800 true nulls about 5 % may have p ≤ 0.05; each test alone has two to six times it."""
    rng, level, repeats = np.random.default_rng(2), 0.05, 800
    inside = np.arange(5000) < 150
    below = 0
    for _ in range(repeats):
        if kind == "rare events":  # 0.75 events expected in the slice
            values = (rng.random(5000) < 0.005).astype(float)
        else:
            values = rng.normal(0, np.where(inside, 3.0, 1.0))
        below += difference(values, inside).p <= level
    assert below / repeats <= level + 3 * np.sqrt(level * (1 - level) / repeats)


def test_the_interval_covers() -> None:
    """A slice whose mean is 0.5 above the rest, skewed values: 95 % of intervals hold 0.5."""
    rng, repeats = np.random.default_rng(3), 500
    inside, held = np.arange(1200) < 120, 0
    for _ in range(repeats):
        found = difference(rng.exponential(1.0, 1200) + 0.5 * inside, inside)
        held += found.low <= 0.5 <= found.high
    assert 0.93 <= held / repeats <= 0.985


def test_what_cannot_be_compared() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert np.isnan(difference(values, np.array([True, False, False])).p)
    same = difference(np.ones(10), np.arange(10) < 5)
    assert (same.effect, same.p) == (0.0, 1.0)
