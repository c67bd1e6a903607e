"""Baselines: what stands in a field's place where the feature is taken away.

Each is an embedded row, (1, width of x).
"""

import itertools

import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.layers.embedding import MISSING, UNSEEN
from aesm2.models import AESM2, Model

CHUNK = 4096  # rows embedded at once


def mean_baseline(model: Model, batch: Batch) -> Tensor:
    """Return the mean of the rows' embedded fields: a row like all, that need not exist."""
    own = _selecting(model)
    if len(batch) == 0:
        raise InputError("no rows to take the mean of")
    device = own.task_embedding.device
    total = torch.zeros(own.embedding.width, dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, len(batch), CHUNK):
            part = batch[start : start + CHUNK].to(device)
            x = own.embedding(part.fields, part.numbers)
            total += x.sum(0, dtype=torch.float64).cpu()
    return (total / len(batch)).to(device, own.embedding.weight.dtype).unsqueeze(0)


def value_baseline(model: Model, unseen: bool = False) -> Tensor:
    """Return the embedding of a row whose every value is missing, or one training never met.

    What training never met stays where it began, at the origin. A number that is missing is the
    mean, and said to be missing where training met that; an unknown one is the mean.
    """
    own = _selecting(model)
    index, columns = UNSEEN if unseen else MISSING, own.schema.numbers
    second = [earlier == later for earlier, later in itertools.pairwise((-1, *columns))]
    numbers = torch.tensor([second], dtype=torch.float32) * (not unseen)
    return _embedded(own, torch.full((1, len(own.schema.fields)), index), numbers)


def row_baseline(model: Model, batch: Batch) -> Tensor:
    """Return the embedded fields of the one row of a batch."""
    if len(batch) != 1:
        raise InputError(f"a baseline is one row, got {len(batch)}")
    return _embedded(_selecting(model), batch.fields, batch.numbers)


def _embedded(model: AESM2, fields: Tensor, numbers: Tensor | None) -> Tensor:
    device = model.task_embedding.device
    with torch.no_grad():
        own = None if numbers is None else numbers.to(device)
        x: Tensor = model.embedding(fields.to(device), own)
    return x


def _selecting(model: Model) -> AESM2:
    if not isinstance(model, AESM2):
        raise InputError(f"model '{model.config.name}' has no expert selection to explain")
    return model
