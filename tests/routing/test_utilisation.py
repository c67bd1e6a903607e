"""Utilisation against counting in loops, over the choices of tests/oracle.py."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings

from aesm2.config import MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.models import AESM2, build
from aesm2.routing.trace import layer_specs, trace
from aesm2.routing.utilisation import Utilisation, count, utilisation
from tests import oracle
from tests.models import cases
from tests.models.test_aesm2_oracle import narrowest_choice


def counted(prediction: oracle.Prediction, rows: Batch, sizes: list[int]) -> list[dict]:
    """Counts of each layer as {name: (T, P, n)}, one row, target and expert at a time."""
    paths = list(itertools.product(*(range(size) for size in sizes)))
    counts = []
    for layer in prediction.layers:
        per_task = layer.specific.ndim == 3
        targets = len(layer.specific) if per_task else 1
        experts = layer.specific.shape[-1]
        layer_counts = {
            name: np.zeros((targets, len(paths), experts))
            for name in ("specific", "shared", "weight")
        }
        for r in range(len(rows)):
            path = paths.index(tuple(rows.scenarios[r].tolist()))
            for t in range(targets):
                for k in range(experts):
                    at = (t, r, k) if per_task else (r, k)
                    layer_counts["specific"][t, path, k] += layer.specific[at]
                    layer_counts["shared"][t, path, k] += layer.shared[r, k]
                    layer_counts["weight"][t, path, k] += layer.mixing_weights[at]
        counts.append(layer_counts)
    return counts


@settings(max_examples=60)
@given(cases.aesm2_cases())
def test_it_agrees_with_counting_in_loops(case: tuple[AESM2, Batch]) -> None:
    model, rows = case
    shape = cases.oracle_shape(model.config, model.schema)
    wanted = oracle.predict(
        cases.weights(model), shape, rows.fields.numpy(), rows.scenarios.numpy()
    )
    assume(narrowest_choice(wanted).min() > 1e-9)
    found = utilisation(model.double(), rows)
    sizes = [len(level) for level in model.schema.levels]
    expected = counted(wanted, rows, sizes)
    assert [layer.spec for layer in found.layers] == list(layer_specs(model))
    for layer, counts in zip(found.layers, expected, strict=True):
        np.testing.assert_array_equal(layer.specific, counts["specific"])
        np.testing.assert_array_equal(layer.shared, counts["shared"])
        np.testing.assert_allclose(layer.weight, counts["weight"], rtol=1e-9, atol=1e-9)
    of_path = np.ravel_multi_index(tuple(rows.scenarios.numpy().T), sizes)
    np.testing.assert_array_equal(found.rows, np.bincount(of_path, minlength=int(np.prod(sizes))))


def model_and_rows(rows: int, levels: tuple[int, ...] = (3, 2)) -> tuple[AESM2, Batch]:
    shape = cases.schema(levels=levels)
    model = cases.spread(AESM2(cases.AESM2Config(), shape))
    return model, cases.batch(shape, rows)


def same(a: Utilisation, b: Utilisation, tolerance: float = 1e-5) -> None:
    np.testing.assert_array_equal(a.rows, b.rows)
    for one, other in zip(a.layers, b.layers, strict=True):
        assert one.spec == other.spec
        np.testing.assert_array_equal(one.specific, other.specific)
        np.testing.assert_array_equal(one.shared, other.shared)
        np.testing.assert_allclose(one.weight, other.weight, rtol=0, atol=tolerance)


@pytest.mark.parametrize("cut", [1, 17, 39])
def test_two_parts_add_up_to_the_whole(cut: int) -> None:
    model, rows = model_and_rows(40)
    parts = utilisation(model, rows[:cut]) + utilisation(model, rows[cut:])
    same(parts, utilisation(model, rows))


def test_many_chunks_are_counted_as_one() -> None:
    model, rows = model_and_rows(50)
    many = Batch(rows.fields.repeat(400, 1), rows.scenarios.repeat(400, 1))
    once, often = utilisation(model, rows), utilisation(model, many)
    np.testing.assert_array_equal(often.rows, 400 * once.rows)
    for one, other in zip(once.layers, often.layers, strict=True):
        np.testing.assert_array_equal(other.specific, 400 * one.specific)
        np.testing.assert_array_equal(other.shared, 400 * one.shared)
        np.testing.assert_allclose(other.weight, 400 * one.weight, rtol=1e-4)


def test_sums_over_many_paths_are_those_over_few(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_and_rows(50)
    few = utilisation(model, rows)
    monkeypatch.setattr("aesm2.routing.utilisation.FEW", 0)
    same(utilisation(model, rows), few)


def test_no_rows_add_nothing() -> None:
    model, rows = model_and_rows(3)
    none = rows[:0]
    with torch.no_grad():
        nothing = count(model.schema, layer_specs(model), none.scenarios, model(none).routings)
    same(utilisation(model, rows) + nothing, utilisation(model, rows))
    assert not nothing.rows.any()


def test_it_agrees_with_the_trace() -> None:
    model, rows = model_and_rows(60)
    found, traced = utilisation(model, rows), trace(model, rows, pd.RangeIndex(60))
    for layer, of_trace in zip(found.layers, traced.layers, strict=True):
        total = of_trace.specific.reshape(-1, 60, layer.spec.experts).sum(1)
        np.testing.assert_array_equal(layer.specific.sum(1), total)
        assert (layer.specific.sum((1, 2)) == 60 * layer.spec.specific).all()
        assert (layer.shared.sum((1, 2)) == 60 * layer.spec.shared).all()
        np.testing.assert_allclose(layer.weight.sum((1, 2)), 60, rtol=1e-5)


def test_json_and_back() -> None:
    model, rows = model_and_rows(40)
    found = utilisation(model, rows)
    text = json.dumps(found.to_json())
    back = Utilisation.from_json(model.schema, layer_specs(model), json.loads(text))
    same(back, found, tolerance=5e-4)
    assert back.rows.dtype == np.int64


def test_what_cannot_be_counted_is_said() -> None:
    model, rows = model_and_rows(4)
    with pytest.raises(InputError, match="no rows to count"):
        utilisation(model, rows[:0])
    with pytest.raises(InputError, match=r"no layer 'x' \(layers: level0\.1"):
        utilisation(model, rows).layer("x")
    plain = build(MLPConfig(name="mlp"), model.schema)
    with pytest.raises(InputError, match="'mlp' has no expert selection"):
        utilisation(plain, rows)
