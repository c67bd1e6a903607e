"""Shared embedding layer (Eq. 5–6)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from aesm2.layers import on_gpu

MISSING, UNSEEN, FIRST_VALUE = 0, 1, 2  # rows at the start of every field's part of the table


class FieldEmbedding(nn.Module):
    """Embeds all fields of a row with one lookup in one table.

    sizes: number of table rows of each field, MISSING and UNSEEN included. dim: embedding width.
    placeholders: whether every field has MISSING and UNSEEN; scenario ids have neither.
    numbers: fields that stand as numbers beside the embedded ones instead, one a column of numbers,
    see `Schema.numbers`. width: of the result. units: the field that each of its units belongs to.
    """

    offsets: Tensor
    embedded: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        dim: int,
        placeholders: bool = True,
        numbers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        kept = [field for field in range(len(sizes)) if field not in numbers]
        self.units = (*(field for field in kept for _ in range(dim)), *numbers)
        self.width, self.numbers = len(self.units), len(numbers)
        self.register_buffer("embedded", torch.tensor(kept, dtype=torch.int64), persistent=False)
        sizes = [sizes[field] for field in kept]
        starts = torch.tensor([0, *sizes]).cumsum(0)
        self.register_buffer("offsets", starts[:-1], persistent=False)
        self.weight = nn.Parameter(torch.empty(int(starts[-1]), dim).normal_(std=0.01))
        if placeholders:
            with torch.no_grad():  # rows that training may never touch start at the origin
                self.weight[self.offsets + MISSING] = 0
                self.weight[self.offsets + UNSEEN] = 0

    def forward(self, fields: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Embed rows: (rows, fields) integer index within each field → x, (rows, width).

        numbers: (rows, columns), None where every field is embedded.
        """
        if self.numbers:
            fields = fields.index_select(1, self.embedded)
        index = (fields + self.offsets).flatten()
        looked_up: Tensor = _LookUp.apply(self.weight, index)  # type: ignore[no-untyped-call]
        x = looked_up.view(len(fields), fields.shape[1] * self.weight.shape[1])
        if not self.numbers:
            return x
        if numbers is None or numbers.shape[1] != self.numbers:
            found = "none" if numbers is None else str(numbers.shape[1])
            raise ValueError(f"needs {self.numbers} columns of numbers, found {found}")
        return torch.cat([x, numbers.to(x.dtype)], dim=1)


class _LookUp(torch.autograd.Function):
    """weight[index], with a gradient that is three times as fast as that of `index_select`."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = weight.shape
        return on_gpu.taken(weight, index) if weight.is_cuda else weight.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return rows_summed(grad, index, ctx.shape[0]), None


def rows_summed(values: Tensor, index: Tensor, rows: int) -> Tensor:
    """Sum the rows of `values` that have the same index: (many, dim), (many,) → (rows, dim).

    On a processor `index_add` spends its time on each row, `scatter_add` of a flat tensor on each
    number: two numbers that are one complex number halve them.
    """
    if values.is_cuda:
        return on_gpu.rows_summed(values, index, rows)
    total = values.new_zeros(rows, values.shape[1])
    if values.shape[1] % 2 or values.dtype.itemsize < 4:
        return total.index_add_(0, index, values)
    pairs = values.shape[1] // 2
    places = (index.unsqueeze(1) * pairs + torch.arange(pairs)).flatten()
    summed = torch.view_as_complex(total.view(-1, 2)).scatter_add_(
        0, places, torch.view_as_complex(values.contiguous().view(-1, 2))
    )
    return torch.view_as_real(summed).view_as(total)


class InputEmbedding(nn.Module):
    """The input of a model's first layer: embedded features, and scenario ids where it has them.

    fields, numbers: see FieldEmbedding. scenarios: number of scenarios of each level, empty for a
    model whose hidden layers do not see scenario ids. width: of the result.
    """

    def __init__(
        self,
        fields: Sequence[int],
        scenarios: Sequence[int],
        dim: int,
        numbers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.fields = FieldEmbedding(fields, dim, numbers=numbers)
        self.scenarios = FieldEmbedding(scenarios, dim, placeholders=False) if scenarios else None
        self.width = self.fields.width + len(scenarios) * dim

    def forward(self, fields: Tensor, scenarios: Tensor, numbers: Tensor | None = None) -> Tensor:
        """(rows, fields) and (rows, levels) integer indices, and numbers → x, (rows, width)."""
        x: Tensor = self.fields(fields, numbers)
        return x if self.scenarios is None else torch.cat([x, self.scenarios(scenarios)], dim=1)
