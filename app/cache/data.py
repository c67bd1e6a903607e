"""Datasets, their rows as a model takes them, and drafts of a description."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, Dataset, SplitName
from aesm2.data.draft import Draft
from aesm2.data.draft.preview import Preview, preview
from aesm2.errors import InputError
from app import locations
from app.people import who

OF_SLICE = "#"  # before the hash of a slice in the id of its rows


@dataclass(frozen=True)
class RowSet:
    """Rows to look at: the frame, and what the model takes.

    id: determines the content. frame: index = name of each row. labels: whether it has labels.
    slice: the text of the slice that it is, "" for all rows of its source.
    """

    id: str
    title: str
    frame: pd.DataFrame
    batch: Batch
    labels: bool
    slice: str = ""

    @property
    def origin(self) -> str:
        """What the view calls the source of these rows: a split, or the id of an upload."""
        id_ = self.id.rpartition(OF_SLICE)[0] if self.slice else self.id
        return id_.rpartition(":")[2] if "@" in id_ else id_

    @property
    def name(self) -> str:
        """The title without the slice."""
        return self.title.removesuffix(f", slice {self.slice}") if self.slice else self.title


def rows(checkpoint: Checkpoint, split: SplitName) -> RowSet:
    """Return the rows of one split of the dataset that the checkpoint was trained on."""
    dataset = dataset_of(checkpoint)
    return _rows(checkpoint.hash, _dataset_id(dataset), split, checkpoint, dataset)


@st.cache_resource(max_entries=6, show_spinner="Encoding the rows…")
def _rows(
    hash_: str, dataset_id: str, split: SplitName, _checkpoint: Checkpoint, _dataset: Dataset
) -> RowSet:
    frames = _splits(dataset_id, _dataset)
    if split not in frames:
        raise InputError(f"the {split} split has no rows: check [split] in dataset.toml")
    batch = _checkpoint.encode(frames[split], labels=True)
    return RowSet(f"{dataset_id}:{split}", split, frames[split], batch, True)


def splits(checkpoint: Checkpoint) -> list[SplitName]:
    """Return the splits of the checkpoint's dataset that have rows."""
    dataset = dataset_of(checkpoint)
    return list(_splits(_dataset_id(dataset), dataset))


@st.cache_resource(max_entries=2, show_spinner="Reading the dataset and its history…")
def _splits(dataset_id: str, _dataset: Dataset) -> dict[SplitName, pd.DataFrame]:
    whole = _dataset.frame()
    frames = {name: whole[whole["split"] == name] for name in SPLITS}
    return {name: frame for name, frame in frames.items() if len(frame)}


def _dataset_id(dataset: Dataset) -> str:
    """Tell one content of a dataset's folder and tables from another."""
    source = dataset.description.source
    tables = [dataset.folder / table for table in (source.table, *(j.table for j in source.join))]
    files = sorted({file for file in (*dataset.folder.iterdir(), *tables) if file.exists()})
    states = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return f"{dataset.folder}@{hashlib.sha256(repr(states).encode()).hexdigest()[:16]}"


def dataset_of(checkpoint: Checkpoint) -> Dataset:
    """Find the dataset of a checkpoint by its name, best with the very description it holds."""
    name = checkpoint.description.name
    found = [own for own in _datasets() if own.description.name == name]
    same = [own for own in found if own.description == checkpoint.description]
    if not found:
        raise InputError(
            f"the dataset '{name}' of this checkpoint is not here: put its folder into data/, name"
            " its parent folder in AESM2_DATA, or upload rows in the Instance Lens"
        )
    return next(iter(same or found))


def datasets() -> list[Dataset]:
    """Return every dataset that can be opened."""
    return list(_datasets())


def _datasets() -> Iterator[Dataset]:
    """Every dataset of `data_places` that can be opened; a broken one is no business of others."""
    for place in locations.data_places():
        for file in sorted(place.glob("*/dataset.toml")):
            if not file.parent.name.startswith(".") and who.sees(file.parent):
                with contextlib.suppress(InputError, OSError):
                    yield _dataset(str(file), file.stat().st_mtime_ns)


@st.cache_resource(max_entries=64, show_spinner=False)
def _dataset(file: str, stamp: int) -> Dataset:
    return Dataset.open(file)


@st.cache_resource(max_entries=4, show_spinner="Looking at the table…")
def drafted(table_id: str, _draft: Callable[[], Draft]) -> Draft:
    """Draft the description of a table that `table_id` determines."""
    return _draft()


@st.cache_resource(max_entries=16, show_spinner=False)
def previewed(table_id: str, roles: str, _draft: Draft) -> Preview:
    """Write a draft that its table and roles determine and count with it."""
    return preview(_draft)
