"""The trace: every quantity of every layer, with the shapes and relations that are promised."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from torch import Tensor

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.config import MLPConfig
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.inference import CHUNK
from aesm2.models import AESM2, build
from aesm2.routing.trace import LayerTrace, RoutingTrace, layer_specs, trace
from tests import small
from tests.models import cases


@pytest.fixture(scope="module")
def opened() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return Dataset.open(small.dataset()).split("test")


@pytest.fixture(scope="module")
def traced(opened: Checkpoint, rows: pd.DataFrame) -> RoutingTrace:
    return opened.trace(rows)


def tensors(layer: LayerTrace) -> dict[str, Tensor]:
    found = {name: value for name, value in vars(layer).items() if isinstance(value, Tensor)}
    assert len(found) == 8
    return found | {"row_softmax": layer.row_softmax}


def test_layers_are_in_order_of_computation_and_as_configured(
    opened: Checkpoint, traced: RoutingTrace
) -> None:
    assert tuple(layer.spec for layer in traced.layers) == opened.layers
    found = [(la.name, la.kind, la.spec.level, la.gates, la.experts) for la in traced.layers]
    assert found == [
        ("country.1", "scenario", 0, ("fr", "it", "elsewhere"), 5),
        ("page.1", "scenario", 1, ("0", "1"), 5),
        ("task.1", "task", None, ("ctr", "ctcvr"), 3),
    ]
    assert [(la.spec.specific, la.spec.shared, la.spec.width) for la in traced.layers] == [
        (2, 2, 8), (2, 2, 8), (1, 1, 6),
    ]  # fmt: skip


def test_shapes(traced: RoutingTrace) -> None:
    count = len(traced)
    assert count == 88
    assert traced.scenarios.shape == (count, 2)
    assert traced.logits.shape == traced.log_probability.shape == (count, 2)
    for layer in traced.layers:
        n, m, width = layer.experts, len(layer.gates), layer.spec.width
        tasks = (2,) if layer.kind == "task" else ()
        assert {name: tuple(value.shape) for name, value in tensors(layer).items()} == {
            "gate_logits": (count, n, m),
            "row_softmax": (count, n, m),
            "target": (2,) if layer.kind == "task" else (count,),
            "kl_specific": (*tasks, count, n),
            "kl_shared": (count, n),
            "specific": (*tasks, count, n),
            "shared": (count, n),
            "mixing_weights": (*tasks, count, n),
            "output": (*tasks, count, width),
        }
        assert layer.specific.dtype == layer.shared.dtype == torch.bool
        for name, value in tensors(layer).items():
            assert value.device.type == "cpu"
            assert not value.requires_grad, name


def test_every_quantity_follows_from_the_gate_logits(traced: RoutingTrace) -> None:
    """Equations 9 to 14 in float64, row by row and task by task."""
    for layer in traced.layers:
        logits = layer.gate_logits.double()
        n, m = logits.shape[1:]
        softmax = logits.softmax(-1)
        torch.testing.assert_close(layer.row_softmax.double(), softmax, rtol=1e-5, atol=1e-7)
        kl_shared = -np.log(m) - softmax.log().mean(-1)
        torch.testing.assert_close(layer.kl_shared.double(), kl_shared, rtol=1e-4, atol=1e-6)
        for task in range(2 if layer.kind == "task" else 1):
            seen = layer.of_task(task)
            for row in range(len(traced)):
                j = int(seen.target[row])
                kl = -softmax[row, :, j].log()
                torch.testing.assert_close(seen.kl_specific[row].double(), kl, rtol=1e-4, atol=1e-6)
                specific = set(seen.kl_specific[row].argsort(stable=True)[: layer.spec.specific])
                shared = set(seen.kl_shared[row].argsort(stable=True)[: layer.spec.shared])
                specific, shared = ({int(k) for k in chosen} for chosen in (specific, shared))
                assert set(seen.specific[row].nonzero()[:, 0].tolist()) == specific
                assert set(seen.shared[row].nonzero()[:, 0].tolist()) == shared
                masked = torch.full((n,), -torch.inf, dtype=torch.float64)
                for k in specific | shared:
                    masked[k] = logits[row, k, j]
                torch.testing.assert_close(
                    seen.mixing_weights[row].double(), masked.softmax(0), rtol=1e-4, atol=1e-6
                )


def test_targets_are_the_rows_own_scenarios(traced: RoutingTrace, rows: pd.DataFrame) -> None:
    country, page, task = traced.layers
    names = np.array(country.gates)[country.target]
    expected = rows["country"].where(rows["country"] != "xx", "elsewhere")
    assert names.tolist() == expected.tolist()
    assert np.array(page.gates)[page.target].tolist() == rows["page"].astype(str).tolist()
    assert task.target.tolist() == [0, 1]


def test_probabilities_are_the_predictions(
    opened: Checkpoint, traced: RoutingTrace, rows: pd.DataFrame
) -> None:
    predicted = opened.predict(rows)
    np.testing.assert_array_equal(traced.log_probability.exp().numpy(), predicted)
    conditional = traced.logits.sigmoid().numpy()
    np.testing.assert_allclose(conditional.prod(1), predicted["ctcvr"], rtol=1e-5)
    assert traced.index.equals(rows.index)


def test_a_layer_as_one_task_sees_it(traced: RoutingTrace) -> None:
    scenario, _, task = traced.layers
    assert scenario.of_task(1) is scenario
    for number in range(2):
        seen = task.of_task(number)
        assert seen.spec == task.spec
        assert seen.target.tolist() == [number] * 88
        for name in ("kl_specific", "specific", "mixing_weights", "output"):
            assert torch.equal(getattr(seen, name), getattr(task, name)[number])
        for name in ("gate_logits", "kl_shared", "shared"):
            assert torch.equal(getattr(seen, name), getattr(task, name))


def test_a_layer_is_found_by_name(traced: RoutingTrace) -> None:
    assert traced.layer("page.1") is traced.layers[1]
    with pytest.raises(InputError) as caught:
        traced.layer("page.2")
    assert str(caught.value) == "no layer 'page.2' (layers: country.1, page.1, task.1)"


# ---- as a table -------------------------------------------------------------------------------


def expected_lines(traced: RoutingTrace) -> Iterator[dict[str, object]]:
    """One line per row, layer, target and expert, read off the tensors one number at a time."""
    for layer in traced.layers:
        for task in range(len(layer.gates) if layer.kind == "task" else 1):
            for row in range(len(traced)):
                at = (task, row) if layer.kind == "task" else (row,)
                j = int(layer.target[task if layer.kind == "task" else row])
                for k in range(layer.experts):
                    yield {
                        "row": traced.index[row],
                        "layer": layer.name,
                        "kind": layer.kind,
                        "target": layer.gates[j],
                        "expert": k,
                        "gate_logit": layer.gate_logits[row, k, j].item(),
                        "row_softmax": layer.row_softmax[row, k, j].item(),
                        "kl_specific": layer.kl_specific[(*at, k)].item(),
                        "kl_shared": layer.kl_shared[row, k].item(),
                        "specific": layer.specific[(*at, k)].item(),
                        "shared": layer.shared[row, k].item(),
                        "mixing_weight": layer.mixing_weights[(*at, k)].item(),
                    }


def test_the_table_has_a_line_per_row_layer_target_and_expert(
    opened: Checkpoint, rows: pd.DataFrame
) -> None:
    few = opened.trace(rows.iloc[[5, 40, 2]])
    found, expected = few.to_frame(), pd.DataFrame(list(expected_lines(few)))
    assert list(found.columns) == list(expected.columns)
    assert len(found) == 3 * (5 + 5 + 2 * 3)
    assert found["row"].unique().tolist() == rows.index[[5, 40, 2]].tolist()
    for column in found.columns:
        assert found[column].tolist() == expected[column].tolist(), column
    assert not found.duplicated(["row", "layer", "target", "expert"]).any()


def test_the_table_adds_up(traced: RoutingTrace) -> None:
    found = traced.to_frame()
    by_row = found.groupby(["layer", "target", "row"], observed=True)
    np.testing.assert_allclose(by_row["mixing_weight"].sum(), 1, rtol=1e-5)
    sizes = by_row[["specific", "shared"]].sum()
    for layer in traced.layers:
        own = sizes.loc[layer.name]
        assert (own["specific"] == layer.spec.specific).all()
        assert (own["shared"] == layer.spec.shared).all()
    chosen = found["specific"] | found["shared"]
    assert ((found["mixing_weight"] > 0) == chosen).all()


def test_rows_may_have_any_names(opened: Checkpoint, rows: pd.DataFrame) -> None:
    named = rows.iloc[:3].set_index(pd.Index(["a", "b", "a"]))
    found = opened.trace(named).to_frame()
    assert len(found) == 3 * 16
    assert found.loc[found["layer"] == "page.1", "row"].tolist() == list("aaaaabbbbbaaaaa")


@given(cases.aesm2_cases())
def test_the_table_holds_for_any_architecture(case: tuple[AESM2, Batch]) -> None:
    model, batch = case
    traced = trace(model, batch, pd.RangeIndex(len(batch)))
    specs = layer_specs(model)
    assert [layer.spec for layer in traced.layers] == list(specs)
    assert len({spec.name for spec in specs}) == len(specs)
    found = traced.to_frame()
    per_row = sum(s.experts * (len(s.gates) if s.kind == "task" else 1) for s in specs)
    assert len(found) == len(batch) * per_row
    expected = pd.DataFrame(list(expected_lines(traced)))
    for column in found.columns:
        assert found[column].tolist() == expected[column].tolist()


# ---- many rows, few rows, no selection --------------------------------------------------------


def test_more_rows_than_a_chunk() -> None:
    shape = cases.schema(levels=(2,))
    model = cases.spread(AESM2(small.config().model, shape))
    batch = cases.batch(shape, CHUNK + 2)
    whole = trace(model, batch, pd.RangeIndex(CHUNK + 2))
    tail = trace(model, batch[CHUNK:], pd.RangeIndex(2))
    for layer, last in zip(whole.layers, tail.layers, strict=True):
        assert layer.gate_logits.shape[0] == layer.mixing_weights.shape[-2] == CHUNK + 2
        assert torch.equal(layer.gate_logits[CHUNK:], last.gate_logits)
        assert torch.equal(layer.mixing_weights[..., CHUNK:, :], last.mixing_weights)
        assert torch.equal(layer.output[..., CHUNK:, :], last.output)
    assert torch.equal(whole.logits[CHUNK:], tail.logits)


def test_no_rows_are_an_error(opened: Checkpoint, rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no rows to trace"):
        opened.trace(rows.iloc[:0])


def test_a_model_without_selection_is_an_error() -> None:
    shape = cases.schema()
    model = build(MLPConfig(), shape)
    assert layer_specs(model) == ()
    with pytest.raises(InputError, match="model 'mlp' has no expert selection to trace"):
        trace(model, cases.batch(shape, 2), pd.RangeIndex(2))
