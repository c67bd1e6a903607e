"""The rows of one piece, in bounded memory: read from the processed form, joined from the raw one.

The raw tables are joined by partitioning: both are cut into buckets by a hash of the search id,
in temporary files, so that what belongs together is in buckets of the same number. Of each pair
the users are held in memory, a bucket small enough for that, and the items pass by.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from aesm2.errors import InputError
from aesm2.prepare.columns import ITEM_FEATURES, USER_FEATURES
from aesm2.prepare.csvfile import CsvFile, Progress
from aesm2.prepare.discover import Piece
from aesm2.prepare.draw import BUCKET, SAMPLE, drawn, hashes
from aesm2.prepare.log import grouped

BUCKET_BYTES = 64 << 20  # of user CSV in a bucket, where MOST_BUCKETS are enough
MOST_BUCKETS = 192  # each is an open file, of which a process may have 256 on some systems
CHUNK = 1 << 16  # items that are joined at a time; a batch of a bucket has too few to be quick
Rows: TypeAlias = tuple[np.ndarray, pa.Table]  # page of each row, and see `log.impressions`


def read_rows(
    piece: Piece, fraction: float, folder: Path, counts: Counter[str], bar: Progress
) -> Iterator[Rows]:
    """Yield the rows of a piece that belong to the drawn fraction of its pages.

    folder: where temporary files may be. counts: gets `without_page`, items whose page is not in
    the user table, which are left out, and `without_id`, rows of a file without search ids.
    Raises InputError for files that are not what they should be.
    """
    if len(piece.files) == 1:
        yield from _processed(piece, fraction, counts, bar)
        return
    keys = ("user_1", "item_1")
    buckets = min(MOST_BUCKETS, 1 + piece.files[0].unpacked_size // BUCKET_BYTES)
    for file, key in zip(piece.files, keys, strict=True):
        bar.set_description(f"{piece.name}: {file.path.name}")
        paths = [_bucket_file(folder, key, bucket) for bucket in range(buckets)]
        _partition(piece, file, key, fraction, paths, bar)
    for bucket in range(buckets):
        bar.set_description(f"{piece.name}: join {bucket + 1}/{buckets}")
        users, items = (_bucket_file(folder, key, bucket) for key in keys)
        yield from _join(piece.files[0], users, items, counts)


def _processed(
    piece: Piece, fraction: float, counts: Counter[str], bar: Progress
) -> Iterator[Rows]:
    """Read processed rows; without search ids, every row counts as a page of its own."""
    (file,) = piece.files
    bar.set_description(f"{piece.name}: {file.path.name}")
    rows = 0
    for batch in file.batches(bar):
        if "search_id" in batch.schema.names:
            pages = batch["search_id"].to_numpy()
        else:
            pages = np.arange(rows, rows + len(batch))
            counts["without_id"] += len(batch)
        rows += len(batch)
        kept = drawn(pages, piece.country, piece.split, SAMPLE, fraction)
        yield pages[kept], pa.table(batch.filter(pa.array(kept)))


def _bucket_file(folder: Path, key: str, bucket: int) -> Path:
    return folder / f"{key}-{bucket:05d}.arrows"


def _partition(
    piece: Piece, file: CsvFile, key: str, fraction: float, paths: list[Path], bar: Progress
) -> None:
    """Write the drawn rows of a table into one file a bucket, in order of rows."""
    schema = pa.schema([(name, kind.arrow) for name, kind in file.layout.columns.items()])
    options = ipc.IpcWriteOptions(compression="lz4")
    with contextlib.ExitStack() as stack:
        writers = []
        for path in paths:  # as streams: the file format's footer grows with every batch
            stream = stack.enter_context(path.open("wb"))
            writers.append(stack.enter_context(ipc.new_stream(stream, schema, options=options)))
        for batch in file.batches(bar):
            pages = batch[key].to_numpy()
            rows = np.flatnonzero(drawn(pages, piece.country, piece.split, SAMPLE, fraction))
            number = hashes(pages[rows], piece.country, piece.split, BUCKET) % np.uint64(len(paths))
            order = np.argsort(number, kind="stable")
            ends = np.cumsum(np.bincount(number.astype(np.int64), minlength=len(paths)))
            by_bucket = batch.take(pa.array(rows[order]))
            for writer, start, end in zip(writers, [0, *ends[:-1]], ends, strict=True):
                if end > start:
                    writer.write_batch(by_bucket.slice(start, end - start))


def _join(user_file: CsvFile, users: Path, items: Path, counts: Counter[str]) -> Iterator[Rows]:
    """Join one bucket, in order of items, and delete its files."""
    with users.open("rb") as stream:
        table = ipc.open_stream(stream).read_all()
    table = table.take(pa.array(np.argsort(table["user_1"].to_numpy()))).combine_chunks()
    known = table["user_1"].to_numpy()
    repeated = known[1:][known[1:] == known[:-1]]
    if len(repeated):
        raise _repeated(user_file, int(repeated[0]))
    known = np.append(known, -1)  # what is beyond the last page is found there, and equals none
    with items.open("rb") as stream:
        batches = (pa.table(batch) for batch in ipc.open_stream(stream))
        for chunk in grouped(batches, CHUNK):
            pages = chunk["item_1"].to_numpy()
            place = np.searchsorted(known[:-1], pages)
            found = known[place] == pages
            counts["without_page"] += int((~found).sum())
            matching = table.take(pa.array(place[found]))
            yield pages[found], _columns(matching, chunk.filter(pa.array(found)))
    users.unlink()
    items.unlink()


def _columns(users: pa.Table, items: pa.Table) -> pa.Table:
    """Return search id, features and labels of joined rows under their processed names."""
    feedback = items["item_49"].to_numpy()
    columns = {new: users[old] for old, new in USER_FEATURES.items()}
    columns |= {new: items[old] for old, new in ITEM_FEATURES.items()}
    columns |= {
        "search_id": items["item_1"],
        "click": pa.array((feedback >= 1).astype(np.int8)),
        "conversion": pa.array((feedback == 2).astype(np.int8)),
    }
    return pa.table(columns)


def _repeated(file: CsvFile, page: int) -> InputError:
    first, second, *_ = file.lines_with("user_1", page)
    return InputError(
        f"{file.path}: line {second}: search id {page} was there in line {first};"
        " the user table has one line a result page"
    )
