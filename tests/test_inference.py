"""A model over many rows, a chunk at a time."""

from typing import Any

import numpy as np
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.data.batch import Batch
from aesm2.inference import CHUNK, outputs, probabilities
from aesm2.models import AESM2, Model, Schema
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


@pytest.fixture
def model() -> AESM2:
    group = ExpertGroup(layers=1, experts=4, specific=1, shared=1, width=5)
    return cases.spread(AESM2(AESM2Config(scenario=group, task=group, noise_scale=1.0), SHAPE))


@pytest.mark.parametrize("chunk", [1, 3, 7, 8, 100])
def test_chunks_are_in_order_and_whole(model: AESM2, chunk: int) -> None:
    batch = cases.batch(SHAPE, 7)
    parts = list(outputs(model, batch, chunk))
    assert [len(part) for part, _ in parts] == [min(chunk, 7 - s) for s in range(0, 7, chunk)]
    assert torch.equal(torch.cat([part.fields for part, _ in parts]), batch.fields)
    assert torch.equal(torch.cat([part.labels for part, _ in parts]), batch.labels)
    with torch.no_grad():
        whole = model(batch).log_probability
    found = torch.cat([output.log_probability for _, output in parts])
    torch.testing.assert_close(found, whole)


def test_more_rows_than_a_chunk(model: AESM2) -> None:
    batch = cases.batch(SHAPE, CHUNK + 3)
    predicted = probabilities(model, batch)
    assert predicted.shape == (CHUNK + 3, 2)
    last = probabilities(model, batch[CHUNK:])
    np.testing.assert_array_equal(predicted[CHUNK:], last)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back_and_there_is_no_noise(model: AESM2, training: bool) -> None:
    batch = cases.batch(SHAPE, 9)
    model.train(training)
    predicted = probabilities(model, batch)  # in training mode it would need a generator
    assert model.training == training
    assert all(layer.training == training for layer in model.modules())
    np.testing.assert_array_equal(predicted, probabilities(model, batch))


def test_the_mode_is_put_back_after_an_error_or_an_early_end(model: AESM2) -> None:
    model.train()
    batch = cases.batch(SHAPE, 9)
    walk = outputs(model, batch, 4)
    next(walk)
    assert not model.training
    walk.close()
    assert model.training
    broken = Batch(batch.fields + 1000, batch.scenarios)
    with pytest.raises(IndexError):
        probabilities(model, broken)
    assert model.training


def test_no_gradients_are_kept(model: AESM2) -> None:
    for _, output in outputs(model, cases.batch(SHAPE, 4)):
        assert not output.logits.requires_grad


def test_probabilities_are_float32_along_the_chain(model: AESM2) -> None:
    batch = cases.batch(SHAPE, 50)
    predicted = probabilities(model, batch)
    with torch.no_grad():
        conditional = model(batch).logits.sigmoid().numpy()
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted[:, 0], conditional[:, 0], rtol=1e-5)
    np.testing.assert_allclose(predicted[:, 1], conditional.prod(1), rtol=1e-5)


def test_no_rows_give_no_probabilities(model: AESM2) -> None:
    predicted = probabilities(model, cases.batch(SHAPE, 3)[:0])
    assert predicted.shape == (0, 2)
    assert predicted.dtype == np.float32


def test_the_batch_may_be_anywhere(model: AESM2) -> None:
    """Each chunk goes to the model's device; here only the call is seen."""
    moved: list[Any] = []

    class Watched(Batch):
        def to(self, device: torch.device | str) -> Batch:
            moved.append(torch.device(device))
            return super().to(device)

        def __getitem__(self, rows: Any) -> Batch:
            part = super().__getitem__(rows)
            return Watched(part.fields, part.scenarios, part.labels)

    batch = cases.batch(SHAPE, 5)
    list(outputs(model, Watched(batch.fields, batch.scenarios), 2))
    assert moved == [next(model.parameters()).device] * 3


def test_the_schema_is_that_of_the_model() -> None:
    shape: Schema = cases.schema(parents=(-1, 0, 1))
    model: Model = cases.spread(AESM2(AESM2Config(), shape))
    assert probabilities(model, cases.batch(shape, 2)).shape == (2, 3)
