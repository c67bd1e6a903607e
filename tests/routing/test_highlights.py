"""Rows worth a look, against a loop over single rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import probabilities
from aesm2.models import AESM2, MLP
from aesm2.routing.gap import selection_gap
from aesm2.routing.highlights import chooses, highlights, sample
from aesm2.routing.trace import LayerSpec, layer_specs, trace
from tests.data.tables import describe
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))
ROWS = cases.batch(SHAPE, 60)


@pytest.fixture(scope="module")
def model() -> AESM2:
    return cases.spread(AESM2(AESM2Config(), SHAPE))


def row(batch: Batch, at: int, scenario: int | None = None) -> Batch:
    alone = batch[at : at + 1]
    scenarios = alone.scenarios.clone()
    if scenario is not None:
        scenarios[0, 0] = scenario
    return Batch(alone.fields, scenarios)


def gaps(model: AESM2, batch: Batch) -> np.ndarray:
    """(rows, layers), a row at a time."""
    lines = []
    for at in range(len(batch)):
        found = trace(model, row(batch, at), pd.RangeIndex(1))
        lines.append([float(selection_gap([layer], 1)[0]) for layer in found.layers])
    return np.array(lines)


def test_the_decisive_and_the_closest_row(model: AESM2) -> None:
    every = gaps(model, ROWS)
    smallest = every.min(1)
    found = highlights(model, ROWS, 0)
    names = [spec.name for spec in layer_specs(model)]
    for call, at in ((found.decisive, smallest.argmax()), (found.closest, smallest.argmin())):
        assert call is not None
        assert call.position == at
        assert call.gap == pytest.approx(smallest[at], abs=1e-5)
        assert call.layer == names[every[at].argmin()]
        assert call.median == pytest.approx(np.median(smallest), abs=1e-5)


@pytest.mark.parametrize("task", [0, 1])
def test_the_biggest_disagreement(model: AESM2, task: int) -> None:
    scored = np.array(
        [
            [probabilities(model, row(ROWS, at, scenario))[0, task] for scenario in range(3)]
            for at in range(len(ROWS))
        ]
    )
    spread = scored.max(1) - scored.min(1)
    found = highlights(model, ROWS, task).disagreement
    assert found is not None
    assert found.position == spread.argmax()
    assert found.task == task
    assert np.allclose(found.probabilities, scored[found.position], atol=1e-6)
    assert found.own == int(ROWS.scenarios[found.position, 0])
    assert found.spread == pytest.approx(spread.max(), abs=1e-6)
    assert found.median == pytest.approx(np.median(spread), abs=1e-6)


def test_only_scenarios_that_have_the_task_disagree(model: AESM2) -> None:
    """The second task is in s0 and s2 alone: s1 has no say, and its rows are not looked at."""
    described = describe(
        ("level", [{"name": name, "column": name, "values": list(names)}
                   for name, names in zip(SHAPE.level_names, SHAPE.levels, strict=True)]),
        ("task.0.name", "task0"), ("task.1.name", "task1"), ("task.1.follows", "task0"),
        ("task.1.only", {"level0": ["s0", "s2"]}),
    )  # fmt: skip
    found = highlights(model, ROWS, 1, description=described).disagreement
    assert found is not None
    rows = [at for at in range(len(ROWS)) if ROWS.scenarios[at, 0] != 1]
    scored = np.array(
        [[probabilities(model, row(ROWS, at, s))[0, 1] for s in (0, 2)] for at in rows]
    )
    spread = np.ptp(scored, axis=1)
    assert found.position == rows[int(spread.argmax())]
    assert np.isnan(found.probabilities).tolist() == [False, True, False]
    assert found.spread == pytest.approx(spread.max(), abs=1e-6)
    assert found.median == pytest.approx(np.median(spread), abs=1e-6)


def test_a_task_of_one_scenario_has_nothing_to_disagree(model: AESM2) -> None:
    described = describe(
        ("level", [{"name": name, "column": name, "values": list(names)}
                   for name, names in zip(SHAPE.level_names, SHAPE.levels, strict=True)]),
        ("task.0.only", {"level0": ["s1"]}), ("task.1.only", {"level0": ["s1"]}),
    )  # fmt: skip
    assert highlights(model, ROWS, 0, description=described).disagreement is None


def test_positions_of_a_sample_are_those_of_the_batch(model: AESM2) -> None:
    found = highlights(model, ROWS, 1, limit=10, seed=3)
    assert (found.rows, found.looked_at, found.seed) == (60, 10, 3)
    drawn = sample(60, 10, 3)
    among = highlights(model, ROWS[torch.from_numpy(drawn)], 1)
    assert found.closest is not None
    assert among.closest is not None
    assert found.closest.position == drawn[among.closest.position]
    assert found.disagreement is not None
    assert among.disagreement is not None
    assert found.disagreement.position == drawn[among.disagreement.position]


def test_a_sample_is_repeatable_ascending_and_without_repeats() -> None:
    drawn = sample(1000, 50, 0)
    assert drawn.tolist() == sample(1000, 50, 0).tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 50
    assert drawn.tolist() != sample(1000, 50, 1).tolist()
    assert sample(5, 50, 0).tolist() == [0, 1, 2, 3, 4]


def test_the_batch_is_left_as_it_was(model: AESM2) -> None:
    before = ROWS.scenarios.clone()
    highlights(model, ROWS, 0)
    assert torch.equal(ROWS.scenarios, before)


def test_a_model_without_selection_has_a_disagreement_only() -> None:
    found = highlights(cases.spread(MLP(MLPConfig(), SHAPE)), ROWS, 0)
    assert found.decisive is found.closest is None
    assert found.disagreement is not None


def test_nothing_to_choose_and_nothing_to_disagree() -> None:
    shape = cases.schema(levels=(1,), parents=(-1,))
    found = highlights(cases.spread(AESM2(AESM2Config(), shape)), cases.batch(shape, 5), 0)
    assert found.decisive is found.closest is found.disagreement is None


def test_no_rows(model: AESM2) -> None:
    with pytest.raises(InputError, match="no rows"):
        highlights(model, ROWS[:0], 0)


@pytest.mark.parametrize(
    ("gates", "experts", "specific", "shared", "expected"),
    [
        (2, 4, 1, 1, True), (1, 4, 1, 1, False), (2, 2, 2, 2, False), (2, 2, 2, 1, True),
        (2, 2, 0, 2, False), (2, 2, 0, 1, True),
    ],
)  # fmt: skip
def test_a_layer_chooses(
    gates: int, experts: int, specific: int, shared: int, expected: bool
) -> None:
    names = tuple(map(str, range(gates)))
    assert chooses(LayerSpec("a.1", "scenario", 0, names, experts, 4, specific, shared)) == expected


def test_a_role_that_takes_all_or_none_does_not_decide() -> None:
    group = ExpertGroup(layers=1, experts=3, specific=3, shared=1, width=4)
    model = cases.spread(AESM2(AESM2Config(scenario=group, task=group), SHAPE))
    found = highlights(model, ROWS, 0)
    assert found.closest is not None
    assert np.isfinite(found.closest.gap)
