"""Recovery of a planted truth: each measure against an obvious computation on a small model."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from aesm2.data.batch import Batch
from aesm2.inference import probabilities
from aesm2.models import AESM2
from aesm2.routing.agreement import adjusted_rand, within_ranks
from aesm2.routing.recovery import COLUMNS, recovery
from aesm2.routing.trace import trace
from aesm2.simulation.planted import Planted
from tests.models import cases
from tests.models.test_aesm2_properties import CONFIG

ROWS = 300
SHAPE = cases.schema(levels=(2, 2))
PATHS = tuple(itertools.product(("s0", "s1"), repeat=2))
ONE_LAYER = CONFIG.model_copy(update={"scenario": CONFIG.scenario.model_copy(update={"layers": 1})})
MODEL = cases.spread(AESM2(ONE_LAYER, SHAPE))
BATCH = cases.batch(SHAPE, ROWS)
INDEX = pd.RangeIndex(ROWS)
PATH = BATCH.scenarios.numpy() @ [2, 1]


def planted(**changes: np.ndarray) -> Planted:
    """A truth that has nothing to do with the model, but for `changes`."""
    rng = np.random.default_rng(4)
    corner = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    values = {
        "probability": rng.random((ROWS, 2)) * [0.5, 0.1],
        "regime": rng.integers(0, 3, (ROWS, 2)),
        "sensitivity": rng.random((ROWS, 2)),
        "distance": np.abs(corner[:, None] * [1.0, 2.1] - corner[None] * [1.0, 2.1]).sum(-1),
    }
    return Planted(**(values | changes), paths=PATHS)


def measured(truth: Planted, permutations: int = 39) -> pd.DataFrame:
    found = recovery(MODEL, BATCH, truth, permutations)
    assert list(found.columns) == list(COLUMNS)
    return found.set_index(["measure", "of"]).sort_index()


def moved(level: int) -> Batch:
    """Every row in the other scenario of a level."""
    scenarios = BATCH.scenarios.clone()
    scenarios[:, level] = 1 - scenarios[:, level]
    return Batch(BATCH.fields, scenarios)


def weights_change(level: int) -> list[float]:
    """Row by row: half the sum of absolute differences of the mixing weights."""
    name = f"level{level}.1"
    own, other = (trace(MODEL, b, INDEX).layer(name).mixing_weights for b in (BATCH, moved(level)))
    return [float((own[i].double() - other[i].double()).abs().sum()) / 2 for i in range(ROWS)]


def chosen_sets(level: int, model: AESM2 = MODEL) -> list[tuple[int, ...]]:
    masks = trace(model, BATCH, INDEX).layer(f"level{level}.1").specific
    return [tuple(torch.nonzero(mask).flatten().tolist()) for mask in masks]


@pytest.mark.parametrize("level", [0, 1])
def test_roles_compare_chosen_sets_with_planted_ones(level: int) -> None:
    truth, sets = planted(), chosen_sets(level)
    assert len(set(sets)) > 2
    names = sorted(set(sets))
    labels = np.array([names.index(own) for own in sets])
    found = measured(truth)
    for measure, strata in (("roles", 0 * PATH), ("roles within scenarios", PATH)):
        wanted = adjusted_rand(labels, truth.regime[:, level], strata)
        assert found.loc[(measure, f"level{level}.1"), "value"] == pytest.approx(wanted)


@pytest.mark.parametrize("experts", [8, 9, 20])
def test_roles_are_of_all_experts_however_many(experts: int) -> None:
    scenario = ONE_LAYER.scenario.model_copy(update={"experts": experts})
    model = cases.spread(AESM2(ONE_LAYER.model_copy(update={"scenario": scenario}), SHAPE))
    truth, sets = planted(), chosen_sets(0, model)
    names = sorted(set(sets))
    labels = np.array([names.index(own) for own in sets])
    found = recovery(model, BATCH, truth, 19).set_index(["measure", "of"]).sort_index()
    wanted = adjusted_rand(labels, truth.regime[:, 0], 0 * PATH)
    assert found.loc[("roles", "level0.1"), "value"] == pytest.approx(wanted)


@pytest.mark.parametrize("level", [0, 1])
def test_sensitivity_compares_changes_of_weights(level: int) -> None:
    truth = planted()
    learnt = within_ranks(np.array(weights_change(level)).round(5), PATH)
    wanted = np.corrcoef(learnt, within_ranks(truth.sensitivity[:, level], PATH))[0, 1]
    found = measured(truth).loc[("sensitivity", f"level{level}.1"), "value"]
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_scenario_that_does_not_exist_is_no_alternative() -> None:
    """Without s1 → s1, rows of s0 → s1 and of s1 → s0 have nowhere to move at one level each."""
    here = np.flatnonzero(PATH < 3)
    truth = planted()
    some = Planted(
        truth.probability[here], truth.regime[here], truth.sensitivity[here],
        truth.distance[:3, :3], PATHS[:3],
    )  # fmt: skip
    found = (
        recovery(MODEL, BATCH[torch.from_numpy(here)], some, 19)
        .set_index(["measure", "of"])
        .sort_index()
    )
    change = np.where(PATH == 1, 0, np.round(weights_change(0), 5))[
        here
    ]  # level 0 of s0 → s1 cannot move
    strata = PATH[here]
    learnt, true = (within_ranks(v, strata) for v in (change, some.sensitivity[:, 0]))
    wanted = learnt @ true / math.sqrt((learnt @ learnt) * (true @ true))
    value = found.loc[("sensitivity", "level0.1"), "value"]
    assert value == pytest.approx(wanted, abs=1e-6)


def test_a_truth_that_the_routing_mirrors_is_found() -> None:
    names = [sorted(set(chosen_sets(level))) for level in (0, 1)]
    coded = [[own.index(s) for s in chosen_sets(at)] for at, own in enumerate(names)]
    regime = np.array(coded).T
    sensitivity = np.array([weights_change(0), weights_change(1)]).T.round(5)
    probability = probabilities(MODEL, BATCH).astype(np.float64)
    found = measured(planted(regime=regime, sensitivity=sensitivity, probability=probability))
    for measure in ("roles", "roles within scenarios", "sensitivity", "gap"):
        lines = found.loc[measure]
        assert lines["value"].to_numpy() == pytest.approx(1, abs=1e-3), measure
        assert (lines["p"] == 1 / 40).all(), measure
        assert (lines["null_95"] < 0.6).all(), measure


def test_a_truth_that_has_nothing_to_do_with_it_is_not() -> None:
    found = measured(planted(), permutations=99)
    assert (found["p"] > 0.01).all()
    within = found.loc[["roles", "roles within scenarios", "sensitivity"]]
    assert (within["value"].abs() < 0.2).all()
    assert (within["null_mean"].abs() < 0.03).all()


def test_the_gap_is_closed_from_the_scenarios_rate_to_the_truth() -> None:
    """Against all pairs of rows, each a positive with its probability."""
    truth = planted()
    predicted = probabilities(MODEL, BATCH)[:, 1]
    p = truth.probability[:, 1]

    def expected_auc(rows: np.ndarray, scores: np.ndarray) -> float:
        right = pairs = 0.0
        for i, j in itertools.product(rows, rows):
            weight = p[i] * (1 - p[j])
            pairs += weight
            right += weight * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
        return right / pairs

    found = measured(truth, permutations=19).loc["gap"]
    one = np.flatnonzero(PATH == 2)
    wanted = (expected_auc(one, predicted) - 0.5) / (expected_auc(one, p) - 0.5)
    assert found.loc["task1, s1 → s0", "value"] == pytest.approx(wanted, abs=1e-6)
    assert found.loc["task1, s1 → s0", "n"] == len(one)
    everyone = np.arange(ROWS)
    of_path = np.array([p[own == PATH].mean() for own in PATH])
    floor = expected_auc(everyone, of_path)
    wanted = (expected_auc(everyone, predicted) - floor) / (expected_auc(everyone, p) - floor)
    assert found.loc["task1, all", "value"] == pytest.approx(wanted, abs=1e-6)


def test_distances_are_compared_with_every_other_order_of_the_scenarios() -> None:
    found = measured(planted()).loc["distance"]
    assert list(found.index) == ["path"]
    assert found["n"].tolist() == [6]
    p = float(found["p"].iloc[0]) * 24
    assert p == pytest.approx(round(p))  # one of the 24 orders
    truth = planted().distance
    null = []
    for order in itertools.permutations(range(4)):
        other = truth[np.ix_(order, order)]
        null.append(spearmanr(truth[np.triu_indices(4, 1)], other[np.triu_indices(4, 1)]))
    assert len(null) == 24  # the planted distances have symmetries, so p cannot be 1/24
    ties = sum(value.statistic > 1 - 1e-9 for value in null)
    assert p >= ties


def test_one_seed_gives_one_result() -> None:
    pd.testing.assert_frame_equal(recovery(MODEL, BATCH, planted(), 19, 3),
                                  recovery(MODEL, BATCH, planted(), 19, 3))  # fmt: skip
    other = recovery(MODEL, BATCH, planted(), 19, 4)
    assert not other.equals(recovery(MODEL, BATCH, planted(), 19, 3))


def test_with_two_scenarios_there_is_no_order_of_distances() -> None:
    shape = cases.schema(levels=(2,))
    model, batch = cases.spread(AESM2(CONFIG, shape)), cases.batch(shape, 80)
    rng = np.random.default_rng(0)
    truth = Planted(rng.random((80, 2)), rng.integers(0, 2, (80, 1)), rng.random((80, 1)),
                    np.ones((2, 2)) - np.eye(2), (("s0",), ("s1",)))  # fmt: skip
    found = recovery(model, batch, truth, 19)
    assert set(found["measure"]) == {"roles", "roles within scenarios", "sensitivity", "gap"}
