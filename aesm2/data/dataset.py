"""A dataset on disk: its description, its rows, its splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from aesm2.data.cleaning import cleaned, is_one_of
from aesm2.data.description import (
    DESCRIPTION,
    Description,
    Interval,
    RandomSplit,
    Split,
    read_description,
)
from aesm2.data.encoder import as_text, require_columns
from aesm2.data.history import history_columns
from aesm2.data.tables import read_table
from aesm2.errors import InputError
from aesm2.files import exists, read_text

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """A description, its text, and the folder its paths are relative to."""

    description: Description
    text: str
    folder: Path

    @staticmethod
    def open(path: str | Path) -> "Dataset":
        """Open a folder with a `dataset.toml`, or such a file."""
        path = Path(path)
        description = read_description(path)
        file = path / DESCRIPTION if path.is_dir() else path
        return Dataset(description, read_text(file, "TOML"), file.parent)

    def frame(self) -> pd.DataFrame:
        """Read all rows, joined and with history, kept ones only, and a column `split`.

        The index is the row's number in the source table: it names the row for good.
        `split` is "train", "validation", "test", or missing for rows in none of them.
        """
        source = self.description.source
        frame = read_table(self.folder / source.table)
        if frame.empty:
            raise InputError(f"{self.folder / source.table}: no rows")
        frame = self.completed(frame, self.joined_tables())
        if frame.empty:
            raise InputError(f"{self.folder / source.table}: no rows left after source.keep")
        return frame

    def joined_tables(self) -> list[pd.DataFrame]:
        """Read the tables that are joined to the log."""
        return [read_table(self.folder / join.table) for join in self.description.source.join]

    def completed(self, frame: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Make rows of the log as `frame` returns them, which may leave none.

        Without history it may be a part of the log. tables: see `joined_tables`.
        """
        described, source = self.description, self.description.source
        for join, table in zip(source.join, tables, strict=True):
            frame = _join(frame, table, join.on, join.table)
        frame = cleaned(frame, source)
        require_columns(frame, list(source.keep), "source.keep: the table")
        if described.history:
            blocks = [frame]
            for block in described.history:
                needed = [*block.keys, *block.outcomes, str(source.time)]
                require_columns(frame, needed, f"history '{block.name}': the table")
                blocks.append(history_columns(frame, block, str(source.time)))
            frame = pd.concat(blocks, axis=1)
        for column, values in source.keep.items():
            frame = frame[is_one_of(frame[column], values)]
        return frame.assign(split=self._split(frame))

    def split(self, name: SplitName) -> pd.DataFrame:
        """Rows of one split; see `frame`."""
        return rows_of(self.frame(), name)

    def _split(self, frame: pd.DataFrame) -> pd.Series:
        described = self.description.split
        if described.random is not None:
            codes = drawn(frame, described.random)
        else:
            codes = _by_intervals(frame, described)
        kind = pd.CategoricalDtype(list(SPLITS))
        return pd.Series(pd.Categorical.from_codes(codes, dtype=kind), index=frame.index)


def rows_of(frame: pd.DataFrame, name: SplitName) -> pd.DataFrame:
    """Rows of one split of `Dataset.frame`; InputError where there are none."""
    rows = frame[frame["split"] == name]
    if rows.empty:
        raise no_rows(name)
    return rows


def split_named(source: str) -> pd.DataFrame | None:
    """Return the rows that FOLDER, whose test split it stands for, or FOLDER:SPLIT names.

    None where it names no dataset.
    """
    folder, _, wanted = source.rpartition(":")
    for name in SPLITS:
        if name == wanted and is_dataset(folder):
            return Dataset.open(folder).split(name)
    return Dataset.open(source).split("test") if is_dataset(source) else None


def is_dataset(source: str) -> bool:
    """Whether a path is that of a dataset folder, or of its dataset.toml."""
    path = Path(source)
    return path.name == DESCRIPTION or exists(path / DESCRIPTION)


def no_rows(name: SplitName) -> InputError:
    """Return the error that says that a split is empty."""
    return InputError(f"the {name} split has no rows: check [split] in dataset.toml")


def _join(frame: pd.DataFrame, table: pd.DataFrame, on: str, name: str) -> pd.DataFrame:
    require_columns(frame, [on], f"join with {name}: the table")
    require_columns(table, [on], name)
    if table[on].duplicated().any():
        twice = table.loc[table[on].duplicated(), on].iloc[0]
        raise InputError(f"{name}: '{on}' = {twice} is there twice; a join needs it once")
    new = [c for c in table.columns if c == on or c not in frame.columns]
    try:
        return frame.merge(table[new], on=on, how="left").set_axis(frame.index)
    except ValueError:
        kinds = f"{table[on].dtype}, but {frame[on].dtype} in the table it is joined to"
        raise InputError(f"{name}: '{on}' holds {kinds}") from None


def drawn(frame: pd.DataFrame, drawn: RandomSplit) -> np.ndarray:
    """Index in SPLITS of each row by a hash of seed and key, or row number."""
    rows = frame.index.to_numpy(np.uint64) + (np.uint64(drawn.seed) << np.uint64(32))
    hashes = pd.util.hash_array(rows)
    if drawn.key is not None:
        require_columns(frame, [drawn.key], "split.random.key: the table")
        codes, keys = pd.factorize(as_text(frame[drawn.key]).reindex(frame.index))
        known = pd.util.hash_array(keys.to_numpy(object), hash_key=f"{drawn.seed:016d}")
        hashes = np.where(codes < 0, hashes, np.append(known, 0)[codes])
    share = hashes / 2**64
    return np.digitize(share, [1 - drawn.validation - drawn.test, 1 - drawn.test])


def _by_intervals(frame: pd.DataFrame, described: Split) -> np.ndarray:
    """Index in SPLITS of each row by the interval its value lies in, or -1."""
    require_columns(frame, [str(described.column)], "split: the table")
    column = frame[described.column]
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "date":
        column = pd.to_datetime(column)
    codes = np.full(len(frame), -1)
    for code, name in enumerate(SPLITS):
        inside = _inside(column, getattr(described, name), name)
        if (codes[inside] >= 0).any():
            raise InputError(f"split.{name} overlaps split.{SPLITS[codes[inside].max()]}")
        codes[inside] = code
    return codes


def _is_day(column: pd.Series, bound: object) -> bool:
    """Whether the bound of timestamps is a day, which then is included to its end."""
    timestamps = pd.api.types.is_datetime64_any_dtype(column)
    return timestamps and re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(bound)) is not None


def _inside(column: pd.Series, interval: Interval, name: str) -> np.ndarray:
    try:
        inside = column.notna()
        if interval.first is not None:
            inside &= column >= interval.first
        if interval.last is not None and _is_day(column, interval.last):
            day = pd.Timestamp(str(interval.last), tz=column.dt.tz)
            inside &= column < day + pd.Timedelta(days=1)
        elif interval.last is not None:
            inside &= column <= interval.last
    except (TypeError, ValueError):
        raise InputError(
            f"split.{name}: '{column.name}' holds {column.dtype}, which cannot be compared with"
            f" {interval.first if interval.first is not None else interval.last!r}"
        ) from None
    return inside.to_numpy()
