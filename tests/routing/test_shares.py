import numpy as np
import pandas as pd
import pytest

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, PATH
from aesm2.errors import InputError
from aesm2.models import AESM2, build
from aesm2.routing import shares
from aesm2.routing.shares import LayerShares, layer_choices, layer_shares, restricted
from aesm2.routing.trace import LayerSpec, trace
from aesm2.routing.utilisation import LayerUtilisation, Utilisation, utilisation
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


def spec(experts: int = 4, specific: int = 1, shared: int = 1) -> LayerSpec:
    return LayerSpec("level0.1", "scenario", 0, SHAPE.levels[0], experts, 8, specific, shared)


def of_counts(
    rows: list[int], specific: list, shared: list | None = None, layer: LayerSpec | None = None
) -> LayerShares:
    """Shares of a scenario layer whose scenarios are level0's; counts: (S, n)."""
    counts = np.array([specific])
    return LayerShares(
        layer or spec(), "level0", SHAPE.levels[0][: len(rows)], np.array(rows), counts,
        counts if shared is None else np.array([shared]), counts.astype(float),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> AESM2:
    group = ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=4)
    config = AESM2Config(scenario=(group, group), task=ExpertGroup(layers=2, experts=3, width=4))
    return cases.spread(AESM2(config, SHAPE))


@pytest.fixture(scope="module")
def rows() -> Batch:
    return cases.batch(SHAPE, 300)


@pytest.fixture(scope="module")
def used(model: AESM2, rows: Batch) -> Utilisation:
    return utilisation(model, rows)


LAYERS = ("level0.1", "level1.1", "task.1", "task.2")


@pytest.mark.parametrize("by", ["level0", "level1", PATH, OVERALL])
@pytest.mark.parametrize("name", LAYERS)
def test_counts_are_those_of_the_scenarios_own_rows(
    model: AESM2, rows: Batch, used: Utilisation, name: str, by: str
) -> None:
    found = layer_shares(used, name, by)
    names = shares.scenario_names(SHAPE, by)
    assert found.scenarios == names
    of_path = np.ravel_multi_index(tuple(rows.scenarios.numpy().T), (3, 2))
    own = shares.scenario_of_path(SHAPE, by)[of_path]
    for index in range(len(names)):
        mine = np.flatnonzero(own == index)
        alone = utilisation(model, Batch(rows.fields[mine], rows.scenarios[mine])).layer(name)
        assert found.rows[index] == len(mine)
        np.testing.assert_array_equal(found.specific[:, index], alone.specific.sum(1))
        np.testing.assert_array_equal(found.shared[:, index], alone.shared.sum(1))
        np.testing.assert_allclose(found.weight[:, index], alone.weight.sum(1), rtol=1e-4)


def test_names_of_scenarios_and_the_path_they_belong_to() -> None:
    assert shares.scenario_names(SHAPE, PATH)[3] == "s1 → s1"
    assert shares.scenario_of_path(SHAPE, "level0").tolist() == [0, 0, 1, 1, 2, 2]
    assert shares.scenario_of_path(SHAPE, "level1").tolist() == [0, 1, 0, 1, 0, 1]
    assert shares.scenario_of_path(SHAPE, OVERALL).tolist() == [0] * 6
    with pytest.raises(InputError, match="no scenario level 'city'"):
        shares.scenario_names(SHAPE, "city")


@pytest.mark.parametrize("name", LAYERS)
def test_shares_add_up_to_k_and_weights_to_one(used: Utilisation, name: str) -> None:
    found = layer_shares(used, name, "level0")
    for role in shares.ROLES:
        total = found.values(role, "share").sum(-1)
        np.testing.assert_allclose(total, found.chosen(role))
    np.testing.assert_allclose(found.values("specific", "weight").sum(-1), 1, rtol=1e-5)


def test_a_layer_is_shown_by_its_own_level(used: Utilisation) -> None:
    own = [shares.own_grouping(layer.spec, SHAPE) for layer in used.layers]
    assert own == ["level0", "level1", OVERALL, OVERALL]
    assert layer_shares(used, "task.1", OVERALL).targets == SHAPE.tasks
    assert layer_shares(used, "level0.1", "level0").targets == ("",)


def test_a_scenario_without_rows_has_no_share() -> None:
    found = of_counts([10, 0], [[5, 5, 0, 0], [0, 0, 0, 0]])
    assert np.isnan(found.values("specific", "share")[0, 1]).all()
    assert found.values("specific", "count")[0, 1].tolist() == [0, 0, 0, 0]


def test_restricted_keeps_one_path(used: Utilisation) -> None:
    kept = restricted(used, (1, None))
    assert kept.rows.tolist() == [0, 0, *used.rows[2:4].tolist(), 0, 0]
    for layer, whole in zip(kept.layers, used.layers, strict=True):
        np.testing.assert_array_equal(layer.specific[:, 2:4], whole.specific[:, 2:4])
        assert not layer.specific[:, [0, 1, 4, 5]].any()
        assert not layer.weight[:, [0, 1, 4, 5]].any()
    assert restricted(used, (None, None)).rows.tolist() == used.rows.tolist()


@pytest.mark.parametrize(
    ("counts", "number"),
    [([7, 0, 0, 0], 1), ([3, 3, 0, 0], 2), ([5, 5, 5, 5], 4), ([3, 1, 0, 0], 1.7547654)],
)
def test_effective_number(counts: list[int], number: float) -> None:
    assert shares.effective_number(np.array(counts)) == pytest.approx(number)


def test_effective_number_of_nothing_is_undefined() -> None:
    assert np.isnan(shares.effective_number(np.zeros((2, 3)))).all()


def test_dead_is_below_a_thousandth_in_every_role() -> None:
    #                          expert 0      1    2    3
    found = of_counts([10_000], [[9_982, 9, 9, 0]], [[9_980, 0, 11, 9]])
    assert shares.dead_experts(found) == [1, 3]
    exactly = of_counts([10_000], [[9_990, 10, 0, 0]])
    assert shares.dead_experts(exactly) == [2, 3]
    assert shares.dead_experts(of_counts([0], [[0, 0, 0, 0]])) == []


def test_dead_must_be_dead_for_every_task() -> None:
    task = LayerSpec("task.1", "task", None, SHAPE.tasks, 3, 8, 1, 1)
    specific = np.array([[[100, 0, 0]], [[0, 100, 0]]])
    found = LayerShares(task, OVERALL, (OVERALL,), np.array([100]), specific, specific, specific)
    assert shares.dead_experts(found) == [2]


def test_overloaded_is_above_three_times_the_even_share() -> None:
    found = of_counts([60, 40], [[60, 0, 0, 0], [16, 24, 0, 0]])
    assert shares.overload_limit(found, "specific") == 0.75
    assert shares.overloaded_experts(found, "specific") == [(0, 76)]
    just = of_counts([60, 40], [[60, 0, 0, 0], [15, 25, 0, 0]])
    assert shares.overloaded_experts(just, "specific") == []
    small = of_counts([10], [[10, 0]], layer=spec(experts=2))
    assert shares.overload_limit(small, "specific") > 1
    assert shares.overloaded_experts(small, "specific") == []


@pytest.mark.parametrize("name", LAYERS)
def test_choices_name_the_rows_of_a_cell(
    model: AESM2, rows: Batch, used: Utilisation, name: str
) -> None:
    choices = layer_choices(model, rows, name)
    traced = trace(model, rows, pd.RangeIndex(len(rows))).layer(name)
    of_tab = rows.scenarios[:, 0].numpy() == 1
    counts = layer_shares(used, name, "level0")
    for target in range(len(choices.specific)):
        seen = traced.of_task(target)
        for expert in range(counts.spec.experts):
            found = choices.rows("specific", target, expert, of_tab)
            wanted = [i for i in range(len(rows)) if of_tab[i] and seen.specific[i, expert]]
            assert found.tolist() == wanted
            assert len(found) == counts.specific[target, 1, expert]
            shared = choices.rows("shared", target, expert, of_tab)
            assert len(shared) == counts.shared[target, 1, expert]
            either = choices.rows(None, target, expert, of_tab)
            assert either.tolist() == sorted({*found.tolist(), *shared.tolist()})


def test_choices_of_what_is_not_there(model: AESM2, rows: Batch) -> None:
    with pytest.raises(InputError, match="no layer 'nope'"):
        layer_choices(model, rows, "nope")
    with pytest.raises(InputError, match="no rows"):
        layer_choices(model, rows[:0], "task.1")
    with pytest.raises(InputError, match="no layer"):
        layer_choices(build(MLPConfig(name="mlp"), SHAPE), rows, "task.1")


def test_counting_does_not_change_what_it_is_given(used: Utilisation) -> None:
    before = used.rows.copy()
    layer: LayerUtilisation = used.layers[0]
    kept = layer.specific.copy()
    restricted(used, (0, 0))
    layer_shares(used, "level0.1", PATH)
    np.testing.assert_array_equal(used.rows, before)
    np.testing.assert_array_equal(layer.specific, kept)


def test_rows_without_a_task_do_not_count_for_it(
    model: AESM2, rows: Batch, used: Utilisation
) -> None:
    exists = np.ones((6, 2), bool)
    exists[[1, 3, 5], 1] = False  # the second task exists only where level1 is s0
    found = layer_shares(used, "task.1", "level0", exists)
    of_level1 = rows.scenarios[:, 1].numpy()
    kept = np.flatnonzero(of_level1 == 0)
    alone = utilisation(model, Batch(rows.fields[kept], rows.scenarios[kept]))
    whole, part = (layer_shares(u, "task.1", "level0") for u in (used, alone))
    for name in ("specific", "shared", "weight"):
        np.testing.assert_allclose(getattr(found, name)[0], getattr(whole, name)[0])
        np.testing.assert_allclose(getattr(found, name)[1], getattr(part, name)[1])
    np.testing.assert_array_equal(found.counted, [whole.rows, part.rows])
    np.testing.assert_array_equal(found.rows, whole.rows)
    assert np.allclose(found.values("specific", "share").sum(-1), found.chosen("specific"))
    scenario = layer_shares(used, "level0.1", "level0", exists)  # a scenario layer has no tasks
    np.testing.assert_array_equal(
        scenario.specific, layer_shares(used, "level0.1", "level0").specific
    )


def test_dead_and_overloaded_are_told_among_the_rows_of_the_task() -> None:
    task = LayerSpec("task.1", "task", None, ("ctr", "like"), 4, 8, 1, 1)
    counts = np.array([[[1000, 0, 0, 0]], [[0, 1, 0, 0]]])  # the only row of `like` takes expert 1
    found = LayerShares(
        task, OVERALL, (OVERALL,), np.array([1000]), counts, counts, counts.astype(float),
        with_task=np.array([[1000], [1]]),
    )  # fmt: skip
    assert shares.dead_experts(found) == [2, 3]
    assert shares.overloaded_experts(found, "specific") == [(0, 1000)]
