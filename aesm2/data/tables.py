"""Tables as files: parquet, a folder of parquet, and CSV however it separates its values."""

import csv
import re
from collections import Counter
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from aesm2.data.room import (
    CSV_GROWTH,
    decoded,
    require_columns_bounded,
    require_room,
    stored_values,
    texts_of,
)
from aesm2.errors import InputError
from aesm2.files import exists

SEPARATORS = ",;\t|"
HEAD = 2**16  # bytes of a CSV file that tell how it is written
PARQUET, CSV = (".parquet", ".pq"), (".csv", ".tsv")
UNNAMED = re.compile(r"__index_level_\d+__")  # the column of an index that has no name
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or parquet table, or a folder of parquet; InputError says what is wrong.

    What would not fit into memory is refused before it is read.
    """
    path = Path(path)
    if not exists(path):
        raise InputError(f"{path}: no such file")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"{path}: not a file, but a device or the like")
    try:
        if is_parquet(path):
            return frame_of(_whole(path))
        if path.suffix.lower() in CSV:
            require_room(CSV_GROWTH * path.stat().st_size)
            return read_csv(path.read_bytes())
    except MemoryError:
        raise InputError(f"{path}: is larger than memory; take fewer rows or columns") from None
    except Exception as error:  # every reader has exceptions of its own
        raise unreadable(path, error) from None
    raise InputError(f"{path}: not a table this reads: expected .parquet, .csv or .tsv")


def _whole(path: Path) -> pa.Table:
    """Read a parquet file or folder whole, texts by way of dictionaries; see `room.decoded`."""
    found = parquet(path)
    require_columns_bounded(len(found.schema))
    require_room(sum(_stored(own) for own in found.get_fragments()))
    texts = ds.ParquetFileFormat(dictionary_columns=texts_of(found.schema))
    return decoded(parquet(path, texts).to_table(), found.schema)


def _stored(fragment: ds.ParquetFileFragment) -> int:
    with Path(fragment.path).open("rb") as file:
        return stored_values(fragment.metadata, file)


def is_parquet(path: Path) -> bool:
    """Whether the table is parquet: a file by its name, or a folder of such files."""
    return path.is_dir() or path.suffix.lower() in PARQUET


def parquet(path: Path, form: str | ds.ParquetFileFormat = "parquet") -> ds.Dataset:
    """Open a parquet file or folder without reading rows; folders `key=value` are columns."""
    if not path.is_dir():
        return ds.dataset(path, format=form)
    files = [str(file) for file in parquet_files(path)]
    return ds.dataset(files, format=form, partitioning="hive", partition_base_dir=str(path))


def parquet_files(folder: Path) -> list[Path]:
    """Every parquet file in a folder and the folders in it, in order."""
    return sorted(file for end in PARQUET for file in folder.rglob(f"*{end}"))


def frame_of(table: pa.Table, threads: bool = True) -> pd.DataFrame:
    """Return an arrow table as a frame with numbered rows.

    What pandas noted about its types is passed over: such a note may be of other values than these.
    An index without a name is left out. Raises InputError for text that is not UTF-8 and for two
    columns of one name.
    """
    _require_once(table.column_names)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if any(kind(column.type) for kind in TEXT):
            _require_utf8(name, column)
    kept = [name for name in table.column_names if not UNNAMED.fullmatch(name)]
    bare = table.select(kept).replace_schema_metadata()  # pyarrow reads a note before it ignores it
    frame: pd.DataFrame = bare.to_pandas(ignore_metadata=True, use_threads=threads)
    return frame


def _require_utf8(name: str, column: pa.ChunkedArray) -> None:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        raise InputError(f"column '{name}' holds bytes that are no text in UTF-8") from None


def read_csv(content: bytes, rows: int | None = None) -> pd.DataFrame:
    """Read CSV text in UTF-8, or its first `rows`, in the form that its first lines show.

    Raises InputError where pandas would read something else than the file says: a column's name
    twice, more values than names, zero bytes.
    """
    head = content[:HEAD].decode("utf-8-sig", errors="ignore")
    form = csv_form(head)
    if b"\0" in content:
        raise InputError("holds zero bytes, which no text has")
    _check_header(content, form["sep"])
    frame: pd.DataFrame = pd.read_csv(BytesIO(content), low_memory=False, nrows=rows, **form)
    if form["decimal"] == ",":  # pandas leaves it where a column also holds markers such as "?"
        texts = frame.select_dtypes(["object", "string"])
        frame[texts.columns] = texts.replace(r"^\s*(-?\d+),(\d+)\s*$", r"\1.\2", regex=True)
    return frame


def _check_header(content: bytes, separator: str) -> None:
    """Look at the header and the first row, from which pandas concludes what the columns are."""
    text = TextIOWrapper(BytesIO(content), "utf-8-sig", errors="replace", newline="")
    try:
        records = (record for record in csv.reader(text, delimiter=separator) if record)
        names, first = next(records, []), next(records, [])
    except csv.Error as error:
        raise InputError(f"its header or first row cannot be read: {error}") from None
    require_columns_bounded(len(names))
    _require_once([name for name in names if name])
    if len(first) > len(names):  # pandas would take the first values for names of the rows
        raise InputError("the rows have more values than the header has columns")


def _require_once(names: list[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"the column '{twice}' is there twice")


def csv_form(head: str) -> dict[str, Any]:
    """How the first lines of a CSV separate values and spell decimals, as pandas names it.

    The separator is the most frequent candidate of the header. A decimal comma needs another
    separator, a number spelt so, and none with a point.
    """
    lines = re.sub(r'"[^"\n]*"', "", head).lstrip("\r\n").splitlines()
    separator = max(SEPARATORS, key=(lines[0] if lines else "").count)
    cells = [cell.strip() for line in lines[1:] for cell in line.split(separator)]
    comma = any(re.fullmatch(r"-?\d+,\d+", cell) for cell in cells)
    point = any(re.fullmatch(r"-?\d+\.\d+", cell) for cell in cells)
    return {"sep": separator, "decimal": "," if comma and not point else "."}


def unreadable(path: Path, error: Exception) -> InputError:
    """Say in one line that a file cannot be read as a table, and why."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path}: cannot be read as a table: {reason}")
