"""A bounded look at a table of any size: its first rows, and rows spread over all of it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from aesm2.data.room import decoded, require_columns_bounded, texts_of
from aesm2.data.tables import frame_of, is_parquet, parquet, read_csv, read_table, unreadable
from aesm2.errors import InputError

LOOKED = 100_000  # rows that are looked at
PIECES = 10  # at least as many places of a large table
WHOLE = 64 * 2**20  # bytes of a CSV file that is read whole
BLOCK = 2**21  # bytes of each piece of a larger one
READ_BUFFER = 2**16  # bytes; without it pyarrow reads a row group's whole columns


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a table that are looked at.

    table: how the table is called. rows: how many it has. exact: whether that was counted, not
    estimated. Rows are in the order of the table.
    """

    table: str
    frame: pd.DataFrame
    rows: int
    exact: bool = True

    @property
    def whole(self) -> bool:
        """Whether every row is looked at."""
        return self.exact and len(self.frame) == self.rows


def read_sample(path: Path) -> Sample:
    """Look at a table on disk in bounded time and memory; InputError where it is none."""
    try:
        if path.exists() and is_parquet(path):
            sample = _of_parquet(path)
        elif path.exists() and path.stat().st_size > WHOLE:
            sample = _of_large_csv(path)
        else:
            sample = sample_of(read_table(path), path.resolve().name)
    except InputError as error:
        raise error.at(path) from None
    except Exception as error:  # every reader has exceptions of its own
        raise unreadable(path, error) from None
    if sample.frame.empty:
        raise InputError(f"{path}: no rows to describe")
    return sample


def sample_of(frame: pd.DataFrame, table: str) -> Sample:
    """Look at a table in memory."""
    return Sample(table, frame.iloc[spread(len(frame), LOOKED)], len(frame))


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` positions, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _of_parquet(path: Path) -> Sample:
    dataset = parquet(path)
    rows = dataset.count_rows()
    require_columns_bounded(len(dataset.schema))
    if rows <= LOOKED:
        return Sample(path.resolve().name, read_table(path), rows)
    groups = [group for file in dataset.get_fragments() for group in file.split_by_row_group()]
    groups = [group for group in groups if group.row_groups[0].num_rows]
    pieces = max(PIECES, math.ceil(LOOKED * len(groups) / rows))
    chosen = [groups[i] for i in spread(len(groups), pieces)]
    heads = [_head(group, math.ceil(LOOKED / len(chosen)), dataset.schema) for group in chosen]
    whole = decoded(pa.concat_tables(heads), dataset.schema)
    return Sample(path.resolve().name, frame_of(whole), rows)


def _head(group: ds.ParquetFileFragment, rows: int, schema: pa.Schema) -> pa.Table:
    """First rows of one row group, decoding no more of it than they need; texts as dictionaries."""
    folders = ds.get_partition_keys(group.partition_expression)
    texts = [name for name in texts_of(schema) if name not in folders]
    file = pq.ParquetFile(
        group.path, pre_buffer=False, buffer_size=READ_BUFFER, read_dictionary=texts
    )
    number = group.row_groups[0].id
    head = pa.Table.from_batches([next(file.iter_batches(rows, row_groups=[number]))])
    for name, value in folders.items():
        head = head.append_column(name, pa.array([value] * len(head)))
    coded = [
        own.with_type(pa.dictionary(pa.int32(), own.type)) if own.name in texts else own
        for own in schema
    ]
    return head.select(schema.names).cast(pa.schema(coded))


def _of_large_csv(path: Path) -> Sample:
    """Look at pieces cut at line ends; a line end inside quotes may cost a row its place."""
    size = path.stat().st_size
    with path.open("rb") as file:
        pieces = [file.read(BLOCK)]
        for start in np.linspace(0, size, PIECES, endpoint=False)[1:]:
            file.seek(int(start))
            file.readline()
            pieces.append(file.read(BLOCK))
    content = b"".join(piece[: piece.rfind(b"\n") + 1] for piece in pieces)
    found = sample_of(read_csv(content), path.name)
    return replace(found, rows=round(found.rows * size / len(content)), exact=False)
