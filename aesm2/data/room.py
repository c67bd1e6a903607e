"""How much memory a table takes, told before it takes it: a small file may hold a huge table."""

import os
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aesm2.data.footer import values_of
from aesm2.errors import InputError

MOST_COLUMNS = 10_000  # pandas takes minutes for more, and no log has as many
COPIES = 3  # of a table, while it becomes a frame
CSV_GROWTH = 1.5  # bytes of a frame for each of a CSV file, most of whose numbers are short


def memory() -> int:
    """Bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_columns_bounded(columns: int) -> None:
    """Raise InputError for a table of more columns than any log has."""
    if columns > MOST_COLUMNS:
        raise InputError(f"{columns:,} columns; at most {MOST_COLUMNS:,} are read")


def require_room(needed: float, most: int | None = None) -> None:
    """Raise InputError where a table of so many bytes is larger than `most`, or than memory."""
    room = memory() // COPIES if most is None else most
    if needed > room:
        raise InputError(
            f"the table unpacks to {needed / 1e9:,.1f} GB, and there is room for"
            f" {room / 1e9:,.1f}; take fewer rows or columns"
        )


def stored_values(about: pq.FileMetaData, file: BinaryIO) -> int:
    """Return about how many bytes the numbers of a parquet file take, from its footer alone.

    about: what pyarrow read of the footer of `file`.
    """
    rows = sum(max(0, int(about.row_group(i).num_rows)) for i in range(about.num_row_groups))
    columns, places = int(about.num_columns), range(about.num_columns)
    lists = {place for place in places if about.schema.column(place).max_repetition_level}
    several = values_of(file, lists) if lists else 0
    return 8 * (rows * (columns - len(lists)) + several)


def texts_of(schema: pa.Schema) -> list[str]:
    """Return the columns of text, which are to be read as dictionaries; see `decoded`."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return [own.name for own in schema if any(kind(own.type) for kind in kinds)]


def decoded(table: pa.Table, schema: pa.Schema, most: int | None = None) -> pa.Table:
    """Return a table with its dictionaries as the texts they stand for.

    A text that is there once and meant a million times takes its room a million times. table: with
    the columns of `texts_of` read as dictionaries. schema: as the file has it. Raises InputError
    where the texts would not fit.
    """
    coded = [i for i, own in enumerate(table.schema) if own.type != schema.field(i).type]
    require_room(sum(_text_bytes(table.column(i)) for i in coded), most)
    for place in coded:
        field = schema.field(place)
        table = table.set_column(place, field, table.column(place).cast(field.type))
    return table


def _text_bytes(column: pa.ChunkedArray) -> int:
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
            counts = pc.value_counts(chunk.indices.drop_null())
            own = pc.take(lengths, counts.field("values"))
            total += pc.sum(pc.multiply(own, counts.field("counts"))).as_py() or 0
    return total
