"""Divergence against scipy; chance against every possible draw, and against many random ones."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from aesm2.data.drift import (
    FEW,
    Drift,
    chance,
    divergence,
    scenario_drift,
    split_drift,
    value_counts,
)

RNG = np.random.default_rng(0)
REGIMES = {  # rows of each value, and how many of all are drawn
    "two values": (np.array([3000, 7000]), 4000),
    "twenty values": (RNG.multinomial(20_000, np.full(20, 0.05)), 5000),
    "ids": (RNG.poisson(10, 2000) + 1, 2000),
    "few rows over many ids": (RNG.poisson(10, 2000) + 1, 100),
    "long tail": (np.ceil(20_000 / np.arange(1, 3000)).astype(int), 8000),
    "few rows of a long tail": (np.ceil(20_000 / np.arange(1, 3000)).astype(int), 300),
    "one large value and rare ones": (np.r_[50_000, np.full(100, 3)], 3000),
}


def bits(a: np.ndarray, b: np.ndarray) -> float:
    """The oracle: scipy's distance is the root of the divergence."""
    return float(jensenshannon(a / a.sum(), b / b.sum(), base=2) ** 2)


def draws(whole: np.ndarray, rows: int, count: int) -> np.ndarray:
    """Divergences of random draws of `rows` rows from all the others."""
    drawn = np.random.default_rng(1).multivariate_hypergeometric(whole, rows, size=count)
    return np.array([divergence(a, whole - a) for a in drawn])


def test_the_divergence_is_scipys() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b = rng.integers(0, 9, (2, 7))
        a[0] += 1
        b[0] += 1
        assert divergence(a, b) == pytest.approx(bits(a, b), abs=1e-12)
    assert divergence(np.array([3, 0]), np.array([0, 2])) == 1
    assert divergence(np.array([3, 6]), np.array([1, 2])) == 0


@pytest.mark.parametrize("whole", [[3, 2, 1], [1, 1, 1, 1, 1], [5, 2], [4, 0, 3]])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_chance_is_the_mean_over_every_possible_draw(whole: list[int], rows: int) -> None:
    values = np.repeat(np.arange(len(whole)), whole)
    every = [
        bits(drawn, np.array(whole) - drawn)
        for some in itertools.combinations(range(len(values)), rows)
        for drawn in [np.bincount(values[list(some)], minlength=len(whole))]
    ]
    assert chance(np.array(whole), rows)[0] == pytest.approx(np.mean(every), abs=1e-12)


@pytest.mark.parametrize("regime", REGIMES)
def test_chance_and_its_level_are_those_of_random_draws(regime: str) -> None:
    whole, rows = REGIMES[regime]
    drawn = draws(whole, rows, 1000)
    mean, level = chance(whole, rows)
    assert mean == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(len(drawn)))
    beyond = (drawn > level).mean()
    assert 0.015 < beyond < 0.075, "about 5 in 100 draws should lie above"


def test_many_rows_a_value_give_the_closed_form() -> None:
    whole, rows = np.full(12, 50_000), 200_000
    scale = (1 / rows + 1 / (whole.sum() - rows)) / (8 * math.log(2))
    mean, level = chance(whole, rows)
    assert mean == pytest.approx(11 * scale, rel=1e-4)
    assert level == pytest.approx(19.6751 * scale, rel=1e-4)  # χ² of 11 degrees, 95 %


def test_exact_and_closed_form_meet() -> None:
    """With 60 rows a value in the set the sum is dense, with 45 exact: neither jumps."""
    for per_value in (45, 60):
        whole, rows = np.full(20, 10 * per_value), 20 * per_value
        scale = 200 * per_value / (rows * (200 * per_value - rows)) / (8 * math.log(2))
        assert chance(whole, rows)[0] == pytest.approx(19 * scale, rel=0.03)


def test_ids_of_one_row_each_can_only_be_disjoint() -> None:
    assert chance(np.ones(400, int), 150) == pytest.approx((1.0, 1.0))


def test_a_single_value_never_differs() -> None:
    assert chance(np.array([40]), 10) == (0.0, 0.0)


def test_it_does_not_matter_which_set_is_drawn() -> None:
    whole, rows = REGIMES["long tail"]
    assert chance(whole, rows) == pytest.approx(chance(whole, int(whole.sum()) - rows))


SIZES = (4, 3)


def rows_of(sets: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fields whose second feature depends on the set, the first does not."""
    rng, own = np.random.default_rng(seed), np.repeat(np.arange(len(sets)), sets)
    likely = np.where(own % 2 == 0, 0.8, 0.3)
    second = np.where(rng.random(len(own)) < likely, 0, rng.integers(1, 3, len(own)))
    return np.stack([rng.integers(0, 4, len(own)), second], 1).astype(np.int32), own


def counts(values: np.ndarray, size: int) -> np.ndarray:
    return np.array([(values == value).sum() for value in range(size)])


def test_each_scenario_is_compared_with_all_other_rows() -> None:
    fields, own = rows_of([120, 80, 200])
    found = scenario_drift(fields, SIZES, own, 3)
    for feature, size in enumerate(SIZES):
        for scenario in range(3):
            inside = counts(fields[own == scenario, feature], size)
            outside = counts(fields[own != scenario, feature], size)
            assert found.divergence[feature, scenario] == pytest.approx(bits(inside, outside))
            drawn = chance(inside + outside, int(inside.sum()))
            assert (found.chance[feature, scenario], found.level[feature, scenario]) == drawn
    assert found.rows.tolist() == [[120, 80, 200], [280, 320, 200]]
    assert found.beyond_chance[1, 1]  # the one scenario that is different
    assert not found.beyond_chance[0].any()
    assert found.rank[1] > 10 * abs(found.rank[0])


def test_splits_are_compared_as_a_whole_and_by_scenario() -> None:
    (a, a_own), (b, b_own) = rows_of([90, 60]), rows_of([50, 70], seed=5)
    found = split_drift(a, b, SIZES, a_own, b_own, 2)
    assert found.rows.tolist() == [[150, 90, 60], [120, 50, 70]]
    for feature, size in enumerate(SIZES):
        wanted = [bits(counts(a[:, feature], size), counts(b[:, feature], size))] + [
            bits(counts(a[a_own == s, feature], size), counts(b[b_own == s, feature], size))
            for s in (0, 1)
        ]
        assert found.divergence[feature].tolist() == pytest.approx(wanted)


def test_a_set_without_rows_is_not_compared() -> None:
    fields, own = rows_of([50, 0, 40])
    found = scenario_drift(fields, SIZES, own, 3)
    for values in (found.divergence, found.chance, found.level, found.adjusted):
        assert np.isnan(values).any(0).tolist() == [False, True, False]
    assert not np.isnan(found.rank).any()
    alone = scenario_drift(*rows_of([50])[:1], SIZES, np.zeros(50, int), 1)
    assert np.isnan(alone.divergence).all()
    assert alone.rank.tolist() == [0, 0]


def test_beyond_chance_is_0_on_average_for_equal_sets_and_1_for_disjoint_ones() -> None:
    whole = np.full(300, 4)  # ids: two random halves share few of a set's ten rows
    drawn = np.random.default_rng(3).multivariate_hypergeometric(whole, 60, size=400)
    mean, level = chance(whole, 60)
    found = np.array([divergence(a, whole - a) for a in drawn])
    assert found.mean() > 0.3
    drift = Drift(np.array([[60], [1140]]), found[:, None], np.full((400, 1), mean),
                  np.full((400, 1), level))  # fmt: skip
    assert abs(drift.adjusted.mean()) < 0.003
    disjoint = scenario_drift(np.repeat([[0], [1]], 50, axis=0), (2,), np.repeat([0, 1], 50), 2)
    assert disjoint.adjusted.tolist() == [[1, 1]]


def test_the_rank_leaves_out_sets_of_few_rows() -> None:
    drift = Drift(
        np.array([[FEW, FEW - 1, 500], [500, 500, FEW]]), np.array([[0.2, 0.9, 0.4]]),
        np.zeros((1, 3)), np.zeros((1, 3)),
    )  # fmt: skip
    assert drift.few.tolist() == [False, True, False]
    assert drift.rank.tolist() == pytest.approx([0.3])
    few = Drift(drift.rows[:, 1:2], drift.divergence[:, 1:2], drift.chance[:, :1],
                drift.level[:, :1])  # fmt: skip
    assert few.rank.tolist() == pytest.approx([0.9])  # where there is nothing else


def test_values_are_counted_by_set() -> None:
    fields, own = rows_of([20, 0, 30])
    found = value_counts(fields[:, 0], 4, own, 3)
    assert found.tolist() == [counts(fields[own == s, 0], 4).tolist() for s in range(3)]
