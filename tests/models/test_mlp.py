"""The MLP against loops."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import MLPConfig
from aesm2.data.batch import Batch
from aesm2.models import MLP
from tests import oracle
from tests.models import cases


@st.composite
def mlp_cases(draw: st.DrawFn) -> tuple[MLP, Batch]:
    shape = draw(cases.schemas())
    hidden = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    config = MLPConfig(
        embedding_dim=draw(st.integers(1, 3)), hidden=hidden, scenario_features=draw(st.booleans())
    )
    seed = draw(st.integers(0, 10_000))
    return cases.spread(MLP(config, shape), seed), cases.batch(shape, draw(st.integers(1, 5)), seed)


@settings(max_examples=60)
@given(mlp_cases())
def test_agrees_with_loops(case: tuple[MLP, Batch]) -> None:
    model, rows = case
    output = model.double()(rows)
    w, shape = cases.weights(model), model.schema
    layers = range(len(model.config.hidden) + 1)
    stack = [(w[f"layers.{i}.weight"], w[f"layers.{i}.bias"]) for i in layers]
    for row in range(len(rows)):
        x = cases.input_of(model, rows.fields[row].tolist(), rows.scenarios[row].tolist())
        logits = oracle.mlp(stack, x)
        np.testing.assert_allclose(output.logits[row].detach(), logits, rtol=1e-9, atol=1e-9)
        probabilities = output.log_probability[row].exp().detach()
        np.testing.assert_allclose(probabilities, oracle.chain(logits, shape.parents), rtol=1e-9)


def test_there_is_nothing_to_trace() -> None:
    shape = cases.schema()
    output = MLP(MLPConfig(), shape)(cases.batch(shape, 2))
    assert (output.routings, output.mixtures) == ((), ())


def test_without_scenario_features_the_scenario_reaches_nothing() -> None:
    shape = cases.schema((3,))
    model = cases.spread(MLP(MLPConfig(scenario_features=False), shape))
    rows = cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert torch.equal(model(rows).logits, model(moved).logits)


def test_every_scenario_starts_with_an_embedding_of_its_own() -> None:
    table = MLP(MLPConfig(), cases.schema((1, 3))).embedding.scenarios.weight
    assert len(table.unique(dim=0)) == 4
    assert table.ne(0).any(1).all()
