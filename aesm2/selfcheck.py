"""Proof that a device computes what the checkpoint's author computed."""

import time
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.device import device_label
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
    """Recompute the stored reference rows on the checkpoint's device and compare."""
    stored = safetensors.torch.load_file(checkpoint.path / "reference.safetensors")
    batch = Batch(stored["fields"], stored["scenarios"], None, stored.get("numbers"))
    found = _results(checkpoint.model, batch)
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
