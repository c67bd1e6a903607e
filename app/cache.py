"""What is computed once: opened checkpoints, rows, and whatever the model makes of them.

The only file with st.cache_*. Keys are small ids that determine the result: the path and time
stamp of a checkpoint, the hash of its content, the id of a row set. An argument with an underscore
is what such an id stands for.
"""

import gc
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

import aesm2
from aesm2.checkpoint import MANIFEST, Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset, SplitName
from aesm2.errors import InputError
from aesm2.inference import probabilities as compute_probabilities
from aesm2.routing.highlights import Highlights
from aesm2.routing.highlights import highlights as find_highlights
from aesm2.routing.utilisation import Utilisation
from aesm2.routing.utilisation import utilisation as compute_utilisation

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Opened:
    """An open checkpoint and the lock that guards its model."""

    checkpoint: Checkpoint
    lock: threading.Lock


@dataclass(frozen=True)
class RowSet:
    """Rows to look at: the frame, and what the model takes.

    id: determines the content. frame: index = name of each row. labels: whether it has labels.
    """

    id: str
    title: str
    frame: pd.DataFrame
    batch: Batch
    labels: bool


@st.cache_resource
def settle_imports() -> None:
    """Move what the imports made out of the garbage collector's sight.

    Streamlit collects all generations after every run of the script, which takes a sixth of a
    second with torch loaded.
    """
    gc.collect()
    gc.freeze()


def catalogue() -> dict[str, Path]:
    """Return the checkpoints there are, by id: those shipped, then those of runs."""
    shipped = {m.parent.name: m.parent for m in sorted(ROOT.glob(f"checkpoints/*/{MANIFEST}"))}
    runs = sorted(ROOT.glob(f"runs/*/checkpoint/{MANIFEST}"))
    return shipped | {f"runs/{m.parents[1].name}": m.parent for m in runs}


def opened(folder: Path, device: str) -> Opened:
    """Open a checkpoint on a device; again after its files changed."""
    return _opened(str(folder), (folder / MANIFEST).stat().st_mtime_ns, device)


@st.cache_resource(max_entries=6, show_spinner="Opening the checkpoint and verifying its files…")
def _opened(folder: str, stamp: int, device: str) -> Opened:
    return Opened(aesm2.load(folder, device), threading.Lock())


def rows(checkpoint: Checkpoint, split: SplitName) -> RowSet:
    """Return the rows of one split of the dataset that the checkpoint was trained on."""
    dataset = dataset_of(checkpoint)
    changed = max(file.stat().st_mtime_ns for file in dataset.folder.iterdir())
    return _rows(checkpoint.hash, f"{dataset.folder}@{changed}", split, checkpoint, dataset)


@st.cache_resource(max_entries=4, show_spinner="Reading the dataset and its history…")
def _rows(
    hash_: str, dataset_id: str, split: SplitName, _checkpoint: Checkpoint, _dataset: Dataset
) -> RowSet:
    frame = _dataset.split(split)
    return RowSet(
        f"{dataset_id}:{split}", split, frame, _checkpoint.encode(frame, labels=True), True
    )


def dataset_of(checkpoint: Checkpoint) -> Dataset:
    """Find the dataset of a checkpoint by its name in data_samples/ and $AESM2_DATA."""
    name = checkpoint.description.name
    places = [ROOT / "data_samples", *map(Path, os.environ.get("AESM2_DATA", "").split(os.pathsep))]
    for place in places:
        for file in sorted(place.glob("*/dataset.toml")):
            dataset = Dataset.open(file)
            if dataset.description.name == name:
                return dataset
    raise InputError(
        f"the dataset '{name}' of this checkpoint is not here: put its folder into data_samples/,"
        " name its parent folder in AESM2_DATA, or upload rows in the Instance Lens"
    )


def utilisation(opened: Opened, rows: RowSet) -> Utilisation:
    """Count which experts the rows use."""
    return _utilisation(opened.checkpoint.hash, rows.id, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Counting which experts the rows use…")
def _utilisation(hash_: str, rows_id: str, _opened: Opened, _rows: RowSet) -> Utilisation:
    with _opened.lock:
        return compute_utilisation(_opened.checkpoint.model, _rows.batch)


def probabilities(opened: Opened, rows: RowSet) -> np.ndarray:
    """Probability of each task for each row, (rows, tasks)."""
    return _probabilities(opened.checkpoint.hash, rows.id, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Predicting…")
def _probabilities(hash_: str, rows_id: str, _opened: Opened, _rows: RowSet) -> np.ndarray:
    with _opened.lock:
        return compute_probabilities(_opened.checkpoint.model, _rows.batch)


def highlights(opened: Opened, rows: RowSet, task: int) -> Highlights:
    """Find the rows worth a look."""
    return _highlights(opened.checkpoint.hash, rows.id, task, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Looking for rows worth a look, a few seconds…")
def _highlights(hash_: str, rows_id: str, task: int, _opened: Opened, _rows: RowSet) -> Highlights:
    with _opened.lock:
        return find_highlights(_opened.checkpoint.model, _rows.batch, task)


def figure(
    key: str, checkpoints: Sequence[Checkpoint], build: Callable[[], go.Figure]
) -> go.Figure:
    """Return a figure that `key` and the checkpoints determine; it must not be changed."""
    return _figure(key, tuple(checkpoint.hash for checkpoint in checkpoints), build)


@st.cache_resource(max_entries=64, show_spinner=False)
def _figure(key: str, hashes: tuple[str, ...], _build: Callable[[], go.Figure]) -> go.Figure:
    return _build()
