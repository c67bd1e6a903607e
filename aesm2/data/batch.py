"""A batch: what every model takes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows encoded as tensors; a slice of a batch is a batch.

    fields: index of each feature's value within its field, (rows, fields) integer.
    scenarios: index of the row's scenario at each level, (rows, levels) integer.
    labels: 0 or 1 for each task, already multiplied along the chain, NaN where unknown,
    (rows, tasks) float32; None where the rows have no labels.
    numbers: scaled numbers of the features that are not embedded, and 1 where one is missing, see
    `Schema.numbers`, (rows, columns) float32; None where all are embedded.
    """

    fields: Tensor
    scenarios: Tensor
    labels: Tensor | None = None
    numbers: Tensor | None = None

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        """Return the rows of a slice, an index tensor or a mask."""
        return mapped(lambda tensor: tensor[rows], self)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`."""
        return mapped(lambda tensor: tensor.to(device), self)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that there are, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def repeat(self, times: int) -> "Batch":
        """Return the rows `times` times, one after the other, without labels."""
        numbers = None if self.numbers is None else self.numbers.repeat(times, 1)
        return Batch(self.fields.repeat(times, 1), self.scenarios.repeat(times, 1), None, numbers)


def mapped(change: Callable[..., Tensor], *batches: Batch) -> Batch:
    """Apply a function to the tensors of batches that belong together."""
    columns = [batch.tensors() for batch in batches]
    return Batch(**{name: change(*(c[name] for c in columns)) for name in columns[0]})
