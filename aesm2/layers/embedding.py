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
