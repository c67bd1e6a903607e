"""Gate weights and usage of every gated model against its output, and loops over rows."""

import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.config import (
    AESM2Config,
    DSelectKConfig,
    HMoEConfig,
    LayerGroup,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    PLEConfig,
    SplitGroup,
)
from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, PATH
from aesm2.errors import InputError
from aesm2.models import Model, build
from aesm2.routing.gates import GateUsage, gate_usage, gate_weights, mixture_layers, owner_names
from aesm2.routing.trace import layer_specs
from tests.models import cases

SHAPE = cases.schema((3, 2))
PLE = PLEConfig(scenario=SplitGroup(layers=2), task=SplitGroup(specific=2, shared=1))
HMOE = HMoEConfig(scenario=LayerGroup(layers=2))
CONFIGS = (AESM2Config(), MMoEConfig(), PLE, HMOE, DSelectKConfig())
every_model = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)


def small(config: ModelConfig, rows: int = 60) -> tuple[Model, Batch]:
    return cases.spread(build(config, SHAPE)).double(), cases.batch(SHAPE, rows)


def of_output(model: Model, rows: Batch) -> list[np.ndarray]:
    """Weights of every layer as the model returns them, with a task axis where it has one."""
    output = model(rows)
    found = [r.selection.mixing_weights for r in output.routings]
    found = found or [m.weights for m in output.mixtures]
    return [weights.detach().numpy() for weights in found]


@every_model
def test_layers_are_those_of_the_output(config: ModelConfig) -> None:
    model, rows = small(config, 5)
    specs = mixture_layers(model)
    for spec, weights in zip(specs, of_output(model, rows), strict=True):
        assert weights.shape[-1] == spec.experts == len(spec.owners)
        assert (len(spec.targets) == 2) == (weights.ndim == 3)
        assert spec.kind == ("task" if spec.level is None else "scenario")


def test_layers_of_aesm2_are_called_as_in_its_trace() -> None:
    model, _ = small(AESM2Config())
    pairs = zip(mixture_layers(model), layer_specs(model), strict=True)
    for mine, other in pairs:
        assert (mine.name, mine.kind, mine.level) == (other.name, other.kind, other.level)
        assert (mine.gates, mine.experts) == (other.gates, other.experts)
        assert set(mine.owners) == {None}


def test_owners() -> None:
    by_name = {spec.name: spec for spec in mixture_layers(small(PLE)[0])}
    assert list(by_name) == ["level0.1", "level0.2", "level1.1", "level1.2", "task.1"]
    assert by_name["level0.2"].owners == (0, 0, 1, 1, 2, 2, None, None)
    assert owner_names(by_name["task.1"]) == ["task0", "task0", "task1", "task1", ""]
    for spec in mixture_layers(small(HMOE)[0]):
        assert spec.owners == tuple(range(len(spec.gates)))
        assert spec.targets == ("task0", "task1")
    assert mixture_layers(build(MLPConfig(), SHAPE)) == ()


@every_model
def test_weights_are_those_of_the_output_and_of_the_rows_own_gate(config: ModelConfig) -> None:
    model, rows = small(config)
    index = pd.Index([f"r{i}" for i in range(60)])
    found = gate_weights(model, rows, index)
    for layer, wanted in zip(found.layers, of_output(model, rows), strict=True):
        np.testing.assert_allclose(layer.weights, wanted.reshape(layer.weights.shape), rtol=1e-12)
        np.testing.assert_allclose(layer.weights.sum(-1), 1)
        for target, gates in enumerate(layer.gate.tolist()):
            own = rows.scenarios[:, layer.spec.level or 0].tolist()
            assert gates == ([target] * 60 if layer.spec.kind == "task" else own)
    frame = found.to_frame()
    assert len(frame) == sum(layer.weights.numel() for layer in found.layers)
    line = frame[(frame["row"] == "r7") & (frame["layer"] == "level0.1")].iloc[1]
    assert line["gate"] == SHAPE.levels[0][int(rows.scenarios[7, 0])]
    assert line["weight"] == float(found.layers[0].weights[0, 7, 1])


def counted(model: Model, rows: Batch) -> list[dict[tuple[int, tuple[int, ...]], np.ndarray]]:
    """Sums by (target, path), one row at a time: weights, then the effective number, then rows."""
    found = []
    for weights in of_output(model, rows):
        sums: dict[tuple[int, tuple[int, ...]], np.ndarray] = defaultdict(
            lambda n=weights.shape[-1] + 2: np.zeros(n)
        )
        for target, of_target in enumerate(weights if weights.ndim == 3 else [weights]):
            for r, w in enumerate(of_target):
                entropy = -sum(p * math.log(p) for p in w if p > 0)
                path = tuple(rows.scenarios[r].tolist())
                sums[target, path] += [*w, math.exp(entropy), 1]
        found.append(sums)
    return found


@every_model
def test_usage_agrees_with_loops(config: ModelConfig) -> None:
    model, rows = small(config)
    usage = gate_usage(model, rows)
    for layer, sums in zip(usage.layers, counted(model, rows), strict=True):
        means = usage.means(layer.spec.name, PATH)
        for (target, path), wanted in sums.items():
            number = path[0] * 2 + path[1]
            *weight, effective, n = wanted
            np.testing.assert_allclose(layer.weight[target, number], weight, atol=1e-12)
            assert layer.effective[target, number] == pytest.approx(effective)
            assert usage.rows[number] == n == means.rows[target, number]
            np.testing.assert_allclose(means.weight[target, number], np.array(weight) / n)
            assert means.effective[target, number] == pytest.approx(effective / n)
            assert 1 - 1e-9 <= means.effective[target, number] <= layer.spec.experts + 1e-9


@every_model
@pytest.mark.parametrize("cut", [1, 23, 59])
def test_two_parts_add_up_to_the_whole(config: ModelConfig, cut: int) -> None:
    model, rows = small(config)
    whole, parts = gate_usage(model, rows), gate_usage(model, rows[:cut])
    parts = parts + gate_usage(model, rows[cut:])
    np.testing.assert_array_equal(parts.rows, whole.rows)
    for a, b in zip(parts.layers, whole.layers, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, atol=1e-12)
        np.testing.assert_allclose(a.effective, b.effective, atol=1e-12)


def test_means_over_a_level_count_each_row_once() -> None:
    model, rows = small(MMoEConfig())
    usage, weights = gate_usage(model, rows), of_output(model, rows)[0]
    of_level = usage.means("level0.1", "level1")
    for scenario in range(2):
        own = (rows.scenarios[:, 1] == scenario).numpy()
        assert of_level.rows[0, scenario] == own.sum()
        np.testing.assert_allclose(of_level.weight[0, scenario], weights[own].mean(0))
    everybody = usage.means("task.1", OVERALL)
    np.testing.assert_allclose(
        everybody.weight[:, 0], of_output(model, rows)[2].mean(1), atol=1e-12
    )


def test_paths_that_do_not_count_are_left_out() -> None:
    model, rows = small(MMoEConfig())
    usage = gate_usage(model, rows)
    kept = np.ones((6, 2), bool)
    kept[:3, 1] = False  # the second task exists in the last three paths only
    kept[0] = False
    task, level = usage.means("task.1", PATH, kept), usage.means("level0.1", PATH, kept)
    assert (task.rows > 0).tolist() == [[False] + [True] * 5, [False] * 3 + [True] * 3]
    assert np.isnan(task.weight[1, :3]).all()
    assert (level.rows > 0).tolist() == [[False] + [True] * 5]


def test_equal_weights_are_n_effective_experts_and_one_is_one() -> None:
    model, rows = small(MMoEConfig())
    gate = model.scenario_layers[0].gate
    with torch.no_grad():
        gate.weight.zero_()
        gate.bias.zero_()
    assert gate_usage(model, rows).means("level0.1", OVERALL).effective.item() == pytest.approx(4)
    with torch.no_grad():
        gate.bias[:, 2] = 1e4
    means = gate_usage(model, rows).means("level0.1", OVERALL)
    assert means.effective.item() == 1
    assert means.weight.ravel().tolist() == [0, 0, 1, 0]


def test_what_cannot_be_shown_is_said() -> None:
    model, rows = small(MMoEConfig())
    plain = build(MLPConfig(), SHAPE)
    for look in (gate_usage, lambda m, b: gate_weights(m, b, pd.RangeIndex(len(b)))):
        with pytest.raises(InputError, match="model 'mlp' has no gates to show"):
            look(plain, rows)
        with pytest.raises(InputError, match="no rows"):
            look(model, rows[:0])
    usage: GateUsage = gate_usage(model, rows)
    with pytest.raises(InputError, match=r"no layer 'x' \(layers: level0.1, level1.1, task.1\)"):
        usage.means("x", PATH)
