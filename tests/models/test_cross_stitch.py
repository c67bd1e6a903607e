"""Cross-stitch networks against loops, and what their matrices mean."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import CrossStitchConfig, LayerGroup, ParallelDNNConfig, per_level
from aesm2.data.batch import Batch
from aesm2.models import CrossStitch, ParallelDNN
from tests import oracle
from tests.models import cases, loops


@st.composite
def stitch_cases(draw: st.DrawFn) -> tuple[CrossStitch, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = CrossStitchConfig(
        embedding_dim=draw(st.integers(1, 3)),
        scenario=draw(loops.groups_of(shape)),
        task=draw(loops.groups),
        tower=draw(loops.widths),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(CrossStitch(config, shape), seed), rows


def stitched(w: oracle.Weights, name: str, columns: list[np.ndarray]) -> list[np.ndarray]:
    """One layer of every column of one row, then the exchange."""
    count = len(columns)
    W, b, stitch = w[f"{name}.linear.weight"], w[f"{name}.linear.bias"], w[f"{name}.stitch"]
    active = [oracle.relu_layer(W[i], b[i], columns[i]) for i in range(count)]
    mixed = []
    for i in range(count):
        total = np.zeros_like(active[i])
        for j in range(count):
            total = total + stitch[i, j] * active[j]
        mixed.append(total)
    return mixed


@settings(max_examples=60)
@given(stitch_cases())
def test_agrees_with_loops(case: tuple[CrossStitch, Batch]) -> None:
    model, rows = case
    w, shape, config = cases.weights(model), model.schema, model.config

    def columns_of(part: int, layers: int, count: int, x: np.ndarray) -> list[np.ndarray]:
        columns = [x] * count
        for layer in range(layers):
            columns = stitched(w, f"levels.{part}.layers.{layer}", columns)
        return columns

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        x = cases.input_of(model, fields, scenarios)
        groups = per_level(config.scenario, len(shape.levels))
        for level, group in enumerate(groups):
            count = len(shape.levels[level])
            x = columns_of(level, group.layers, count, x)[scenarios[level]]
        columns = columns_of(len(groups), config.task.layers, len(shape.tasks), x)
        return [loops.towers(w, "towers", task, z) for task, z in enumerate(columns)]

    loops.check(model, rows, logits)


def test_with_identity_matrices_it_is_parallel_dnn() -> None:
    shape, group = cases.schema((2, 3)), LayerGroup(layers=2, width=7)
    model = cases.spread(CrossStitch(CrossStitchConfig(scenario=group, task=group), shape))
    parallel = ParallelDNN(ParallelDNNConfig(scenario=group, task=group), shape).eval()
    parallel.embedding.load_state_dict(model.embedding.state_dict())
    parallel.towers.load_state_dict(model.towers.state_dict())
    stitched = [layer for level in model.levels for layer in level.layers]
    plain = [*parallel.scenario_layers, *parallel.task_layers]
    for ours, theirs in zip(stitched, plain, strict=True):
        getattr(theirs, "linear", theirs).load_state_dict(ours.linear.state_dict())
        with torch.no_grad():
            ours.stitch.copy_(torch.eye(len(ours.stitch)))
    rows = cases.batch(shape, 40)
    torch.testing.assert_close(model(rows).logits, parallel(rows).logits)


def test_with_equal_entries_every_scenario_hands_on_the_same() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(CrossStitch(CrossStitchConfig(), shape)), cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert not torch.allclose(model(rows).logits, model(moved).logits)
    with torch.no_grad():
        model.levels[0].layers[0].stitch.fill_(1 / 3)
    torch.testing.assert_close(model(rows).logits, model(moved).logits)


@pytest.mark.parametrize(
    ("scenarios", "keep", "wanted"),
    [(3, 0.9, [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]), (1, 0.9, [[1.0]])],
)
def test_matrices_start_near_the_identity(
    scenarios: int, keep: float, wanted: list[list[float]]
) -> None:
    model = CrossStitch(CrossStitchConfig(keep=keep), cases.schema((scenarios,)))
    torch.testing.assert_close(model.levels[0].layers[0].stitch.detach(), torch.tensor(wanted))


def test_a_row_moves_the_columns_of_all_scenarios() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(CrossStitch(CrossStitchConfig(), shape)), cases.batch(shape, 60)
    model(rows[rows.scenarios[:, 0] == 1]).logits.sum().backward()
    layer = model.levels[0].layers[0]
    assert layer.linear.weight.grad.abs().sum((1, 2)).gt(0).all()
    assert layer.stitch.grad.ne(0).any(1).tolist() == [False, True, False]
