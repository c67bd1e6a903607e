"""Proof that a device computes what the checkpoint's author computed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.device import device_label
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.models import Model
from aesm2.routing.gap import selection_gap

TOLERANCE = 1e-5  # largest difference in a probability that float32 rounding explains


@dataclass(frozen=True)
class SelfCheck:
    """Result of `selfcheck`.

    largest_difference: over all probabilities. selections_differ: rows × layers × tasks whose
    chosen experts are not the reference's. rows_per_second: of prediction, after a warm-up.
    """

    device: str
    dtype: str
    rows: int
    largest_difference: float
    selections_differ: int
    rows_per_second: float

    @property
    def passed(self) -> bool:
        """Whether predictions agree within TOLERANCE and every selection is equal."""
        return self.largest_difference <= TOLERANCE and self.selections_differ == 0


def selfcheck(checkpoint: Checkpoint, repeats: int = 5) -> SelfCheck:
    """Recompute the stored reference rows on the checkpoint's device and compare.

    Raises InputError where the stored rows are none that the model takes.
    """
    file = checkpoint.path / "reference.safetensors"
    stored = _read(file)
    batch = _inputs(stored, checkpoint.model.schema, file)
    found = _results(checkpoint.model, batch)
    for key, value in found.items():
        if key not in stored or stored[key].shape != value.shape:
            raise InputError(f"{file}: '{key}' is missing, or is not of the stored rows")
    differ = sum(
        int((found[key] != stored[key]).any(-1).sum()) for key in found if key != "probability"
    )
    return SelfCheck(
        device_label(checkpoint.device),
        str(next(checkpoint.model.parameters()).dtype).removeprefix("torch."),
        len(batch),
        float((found["probability"] - stored["probability"]).abs().max()),
        differ,
        _speed(checkpoint.model, batch, repeats),
    )


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(file))
    except SafetensorError as error:
        raise InputError(f"{file}: not a valid safetensors file: {error}") from None


def _inputs(stored: Mapping[str, Tensor], schema: Schema, file: Path) -> Batch:
    """Return the stored rows; InputError where they are not of the shape of the data."""
    sizes = {"fields": schema.fields, "scenarios": [len(level) for level in schema.levels]}
    for name, most in sizes.items():
        own = stored.get(name)
        whole = own is not None and own.dtype in (torch.int32, torch.int64)
        if own is None or not whole or own.ndim != 2 or own.shape[1] != len(most):
            raise InputError(f"{file}: '{name}' are not rows of whole numbers, {len(most)} each")
        if not len(own) or (own < 0).any() or (own >= torch.tensor(most)).any():
            raise InputError(f"{file}: '{name}' are no rows, or hold numbers out of range")
    if len(stored["fields"]) != len(stored["scenarios"]):
        raise InputError(f"{file}: 'fields' and 'scenarios' are of different rows")
    numbers, shape = stored.get("numbers"), (len(stored["fields"]), len(schema.numbers))
    if schema.numbers and (
        numbers is None or numbers.shape != shape or not numbers.isfinite().all()
    ):
        raise InputError(f"{file}: 'numbers' are not those of the stored rows")
    return Batch(
        stored["fields"], stored["scenarios"].long(), None, numbers if schema.numbers else None
    )


def reference(model: Model, batch: Batch, rows: int = 256) -> bytes:
    """Return the content of `reference.safetensors`: inputs and what the model makes of them.

    Of the first 16 · rows rows, those are taken whose selection is clearest, so that rounding on
    another device cannot flip a choice that was a near-tie.
    """
    candidates = batch[: 16 * rows].to("cpu")
    device = next(model.parameters()).device
    model.to("cpu")
    gaps = [
        selection_gap([routing.selection for routing in output.routings], len(part))
        for part, output in outputs(model, candidates)
    ]
    clearest = torch.cat(gaps).argsort(descending=True, stable=True)[:rows].sort().values
    chosen = candidates[clearest]
    stored = {"fields": chosen.fields, "scenarios": chosen.scenarios} | _results(model, chosen)
    if chosen.numbers is not None:
        stored["numbers"] = chosen.numbers
    model.to(device)
    return safetensors.torch.save({key: value.contiguous() for key, value in stored.items()})


def _results(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Probabilities, and both masks of every layer with rows first."""
    found: dict[str, list[Tensor]] = {}
    for _, output in outputs(model, batch):
        found.setdefault("probability", []).append(output.log_probability.exp().cpu())
        for number, routing in enumerate(output.routings):
            chosen = routing.selection
            for role, mask in (("specific", chosen.specific), ("shared", chosen.shared)):
                rows_first = mask.movedim(-2, 0).cpu()  # (rows, [tasks,] experts)
                found.setdefault(f"{role}.{number}", []).append(rows_first)
    return {key: torch.cat(parts) for key, parts in found.items()}


def _speed(model: Model, batch: Batch, repeats: int) -> float:
    for _ in outputs(model, batch):  # warm-up
        pass
    started = time.perf_counter()
    for _ in range(repeats):
        for _, output in outputs(model, batch):
            output.log_probability.cpu()
    return repeats * len(batch) / (time.perf_counter() - started)
