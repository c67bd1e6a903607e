"""Experts: n parallel one-layer networks (Eq. 2), mixed by given weights (Eq. 1)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        few = self.chosen_share <= SPARSE_MAX_SHARE
        return few and len(x) >= SPARSE_MIN_ROWS and not x.is_cuda

    def _dense(self, x: Tensor, weights: Tensor) -> Tensor:
        outputs = self.outputs(x)
        return torch.einsum("mrn,rnw->mrw", weights.to(outputs.dtype), outputs)

    def _sparse(self, x: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # once, not for each expert's copy of rows
            x = x.to(torch.get_autocast_dtype(x.device.type))
        needed = mask.any(0).t()  # (n, rows)
        rows = needed.nonzero()[:, 1]  # rows of expert 0, then of expert 1, …: (pairs,)
        parts = torch.split(rows, needed.sum(1).tolist())
        maps = zip(parts, self.linear.weight, self.linear.bias, strict=True)
        outputs = torch.cat([F.linear(x.index_select(0, part), w, b) for part, w, b in maps]).relu()
        of_pairs = weights.transpose(1, 2)[:, needed].to(outputs.dtype)  # (M, pairs)
        weighted = of_pairs.unsqueeze(-1) * outputs  # (M, pairs, width)
        mixed = weighted.new_zeros(len(weights), len(x), self.width)
        return mixed.index_add(1, rows, weighted)
