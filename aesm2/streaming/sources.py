"""What a user names as rows → a log: a dataset's split, a table, a folder of parquet, a URL."""

from collections.abc import Sequence
from pathlib import Path

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import is_dataset, split_named
from aesm2.data.encoder import require_columns
from aesm2.data.tables import PARQUET, read_table
from aesm2.errors import InputError
from aesm2.streaming.files import of_files
from aesm2.streaming.parts import ROWS_PER_PART, Log, is_url, of_frame


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
    frame = None if is_url(source) else split_named(source)
    if frame is None:
        if is_url(source) or Path(source).is_dir() or source.lower().endswith(PARQUET):
            return of_files(source, columns, rows_per_part, checkpoint.description)
        frame = read_table(source)
    if frame.empty:
        raise InputError(f"{source}: no rows")
    require_columns(frame, list(columns), f"{source}: the table")
    return of_frame(frame, source, rows_per_part)
