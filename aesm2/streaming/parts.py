"""A log of any size as an ordered list of parts, each small enough to hold in memory.

A part is some row groups of one parquet file. The plan depends on the files and on `rows_per_part`
alone, never on who works through it, so every engine sees the same chunks of rows.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import fsspec  # type: ignore[import-untyped]
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.data.room import decoded, texts_of
from aesm2.data.tables import frame_of
from aesm2.errors import InputError

ROWS_PER_PART = 262_144


class Part(Protocol):
    """Some consecutive rows of a log."""

    @property
    def number(self) -> int:
        """Its place in the log."""
        ...

    @property
    def first(self) -> int:
        """Number of its first row in the log."""
        ...

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def name(self) -> str:
        """Where it is."""
        ...

    @property
    def identity(self) -> str:
        """Tell it from a part with other rows."""
        ...

    def chunks(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield its rows in order, a bounded number at a time; index = number in the log."""
        ...

    def kept(
        self, columns: Sequence[str], keep: Sequence[str]
    ) -> Iterator[tuple[pd.DataFrame, pa.Table]]:
        """Yield the chunks of some columns, each beside others in the types they are stored in."""
        ...


@dataclass(frozen=True)
class FramePart:
    """Rows that are in memory already, such as a split of a dataset; they keep their index."""

    number: int
    first: int
    frame: pd.DataFrame
    name: str

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def identity(self) -> str:
        """Number, and a hash of the rows."""
        values = pd.util.hash_pandas_object(self.frame).to_numpy()
        return f"{self.first} {self.rows} {hashlib.sha256(values.tobytes()).hexdigest()}"

    def chunks(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the frame, whole."""
        yield self.frame[list(columns)]

    def kept(
        self, columns: Sequence[str], keep: Sequence[str]
    ) -> Iterator[tuple[pd.DataFrame, pa.Table]]:
        """Yield the frame; InputError where values of a column to keep have several types."""
        stored = {name: self._stored(name) for name in keep}
        yield self.frame[list(columns)], pa.table(stored)

    def _stored(self, name: str) -> pa.Array:
        try:
            return pa.Array.from_pandas(self.frame[name])
        except (pa.ArrowException, OverflowError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{self.name}: '{name}' has no one type to be kept in: {reason}"
            ) from None


@dataclass(frozen=True)
class FilePart:
    """Row groups of a parquet file, from `groups[0]` up to and without `groups[1]`.

    url: as fsspec opens it. version: size and time of the file. constants: columns that the folders
    `key=value` of its path stand for. most: rows of a chunk.
    """

    number: int
    first: int
    rows: int
    url: str
    version: str
    groups: tuple[int, int]
    constants: tuple[tuple[str, pa.Scalar], ...]
    most: int

    @property
    def name(self) -> str:
        """The file, and which of its row groups."""
        first, end = self.groups
        return f"{self.url}, row group{'s' if end - first > 1 else ''} {first}" + (
            f" to {end - 1}" if end - first > 1 else ""
        )

    @property
    def identity(self) -> str:
        """File, its version, and the row groups."""
        return f"{self.url} {self.version} {self.groups} {self.first} {self.rows} {self.most}"

    def chunks(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows, at most `most` at a time, reading only `columns`."""
        for frame, _ in self.kept(columns, ()):
            yield frame

    def kept(
        self, columns: Sequence[str], keep: Sequence[str]
    ) -> Iterator[tuple[pd.DataFrame, pa.Table]]:
        """Yield the rows of `chunks`, and `keep` of them as the file has it."""
        constants = dict(self.constants)
        start = self.first
        for rows, stored in self._frames(
            [name for name in dict.fromkeys([*columns, *keep]) if name not in constants],
            [name for name in keep if name not in constants],
        ):
            index = pd.RangeIndex(start, start + len(rows))
            frame = rows.assign(**{c: constants[c].as_py() for c in columns if c in constants})
            for name in keep:
                if name in constants:
                    stored = stored.append_column(name, pa.repeat(constants[name], len(rows)))
            start += len(rows)
            yield frame[list(columns)].set_axis(index), stored

    def _frames(
        self, columns: list[str], keep: list[str]
    ) -> Iterator[tuple[pd.DataFrame, pa.Table]]:
        """Row groups at once where they are one chunk; a larger row group in batches."""
        system, path = system_of(self.url)
        with system.open(path, "rb") as file, damage_told(self.url):
            found = pq.ParquetFile(file)
            if found.metadata.num_row_groups < self.groups[1]:
                raise InputError(f"{self.url}: has changed since the plan was made; start again")
            schema = found.schema_arrow
            # Without a buffer ahead a row group is decoded page by page: memory stays flat.
            opened = pq.ParquetFile(
                file, metadata=found.metadata, pre_buffer=self.rows <= self.most,
                read_dictionary=[name for name in texts_of(schema) if name in columns],
            )  # fmt: skip
            own = list(range(*self.groups))
            if self.rows <= self.most:
                table = opened.read_row_groups(own, columns=columns, use_threads=False)
                yield self._frame(table, schema, keep)
                return
            batches = opened.iter_batches(self.most, own, columns=columns, use_threads=False)
            for batch in batches:
                yield self._frame(pa.Table.from_batches([batch]), schema, keep)

    def _frame(
        self, table: pa.Table, schema: pa.Schema, keep: list[str]
    ) -> tuple[pd.DataFrame, pa.Table]:
        """Return rows with texts for the dictionaries by which they were read; see `room`."""
        stored = pa.schema([schema.field(name) for name in table.column_names])
        try:
            table = decoded(table, stored)
            return frame_of(table, threads=False), table.select(keep)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None


@dataclass(frozen=True)
class Log:
    """An ordered list of parts.

    source: what it was opened with. one_process: whether other processes cannot read it.
    """

    source: str
    parts: tuple[Part, ...]
    one_process: bool = False

    @property
    def rows(self) -> int:
        """Number of rows of all parts."""
        return sum(part.rows for part in self.parts)


def is_url(source: str) -> bool:
    """Whether a source is named by a URL such as s3://bucket/log."""
    return "://" in source


def of_frame(frame: pd.DataFrame, source: str, rows_per_part: int = ROWS_PER_PART) -> Log:
    """Return a log of rows in memory, in parts of so many rows."""
    if frame.empty:
        raise InputError(f"{source}: no rows")
    starts = range(0, len(frame), rows_per_part)
    parts = [
        FramePart(
            number, start, frame.iloc[start : start + rows_per_part], f"{source}, row {start}"
        )
        for number, start in enumerate(starts)
    ]
    return Log(source, tuple(parts))


def system_of(url: str) -> tuple[Any, str]:
    """Return the file system of a URL or path, and the path in it."""
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url}: {str(error).splitlines()[0]}") from None
    except ValueError as error:  # an unknown protocol
        raise InputError(f"{url}: cannot be opened: {error}") from None
    return system, path


@contextlib.contextmanager
def damage_told(url: str) -> Iterator[None]:
    """Turn what a reader says of a damaged file into one line that names the file."""
    try:
        yield
    except InputError as error:
        raise error.at(url) from None
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{url}: cannot be read as parquet: {reason}") from None


def workers_here() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
