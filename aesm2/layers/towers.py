"""Towers: a multilayer perceptron for each task (Eq. 18)."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from aesm2.layers.experts import ParallelLinear


class Towers(nn.ModuleList):
    """`count` perceptrons of one shape, each with one output.

    inputs: width of their inputs. hidden: widths of their hidden layers.
    """

    def __init__(self, count: int, inputs: int, hidden: Sequence[int]) -> None:
        sizes = itertools.pairwise([inputs, *hidden, 1])
        super().__init__(ParallelLinear(count, a, b) for a, b in sizes)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of every task, before the sigmoid of Eq. 18: (T, rows, inputs) → (rows, T)."""
        *hidden, last = self
        for layer in hidden:
            z = layer(z).relu()
        logits: Tensor = last(z).squeeze(-1).t()
        return logits.float() if logits.dtype.itemsize < 4 else logits  # half only under autocast
