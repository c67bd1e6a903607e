"""Running means of a run's losses."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from aesm2.config import TrainingConfig
from aesm2.errors import InputError
from aesm2.losses import LossTerms, squared_norm
from aesm2.models import Model
from aesm2.routing.trace import layer_specs


class Meter:
    """Means of the loss terms and the speed since the last reading."""

    def __init__(self, model: Model) -> None:
        self._model, self._layers = model, [spec.name for spec in layer_specs(model)]
        self._reset()

    def add(self, terms: LossTerms, rows: int) -> None:
        """Add the means of one batch of `rows` rows."""
        self._sums = [total.to(term.device) + term * rows for total, term in self._pairs(terms)]
        self._rows += rows

    def check(self, step: int) -> None:
        """Raise InputError where a mean since the last reading is not finite."""
        for term, total in zip(("loss", "kl_specific", "kl_shared"), self._sums, strict=True):
            if not total.isfinite().all():
                raise diverged(term, (total / self._rows).tolist(), step)

    def read(self, config: TrainingConfig, step: int) -> dict[str, Any]:
        """Return means since the last reading; InputError where one is not finite."""
        self.check(step)
        tasks, specific, shared = ((total / self._rows).tolist() for total in self._sums)
        values: dict[str, Any] = {
            "loss": dict(zip(self._model.schema.tasks, tasks, strict=True)),
            "kl_specific": dict(zip(self._layers, specific, strict=True)),
            "kl_shared": dict(zip(self._layers, shared, strict=True)),
            "l2": config.l2 * float(squared_norm(self._model)),
            "rows_per_second": round(self._rows / (time.monotonic() - self._since)),
        }
        self._reset()
        return values

    def state(self) -> dict[str, Tensor]:
        """Return the sums so far, to be stored."""
        sums = {str(index): total for index, total in enumerate(self._sums)}
        return sums | {"rows": torch.tensor(self._rows)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up stored sums."""
        self._rows = int(state.pop("rows"))
        self._sums = [state[str(index)] for index in range(len(state))]

    def _pairs(self, terms: LossTerms) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self._sums, terms, strict=True)

    def _reset(self) -> None:
        layers = len(self._layers)
        self._sums = [torch.zeros(k) for k in (len(self._model.schema.tasks), layers, layers)]
        self._rows, self._since = 0, time.monotonic()


def diverged(what: str, value: float | list[float], step: int) -> InputError:
    """Return the error that says what was no longer finite, and by which step."""
    return InputError(
        f"training diverged: {what} is {value} by step {step}; try a lower learning_rate"
    )
