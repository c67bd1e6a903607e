"""Matching recovers what was planted; what differs after it agrees with loops over rows."""

import copy
import itertools

import numpy as np
import pytest

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.models import AESM2, build
from aesm2.routing.alignment import (
    NONE,
    Routed,
    align,
    alignment_table,
    routed,
    routing_difference,
    use_difference,
)
from aesm2.routing.paired import scopes
from aesm2.routing.shares import Choices, layer_choices
from aesm2.routing.trace import LayerSpec
from tests.models import cases
from tests.models.test_aesm2_properties import permute_experts

SHAPE = cases.schema(levels=(3, 2))
ORDERS = ([3, 0, 4, 1, 2], [1, 4, 0, 2, 3], [2, 0, 1])  # one a layer


@pytest.fixture(scope="module")
def model() -> AESM2:
    group = ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=4)
    config = AESM2Config(scenario=(group, group), task=ExpertGroup(layers=1, experts=3, width=4))
    return cases.spread(AESM2(config, SHAPE))


@pytest.fixture(scope="module")
def rows() -> Batch:
    return cases.batch(SHAPE, 300)


@pytest.fixture(scope="module")
def pair(model: AESM2, rows: Batch) -> tuple[Routed, Routed]:
    other = copy.deepcopy(model)
    for layer, order in zip(other.layers, ORDERS, strict=True):
        permute_experts(layer, order)
    return routed(model, rows), routed(other, rows)


def groups(rows: Batch) -> list[tuple[str, str, np.ndarray]]:
    return scopes(rows.scenarios.numpy(), SHAPE)


def choices(specific: list, shared: list) -> Choices:
    """Choices of a scenario layer from lists of experts, one list a row."""
    experts = 1 + max(itertools.chain(*specific, *shared))
    masks = [
        np.array([[k in row for k in range(experts)] for row in s]) for s in (specific, shared)
    ]
    spec = LayerSpec("level0.1", "scenario", 0, SHAPE.levels[0], experts, 4, 1, 1)
    return Choices(spec, masks[0][None], masks[1][None])


def test_a_planted_permutation_is_found_exactly(pair: tuple[Routed, Routed], rows: Batch) -> None:
    a, b = pair
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
    for ours, theirs, order in zip(a.layers, b.layers, ORDERS, strict=True):
        found = align(ours, theirs)
        assert found.expert.tolist() == [order.index(k) for k in range(len(order))]
        assert found.matched == 1.0
        difference = routing_difference(ours, theirs, found, groups(rows))
        assert (difference[["differ", "specific", "shared"]].to_numpy() == 0).all()
        assert (difference["overlap"] == 1).all()
        own = rows.scenarios[:, 0].numpy()
        assert (use_difference(ours, theirs, found, 0, own, 3) == 0).all()


def test_unmatched_numbers_would_differ(pair: tuple[Routed, Routed], rows: Batch) -> None:
    a, b = (side.layers[0] for side in pair)
    found = align(a, b)
    straight = type(found)(**{**vars(found), "expert": np.arange(5)})
    assert routing_difference(a, b, straight, groups(rows))["differ"][0] > 0.5
    assert found.random < 0.5 < found.matched
    assert found.unrelated < found.matched


def test_choices_are_those_of_the_layer(
    pair: tuple[Routed, Routed], model: AESM2, rows: Batch
) -> None:
    wanted = layer_choices(model, rows, "task.1")
    np.testing.assert_array_equal(pair[0].layer("task.1").specific, wanted.specific)
    np.testing.assert_array_equal(pair[0].layer("task.1").shared, wanted.shared)
    with pytest.raises(InputError, match="no layer 'x'"):
        pair[0].layer("x")


def test_similarity_and_matching_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    a, b = (
        choices(rng.integers(0, 4, (60, 1)).tolist(), rng.integers(0, 4, (60, 1)).tolist())
        for _ in range(2)
    )
    found = align(a, b)
    sets = [
        [{(r, i) for r, m in enumerate((x.specific, x.shared)) for i in np.flatnonzero(m[0, :, k])}
         for k in range(4)] for x in (a, b)
    ]  # fmt: skip
    wanted = [[len(p & q) / len(p | q) for q in sets[1]] for p in sets[0]]
    np.testing.assert_allclose(found.similarity, wanted)
    totals = {
        order: np.mean([wanted[k][order[k]] for k in range(4)])
        for order in itertools.permutations(range(4))
    }
    assert found.matched == pytest.approx(max(totals.values()))
    assert found.random == pytest.approx(np.mean(list(totals.values())))
    assert found.random_high == pytest.approx(np.quantile(list(totals.values()), 0.95), abs=0.02)
    assert abs(found.matched - found.unrelated) < 0.05, "these rows are unrelated"


def test_difference_against_a_loop() -> None:
    a = choices([[0], [0], [1], [2]], [[1], [0], [2], [1]])
    b = choices([[1], [1], [0], [2]], [[0], [2], [2], [0]])  # 0 and 1 swapped, but for one row
    found = align(a, b)
    assert found.expert.tolist() == [1, 0, 2]
    mask = np.array([True, True, False, True])
    table = routing_difference(a, b, found, [("all", "all", np.ones(4, bool)), ("l", "x", mask)])
    assert table["differ"].tolist() == pytest.approx([1 / 4, 1 / 3])  # row 1: {0} and {1, 2}
    assert table["specific"].tolist() == [0, 0]
    assert table["shared"].tolist() == pytest.approx([1 / 4, 1 / 3])
    assert table["overlap"][0] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    own = np.array([0, 0, 1, -1])
    use = use_difference(a, b, found, 0, own, 2)
    assert use[1, 0].tolist() == pytest.approx([-1 / 2, 0, 1 / 2])  # row 1: shared 0, then 2
    assert (use[0] == 0).all()


def test_other_numbers_of_experts() -> None:
    a = choices([[0], [1], [2]], [[0], [1], [2]])
    b = choices([[1], [0], [0]], [[1], [0], [0]])
    found = align(a, b)
    assert found.expert[0] == 1 and (found.expert == NONE).sum() == 1
    table = alignment_table(found, a, b)
    assert table["counterpart"].isna().sum() == 1
    back = align(b, a)
    assert (back.expert != NONE).all()
    difference = routing_difference(b, a, back, [("all", "all", np.ones(3, bool))])
    assert difference["differ"][0] == pytest.approx(1 / 3)
    use = use_difference(a, b, found, 0, np.zeros(3, np.int64), 1)
    assert np.isnan(use[..., found.expert == NONE]).all()


def test_other_rows_are_refused() -> None:
    a, b = choices([[0], [1]], [[0], [1]]), choices([[0], [1], [1]], [[0], [1], [1]])
    with pytest.raises(ValueError, match="other rows"):
        align(a, b)


def test_a_model_without_selection_has_predictions_only(rows: Batch) -> None:
    found = routed(cases.spread(build(MLPConfig(), SHAPE)), rows)
    assert found.layers == ()
    assert found.probabilities.shape == (300, 2)
