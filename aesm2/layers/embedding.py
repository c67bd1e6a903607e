"""Shared embedding layer (Eq. 5–6)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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
        looked_up: Tensor = _LookUp.apply(self.weight, index)  # type: ignore[no-untyped-call]
        return looked_up.view(len(fields), fields.shape[1] * self.weight.shape[1])


class _LookUp(torch.autograd.Function):
    """weight[index], with a gradient that is three times as fast as that of `index_select`."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = weight.shape
        return weight.index_select(0, index)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return rows_summed(grad, index, ctx.shape[0]), None


def rows_summed(values: Tensor, index: Tensor, rows: int) -> Tensor:
    """Sum the rows of `values` that have the same index: (many, dim), (many,) → (rows, dim).

    On a processor `index_add` spends its time on each row, `scatter_add` of a flat tensor on each
    number: two numbers that are one complex number halve them.
    """
    total = values.new_zeros(rows, values.shape[1])
    if values.is_cuda or values.shape[1] % 2 or values.dtype.itemsize < 4:
        return total.index_add_(0, index, values)
    pairs = values.shape[1] // 2
    places = (index.unsqueeze(1) * pairs + torch.arange(pairs)).flatten()
    summed = torch.view_as_complex(total.view(-1, 2)).scatter_add_(
        0, places, torch.view_as_complex(values.contiguous().view(-1, 2))
    )
    return torch.view_as_real(summed).view_as(total)


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
