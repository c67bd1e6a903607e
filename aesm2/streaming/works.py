"""What is done with each part: encode its rows, run the model, keep little of it.

A work is a small value: the place of the checkpoint and options. `open` loads the checkpoint, once
a process.
"""

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.batch import Batch
from aesm2.data.encoder import as_text, coded
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.inference import probabilities
from aesm2.packing import unpack
from aesm2.routing.grouped import GROUPS, RoutingSummary, grouped_utilisation
from aesm2.routing.knockout import without_each
from aesm2.routing.trace import LayerSpec
from aesm2.streaming.evaluation import EvaluationSummary
from aesm2.streaming.knockout import KnockoutSummary
from aesm2.streaming.parts import Part

R = TypeVar("R", EvaluationSummary, RoutingSummary, KnockoutSummary)
HASH_KEY = "aesm2 row groups"  # 16 characters; another key, other groups
BLOCKS = 10  # a group is made of about so many blocks of consecutive rows
MOST_BLOCK = 4096  # rows of a block


def input_columns(checkpoint: Checkpoint, labels: bool = False) -> tuple[str, ...]:
    """Columns that a log must have: features and levels, and the labels where they are needed."""
    described = checkpoint.description
    own = [task.label for task in described.task] if labels else []
    return tuple(dict.fromkeys([*described.input_columns, *own]))


@dataclass(frozen=True)
class Measuring:
    """Measure AUC, log loss and calibration."""

    checkpoint: Path
    device: str = "cpu"

    def open(self) -> Callable[[Part], EvaluationSummary]:
        """Load the checkpoint."""
        opened = load(self.checkpoint, self.device)
        schema, columns = opened.encoder.schema, input_columns(opened, labels=True)

        def measure(part: Part) -> EvaluationSummary:
            batches = (encoded(opened, part, f, True) for f in part.chunks(columns))
            return _added(
                EvaluationSummary.of(schema, batch, probabilities(opened.model, batch))
                for batch in batches
            )

        return measure

    def from_bytes(self, content: bytes) -> EvaluationSummary:
        """Read back a result."""
        return EvaluationSummary.from_bytes(shape(self.checkpoint)[0], content)


@dataclass(frozen=True)
class Counting:
    """Count which experts the rows use, in groups of rows.

    cluster: column whose values stay together in a group; without it, blocks of so many
    consecutive rows do.
    """

    checkpoint: Path
    device: str = "cpu"
    cluster: str | None = None
    block: int = 1

    def open(self) -> Callable[[Part], RoutingSummary]:
        """Load the checkpoint; InputError for a model without selection."""
        opened = load(self.checkpoint, self.device)
        if not opened.layers:
            name = opened.model.config.name
            raise InputError(f"model '{name}' has no expert selection to count")
        extra = () if self.cluster is None else (self.cluster,)
        columns = tuple(dict.fromkeys((*input_columns(opened), *extra)))

        def count(part: Part) -> RoutingSummary:
            def counted() -> Iterator[RoutingSummary]:
                first = part.first
                for frame in part.chunks(columns):
                    batch = encoded(opened, part, frame, False)
                    groups = self._groups(frame, first)
                    yield grouped_utilisation(opened.model, batch, groups)
                    first += len(frame)

            return _added(counted())

        return count

    def _groups(self, frame: pd.DataFrame, first: int) -> np.ndarray:
        """Group of each row of a chunk whose first row has this number in the log, (rows,)."""
        if self.cluster is None:
            return (np.arange(first, first + len(frame)) // self.block) % GROUPS
        return group_of(frame[self.cluster])

    def from_bytes(self, content: bytes) -> RoutingSummary:
        """Read back a result."""
        return RoutingSummary.of_arrays(*shape(self.checkpoint), unpack(content))


def group_of(column: pd.Series) -> np.ndarray:
    """Group of each row by a hash of its value, spelt alike whatever its type, (rows,).

    The hash is the same on every machine. A missing value is a value.
    """
    codes, values = coded(column, missing=True)
    texts = as_text(pd.Series(values)).reindex(range(len(values)))
    hashes = pd.util.hash_array(texts.fillna("").to_numpy(object), hash_key=HASH_KEY)
    groups: np.ndarray = (hashes % GROUPS).astype(np.int64)[codes]
    return groups


def row_groups(frame: pd.DataFrame, column: str | None) -> tuple[np.ndarray, int]:
    """Group of each row of a whole log, (rows,), and rows of a block, 0 where a column groups."""
    if column is not None:
        return group_of(frame[column]), 0
    block = block_rows(len(frame))
    return (np.arange(len(frame)) // block) % GROUPS, block


def block_rows(rows: int) -> int:
    """Rows of a block where no column groups them: some ten blocks a group, or MOST_BLOCK rows."""
    return int(min(MOST_BLOCK, max(1, rows // (BLOCKS * GROUPS))))


@dataclass(frozen=True)
class KnockingOut:
    """Knock out every expert, one at a time, and measure what changes."""

    checkpoint: Path
    device: str = "cpu"

    def open(self) -> Callable[[Part], KnockoutSummary]:
        """Load the checkpoint."""
        opened = load(self.checkpoint, self.device)
        schema, columns = opened.encoder.schema, input_columns(opened, labels=True)

        def knock_out(part: Part) -> KnockoutSummary:
            batches = (encoded(opened, part, f, True) for f in part.chunks(columns))
            return _added(
                KnockoutSummary.of(schema, opened.layers, batch, without_each(opened.model, batch))
                for batch in batches
            )

        return knock_out

    def from_bytes(self, content: bytes) -> KnockoutSummary:
        """Read back a result."""
        return KnockoutSummary.from_bytes(*shape(self.checkpoint), content)


def _added(summaries: Iterator[R]) -> R:
    """Add up the summaries of a part's chunks as they come: a row group may have any number."""
    return functools.reduce(operator.add, summaries)


@functools.cache
def shape(checkpoint: Path) -> tuple[Schema, tuple[LayerSpec, ...]]:
    """What results of a checkpoint are shaped by; read once a process."""
    opened = load(checkpoint, "cpu")
    return opened.encoder.schema, opened.layers


def encoded(opened: Checkpoint, part: Part, frame: pd.DataFrame, labels: bool) -> Batch:
    """Encode a chunk; what is wrong with a row is said with the part it is in."""
    try:
        return opened.encode(frame, labels)
    except InputError as error:
        names = f"its rows from {frame.index[0]} on, counted from the first of them: "
        raise InputError(f"{part.name}: {names}{error}") from None
