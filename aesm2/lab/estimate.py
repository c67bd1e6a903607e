"""How long a training will take and how much memory, from a few steps of it on this machine."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from aesm2.config import Config
from aesm2.data.dataset import Dataset
from aesm2.device import resolve_device
from aesm2.evidence.rows import encode_rows
from aesm2.inference import probabilities
from aesm2.training.group import ALONE
from aesm2.training.loop import build_seeded
from aesm2.training.meter import peak_megabytes
from aesm2.training.step import WARM, steps

TIMED = 6  # steps
MEASUREMENTS = 12


@dataclass(frozen=True)
class Estimate:
    """What a training takes that goes through all its epochs; early stopping may end it sooner.

    rows: of the training split. parameters: of the model. epochs, steps: of the optimizer, in all.
    start: seconds until the first step. step, validation: seconds of one. memory: peak in MB.
    """

    rows: int
    parameters: int
    epochs: int
    steps: int
    start: float
    step: float
    validation: float
    validations: int
    memory: float

    @property
    def seconds(self) -> float:
        """All in all."""
        return self.start + self.steps * self.step + self.validations * self.validation

    def within(self, seconds: float) -> tuple[int, int]:
        """Return epochs that fit, at least one, and the steps between two measurements.

        There are about MEASUREMENTS of them, so that there is something to watch; never less often
        than once an epoch.
        """
        per_epoch = self.steps // self.epochs
        left = seconds - self.start - MEASUREMENTS * self.validation
        epochs = max(1, int(left / (per_epoch * self.step)))
        return epochs, max(1, min(per_epoch, epochs * per_epoch // MEASUREMENTS))

    def to_json(self) -> dict[str, Any]:
        """Return its values and their sum."""
        return asdict(self) | {"seconds": self.seconds}


def estimate(dataset: Dataset, config: Config, device: str = "auto") -> Estimate:
    """Read the data as training does, take a few steps, and predict the validation rows once.

    The memory is that of this process: call it in one of its own.
    """
    started, target, training = time.monotonic(), resolve_device(device), config.training
    rows = encode_rows(dataset)
    model = build_seeded(config, rows.schema).to(target).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate, fused=True)
    batch = rows.batches["train"][: training.batch_size].to(target)
    taken = steps(model, training, optimizer, ALONE)
    start = time.monotonic() - started

    def step() -> None:
        taken.take(batch, torch.Generator(target).manual_seed(0), len(batch))

    for _ in range(WARM):
        step()
    began = time.monotonic()
    for _ in range(TIMED):
        step()
    float(next(model.parameters()).detach().sum())  # a GPU has finished only now
    per_step = (time.monotonic() - began) / TIMED
    began = time.monotonic()
    probabilities(model.eval(), rows.batches["validation"])
    validation = time.monotonic() - began
    per_epoch = math.ceil(len(rows.batches["train"]) / training.batch_size)
    all_steps = per_epoch * training.epochs
    return Estimate(
        rows=len(rows.batches["train"]),
        parameters=sum(p.numel() for p in model.parameters()),
        epochs=training.epochs,
        steps=all_steps,
        start=start,
        step=per_step,
        validation=validation,
        validations=math.ceil(all_steps / (training.evaluate_every or per_epoch)),
        memory=peak_megabytes(),
    )
