"""Parallel DNN against loops, and that no scenario reaches another's layers."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import LayerGroup, ParallelDNNConfig, per_level
from aesm2.data.batch import Batch
from aesm2.models import ParallelDNN
from tests import oracle
from tests.models import cases, loops


@st.composite
def parallel_cases(draw: st.DrawFn) -> tuple[ParallelDNN, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = ParallelDNNConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=draw(loops.groups_of(shape)),
        task=draw(loops.groups),
        tower=draw(loops.widths),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(ParallelDNN(config, shape), seed), rows


def own(w: oracle.Weights, name: str, index: int, x: np.ndarray) -> np.ndarray:
    return oracle.relu_layer(w[f"{name}.weight"][index], w[f"{name}.bias"][index], x)


@settings(max_examples=60)
@given(parallel_cases())
def test_agrees_with_loops(case: tuple[ParallelDNN, Batch]) -> None:
    model, rows = case
    w, shape, config = cases.weights(model), model.schema, model.config

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        x, number = cases.input_of(model, fields, scenarios), 0
        for level, group in enumerate(per_level(config.scenario, len(shape.levels))):
            for _ in range(group.layers):
                x = own(w, f"scenario_layers.{number}.linear", scenarios[level], x)
                number += 1
        found = []
        for task in range(len(shape.tasks)):
            z = x
            for layer in range(config.task.layers):
                z = own(w, f"task_layers.{layer}", task, z)
            found.append(loops.towers(w, "towers", task, z))
        return found

    loops.check(model, rows, logits)


def test_a_row_moves_the_layers_of_its_own_scenarios_only() -> None:
    shape = cases.schema((2, 3))
    config = ParallelDNNConfig(scenario=LayerGroup(layers=2))
    model, rows = cases.spread(ParallelDNN(config, shape)), cases.batch(shape, 60)
    model(rows[(rows.scenarios == torch.tensor([1, 0])).all(1)]).logits.sum().backward()
    weights = [layer.linear.weight for layer in model.scenario_layers]
    used = [weight.grad.abs().sum((1, 2)).gt(0).tolist() for weight in weights]
    assert used == [[False, True]] * 2 + [[True, False, False]] * 2


def test_a_task_moves_its_own_layers_only() -> None:
    shape = cases.schema((2,), parents=(-1, 0, 1))
    model, rows = cases.spread(ParallelDNN(ParallelDNNConfig(), shape)), cases.batch(shape, 60)
    model(rows).logits[:, 1].sum().backward()
    for layer in (*model.task_layers, *model.towers):
        used = layer.weight.grad.abs().sum((1, 2)).gt(0).tolist()
        assert used == [False, True, False]
