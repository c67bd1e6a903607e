"""Logs of the small shop as folders of parquet, and works that need no model."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.packing import pack, unpack
from aesm2.streaming.parts import Part
from aesm2.streaming.works import Counting, Measuring
from tests import small


@functools.cache
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@functools.cache
def frame() -> pd.DataFrame:
    """All rows that are kept, with history, in the order of the log."""
    return Dataset.open(small.dataset()).frame().drop(columns="split").reset_index(drop=True)


def write_log(folder: Path, files: int = 3, groups: int = 70) -> Path:
    """The rows of `frame` as some files of row groups of so many rows, beside what is no data."""
    folder.mkdir(parents=True)
    size = -(-len(frame()) // files)
    for number in range(files):
        part = frame().iloc[number * size : (number + 1) * size]
        part.to_parquet(folder / f"day-{number}.parquet", row_group_size=groups, index=False)
    (folder / "_SUCCESS").touch()
    (folder / "_temporary").mkdir()
    frame().head(3).to_parquet(folder / "_temporary" / "x.parquet")
    frame().head(3).to_parquet(folder / ".hidden.parquet")
    return folder


@dataclass(frozen=True)
class Names:
    """A result that shows the order in which results were added up."""

    names: tuple[str, ...]

    def __add__(self, other: "Names") -> "Names":
        return Names((*self.names, *other.names))

    def to_bytes(self) -> bytes:
        return json.dumps(self.names).encode()


@dataclass(frozen=True)
class Naming:
    """A work that needs no model; it fails at the part `bad`."""

    bad: int = -1

    def open(self) -> Callable[[Part], Names]:
        return self._name

    def _name(self, part: Part) -> Names:
        if part.number == self.bad:
            raise InputError(f"part {part.number} is bad")
        return Names((f"{part.number}:{part.rows}",))

    def from_bytes(self, content: bytes) -> Names:
        return Names(tuple(json.loads(content)))


@dataclass(frozen=True)
class Pair:
    """Results of two works."""

    a: Any
    b: Any

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.a + other.a, self.b + other.b)

    def to_bytes(self) -> bytes:
        both = {"a": self.a.to_bytes(), "b": self.b.to_bytes()}
        return pack({name: np.frombuffer(own, np.uint8) for name, own in both.items()})


@dataclass(frozen=True)
class Both:
    """Measure and count, since processes take seconds to start."""

    path: Path

    @property
    def works(self) -> tuple[Measuring, Counting]:
        return Measuring(self.path), Counting(self.path, cluster="user")

    def open(self) -> Callable[[Part], Pair]:
        a, b = (work.open() for work in self.works)
        return lambda part: Pair(a(part), b(part))

    def from_bytes(self, content: bytes) -> Pair:
        pairs = zip(self.works, unpack(content).values(), strict=True)
        return Pair(*(work.from_bytes(own.tobytes()) for work, own in pairs))
