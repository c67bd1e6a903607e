"""Agreement of partitions and of ranks, against slow, obvious computations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from aesm2.routing.agreement import adjusted_rand, within_ranks

labels = st.lists(st.integers(0, 3), min_size=2, max_size=12)


def by_pairs(a: list[int], b: list[int]) -> float:
    """Hubert and Arabie's index by going through all pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    both = sum(a[i] == a[j] and b[i] == b[j] for i, j in pairs)
    one, other = (sum(x[i] == x[j] for i, j in pairs) for x in (a, b))
    expected = one * other / len(pairs)
    room = (one + other) / 2 - expected
    return (both - expected) / room if room else math.nan


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12))
def test_the_adjusted_rand_index_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    found = adjusted_rand(np.array(a), np.array(b), np.zeros(len(a), int))
    assert found == pytest.approx(by_pairs(a, b), nan_ok=True)


def test_a_value_from_the_literature() -> None:
    """Three pairs agree, five and four are together, of fifteen."""
    a, b = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1]
    assert adjusted_rand(np.array(a), np.array(b), np.zeros(6, int)) == pytest.approx(
        (2 - 4 * 7 / 15) / ((4 + 7) / 2 - 4 * 7 / 15)
    )


def test_strata_are_averaged_by_rows_and_silent_ones_left_out() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 60), rng.integers(0, 3, 60)
    within = np.repeat([0, 1, 2], [10, 30, 20])
    a[within == 2] = 0
    b[within == 2] = 1  # all together in both: says nothing
    first, second = (by_pairs(list(a[within == s]), list(b[within == s])) for s in (0, 1))
    assert adjusted_rand(a, b, within) == pytest.approx((10 * first + 30 * second) / 40)
    assert math.isnan(adjusted_rand(a[40:], b[40:], within[40:]))


def test_the_names_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    a, within = rng.integers(0, 4, 50), np.zeros(50, int)
    assert adjusted_rand(a, 7 - a, within) == pytest.approx(1)
    assert adjusted_rand(a, np.zeros(50, int), within) == pytest.approx(0)


def test_ranks_within_one_stratum_correlate_as_spearman_does() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=40).round(1)
    b = a + rng.normal(size=40)
    one, other = (within_ranks(v, np.zeros(40, int)) for v in (a, b))
    assert (one @ other) / 40 == pytest.approx(spearmanr(a, b).statistic)


def test_ranks_start_anew_in_each_stratum() -> None:
    values, within = np.array([1.0, 2, 3, 100, 50, 7, 7]), np.array([0, 0, 0, 1, 1, 2, 2])
    step = math.sqrt(1.5)
    assert within_ranks(values, within) == pytest.approx([-step, 0, step, 1, -1, 0, 0])
