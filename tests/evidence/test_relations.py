"""Distances by transfer, their agreement with others, and the fewest crossings of two trees."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from aesm2.errors import InputError
from aesm2.evidence.paper import published
from aesm2.evidence.relations import (
    LARGEST,
    SAMPLES,
    agreement,
    cophenetic,
    relations,
    tanglegram,
    transfer_distance,
    tree,
)
from aesm2.routing.distance import Distances


def distances(seed: int, count: int, rounded: int = 9) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return np.linalg.norm(points[:, None] - points[None], axis=-1).round(rounded)


def test_a_transfer_distance_by_hand() -> None:
    """1 → 0 loses 20 and 0 → 1 loses 10; between 0 and 2 foreign models do better."""
    auc = np.array([[90.0, 70.0, 63.0], [70.0, 80.0, 50.0], [91.0, 75.0, 60.0]])
    wanted = [[0, 15, 0], [15, 0, 7.5], [0, 7.5, 0]]
    assert transfer_distance(auc) == pytest.approx(np.array(wanted))


@pytest.mark.parametrize("auc", [np.zeros((2, 3)), np.array([[0.9, np.nan], [0.8, 0.9]])])
def test_a_table_with_gaps_is_refused(auc: np.ndarray) -> None:
    with pytest.raises(InputError, match="square table of AUCs without gaps"):
        transfer_distance(auc)


def slow_agreement(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    pairs = list(itertools.combinations(range(len(one)), 2))

    def rho(labels: tuple[int, ...]) -> float:
        moved = [other[labels[i], labels[j]] for i, j in pairs]
        return float(spearmanr([one[i, j] for i, j in pairs], moved).statistic)

    found = [rho(labels) for labels in itertools.permutations(range(len(one)))]
    return found[0], float(np.mean([value >= found[0] - 1e-9 for value in found]))


@pytest.mark.parametrize(("seed", "count"), [(0, 3), (1, 4), (2, 5), (3, 5)])
def test_agreement_is_spearmans_over_every_relabelling(seed: int, count: int) -> None:
    one, other = distances(seed, count, 1), distances(seed + 50, count, 0)
    found = agreement(one, other)
    assert (found.rho, found.p) == pytest.approx(slow_agreement(one, other))
    assert (found.relabellings, found.exact) == (math.factorial(count), True)


def test_many_scenarios_are_relabelled_at_random() -> None:
    same = agreement(distances(4, 8), distances(4, 8))
    assert (same.rho, same.p) == pytest.approx((1, 1 / (SAMPLES + 1)))
    assert (same.relabellings, same.exact) == (SAMPLES + 1, False)
    one, other = distances(6, 8), distances(7, 8)
    assert agreement(one, other, 1) == agreement(one, other, 1)
    assert agreement(one, other, 1).p == pytest.approx(agreement(one, other, 2).p, abs=0.02)


def test_unrelated_distances_agree_significantly_5_times_in_100() -> None:
    found = [agreement(distances(i, 5), distances(1000 + i, 5)).p for i in range(300)]
    assert 0.02 < np.mean([p <= 0.05 for p in found]) < 0.08


def test_p_has_a_floor_where_labels_can_be_exchanged() -> None:
    """CTR and CTCVR of the paper agree perfectly; two pairs keep their tree in 4 ways of 24."""
    one, other = (transfer_distance(printed(table).to_numpy()) for table in (5, 7))
    own = agreement(one, other)
    assert (own.rho, own.p) == pytest.approx((1, 1 / 24))
    trees = agreement(cophenetic(tree(one)), cophenetic(tree(other)))
    assert (trees.rho, trees.p) == pytest.approx((1, 4 / 24))


def test_equal_distances_say_nothing() -> None:
    found = agreement(1 - np.eye(4), distances(0, 4))
    assert math.isnan(found.rho)
    assert math.isnan(found.p)


def test_cophenetic_heights_by_hand() -> None:
    """0 and 1 join at 1; 2 joins them at the mean of 4 and 6."""
    distance = np.array([[0, 1, 4], [1, 0, 6], [4, 6, 0.0]])
    assert cophenetic(tree(distance)).tolist() == [[0, 1, 5], [1, 0, 5], [5, 5, 0]]


def flips(node: int, joined: np.ndarray) -> list[list[int]]:
    """Every order of the leaves under a node."""
    count = len(joined) + 1
    if node < count:
        return [[node]]
    one, other = (flips(int(child), joined) for child in joined[node - count, :2])
    pairs = list(itertools.product(one, other))
    return [a + b for a, b in pairs] + [b + a for a, b in pairs]


def crossings(left: list[int], right: list[int]) -> int:
    return sum(
        (left.index(i) < left.index(j)) != (right.index(i) < right.index(j))
        for i, j in itertools.combinations(range(len(left)), 2)
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_no_flips_cross_less(seed: int, count: int) -> None:
    one, other = tree(distances(seed, count)), tree(distances(seed + 1, count))
    found = tanglegram(one, other)
    of_left, of_right = (flips(2 * count - 2, joined) for joined in (one, other))
    assert found.left in of_left
    assert found.right in of_right
    assert found.crossings == crossings(found.left, found.right)
    fewest = min(crossings(a, b) for a, b in itertools.product(of_left, of_right))
    assert found.crossings == fewest


def test_equal_trees_need_not_cross_and_many_scenarios_are_refused() -> None:
    own = tree(distances(3, LARGEST))
    found = tanglegram(own, own)
    assert found.crossings == 0
    assert found.left == found.right
    larger = tree(distances(3, LARGEST + 1))
    with pytest.raises(InputError, match=r"trees of 13 and 13 scenarios; .* at most 12"):
        tanglegram(larger, larger)
    with pytest.raises(InputError, match="trees of 12 and 3 scenarios; expected as many in both"):
        tanglegram(own, tree(distances(3, 3)))


def used(names: tuple[str, ...], distance: np.ndarray) -> Distances:
    rows = np.full(len(names), 100)
    return Distances("path", names, rows, (), distance, np.zeros_like(distance), None)


def printed(table: int) -> pd.DataFrame:
    return published(table).pivot_table(index="train", columns="scenario", values="value")


def test_the_papers_transfers_join_scenarios_of_a_domain() -> None:
    """§4.3, and both tasks agree as well as four scenarios can."""
    ctr, ctcvr = printed(5), printed(7)
    names = ("VP → RI", "VP → BS", "HP → RI", "HP → BS", "elsewhere")
    own = list(names[:4])
    other = np.pad(transfer_distance(ctcvr.loc[own, own].to_numpy()), (0, 1), constant_values=9)
    found = relations(ctr, used(names, other))
    assert found.scenarios == tuple(ctr.index)
    nearest = [found.scenarios[i] for i in (found.transfer + 99 * np.eye(4)).argmin(0)]
    assert nearest == ["VP → BS", "VP → RI", "HP → BS", "HP → RI"]
    assert found.use == pytest.approx(transfer_distance(ctcvr.to_numpy()))
    assert found.distances == agreement(found.transfer, found.use)
    assert found.trees.rho == pytest.approx(
        spearmanr(
            *(cophenetic(t)[np.triu_indices(4, 1)] for t in (found.transfer_tree, found.use_tree))
        ).statistic
    )
    assert found.tanglegram is not None
    assert found.tanglegram.crossings == 0


def test_scenarios_in_one_only_are_left_out() -> None:
    with pytest.raises(InputError, match="1 scenarios are in the transfer table and have rows"):
        relations(printed(5), used(("HP → RI", "NL"), 1 - np.eye(2)))


def test_a_tree_of_many_scenarios_is_not_untangled() -> None:
    names = tuple(map(str, range(LARGEST + 1)))
    auc = pd.DataFrame(90 - distances(1, len(names)), index=names, columns=names)
    found = relations(auc, used(names, distances(1, len(names))))
    assert found.tanglegram is None
    assert found.distances.rho == pytest.approx(1)
