"""PLE against loops over rows, gates and experts, and what sets it apart from MMoE."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import MixtureGroup, MMoEConfig, PLEConfig, SplitGroup, per_level
from aesm2.data.batch import Batch
from aesm2.models import PLE, MMoE
from tests import oracle
from tests.models import cases


def groups() -> st.SearchStrategy[SplitGroup]:
    small = st.integers(1, 3)
    return st.builds(SplitGroup, layers=small, specific=small, shared=small, width=small)


@st.composite
def ple_cases(draw: st.DrawFn) -> tuple[PLE, Batch]:
    shape = draw(cases.schemas())
    count = len(shape.levels)
    config = PLEConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=tuple(draw(st.lists(groups(), min_size=count, max_size=count))),
        task=draw(groups()),
        tower=tuple(draw(st.lists(st.integers(1, 4), max_size=2))),
        scenario_features=draw(st.booleans()),
    )
    seed = draw(st.integers(0, 10_000))
    return cases.spread(PLE(config, shape), seed), cases.batch(shape, draw(st.integers(1, 5)), seed)


def expert(w: oracle.Weights, name: str, gate: int, number: int, width: int, x: np.ndarray):
    """f(x) of one expert of one gate (of gate 0 for the shared ones)."""
    part = slice(number * width, (number + 1) * width)
    return np.maximum(w[f"{name}.weight"][gate, part] @ x + w[f"{name}.bias"][gate, part], 0)


def level(
    w: oracle.Weights, name: str, group: SplitGroup, gates: int, x: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All columns of a level for one row, and every layer's weights: (gates, n) each."""
    columns, all_weights = [x] * (gates + 1), []
    a, b = group.specific, group.shared
    for number in range(group.layers):
        of = f"{name}.{number}"
        own = [
            [expert(w, f"{of}.specific", j, i, group.width, columns[j]) for i in range(a)]
            for j in range(gates)
        ]
        common = [expert(w, f"{of}.shared", 0, i, group.width, columns[-1]) for i in range(b)]
        made, weights = [], np.zeros((gates, gates * a + b))
        for j in range(gates):
            scores = w[f"{of}.gate.weight"][j] @ columns[j] + w[f"{of}.gate.bias"][j]
            gate = oracle.softmax(list(scores))
            made.append(sum(g * f for g, f in zip(gate, own[j] + common, strict=True)))
            weights[j, j * a : (j + 1) * a], weights[j, gates * a :] = gate[:a], gate[a:]
        if number < group.layers - 1:
            scores = w[f"{of}.shared_gate.weight"] @ columns[-1] + w[f"{of}.shared_gate.bias"]
            everyone = [f for of_gate in own for f in of_gate] + common
            gate = oracle.softmax(list(scores))
            made.append(sum(g * f for g, f in zip(gate, everyone, strict=True)))
        columns = made
        all_weights.append(weights)
    return columns, all_weights


def answer(model: PLE, fields: np.ndarray, scenarios: np.ndarray):
    """One row's logit of every task, and what its gates gave every expert of every layer."""
    w, shape, config = cases.weights(model), model.schema, model.config
    x, given_weights = cases.input_of(model, fields, scenarios), []
    for number, group in enumerate(per_level(config.scenario, len(shape.levels))):
        gates, j = len(shape.levels[number]), scenarios[number]
        columns, weights = level(w, f"scenario_levels.{number}", group, gates, x)
        x = columns[j]
        given_weights += [of_layer[j] for of_layer in weights]
    columns, weights = level(w, "task_layers", config.task, len(shape.tasks), x)
    given_weights += weights
    sizes = range(len(config.tower) + 1)
    towers = [
        [(w[f"towers.{i}.weight"][task], w[f"towers.{i}.bias"][task]) for i in sizes]
        for task in range(len(shape.tasks))
    ]
    pairs = zip(towers, columns, strict=True)
    return [float(oracle.mlp(tower, z)[0]) for tower, z in pairs], given_weights


@settings(max_examples=60)
@given(ple_cases())
def test_agrees_with_loops(case: tuple[PLE, Batch]) -> None:
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


def test_a_row_does_not_train_the_specific_experts_of_others_in_the_last_layer() -> None:
    shape = cases.schema((3,))
    config = PLEConfig(scenario=SplitGroup(layers=2))
    model, rows = cases.spread(PLE(config, shape)), cases.batch(shape, 60)
    model(rows[rows.scenarios[:, 0] == 1]).logits.sum().backward()
    first, last = model.scenario_levels[0]
    used = [layer.specific.weight.grad.abs().sum((1, 2)) > 0 for layer in (first, last)]
    assert used[1].tolist() == [False, True, False]
    assert used[0].tolist() == [True, True, True]  # through the shared column
    assert first.shared_gate is not None
    assert last.shared_gate is None


def test_a_scenario_has_no_weight_on_the_specific_experts_of_others() -> None:
    shape = cases.schema((3,))
    config = PLEConfig(scenario=SplitGroup(layers=2, specific=2, shared=3))
    model, rows = cases.spread(PLE(config, shape)), cases.batch(shape, 40)
    *levels, task = model(rows).mixtures
    for mixture in levels:
        for weights, j in zip(mixture.weights, rows.scenarios[:, 0].tolist(), strict=True):
            used = (weights > 0).tolist()
            assert used == [i // 2 == j for i in range(6)] + [True] * 3
    assert (task.weights[0, :, 1] == 0).all()
    assert (task.weights[1, :, 0] == 0).all()


def test_with_specific_experts_alike_it_is_an_mmoe() -> None:
    shape = cases.schema((3,))
    split = SplitGroup(specific=2, shared=1, width=5)
    ple = cases.spread(PLE(PLEConfig(scenario=split, task=split), shape))
    alike = MixtureGroup(experts=3, width=5)
    mmoe = cases.spread(MMoE(MMoEConfig(scenario=alike, task=alike), shape), 1)
    pairs = [
        (ple.scenario_levels[0][0], mmoe.scenario_layers[0]),
        (ple.task_layers[0], mmoe.task_layers[0]),
    ]
    with torch.no_grad():
        for own, other in pairs:
            for name in ("weight", "bias"):
                specific = getattr(own.specific, name)
                specific.copy_(specific[:1].expand_as(specific))
                both = torch.cat([specific[0], getattr(own.shared, name)[0]])
                experts = getattr(other.experts.linear, name)
                experts.copy_(both.view_as(experts))
    mmoe.embedding, mmoe.towers = ple.embedding, ple.towers
    for own, other in pairs:
        other.gate = own.gate
    rows = cases.batch(shape, 20)
    torch.testing.assert_close(ple(rows).logits, mmoe(rows).logits)
