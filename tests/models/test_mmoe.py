"""MMoE against loops written from Eq. 1–4."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import MixtureGroup, MMoEConfig, per_level
from aesm2.data.batch import Batch
from aesm2.models import MMoE
from tests import oracle
from tests.models import cases


def groups() -> st.SearchStrategy[MixtureGroup]:
    sizes = {"layers": st.integers(1, 3), "experts": st.integers(1, 6), "width": st.integers(1, 5)}
    return st.builds(MixtureGroup, **sizes)


@st.composite
def mmoe_cases(draw: st.DrawFn) -> tuple[MMoE, Batch]:
    shape = draw(cases.schemas())
    count = len(shape.levels)
    config = MMoEConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=tuple(draw(st.lists(groups(), min_size=count, max_size=count))),
        task=draw(groups()),
        tower=tuple(draw(st.lists(st.integers(1, 4), max_size=2))),
        scenario_features=draw(st.booleans()),
    )
    seed = draw(st.integers(0, 10_000))
    return cases.spread(MMoE(config, shape), seed), cases.batch(
        shape, draw(st.integers(1, 5)), seed
    )


def mixture(w: oracle.Weights, name: str, gate: int, x: np.ndarray) -> np.ndarray:
    """One MMoE layer for one row and one gate: a softmax over all experts (Eq. 1–4)."""
    scores = w[f"{name}.gate.weight"][gate] @ x + w[f"{name}.gate.bias"][gate]
    experts = (w[f"{name}.experts.linear.weight"], w[f"{name}.experts.linear.bias"])
    return oracle.mixture(*experts, x, oracle.softmax(list(scores)))


def logits(model: MMoE, fields: np.ndarray, scenarios: np.ndarray) -> list[float]:
    """Every task's logit for one row."""
    w, shape, config = cases.weights(model), model.schema, model.config
    x, number = cases.input_of(model, fields, scenarios), 0
    for level, group in enumerate(per_level(config.scenario, len(shape.levels))):
        for _ in range(group.layers):
            x = mixture(w, f"scenario_layers.{number}", scenarios[level], x)
            number += 1
    found = []
    for task in range(len(shape.tasks)):
        z = x
        for layer in range(config.task.layers):
            z = mixture(w, f"task_layers.{layer}", task, z)
        sizes = range(len(config.tower) + 1)
        tower = [(w[f"towers.{i}.weight"][task], w[f"towers.{i}.bias"][task]) for i in sizes]
        found.append(float(oracle.mlp(tower, z)[0]))
    return found


@settings(max_examples=60)
@given(mmoe_cases())
def test_agrees_with_loops(case: tuple[MMoE, Batch]) -> None:
    model, rows = case
    output = model.double()(rows)
    pairs = zip(rows.fields.numpy(), rows.scenarios.numpy(), strict=True)
    wanted = [logits(model, *pair) for pair in pairs]
    np.testing.assert_allclose(output.logits.detach(), wanted, rtol=1e-9, atol=1e-9)
    probabilities = [oracle.chain(row, model.schema.parents) for row in wanted]
    np.testing.assert_allclose(output.log_probability.exp().detach(), probabilities, rtol=1e-9)


def test_a_row_uses_the_gate_of_its_own_scenario_only() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(MMoE(MMoEConfig(), shape)), cases.batch(shape, 30)
    model(rows[rows.scenarios[:, 0] == 1]).logits.sum().backward()
    used = model.scenario_layers[0].gate.weight.grad.abs().sum((1, 2)) > 0
    assert used.tolist() == [False, True, False]


def test_its_mixtures_are_the_gates_of_its_layers() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(MMoE(MMoEConfig(), shape)).double(), cases.batch(shape, 9)
    output = model(rows)
    assert output.routings == ()
    level, task = output.mixtures
    assert torch.equal(level.target, rows.scenarios[:, 0])
    assert (level.weights.shape, task.weights.shape) == ((9, 4), (2, 9, 2))
    w, x = cases.weights(model), cases.input_of(model, rows.fields[0], rows.scenarios[0])
    gate = int(rows.scenarios[0, 0])
    name = "scenario_layers.0.gate"
    scores = w[f"{name}.weight"][gate] @ x + w[f"{name}.bias"][gate]
    np.testing.assert_allclose(level.weights[0].detach(), oracle.softmax(list(scores)), rtol=1e-9)


def test_noise_and_training_mode_change_nothing() -> None:
    shape = cases.schema()
    model, rows = cases.spread(MMoE(MMoEConfig(), shape)), cases.batch(shape, 4)
    assert model(rows).logits.detach().numpy() == pytest.approx(
        model.train()(rows).logits.detach().numpy(), abs=0
    )
