"""Measures row by row, held against loops over the trace."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.slices.measures import Measure, measure, measured, measures_of, unusual
from tests import degenerate, small


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


def test_every_measure_agrees_with_the_trace(checkpoint: Checkpoint) -> None:
    frame = Dataset.open(small.dataset()).frame()
    described, batch = checkpoint.description, checkpoint.encode(frame, labels=True)
    offered = measures_of(checkpoint.model, described)
    values = measured(checkpoint.model, batch, described, offered)
    assert list(values) == offered
    trace, predicted = checkpoint.trace(frame), checkpoint.predict(frame)
    labels = {"ctr": frame["click"], "ctcvr": frame["buy"]}
    assert batch.labels is not None
    for own in offered:
        assert measure(own.key, checkpoint.model, described) == own
        if own.kind in ("loss", "calibration"):
            p, y = predicted[own.task].to_numpy(np.float64), labels[own.task].to_numpy()
            loss = -(y * np.log(p) + (1 - y) * np.log1p(-p))
            np.testing.assert_allclose(
                values[own], loss if own.kind == "loss" else p - y, atol=2e-5
            )
            continue
        layer = trace.layer(own.layer).of_task(("", "ctr", "ctcvr").index(own.task) - 1)
        if own.kind == "expert":
            mask = layer.specific if own.role == "specific" else layer.shared
            np.testing.assert_array_equal(values[own], mask[:, own.expert].numpy())
        if own.kind == "set":
            sets = [tuple(np.flatnonzero(s)) for s in (layer.specific | layer.shared).numpy()]
            level = trace.layer(own.layer).spec.level
            scenario = [tuple(s) if level is None else s[level] for s in trace.scenarios.tolist()]
            most = {}
            for group in set(scenario):
                counts = Counter(s for s, g in zip(sets, scenario, strict=True) if g == group)
                most[group] = max(counts.values())
                usual = {s for s, n in counts.items() if n == most[group]}
                away = [s for s, g, v in zip(sets, scenario, values[own], strict=True)
                        if g == group and v == 0]  # fmt: skip
                assert len(set(away)) == 1
                assert away[0] in usual
                assert len(away) == most[group]
    assert {own.unit for own in offered} == {"nats", "points"}


def test_the_usual_set_of_two_equally_frequent_ones_is_the_first() -> None:
    sets = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 1, 1]], bool)
    group = np.array([0, 0, 5, 5])
    assert unusual(sets, group).tolist() == [1, 0, 0, 0]


def test_tasks_that_do_not_exist_everywhere() -> None:
    folder = degenerate.root() / "checkpoints" / "some_scenarios"
    checkpoint = aesm2.load(folder, "cpu")
    frame = Dataset.open(degenerate.root() / "data_samples" / "some_scenarios").split("test")
    batch = checkpoint.encode(frame, labels=True)
    own = [m for m in measures_of(checkpoint.model, checkpoint.description) if m.task == "ctcvr"]
    assert {m.kind for m in own} == {"loss", "calibration", "set", "expert"}
    values = measured(checkpoint.model, batch, checkpoint.description, own)
    fr = (frame["country"] == "fr").to_numpy()
    for found in values.values():
        assert np.isnan(found[~fr]).all()
        assert not np.isnan(found[fr]).any()


def test_models_without_selection_have_measures_of_tasks(tmp_path: Path) -> None:
    plain = aesm2.load(small.fit(tmp_path / "plain", small.config(model={"name": "mlp"})), "cpu")
    offered = measures_of(plain.model, plain.description)
    assert {own.kind for own in offered} == {"loss", "calibration"}
    with pytest.raises(InputError, match=r"no measure 'set:country\.1' for this model"):
        measure("set:country.1", plain.model, plain.description)


def test_rows_without_labels_have_routing_only(checkpoint: Checkpoint) -> None:
    frame = Dataset.open(small.dataset()).split("test")
    batch, described = checkpoint.encode(frame), checkpoint.description
    with pytest.raises(InputError, match="have no labels"):
        measured(checkpoint.model, batch, described, [Measure("loss", "ctr")])
    gap = Measure("gap", layer="country.1")
    assert np.isfinite(measured(checkpoint.model, batch, described, [gap])[gap]).all()
    with pytest.raises(InputError, match="no rows"):
        measured(checkpoint.model, batch[:0], described, [gap])
