"""A bound on what building a model may allocate, checked before it is allocated."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from aesm2.errors import InputError

MOST = 2**31  # numbers, 8 GiB in float32: far beyond what one process here can train
SLACK = 1_000_000  # numbers besides weights: positions, masks
TENSORS = 200_000  # far above any sensible model; each takes time to make, however small
FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn,
                       torch.eye})  # fmt: skip


class TooLarge(InputError):
    """A model with more numbers than it may have."""


@contextlib.contextmanager
def bounded(most: int, what: str) -> Iterator[None]:
    """Raise TooLarge inside the block where it would make tensors of more than so many numbers."""
    with _Bounded(2 * most + SLACK if most < MOST else most, what):
        yield


class _Bounded(TorchFunctionMode):
    def __init__(self, most: int, what: str) -> None:
        super().__init__()
        self.left, self.tensors, self.what = most, TENSORS, what

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in FACTORIES:
            size = given.get("size", args)
            self.left -= _count(size)
            self.tensors -= 1
            if self.left < 0 or self.tensors < 0:
                raise TooLarge(f"{self.what} has too many weights; use fewer or narrower layers")
        return func(*args, **given)


def _count(size: Any) -> int:
    """Numbers in a tensor made with these arguments: sizes, or one sequence of them first."""
    if isinstance(size, int):
        return size
    first = size[0] if size else ()
    sizes = size if isinstance(first, int) else first
    return math.prod(own for own in sizes if isinstance(own, int))
