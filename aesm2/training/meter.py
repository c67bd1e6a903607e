"""Running means of a run's losses."""

import math
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from aesm2.config import TrainingConfig
from aesm2.errors import InputError
from aesm2.losses import LossTerms, squared_norm
from aesm2.models import Model
from aesm2.routing.trace import layer_specs
from aesm2.training.group import Group

NAMED = 3  # terms that a message lists


class Meter:
    """Means of the loss terms and the speed since the last reading, over all processes of a group.

    All of them read it at the same steps.
    """

    def __init__(self, model: Model, group: Group) -> None:
        self._model, self._layers = model, [spec.name for spec in layer_specs(model)]
        self._group = group
        self._reset()

    def add(self, terms: LossTerms, rows: int) -> None:
        """Add the means of one batch of `rows` rows, or what this process adds to them."""
        self._sums = [total.to(term.device) + term * rows for total, term in self._pairs(terms)]
        self._rows += rows

    def check(self, step: int) -> None:
        """Raise InputError that names the terms whose mean since the last reading is not finite."""
        names = (
            [f"loss of {task}" for task in self._model.schema.tasks],
            [f"L_sp of {layer}" for layer in self._layers],
            [f"L_sh of {layer}" for layer in self._layers],
        )
        wrong = [
            (name, value)
            for called, total in zip(names, self._totals(), strict=True)
            for name, value in zip(called, (total / max(1, self._rows)).tolist(), strict=True)
            if not math.isfinite(value)
        ]
        if wrong:
            raise diverged(wrong, step)

    def read(self, config: TrainingConfig, step: int) -> dict[str, Any]:
        """Return means since the last reading; InputError where one is not finite."""
        self.check(step)
        tasks, specific, shared = ((total / self._rows).tolist() for total in self._totals())
        values: dict[str, Any] = {
            "loss": dict(zip(self._model.schema.tasks, tasks, strict=True)),
            "kl_specific": dict(zip(self._layers, specific, strict=True)),
            "kl_shared": dict(zip(self._layers, shared, strict=True)),
            "l2": config.l2 * float(squared_norm(self._model)),
            "rows_per_second": round(self._rows / (time.monotonic() - self._since)),
            "peak_mb": round(self._group.most(peak_megabytes())),
        }
        self._reset()
        return values

    def state(self) -> dict[str, Tensor]:
        """Return the sums so far, to be stored."""
        sums = {str(index): total for index, total in enumerate(self._totals())}
        return sums | {"rows": torch.tensor(self._rows)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up stored sums."""
        self._rows = int(state.pop("rows"))
        totals = [state[str(index)] for index in range(len(state))]
        # They are those of all processes, who add theirs up: one alone goes on with them.
        self._sums = totals if self._group.leader else [torch.zeros_like(t) for t in totals]

    def _totals(self) -> list[Tensor]:
        """Return the sums over all processes."""
        joined = self._group.sum(torch.cat(self._sums))
        return list(torch.split(joined, [len(total) for total in self._sums]))

    def _pairs(self, terms: LossTerms) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self._sums, terms, strict=True)

    def _reset(self) -> None:
        layers = len(self._layers)
        self._sums = [torch.zeros(k) for k in (len(self._model.schema.tasks), layers, layers)]
        self._rows, self._since = 0, time.monotonic()


def diverged(terms: Sequence[tuple[str, float]], step: int) -> InputError:
    """Return the error that says what was no longer finite, and by which step."""
    said = ", ".join(f"{name} is {value}" for name, value in terms[:NAMED])
    if len(terms) > NAMED:
        said += f" and {len(terms) - NAMED} more terms"
    return InputError(f"training diverged by step {step}: {said}; try a lower learning_rate")


def peak_megabytes() -> float:
    """Peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
