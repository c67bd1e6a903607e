"""All cases of some targets, one target after the other or several at a time.

A module of its own: a process that does not fork from its parent cannot import a `__main__`.
"""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tests.fuzz import guard, targets

BATCH = 25  # cases a forked child takes


class Part(NamedTuple):
    """Cases `first` … `first + count − 1` of a target; each may take `seconds`."""

    target: str
    first: int
    count: int
    seed: int
    seconds: float


def everything(parts: Sequence[Part], jobs: int) -> Iterator[tuple[str, list[guard.Result]]]:
    """Yield each target and what became of its cases, in order; `jobs` targets run at a time."""
    if jobs == 1:
        yield from map(of_target, parts)
        return
    with multiprocessing.get_context("forkserver").Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap(of_target, parts)


def of_target(part: Part) -> tuple[str, list[guard.Result]]:
    """Run the cases of one target."""
    torch.set_num_threads(1)
    case = targets.ALL[part.target]()
    found: list[guard.Result] = []
    until = part.first + part.count
    with tempfile.TemporaryDirectory(prefix=f"aesm2-fuzz-{part.target}-") as folder:
        for start in range(part.first, until, BATCH):
            numbers = range(start, min(start + BATCH, until))
            found += guard.run(part.target, case, numbers, part.seed, Path(folder), part.seconds)
    return part.target, found
