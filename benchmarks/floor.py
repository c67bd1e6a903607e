"""The least time that a device could need, from its own measured speeds.

A floor is the matrix products at the device's measured rate plus the memory that must move at its
measured bandwidth, one after the other. What a model needs beside (choosing experts, activations,
copies, starting kernels) is not in it: the share of the floor says how much that is.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices that are multiplied
NUMBERS = {"cpu": 4_000_000, "cuda": 256_000_000}  # of the tensor that is copied


class Speeds(NamedTuple):
    """What a device does: floating-point operations a second by precision, bytes a second."""

    flops: dict[bool, float]
    bytes: float


class Work(NamedTuple):
    """What one call needs: operations of its matrix products, bytes that must move."""

    flops: int
    bytes: int

    def floor(self, speeds: Speeds, bf16: bool) -> float:
        """Seconds that the call needs at least."""
        return self.flops / speeds.flops[bf16] + self.bytes / speeds.bytes


def speeds(device: str, size: int | None = None) -> Speeds:
    """Measure square matrix products in float32 and bfloat16, and a copy."""
    kind = torch.device(device).type
    found = {}
    for bf16 in (False, True):
        n = size or SIZE[kind]
        a = torch.randn(n, n, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
        found[bf16] = 2 * n**3 / fastest(partial(torch.matmul, a, a), device)
    source = torch.empty(NUMBERS[kind], device=device).normal_()
    target = torch.empty_like(source)
    copied = 2 * source.numel() * source.element_size()
    return Speeds(found, copied / fastest(lambda: target.copy_(source), device))


def fastest(call: Callable[[], object], device: str, repeats: int = 7) -> float:
    """Seconds of the fastest of some calls, after one to warm up."""
    return min(seconds(call, device, repeats))


def seconds(call: Callable[[], object], device: str, repeats: int) -> list[float]:
    """Seconds of each of some calls: processor time on a CPU, else until the device is done."""
    cuda = torch.device(device).type == "cuda"
    now = time.perf_counter if cuda else time.process_time
    found = []
    for number in range(repeats + 1):
        if cuda:
            torch.cuda.synchronize()
        started = now()
        call()
        if cuda:
            torch.cuda.synchronize()
        if number:
            found.append(now() - started)
    return found


def work(call: Callable[[], object], model: nn.Module, x: int, trains: bool) -> Work:
    """Count what one call needs. x: numbers in the input of the first layer, all rows together.

    Bytes: in prediction, table rows read, x written and read, weights read once. In training their
    gradients as well, and Adam reads weight, gradient and two means and writes all but one.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    weights = sum(parameter.numel() for parameter in model.parameters())
    tables = model.embedding.weight.numel()  # type: ignore[union-attr, operator]
    moved = 3 * x + (weights - tables)
    if trains:
        moved += 4 * x + 7 * weights
    return Work(counter.get_total_flops(), 4 * moved)
