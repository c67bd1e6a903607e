"""Partitioned normalisation (Sheng et al., "One Model to Serve All", CIKM 2021, §3.3).

Axes: rows; P partitions.
"""

import torch
from torch import Tensor, nn

MOMENTUM = 0.1  # the share of a new batch in the running statistics, as in nn.BatchNorm1d
EPSILON = 1e-5


class PartitionedNorm(nn.Module):
    """Normalises each row by the statistics of its partition: γγ_p (x − μ_p) / σ_p + β + β_p.

    In training μ_p and σ_p are of the batch's rows of p, in evaluation they are running ones, and
    no row then depends on another. mean, variance: running, (P, width). batches: how many batches
    have had two rows or more of each partition, (P,).
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, partitions: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.own_scale = nn.Parameter(torch.ones(partitions, width))
        self.own_shift = nn.Parameter(torch.zeros(partitions, width))
        self.register_buffer("mean", torch.zeros(partitions, width))
        self.register_buffer("variance", torch.ones(partitions, width))
        self.register_buffer("batches", torch.zeros(partitions, dtype=torch.long))

    def forward(self, x: Tensor, own: Tensor) -> Tensor:
        """(rows, width), the row's partition (rows,) → (rows, width)."""
        if self.training:
            mean, variance = self._of_batch(x, own)
        else:
            mean, variance = self.mean, self.variance
        gain = self.scale * self.own_scale * (variance + EPSILON).rsqrt()  # (P, width)
        shift = self.shift + self.own_shift
        centred = x - mean.index_select(0, own)
        return centred * gain.index_select(0, own) + shift.index_select(0, own)

    def _of_batch(self, x: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each partition in the batch, which the running ones take in."""
        zeros = torch.zeros_like(self.mean)
        count = torch.bincount(own, minlength=len(zeros)).unsqueeze(1)  # (P, 1)
        mean = zeros.index_add(0, own, x) / count.clamp(min=1)
        squares = zeros.index_add(0, own, (x - mean.index_select(0, own)).square())
        with torch.no_grad():
            self._take_in(count, mean, squares / (count - 1).clamp(min=1))
        return mean, squares / count.clamp(min=1)

    def _take_in(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics of the partitions seen; one row tells no variance."""
        # A plain average at first: a rare partition would else keep much of where it started.
        share = (1 / (self.batches + 1)).clamp(min=MOMENTUM).unsqueeze(1).to(mean.dtype)
        self.mean.lerp_(mean, share * (count > 0))
        self.variance.lerp_(variance, share * (count > 1))
        self.batches += count.squeeze(1) > 1
