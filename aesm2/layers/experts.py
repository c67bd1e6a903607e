"""Experts: n parallel one-layer networks (Eq. 2), mixed by given weights (Eq. 1)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aesm2.layers import on_gpu

Compute = Literal["auto", "dense", "sparse"]

# Below these, gathering rows costs more than it saves (benchmarks/model.py).
SPARSE_MIN_ROWS = 128
SPARSE_MAX_SHARE = 0.5


def of_own(x: Tensor, own: Tensor, maps: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Apply maps[own[r]] to row r, each map once to all its rows: (rows, inputs) → (rows, …)."""
    order = own.argsort(stable=True)  # rows of map 0, then of map 1, …
    counts = torch.bincount(own, minlength=len(maps)).tolist()
    parts = zip(torch.split(x[order], counts), maps, strict=True)
    outputs = torch.cat([apply(part) for part, apply in parts])
    return torch.empty_like(outputs).index_copy(0, order, outputs)


class ParallelLinear(nn.Module):
    """`count` independent linear maps of the same shape.

    Initialised for rectified units (He et al., 2015): with the narrower default of nn.Linear the
    signal all but vanishes within six stacked layers.
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / inputs)
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(count, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply map i to x[i]: (count, rows, inputs) → (count, rows, outputs)."""
        if x.is_cuda:
            product = on_gpu.products(x, self.weight)
            return product + self.bias.unsqueeze(1).to(product.dtype)
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))

    def of_own(self, x: Tensor, own: Tensor) -> Tensor:
        """Apply map own[r] to row r: (rows, inputs), (rows,) integer → (rows, outputs)."""
        pairs = zip(self.weight, self.bias, strict=True)
        return of_own(x, own, [partial(F.linear, weight=w, bias=b) for w, b in pairs])


class Experts(nn.Module):
    """n experts f_k(x) = relu(W_k x + b_k) of one shape.

    chosen: the most experts that one row can need, which decides whether "auto" computes all
    experts (dense) or only those chosen (sparse). Both give the same numbers.
    """

    def __init__(self, experts: int, inputs: int, width: int, chosen: int) -> None:
        super().__init__()
        self.linear = ParallelLinear(experts, inputs, width)
        self.chosen_share = chosen / experts
        self.compute: Compute = "auto"

    @property
    def width(self) -> int:
        """Output width of every expert."""
        return self.linear.weight.shape[1]

    def forward(self, x: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Mix the experts' outputs, M times with different weights: Σ_k weights[:, :, k] f_k(x).

        x: (rows, inputs). weights: (M, rows, n), 0 off the mask. mask: (M, rows, n) bool.
        Returns (M, rows, width).
        """
        sparse = self.compute == "sparse" or (self.compute == "auto" and self._sparse_pays(x))
        return self._sparse(x, weights, mask) if sparse else self._dense(x, weights)

    def outputs(self, x: Tensor) -> Tensor:
        """f_k(x) of every expert: (rows, inputs) → (rows, n, width)."""
        count, width, inputs = self.linear.weight.shape
        flat = F.linear(x, self.linear.weight.view(-1, inputs), self.linear.bias.view(-1))
        return flat.relu().view(len(x), count, width)

    def _sparse_pays(self, x: Tensor) -> bool:
        if x.is_cuda or torch.is_autocast_enabled(x.device.type):
            return False  # whole matrices are so fast there that gathering rows costs more
        return self.chosen_share <= SPARSE_MAX_SHARE and len(x) >= SPARSE_MIN_ROWS

    def _dense(self, x: Tensor, weights: Tensor) -> Tensor:
        outputs = self.outputs(x)
        weights = weights.to(outputs.dtype)
        if x.is_cuda:
            return on_gpu.mixed(weights, outputs)
        return torch.einsum("mrn,rnw->mrw", weights, outputs)

    def _sparse(self, x: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        if torch.is_autocast_enabled(x.device.type):  # _Chosen does not see autocast
            half = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = (tensor.to(half) for tensor in (x, weight, bias))  # type: ignore[assignment]
        needed = mask.transpose(1, 2).any(0)  # (n, rows)
        pairs = needed.flatten().nonzero().squeeze(1)  # of expert 0, then of expert 1, …: (pairs,)
        rows, counts = pairs % len(x), needed.sum(1).tolist()
        outputs: Tensor = _Chosen.apply(x, weight, bias, rows, counts)  # type: ignore[no-untyped-call]
        of_pairs = weights.transpose(1, 2).flatten(1).index_select(1, pairs)  # (M, pairs)
        of_pairs = of_pairs.to(outputs.dtype)
        weighted = of_pairs.unsqueeze(-1) * outputs  # (M, pairs, width)
        mixed = weighted.new_zeros(len(weights), len(x), self.width)
        return mixed.index_add(1, rows, weighted)


class _Chosen(torch.autograd.Function):
    """relu(W_k x_r + b_k) for chosen pairs of expert k and row r only.

    x: (rows, inputs). weight: (n, width, inputs). bias: (n, width). rows: the rows of expert 0,
    then of expert 1, …, (pairs,). counts: how many of each. Returns (pairs, width).
    Written out because autograd would make a gradient of all rows for every expert and add them up.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, counts: list[int]
    ) -> Tensor:
        outputs = x.new_empty(len(rows), weight.shape[1])
        parts = zip(
            torch.split(outputs, counts), torch.split(rows, counts), weight, bias, strict=True
        )
        for output, own, w, b in parts:
            torch.addmm(b, x.index_select(0, own), w.t(), out=output)
        outputs.relu_()
        ctx.save_for_backward(x, weight, rows, outputs)
        ctx.counts = counts
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, rows, outputs = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, outputs, 0)  # of relu
        of_x, of_weight = torch.zeros_like(x), torch.empty_like(weight)
        of_bias = grad.new_empty(weight.shape[:2])
        parts = zip(torch.split(grad, ctx.counts), torch.split(rows, ctx.counts), strict=True)
        for expert, (part, own) in enumerate(parts):
            torch.mm(part.t(), x.index_select(0, own), out=of_weight[expert])
            torch.sum(part, 0, out=of_bias[expert])
            of_x.index_add_(0, own, part @ weight[expert])
        return of_x, of_weight, of_bias, None, None
