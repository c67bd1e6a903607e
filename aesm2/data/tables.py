"""Tables as files: parquet, a folder of parquet, and CSV however it separates its values."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds

from aesm2.errors import InputError

SEPARATORS = ",;\t|"
HEAD = 2**16  # bytes of a CSV file that tell how it is written
PARQUET, CSV = (".parquet", ".pq"), (".csv", ".tsv")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or parquet table, or a folder of parquet; InputError says what is wrong."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        if is_parquet(path):
            return plain(parquet(path).to_table().to_pandas())
        if path.suffix.lower() in CSV:
            return read_csv(path.read_bytes())
    except Exception as error:  # every reader has exceptions of its own
        raise unreadable(path, error) from None
    raise InputError(f"{path}: not a table this reads: expected .parquet, .csv or .tsv")


def is_parquet(path: Path) -> bool:
    """Whether the table is parquet: a file by its name, or a folder of such files."""
    return path.is_dir() or path.suffix.lower() in PARQUET


def parquet(path: Path) -> ds.Dataset:
    """Open a parquet file or folder without reading rows; folders `key=value` are columns."""
    if not path.is_dir():
        return ds.dataset(path, format="parquet")
    files = [str(file) for file in parquet_files(path)]
    return ds.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(path))


def parquet_files(folder: Path) -> list[Path]:
    """Every parquet file in a folder and the folders in it, in order."""
    return sorted(file for end in PARQUET for file in folder.rglob(f"*{end}"))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Number the rows, name the columns by text: a parquet file may carry an index of its own."""
    unnamed = all(name is None for name in frame.index.names)
    return frame.reset_index(drop=unnamed).rename(columns=str)


def read_csv(content: bytes, rows: int | None = None) -> pd.DataFrame:
    """Read CSV text in UTF-8, or its first `rows`, in the form that its first lines show."""
    form = csv_form(content[:HEAD].decode("utf-8-sig", errors="ignore"))
    frame: pd.DataFrame = pd.read_csv(BytesIO(content), low_memory=False, nrows=rows, **form)
    if form["decimal"] == ",":  # pandas leaves it where a column also holds markers such as "?"
        texts = frame.select_dtypes(["object", "string"])
        frame[texts.columns] = texts.replace(r"^\s*(-?\d+),(\d+)\s*$", r"\1.\2", regex=True)
    return frame


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
