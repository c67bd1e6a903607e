"""Mixtures of experts that select nothing: what each expert contributes, and who decides it."""

from typing import NamedTuple

from torch import Tensor


class Mixture(NamedTuple):
    """What one layer of a gate-aware model other than AESM² did.

    target: the row's own gate, (rows,), or arange(T) in a task layer.
    weights: what each expert contributes to the row's output, 0 where an expert is not connected
    to the row's gate, (rows, n), or (T, rows, n) in a task layer.
    output: (rows, width), or (T, rows, width) in a task layer.
    Where each task has a network of its own (HMoE), scenario layers have the task axis as well:
    weights (T, rows, n) and output (T, rows, width), with target (rows,).
    """

    target: Tensor
    weights: Tensor
    output: Tensor
