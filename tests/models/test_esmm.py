"""ESMM against loops, and what its tasks share."""

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import ESMMConfig
from aesm2.data.batch import Batch
from aesm2.models import ESMM
from tests.models import cases, loops


@st.composite
def esmm_cases(draw: st.DrawFn) -> tuple[ESMM, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = ESMMConfig(
        embedding_dim=draw(st.integers(1, 3)),
        hidden=draw(loops.widths),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(ESMM(config, shape), seed), rows


@settings(max_examples=60)
@given(esmm_cases())
def test_agrees_with_loops(case: tuple[ESMM, Batch]) -> None:
    model, rows = case
    w, tasks = cases.weights(model), range(len(model.schema.tasks))

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        x = cases.input_of(model, fields, scenarios)
        return [loops.towers(w, "towers", task, x) for task in tasks]

    loops.check(model, rows, logits)


def test_tasks_share_the_embedding_and_nothing_else() -> None:
    shape = cases.schema(parents=(-1, 0))
    model, rows = cases.spread(ESMM(ESMMConfig(), shape)), cases.batch(shape, 60)
    model(rows).logits[:, 1].sum().backward()
    assert model.embedding.fields.weight.grad.any()
    for layer in model.towers:
        assert layer.weight.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True]


def test_a_conversion_teaches_the_click_it_follows() -> None:
    shape = cases.schema(parents=(-1, 0))
    model, rows = cases.spread(ESMM(ESMMConfig(), shape)), cases.batch(shape, 60)
    model(rows).log_probability[:, 1].sum().backward()
    assert model.towers[0].weight.grad.abs().sum((1, 2)).gt(0).all()


def test_without_scenario_features_the_scenario_reaches_nothing() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(ESMM(ESMMConfig(), shape)), cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert torch.equal(model(rows).logits, model(moved).logits)
