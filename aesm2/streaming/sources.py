"""What a user names as rows → a log: a dataset's split, a table, a folder of parquet, a URL."""

from collections.abc import Sequence
from pathlib import Path

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import SPLITS, Dataset
from aesm2.data.description import DESCRIPTION
from aesm2.data.encoder import require_columns
from aesm2.data.tables import PARQUET, read_table
from aesm2.errors import InputError
from aesm2.streaming.files import of_files
from aesm2.streaming.parts import ROWS_PER_PART, Log, is_url, of_frame


def is_dataset(source: str) -> bool:
    """Whether a source is a dataset folder, or its dataset.toml."""
    path = Path(source)
    return not is_url(source) and (path.name == DESCRIPTION or (path / DESCRIPTION).exists())


def is_streamed(source: str) -> bool:
    """Whether a source is read part by part unless told otherwise: a URL, a folder of parquet."""
    return is_url(source) or (Path(source).is_dir() and not is_dataset(source))


def open_log(
    checkpoint: Checkpoint,
    source: str,
    columns: Sequence[str],
    rows_per_part: int = ROWS_PER_PART,
) -> Log:
    """Open rows that a checkpoint can take, as a log.

    source: a parquet file, a folder of them, or a fsspec URL of either, read part by part; a CSV
    table, or a dataset folder, whose test split is taken, or FOLDER:SPLIT, which are read whole.
    columns: those that will be read.
    Raises InputError where there is nothing, or a column is missing.
    """
    folder, _, split = source.rpartition(":")
    if split in SPLITS and is_dataset(folder):
        frame = Dataset.open(folder).split(next(name for name in SPLITS if name == split))
    elif is_dataset(source):
        frame = Dataset.open(source).split("test")
    elif is_url(source) or Path(source).is_dir() or source.lower().endswith(PARQUET):
        return of_files(source, columns, rows_per_part, checkpoint.description)
    else:
        frame = read_table(source)
    if frame.empty:
        raise InputError(f"{source}: no rows")
    require_columns(frame, list(columns), f"{source}: the table")
    return of_frame(frame, source, rows_per_part)
