"""A log of parquet in pieces, so that several processes read a part of it each.

A piece is a range of rows within a row group of a file. Pieces are in the order of the rows, and
the same whoever asks, so that numbers of pieces are all that processes have to agree on.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from aesm2.data.dataset import Dataset
from aesm2.data.tables import frame_of, is_parquet, parquet, unreadable
from aesm2.errors import InputError

FEWEST, MOST = 256, 65_536  # rows of a piece
PIECES_EACH = 16  # so that nobody has much more than others


@dataclass(frozen=True)
class Piece:
    """`rows` rows: from `start` of row group `group` of file number `file`, `first` of the log."""

    file: int
    group: int
    start: int
    rows: int
    first: int


def in_pieces(dataset: Dataset) -> bool:
    """Whether a part of the log says all about its rows: it is parquet, and there is no history."""
    path = dataset.folder / dataset.description.source.table
    return not dataset.description.history and is_parquet(path) and path.exists()


@dataclass(frozen=True)
class Pieces:
    """The pieces of a log, and the tables that are joined to it."""

    dataset: Dataset
    log: ds.Dataset
    all: tuple[Piece, ...]
    size: int
    tables: tuple[pd.DataFrame, ...]

    @staticmethod
    def of(dataset: Dataset, readers: int) -> "Pieces":
        """Cut the log into some pieces for each of so many readers; InputError if unreadable."""
        path = dataset.folder / dataset.description.source.table
        try:
            log = parquet(path)
            groups = [
                (file, group.id, group.num_rows)
                for file, fragment in enumerate(log.get_fragments())
                for group in fragment.row_groups
            ]
        except Exception as error:  # every reader has exceptions of its own
            raise unreadable(path, error) from None
        total = sum(rows for _, _, rows in groups)
        if not total:
            raise InputError(f"{path}: no rows")
        size = min(MOST, max(FEWEST, total // (PIECES_EACH * readers)))
        pieces, first = [], 0
        for file, group, rows in groups:
            for start in range(0, rows, size):
                pieces.append(Piece(file, group, start, min(size, rows - start), first + start))
            first += rows
        return Pieces(dataset, log, tuple(pieces), size, tuple(dataset.joined_tables()))

    def of_reader(self, number: int, readers: int) -> list[int]:
        """Return the numbers of the pieces that a reader takes."""
        return list(range(number, len(self.all), readers))

    def frames(self, numbers: Sequence[int]) -> Iterator[tuple[int, pd.DataFrame]]:
        """Yield pieces by number, with rows as `Dataset.frame` has them, one in memory at a time.

        numbers: rising. An InputError about a row says which rows it was looked for in.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for number in numbers:
            piece = self.all[number]
            groups.setdefault((piece.file, piece.group), []).append(number)
        files = list(self.log.get_fragments())
        for (file, group), wanted in groups.items():
            fragment = files[file].subset(row_group_ids=[group])
            for number, table in self._cut(fragment, wanted):
                with self.about(number):
                    first = self.all[number].first
                    frame = frame_of(table)
                    index = pd.RangeIndex(first, first + len(frame))
                    frame = self.dataset.completed(frame.set_axis(index), self.tables)
                yield number, frame

    @contextlib.contextmanager
    def about(self, number: int) -> Iterator[None]:
        """Add to an InputError which rows of the log the piece holds, whose rows it counts."""
        try:
            yield
        except InputError as error:
            piece, table = self.all[number], self.dataset.description.source.table
            last = piece.first + piece.rows - 1
            raise InputError(f"{table}, rows {piece.first:,} to {last:,}: {error}") from None

    def _cut(self, fragment: ds.Fragment, wanted: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the wanted pieces of one row group, which is read from its beginning."""
        pending, start, left = [], 0, list(wanted)
        try:
            for batch in fragment.to_batches(
                schema=self.log.schema, batch_size=self.size, batch_readahead=1, use_threads=False
            ):
                pending.append(batch)
                while left and self._end(left[0]) <= start + sum(map(len, pending)):
                    piece = self.all[left[0]]
                    table = pa.Table.from_batches(pending, self.log.schema)
                    yield left.pop(0), table.slice(piece.start - start, piece.rows)
                if not left:
                    return
                here = start + sum(map(len, pending))
                if self.all[left[0]].start >= here:  # of these rows nobody wants any
                    pending, start = [], here
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.dataset.folder / str(fragment.path), error) from None

    def _end(self, number: int) -> int:
        return self.all[number].start + self.all[number].rows
