"""DSelect-k against loops over rows, selectors and codes, and its smooth step by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import DSelectKConfig, GatedGroup, per_level
from aesm2.data.batch import Batch
from aesm2.models import DSelectK
from aesm2.models.dselect_k import selector, smooth_step
from tests import oracle
from tests.models import cases


def groups() -> st.SearchStrategy[GatedGroup]:
    return st.builds(
        GatedGroup,
        layers=st.integers(1, 3),
        experts=st.sampled_from([2, 4, 8]),
        selected=st.integers(1, 4),
        width=st.integers(1, 4),
    )


@st.composite
def dselect_cases(draw: st.DrawFn) -> tuple[DSelectK, Batch]:
    shape = draw(cases.schemas())
    count = len(shape.levels)
    config = DSelectKConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=tuple(draw(st.lists(groups(), min_size=count, max_size=count))),
        task=draw(groups()),
        tower=tuple(draw(st.lists(st.integers(1, 4), max_size=2))),
        gamma=draw(st.sampled_from([0.5, 1.0, 4.0])),
        scenario_features=draw(st.booleans()),
    )
    seed = draw(st.integers(0, 10_000))
    return cases.spread(DSelectK(config, shape), seed), cases.batch(
        shape, draw(st.integers(1, 5)), seed
    )


def step(t: float, gamma: float) -> float:
    """The smooth step as a cubic in t."""
    if t <= -gamma / 2:
        return 0.0
    if t >= gamma / 2:
        return 1.0
    return -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5


def gate_weights(
    w: oracle.Weights, name: str, gate: int, group: GatedGroup, gamma: float, x: np.ndarray
) -> list[float]:
    """What one gate gives every expert for one row."""
    numbers = w[f"{name}.code.weight"][gate] @ x + w[f"{name}.code.bias"][gate]
    mix = oracle.softmax(list(w[f"{name}.mix.weight"][gate] @ x + w[f"{name}.mix.bias"][gate]))
    bits = int(math.log2(group.experts))
    weights = [0.0] * group.experts
    for chosen in range(group.selected):
        for expert in range(group.experts):
            product = mix[chosen]
            for bit in range(bits):
                s = step(numbers[chosen * bits + bit], gamma)
                product *= s if expert >> bit & 1 else 1 - s
            weights[expert] += product
    return weights


def answer(model: DSelectK, fields: np.ndarray, scenarios: np.ndarray):
    """One row's logit of every task, and its weights in every layer."""
    w, shape, config = cases.weights(model), model.schema, model.config
    x, number, weights = cases.input_of(model, fields, scenarios), 0, []

    def mixture(name: str, gate: int, group: GatedGroup, x: np.ndarray):
        given_weights = gate_weights(w, f"{name}.gate", gate, group, config.gamma, x)
        experts = (w[f"{name}.experts.linear.weight"], w[f"{name}.experts.linear.bias"])
        return oracle.mixture(*experts, x, given_weights), given_weights

    for level, group in enumerate(per_level(config.scenario, len(shape.levels))):
        for _ in range(group.layers):
            x, found = mixture(f"scenario_layers.{number}", scenarios[level], group, x)
            weights.append(found)
            number += 1
    z = [x] * len(shape.tasks)
    for layer in range(config.task.layers):
        pairs = [mixture(f"task_layers.{layer}", t, config.task, of) for t, of in enumerate(z)]
        z = [of for of, _ in pairs]
        weights.append([found for _, found in pairs])
    sizes, logits = range(len(config.tower) + 1), []
    for task, of in enumerate(z):
        tower = [(w[f"towers.{i}.weight"][task], w[f"towers.{i}.bias"][task]) for i in sizes]
        logits.append(float(oracle.mlp(tower, of)[0]))
    return logits, weights


@settings(max_examples=60)
@given(dselect_cases())
def test_agrees_with_loops(case: tuple[DSelectK, Batch]) -> None:
    model, rows = case
    output = model.double()(rows)
    pairs = zip(rows.fields.numpy(), rows.scenarios.numpy(), strict=True)
    wanted = [answer(model, *pair) for pair in pairs]
    logits = [row for row, _ in wanted]
    np.testing.assert_allclose(output.logits.detach(), logits, rtol=1e-9, atol=1e-9)
    probabilities = [oracle.chain(row, model.schema.parents) for row in logits]
    np.testing.assert_allclose(output.log_probability.exp().detach(), probabilities, rtol=1e-9)
    for number, mixture in enumerate(output.mixtures):
        by_row = np.array([weights[number] for _, weights in wanted])
        of_rows = by_row.swapaxes(0, 1) if mixture.weights.ndim == 3 else by_row
        np.testing.assert_allclose(mixture.weights.detach(), of_rows, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("t", "gamma", "value"),
    [
        (-9, 1, 0), (-0.5, 1, 0), (-0.25, 1, 5 / 32), (0, 1, 0.5), (0.25, 1, 27 / 32),
        (0.5, 1, 1), (9, 1, 1), (1, 4, 27 / 32), (-2, 4, 0),
    ],
)  # fmt: skip
def test_smooth_step_by_hand(t: float, gamma: float, value: float) -> None:
    assert smooth_step(torch.tensor(float(t)), gamma).item() == value


def test_smooth_step_is_flat_where_it_saturates() -> None:
    t = torch.tensor([-0.7, -0.5, 0.0, 0.5, 0.7], requires_grad=True)
    smooth_step(t, 1.0).sum().backward()
    assert t.grad.tolist() == [0, 0, 1.5, 0, 0]


def test_a_selector_of_binary_codes_is_the_expert_of_that_number() -> None:
    for expert in range(8):
        code = torch.tensor([float(expert >> bit & 1) for bit in range(3)])
        assert selector(code).nonzero().flatten().tolist() == [expert]
    assert selector(torch.tensor([0.25, 0.5])).tolist() == [0.375, 0.125, 0.375, 0.125]


@settings(max_examples=40)
@given(dselect_cases(), st.floats(0, 1e4))
def test_weights_sum_to_one_for_any_input(case: tuple[DSelectK, Batch], scale: float) -> None:
    model, rows = case
    with torch.no_grad():
        model.embedding.fields.weight *= scale
    for mixture in model.double()(rows).mixtures:
        total = mixture.weights.sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total))
        assert (mixture.weights >= 0).all()


@settings(max_examples=40)
@given(dselect_cases())
def test_saturated_it_uses_at_most_k_experts(case: tuple[DSelectK, Batch]) -> None:
    model, rows = case
    layers = [*model.scenario_layers, *model.task_layers]
    with torch.no_grad():
        for layer in layers:
            layer.gate.code.weight *= 1e9
            layer.gate.code.bias.sign_().mul_(1e9)
    for layer, mixture in zip(layers, model.double()(rows).mixtures, strict=True):
        assert (mixture.weights != 0).sum(-1).max() <= layer.gate.selected


def test_it_starts_soft_and_uses_every_expert() -> None:
    shape = cases.schema((3,))
    torch.manual_seed(0)
    model, rows = DSelectK(DSelectKConfig(), shape), cases.batch(shape, 50)
    with torch.no_grad():
        model.embedding.fields.weight.normal_()
    for mixture in model(rows).mixtures:
        even = 1 / mixture.weights.shape[-1]
        assert (mixture.weights > 0.5 * even).all()
        assert (mixture.weights < 2 * even).all()
