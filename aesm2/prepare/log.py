"""The log: numbered parquet files of impressions, one row each, in the columns of `columns.LOG`."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.prepare.columns import LOG, NUMERICAL
from aesm2.prepare.discover import Piece
from aesm2.prepare.draw import VALIDATION, drawn, unique_ids

GROUP, GROUPS = 1 << 16, 16  # rows of a row group, or a few more; row groups of a file
DICTIONARIES = [name for name in LOG.names if name not in NUMERICAL]  # smaller and faster so
VALIDATION_SHARE = 0.5  # of the pages of the original test split (§4.1)


def impressions(piece: Piece, pages: np.ndarray, table: pa.Table) -> pa.Table:
    """Complete features and labels to rows of the log.

    pages: (rows,) int64, the result page of each row, which its split is drawn by. table: features
    and labels, and `search_id` where the pages have ids of their own; it is missing elsewhere.
    """
    rows = len(table)
    if piece.split == "train":
        part = pa.repeat("train", rows)
    else:
        chosen = drawn(pages, piece.country, piece.split, VALIDATION, VALIDATION_SHARE)
        part = pa.array(np.where(chosen, "validation", "test"))
    columns = {name: table[name] for name in table.column_names}
    columns |= {"country": pa.repeat(piece.country, rows), "part": part}
    if "search_id" in columns:
        columns["search_id"] = pa.array(unique_ids(pages, piece.country, piece.split))
    else:
        columns["search_id"] = pa.nulls(rows, pa.int64())
    return pa.table([columns[name] for name in LOG.names], schema=LOG)


def write_log(folder: Path, name: str, tables: Iterable[pa.Table]) -> int:
    """Write rows as NAME-00000.parquet, …, each synced to disk, and return how many there were."""
    rows, groups = 0, grouped(tables, GROUP)
    for number, first in enumerate(groups):
        with (folder / f"{name}-{number:05d}.parquet").open("wb") as file:
            with pq.ParquetWriter(
                file, LOG, compression="zstd", use_dictionary=DICTIONARIES
            ) as writer:
                for group in itertools.chain([first], itertools.islice(groups, GROUPS - 1)):
                    writer.write_table(group)
                    rows += len(group)
            file.flush()
            os.fsync(file.fileno())
    return rows


def grouped(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Join small tables to some of at least so many rows each, except the last; none is empty."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield pa.concat_tables(waiting)
