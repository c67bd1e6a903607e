"""Hard sharing against loops, and what each of its towers may move."""

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import HardSharingConfig
from aesm2.data.batch import Batch
from aesm2.models import HardSharing
from tests import oracle
from tests.models import cases, loops


@st.composite
def hard_sharing_cases(draw: st.DrawFn) -> tuple[HardSharing, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = HardSharingConfig(
        embedding_dim=draw(st.integers(1, 3)),
        hidden=draw(loops.widths),
        tower=draw(loops.widths),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(HardSharing(config, shape), seed), rows


@settings(max_examples=60)
@given(hard_sharing_cases())
def test_agrees_with_loops(case: tuple[HardSharing, Batch]) -> None:
    model, rows = case
    w, shape = cases.weights(model), model.schema

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        x = cases.input_of(model, fields, scenarios)
        for layer in range(len(model.config.hidden)):
            x = oracle.relu_layer(w[f"bottom.{layer}.weight"], w[f"bottom.{layer}.bias"], x)
        path = 0
        for level, scenario in zip(shape.levels, scenarios, strict=True):
            path = path * len(level) + scenario
        return [loops.towers(w, f"towers.{path}", task, x) for task in range(len(shape.tasks))]

    loops.check(model, rows, logits)


def test_a_scenarios_towers_move_its_own_rows_only() -> None:
    shape = cases.schema((2, 3))
    model, rows = cases.spread(HardSharing(HardSharingConfig(), shape)), cases.batch(shape, 60)
    before = model(rows).logits
    with torch.no_grad():
        model.towers[1 * 3 + 2][-1].bias[0] += 1  # task 0 of scenario 2 within scenario 1
    moved = torch.zeros_like(before)
    moved[(rows.scenarios == torch.tensor([1, 2])).all(1), 0] = 1
    assert 0 < moved.sum() < 60
    torch.testing.assert_close(model(rows).logits - before, moved)


def test_every_scenario_moves_the_bottom() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(HardSharing(HardSharingConfig(), shape)), cases.batch(shape, 60)
    for scenario in range(3):
        model.zero_grad()
        model(rows[rows.scenarios[:, 0] == scenario]).logits.sum().backward()
        assert model.bottom[0].weight.grad.any()


def test_same_towers_everywhere_forget_the_scenario() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(HardSharing(HardSharingConfig(), shape)), cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert not torch.equal(model(rows).logits, model(moved).logits)
    for towers in model.towers[1:]:
        towers.load_state_dict(model.towers[0].state_dict())
    torch.testing.assert_close(model(rows).logits, model(moved).logits)
