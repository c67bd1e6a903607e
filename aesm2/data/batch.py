"""A batch: what every model takes."""

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
    """

    fields: Tensor
    scenarios: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        """Return the rows of a slice, an index tensor or a mask."""
        labels = None if self.labels is None else self.labels[rows]
        return Batch(self.fields[rows], self.scenarios[rows], labels)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        return Batch(self.fields.to(device), self.scenarios.to(device), labels)
