"""HMoE against loops over rows, tasks and experts, and the gradients it cuts."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import HMoEConfig, LayerGroup, per_level
from aesm2.data.batch import Batch
from aesm2.models import HMoE
from tests import oracle
from tests.models import cases


def groups() -> st.SearchStrategy[LayerGroup]:
    return st.builds(LayerGroup, layers=st.integers(1, 3), width=st.integers(1, 4))


@st.composite
def hmoe_cases(draw: st.DrawFn) -> tuple[HMoE, Batch]:
    shape = draw(cases.schemas())
    count = len(shape.levels)
    config = HMoEConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=tuple(draw(st.lists(groups(), min_size=count, max_size=count))),
        task=draw(groups()),
        tower=tuple(draw(st.lists(st.integers(1, 4), max_size=2))),
        scenario_features=draw(st.booleans()),
    )
    seed = draw(st.integers(0, 10_000))
    return cases.spread(HMoE(config, shape), seed), cases.batch(
        shape, draw(st.integers(1, 5)), seed
    )


def input_of(model: HMoE, task: int, fields: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """x of one row in the network of one task."""
    w, shape, name = cases.weights(model), model.schema, f"networks.{task}.embedding"
    x = oracle.embed(w[f"{name}.fields.weight"], shape.fields, list(fields))
    if not model.config.scenario_features:
        return x
    counts = [len(level) for level in shape.levels]
    return np.concatenate([x, oracle.embed(w[f"{name}.scenarios.weight"], counts, list(scenarios))])


def answer(model: HMoE, task: int, fields: np.ndarray, scenarios: np.ndarray):
    """One row's logit of one task, and its gates' weights in every layer."""
    w, shape, config = cases.weights(model), model.schema, model.config
    x, number, weights = input_of(model, task, fields, scenarios), 0, []
    for level, group in enumerate(per_level(config.scenario, len(shape.levels))):
        for _ in range(group.layers):
            name, gate = f"networks.{task}.layers.{number}", scenarios[level]
            scores = w[f"{name}.gate.weight"][gate] @ x + w[f"{name}.gate.bias"][gate]
            weights.append(oracle.softmax(list(scores)))
            experts = (w[f"{name}.experts.linear.weight"], w[f"{name}.experts.linear.bias"])
            x = oracle.mixture(*experts, x, weights[-1])
            number += 1
    depth = config.task.layers + len(config.tower) + 1
    name = f"networks.{task}.tower"
    plain = [(w[f"{name}.{i}.weight"][0], w[f"{name}.{i}.bias"][0]) for i in range(depth)]
    return float(oracle.mlp(plain, x)[0]), weights


@settings(max_examples=60)
@given(hmoe_cases())
def test_agrees_with_loops(case: tuple[HMoE, Batch]) -> None:
    model, rows = case
    output, tasks = model.double()(rows), range(len(model.schema.tasks))
    pairs = list(zip(rows.fields.numpy(), rows.scenarios.numpy(), strict=True))
    wanted = [[answer(model, task, *pair) for task in tasks] for pair in pairs]
    logits = [[of_task for of_task, _ in row] for row in wanted]
    np.testing.assert_allclose(output.logits.detach(), logits, rtol=1e-9, atol=1e-9)
    probabilities = [oracle.chain(row, model.schema.parents) for row in logits]
    np.testing.assert_allclose(output.log_probability.exp().detach(), probabilities, rtol=1e-9)
    for number, mixture in enumerate(output.mixtures):
        weights = [[row[task][1][number] for row in wanted] for task in tasks]
        np.testing.assert_allclose(mixture.weights.detach(), weights, rtol=1e-9)


def of_scenario(rows: Batch, scenario: int) -> Batch:
    return rows[rows.scenarios[:, 0] == scenario]


def test_a_row_trains_the_expert_of_its_own_scenario_only() -> None:
    shape = cases.schema((3,))
    config = HMoEConfig(scenario=LayerGroup(layers=2))
    model, rows = cases.spread(HMoE(config, shape)), of_scenario(cases.batch(shape, 40), 1)
    before = model(rows).logits
    before.sum().backward()
    for network in model.networks:
        for layer in network.layers:
            of_expert = layer.experts.linear.weight.grad.abs().sum((1, 2))
            assert (of_expert > 0).tolist() == [False, True, False]
            assert (layer.experts.linear.bias.grad[[0, 2]] == 0).all()
    with torch.no_grad():  # though what the others say does count
        for network in model.networks:
            network.layers[-1].experts.linear.weight[0] += 1
    assert (model(rows).logits != before).any(0).all()


def test_the_gradient_is_that_of_detached_outputs() -> None:
    shape = cases.schema((3,), parents=(-1,))
    model, rows = cases.spread(HMoE(HMoEConfig(), shape)).double(), cases.batch(shape, 30)
    model(rows).logits.sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    (network,) = model.networks
    (layer,) = network.layers
    x, scenario = network.embedding(rows.fields, rows.scenarios), rows.scenarios[:, 0]
    mixed = []
    for r in range(len(rows)):
        j = int(scenario[r])
        gate = (layer.gate.weight[j] @ x[r] + layer.gate.bias[j]).softmax(0)
        linear = layer.experts.linear
        outputs = [(linear.weight[i] @ x[r] + linear.bias[i]).relu() for i in range(3)]
        mixed.append(sum(gate[i] * (f if i == j else f.detach()) for i, f in enumerate(outputs)))
    network.tower(torch.stack(mixed).unsqueeze(0)).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_tasks_share_no_parameter() -> None:
    shape = cases.schema((3,), parents=(-1, -1))
    model, rows = cases.spread(HMoE(HMoEConfig(), shape)), cases.batch(shape, 200)
    model(rows).logits[:, 1].sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {name for name in model.state_dict() if name.startswith("networks.1.")}
