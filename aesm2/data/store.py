"""Datasets as folders that are written whole or not at all, and can be taken back."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aesm2.data.dataset import SPLITS, Dataset, rows_of
from aesm2.data.encoder import encode_scenario, read_labels, require_columns
from aesm2.errors import InputError
from aesm2.files import exchange, sha256


@dataclass(frozen=True)
class Saved:
    """A dataset that was saved.

    digests: SHA-256 of each file, by name. rows: of each split, where they were read. before: where
    the dataset that it replaced is kept, until the next one is saved there.
    """

    folder: Path
    digests: Mapping[str, str]
    rows: Mapping[str, int]
    before: Path | None


def save(
    folder: Path,
    files: Mapping[str, bytes],
    replace: bool = False,
    again: Saved | None = None,
    read: bool = True,
) -> Saved:
    """Write a dataset into a folder, after all its rows have been read as training will.

    files: content by name, `dataset.toml` among them. replace: whether a dataset there already may
    give way; it is kept beside until another does. again: what was saved there just now, which
    gives way in any case. read: False leaves the rows unread, as where they are too many. Raises
    InputError where the rows do not fit the description, or the folder cannot be written; then
    nothing is changed.
    """
    part = _beside(folder, "part")
    again = again if again is not None and again.folder == folder and folder.exists() else None
    if again is not None:
        _require_untouched(again)
    elif folder.exists() and not replace:
        raise InputError(f"{folder}: there is a dataset of this name already")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, content in files.items():
            (part / name).write_bytes(content)
        dataset = Dataset.open(part)
        rows = check(dataset) if read else {}
        before = _take_place(part, folder, again)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Saved(folder, digests, rows, before)


def _take_place(part: Path, folder: Path, again: Saved | None) -> Path | None:
    """Put a new dataset into its place; return where one that it replaced is kept.

    What is replaced trades places with the new one first, so that there always is one.
    """
    if not folder.exists():
        part.rename(folder)
        return again.before if again is not None else None
    exchange(part, folder)
    if again is not None:
        shutil.rmtree(part)
        return again.before
    before = _beside(folder, "before")
    shutil.rmtree(before, ignore_errors=True)
    return part.rename(before)


def undo(saved: Saved) -> None:
    """Delete a dataset that was saved and put back the one it replaced.

    Raises InputError where its files are not as they were saved: they are somebody's work now.
    """
    if not saved.folder.exists():
        raise InputError(f"{saved.folder}: is not there any more")
    _require_untouched(saved)
    gone = _beside(saved.folder, "part")
    if saved.before is not None and saved.before.exists():
        exchange(saved.before, saved.folder)
        saved.before.rename(gone)
    else:
        saved.folder.rename(gone)
    shutil.rmtree(gone)


def check(dataset: Dataset) -> dict[str, int]:
    """Read every row of a dataset as training will and count the rows of each split.

    Raises InputError that names what does not fit: a column, a scenario, a label, a date, or a
    split without rows.
    """
    described = dataset.description
    frame = dataset.frame()
    labels = [task.label for task in described.task]
    require_columns(frame, [*described.input_columns, *labels], described.source.table)
    for split in SPLITS:
        rows_of(frame, split)
    scenarios = np.stack([encode_scenario(frame, level) for level in described.level], axis=1)
    read_labels(frame, described, scenarios)
    counts = frame["split"].value_counts()
    return {split: int(counts[split]) for split in SPLITS}


def _require_untouched(saved: Saved) -> None:
    found = {f.name: sha256(f) for f in saved.folder.iterdir() if f.is_file()}
    if found != dict(saved.digests) or any(f.is_dir() for f in saved.folder.iterdir()):
        raise InputError(
            f"{saved.folder}: its files have been changed since it was saved; choose another name,"
            " or delete the folder yourself"
        )


def relative(table: Path, folder: Path) -> str:
    """Spell a table's path as seen from the folder of its description."""
    return Path(os.path.relpath(table.resolve(), folder.resolve())).as_posix()


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")
