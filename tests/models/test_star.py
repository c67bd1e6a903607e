"""STAR against loops, and what its factors mean."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import LayerGroup, MLPConfig, STARConfig, per_level
from aesm2.data.batch import Batch
from aesm2.models import MLP, STAR
from tests import oracle
from tests.models import cases, loops


@st.composite
def star_cases(draw: st.DrawFn) -> tuple[STAR, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = STARConfig(
        embedding_dim=draw(st.integers(1, 3)),
        context_dim=draw(st.integers(1, 3)),
        scenario=draw(loops.groups_of(shape)),
        task=draw(loops.groups),
        tower=draw(loops.widths),
        auxiliary=draw(loops.widths),
        partitioned_norm=draw(st.booleans()),
        scenario_features=draw(st.booleans()),
    )
    model = cases.spread(STAR(config, shape), seed)
    if model.norm is not None:  # as if trained
        generator = torch.Generator().manual_seed(seed)
        model.norm.mean.normal_(generator=generator)
        model.norm.variance.uniform_(0.5, 2, generator=generator)
    return model, cases.batch(shape, draw(st.integers(1, 6)), seed)


def normalised(w: oracle.Weights, path: int, x: np.ndarray) -> np.ndarray:
    normal = (x - w["norm.mean"][path]) / np.sqrt(w["norm.variance"][path] + 1e-5)
    scale = w["norm.scale"] * w["norm.own_scale"][path]
    return scale * normal + w["norm.shift"] + w["norm.own_shift"][path]


def arm(w: oracle.Weights, name: str, index: int, x: np.ndarray) -> np.ndarray:
    weight = w[f"{name}.weight"] * w[f"{name}.own_weight"][index]
    return oracle.relu_layer(weight, w[f"{name}.bias"] + w[f"{name}.own_bias"][index], x)


@settings(max_examples=80)
@given(star_cases())
def test_agrees_with_loops(case: tuple[STAR, Batch]) -> None:
    model, rows = case
    w, shape, config = cases.weights(model), model.schema, model.config
    depth = range(len(config.auxiliary) + 1)
    auxiliary = [(w[f"auxiliary.{i}.weight"], w[f"auxiliary.{i}.bias"]) for i in depth]

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        x, path, number = cases.input_of(model, fields, scenarios), 0, 0
        embedded = [w[f"scenario_embedding.{i}.weight"][s] for i, s in enumerate(scenarios)]
        added = oracle.mlp(auxiliary, np.concatenate([x, *embedded]))
        for level, scenario in zip(shape.levels, scenarios, strict=True):
            path = path * len(level) + scenario
        x = normalised(w, path, x) if config.partitioned_norm else x
        for level, group in enumerate(per_level(config.scenario, len(shape.levels))):
            for _ in range(group.layers):
                x = arm(w, f"scenario_layers.{number}", scenarios[level], x)
                number += 1
        found = []
        for task in range(len(shape.tasks)):
            z = x
            for layer in range(config.task.layers):
                z = arm(w, f"task_layers.{layer}", task, z)
            found.append(loops.towers(w, "towers", task, z) + added[task])
        return found

    loops.check(model, rows, logits)


def centre_only(model: STAR) -> None:
    """Factors one, their biases zero, nothing from the auxiliary network."""
    with torch.no_grad():
        for layer in (*model.scenario_layers, *model.task_layers):
            layer.own_weight.fill_(1)
            layer.own_bias.zero_()
        model.auxiliary[-1].weight.zero_()
        model.auxiliary[-1].bias.zero_()


def test_the_centre_alone_is_one_shared_perceptron() -> None:
    shape = cases.schema((2, 3))
    config = STARConfig(
        scenario=LayerGroup(width=7), task=LayerGroup(width=5), tower=(), partitioned_norm=False
    )
    model, rows = cases.spread(STAR(config, shape)), cases.batch(shape, 40)
    plain = MLP(MLPConfig(hidden=(7, 7, 5), scenario_features=False), shape)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    stars = (*model.scenario_layers, *model.task_layers)
    centres = [(star.weight, star.bias) for star in stars]
    centres.append((model.towers[0].weight[:, 0], model.towers[0].bias[:, 0]))
    with torch.no_grad():
        for layer, (weight, bias) in zip(plain.layers, centres, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    assert not torch.allclose(model(rows).logits, plain(rows).logits)
    centre_only(model)
    torch.testing.assert_close(model(rows).logits, plain(rows).logits)


def test_the_auxiliary_network_adds_its_logits() -> None:
    shape = cases.schema((2, 3))
    model, rows = cases.spread(STAR(STARConfig(), shape)).double(), cases.batch(shape, 9)
    before = model(rows).logits
    with torch.no_grad():
        model.auxiliary[-1].bias += torch.tensor([1.0, -2.0])
    wanted = torch.tensor([[1.0, -2.0]], dtype=torch.float64).expand(9, 2)
    torch.testing.assert_close(model(rows).logits - before, wanted)


def test_every_arm_starts_as_the_centre() -> None:
    shape = cases.schema((3,))
    model, rows = STAR(STARConfig(), shape).eval(), cases.batch(shape, 20)
    centre_only(model)  # silences the auxiliary network
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    torch.testing.assert_close(model(rows).logits, model(moved).logits)


def test_a_row_moves_the_centre_and_the_arm_of_its_own_scenario() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(STAR(STARConfig(), shape)), cases.batch(shape, 60)
    model(rows[rows.scenarios[:, 0] == 1]).logits.sum().backward()
    layer = model.scenario_layers[0]
    assert layer.weight.grad.any()
    assert layer.own_weight.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True, False]


def test_training_keeps_the_statistics_of_absent_scenarios() -> None:
    shape = cases.schema((2, 3))
    model, rows = STAR(STARConfig(), shape).train(), cases.batch(shape, 200)
    model(rows[(rows.scenarios == torch.tensor([1, 0])).all(1)])
    assert model.norm.batches.tolist() == [0, 0, 0, 1, 0, 0]
    assert model.norm.mean.any(1).tolist() == [False, False, False, True, False, False]
