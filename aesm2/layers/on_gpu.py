"""Operations that a GPU does many times as fast in another form than a processor does.

Each gives what the plain expression in its docstring gives, up to the order of sums; the form for
one device is slow on the other. `python -m benchmarks.gpu --profile` shows what takes the time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PARTS, FEW = 64, 64  # parts of a sum over all rows; rows that a part has at least


def taken(table: Tensor, index: Tensor) -> Tensor:
    """table[index]: (rows, dim), (many,) → (many, dim).

    `index_select` gives each row a block of threads, idle but for a few where a row is as short as
    an embedding: here a thread takes 16 bytes, wherever they belong.
    """
    size = table.shape[1] * table.element_size()
    wide = next(
        (kind for kind in (torch.complex128, torch.complex64) if size % kind.itemsize == 0),
        table.dtype,
    )
    units = table.contiguous().view(wide)
    count = units.shape[1]
    places = index.unsqueeze(1) * count + torch.arange(count, device=index.device)
    return units.take(places).view(table.dtype)


def rows_summed(values: Tensor, index: Tensor, rows: int) -> Tensor:
    """Sum the rows of `values` that have the same index: (many, dim), (many,) → (rows, dim).

    They are sorted first, so that the sum has one order: `index_add` is faster, but adds in
    whatever order threads arrive, and a training could then not be repeated.
    """
    index = index.int() if rows < 2**31 else index  # sorted in two thirds of the time
    found: Tensor = torch.ops.aten.embedding_dense_backward(values, index, rows, -1, False)
    return found


def products(x: Tensor, weight: Tensor) -> Tensor:
    """x[i] @ weight[i].T: (count, rows, inputs), (count, outputs, inputs) → (count, rows, outputs).

    Their gradient adds up over all rows, and a batched product gives each of its few matrices to
    one multiprocessor: here the rows are cut into parts, which all of them add up.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):  # _Products does not see autocast
        half = torch.get_autocast_dtype(kind)
        x, weight = x.to(half), weight.to(half)
    found: Tensor = _Products.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.bmm(x, weight.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        parts, rows = PARTS, x.shape[1]
        while parts > 1 and (rows % parts or rows < FEW * parts):
            parts //= 2
        cut = [t.reshape(len(x) * parts, rows // parts, t.shape[2]) for t in (grad, x)]
        of_parts = torch.bmm(cut[0].transpose(1, 2), cut[1])
        of_weight = of_parts.view(len(x), parts, *weight.shape[1:]).sum(1)
        return torch.bmm(grad, weight), of_weight


def mixed(weights: Tensor, outputs: Tensor) -> Tensor:
    """Σ_n weights[m, r, n] outputs[r, n]: (M, rows, n), (rows, n, width) → (M, rows, width).

    The gradient of `outputs` is an outer product for each row, which is slow as a product of
    matrices: numbers are multiplied instead.
    """
    found: Tensor = _Mixed.apply(weights, outputs)  # type: ignore[no-untyped-call]
    return found


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, outputs: Tensor) -> Tensor:
        ctx.save_for_backward(weights, outputs)
        return torch.einsum("mrn,rnw->mrw", weights, outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        weights, outputs = ctx.saved_tensors
        of_outputs = weights.unsqueeze(-1) * grad.unsqueeze(2)  # (M, rows, n, width)
        of_outputs = of_outputs[0] if len(of_outputs) == 1 else of_outputs.sum(0)
        return torch.einsum("mrw,rnw->mrn", grad, outputs), of_outputs
