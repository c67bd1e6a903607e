"""Shared embedding layer (Eq. 5–6)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MISSING, UNSEEN, FIRST_VALUE = 0, 1, 2  # rows at the start of every field's part of the table


class FieldEmbedding(nn.Module):
    """Embeds all fields of a row with one lookup in one table.

    sizes: number of table rows of each field, MISSING and UNSEEN included. dim: embedding width.
    placeholders: whether every field has MISSING and UNSEEN; scenario ids have neither.
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], dim: int, placeholders: bool = True) -> None:
        super().__init__()
        starts = torch.tensor([0, *sizes]).cumsum(0)
        self.register_buffer("offsets", starts[:-1], persistent=False)
        self.weight = nn.Parameter(torch.empty(int(starts[-1]), dim).normal_(std=0.01))
        if placeholders:
            with torch.no_grad():  # rows that training may never touch start at the origin
                self.weight[self.offsets + MISSING] = 0
                self.weight[self.offsets + UNSEEN] = 0

    def forward(self, fields: Tensor) -> Tensor:
        """(rows, fields) integer index within each field → x, (rows, fields · dim)."""
        index = (fields + self.offsets).flatten()
        return self.weight.index_select(0, index).view(
            len(fields), fields.shape[1] * self.weight.shape[1]
        )


class InputEmbedding(nn.Module):
    """The input of a model's first layer: embedded features, and scenario ids where it has them.

    fields: see FieldEmbedding. scenarios: number of scenarios of each level, empty for a model
    whose hidden layers do not see scenario ids. width: of the result.
    """

    def __init__(self, fields: Sequence[int], scenarios: Sequence[int], dim: int) -> None:
        super().__init__()
        self.fields = FieldEmbedding(fields, dim)
        self.scenarios = FieldEmbedding(scenarios, dim, placeholders=False) if scenarios else None
        self.width = (len(fields) + len(scenarios)) * dim

    def forward(self, fields: Tensor, scenarios: Tensor) -> Tensor:
        """(rows, fields) and (rows, levels) integer indices → x, (rows, width)."""
        x: Tensor = self.fields(fields)
        return x if self.scenarios is None else torch.cat([x, self.scenarios(scenarios)], dim=1)
