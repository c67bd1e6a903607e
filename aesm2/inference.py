"""Running a model over many rows in chunks, without gradients."""

from collections.abc import Iterator

import numpy as np
import torch

from aesm2.data.batch import Batch
from aesm2.models import Model, Output
from aesm2.models.aesm2 import InterveneIn

CHUNK = 8192  # rows that fit a processor's caches
GPU_CHUNK = 65_536  # rows that keep a GPU busy while Python starts the next, and fit a small one


def outputs(
    model: Model, batch: Batch, chunk: int | None = None, intervene: InterveneIn | None = None
) -> Iterator[tuple[Batch, Output]]:
    """Yield (chunk of the batch, the model's output for it), in evaluation mode, in order.

    The chunk is on the model's device. The model's mode is put back at the end.
    chunk: its rows, by default CHUNK, on a GPU GPU_CHUNK.
    intervene: who chooses the experts instead of the model, which must then be one that selects.
    """
    device = next(model.parameters()).device
    chunk = chunk or (GPU_CHUNK if device.type == "cuda" else CHUNK)
    training = model.training
    model.eval()
    try:
        for start in range(0, len(batch), chunk):
            part = batch[start : start + chunk].to(device)
            with torch.no_grad():
                output = model(part) if intervene is None else model(part, intervene=intervene)
            yield part, output
    finally:
        model.train(training)


def probabilities(model: Model, batch: Batch) -> np.ndarray:
    """Each task's probability along its chain, (rows, tasks) float32."""
    parts = [output.log_probability.exp().cpu() for _, output in outputs(model, batch)]
    empty = torch.zeros(0, len(model.schema.tasks))
    result: np.ndarray = torch.cat([empty, *parts]).numpy()
    return result
