"""What is computed once: opened checkpoints, rows, and whatever the model makes of them.

The only file with st.cache_*. Keys are small ids that determine the result: the path and time
stamp of a checkpoint, the hash of its content, the id of a row set. An argument with an underscore
is what such an id stands for.
"""

import contextlib
import gc
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

import aesm2
from aesm2.checkpoint import MANIFEST, Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, Dataset, SplitName
from aesm2.data.draft import Draft
from aesm2.data.draft.preview import Preview, preview
from aesm2.errors import InputError
from aesm2.evidence.folder import MANIFEST as EVIDENCE
from aesm2.evidence.folder import Evidence, read_evidence
from aesm2.plots.style import provenance
from aesm2.routing.gates import GateUsage
from aesm2.routing.gates import gate_usage as compute_gate_usage
from aesm2.routing.grouped import grouped_utilisation
from aesm2.routing.highlights import Highlights
from aesm2.routing.highlights import highlights as find_highlights
from aesm2.routing.knockout import Knockouts
from aesm2.routing.knockout import knockouts as sweep
from aesm2.routing.utilisation import Utilisation
from aesm2.routing.utilisation import utilisation as compute_utilisation
from aesm2.streaming import summary_file
from aesm2.streaming.summary_file import RoutingFile
from aesm2.streaming.works import row_groups
from app import locations
from app.background import Background
from app.metrics import Metrics, TimedLock
from app.people import who
from app.people.quotas import Ledger

Found = TypeVar("Found")
Draw = Callable[[str, Callable[[], go.Figure]], go.Figure]  # script, how it is drawn → figure
OF_SLICE = "#"  # before the hash of a slice in the id of its rows


@dataclass(frozen=True)
class Opened:
    """An open checkpoint and the lock that guards its model."""

    checkpoint: Checkpoint
    lock: TimedLock


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


class Drawn(go.Figure):
    """A figure that is kept: what the browser gets is made once, so it is not to be changed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as plain data, the same each time."""
        made: dict[str, Any] | None = getattr(self, "_made", None)
        if made is None:
            made = self._made = super().to_dict()
        return made


@dataclass(frozen=True)
class Study:
    """An opened folder of evidence; id determines its content."""

    id: str
    evidence: Evidence


@st.cache_resource
def settle_imports() -> None:
    """Move what the imports made out of the garbage collector's sight.

    Streamlit collects all generations after every run of the script, which takes a sixth of a
    second with torch loaded.
    """
    gc.collect()
    gc.freeze()


def opened(folder: Path, device: str) -> Opened:
    """Open a checkpoint on a device; again after its files changed."""
    return _opened(str(folder), (folder / MANIFEST).stat().st_mtime_ns, device)


@st.cache_resource(max_entries=6, show_spinner="Opening the checkpoint and verifying its files…")
def _opened(folder: str, stamp: int, device: str) -> Opened:
    return Opened(aesm2.load(folder, device), TimedLock(metrics().waited))


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
    files = [file for file in (*dataset.folder.iterdir(), *tables) if file.exists()]
    changed = max(file.stat().st_mtime_ns for file in files)
    return f"{dataset.folder}@{changed}"


def of_folder(key: str, folder: Path, manifest: str, build: Callable[[], Found]) -> Found:
    """Return what `key` and the content of a folder determine; again after its manifest changed."""
    digest = hashlib.sha256((folder / manifest).read_bytes()).hexdigest()
    result: Found = _of_study(key, f"{folder}@{digest}", build)
    return result


def study(folder: Path) -> Study:
    """Open a folder of evidence; again after its manifest changed."""
    digest = hashlib.sha256((folder / EVIDENCE).read_bytes()).hexdigest()
    return _study(str(folder), digest)


@st.cache_resource(max_entries=16, show_spinner="Reading the evidence…")
def _study(folder: str, digest: str) -> Study:
    return Study(f"{folder}@{digest}", read_evidence(Path(folder)))


def of_study(key: str, study: Study, build: Callable[[], Found]) -> Found:
    """Return what `key` and a study determine, a table or figure; it must not be changed."""
    result: Found = _of_study(key, study.id, build)
    return result


@st.cache_resource(max_entries=128, show_spinner=False)
def _of_study(key: str, study_id: str, _build: Callable[[], Found]) -> Found:
    return _build()


def drawn(opened: Opened, of: str, code: str, build: Callable[[], go.Figure]) -> go.Figure:
    """Return the figure of a checkpoint that a script determines; not to be changed.

    of: id of the rows or counts that the script begins with, "" where it begins with none. Building
    a figure takes plotly longer than anything else in a page's run. Devices round differently, so
    each has its own.
    """
    return _drawn(opened.checkpoint.hash, str(opened.checkpoint.device), of, code, build)


def told(key: str, checkpoints: Sequence[Checkpoint], build: Callable[[], Found]) -> Found:
    """Return what `key` and checkpoints determine; it must not be changed, nor take long."""
    models = tuple(f"{own.hash} {own.device}" for own in checkpoints)
    result: Found = _told(key, models, build)
    return result


@st.cache_resource(max_entries=256, show_spinner=False)
def _told(key: str, models: tuple[str, ...], _build: Callable[[], Found]) -> Found:
    return _build()


@st.cache_resource(max_entries=512, show_spinner=False)
def _drawn(
    hash_: str, device: str, of: str, code: str, _build: Callable[[], go.Figure]
) -> go.Figure:
    return Drawn(_build())


def anew(code: str, build: Callable[[], go.Figure]) -> go.Figure:
    """Build a figure, whatever its script: a `Draw` that keeps none."""
    return build()


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


def utilisation(opened: Opened, rows: RowSet) -> Utilisation:
    """Count which experts the rows use."""
    return _utilisation(opened.checkpoint.hash, rows.id, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Counting which experts the rows use…")
def _utilisation(hash_: str, rows_id: str, _opened: Opened, _rows: RowSet) -> Utilisation:
    with _opened.lock:
        return compute_utilisation(_opened.checkpoint.model, _rows.batch)


def summary(checkpoint: Checkpoint, file: Path) -> RoutingFile:
    """Read a routing summary, verified; again after it changed."""
    return _summary(checkpoint.hash, str(file), file.stat().st_mtime_ns, checkpoint)


@st.cache_resource(max_entries=16, show_spinner="Reading the routing summary…")
def _summary(hash_: str, file: str, stamp: int, _checkpoint: Checkpoint) -> RoutingFile:
    return summary_file.read(file, _checkpoint)


def grouped(opened: Opened, rows: RowSet, column: str | None) -> RoutingFile:
    """Count which experts the rows use, in groups by a column, None for blocks of rows."""
    return _grouped(opened.checkpoint.hash, rows.id, column, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Counting which experts the rows use…")
def _grouped(
    hash_: str, rows_id: str, column: str | None, _opened: Opened, _rows: RowSet
) -> RoutingFile:
    groups, block = row_groups(_rows.frame, column)
    with _opened.lock:
        found = grouped_utilisation(_opened.checkpoint.model, _rows.batch, groups)
    data = provenance(_opened.checkpoint.description)
    return summary_file.of(_opened.checkpoint, found, _rows.title, data, column, block)


def gate_usage(opened: Opened, rows: RowSet) -> GateUsage:
    """Add up what the rows' gates give each expert."""
    return _gate_usage(opened.checkpoint.hash, rows.id, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Adding up what the gates give each expert…")
def _gate_usage(hash_: str, rows_id: str, _opened: Opened, _rows: RowSet) -> GateUsage:
    with _opened.lock:
        return compute_gate_usage(_opened.checkpoint.model, _rows.batch)


def highlights(opened: Opened, rows: RowSet, task: int) -> Highlights:
    """Find the rows worth a look."""
    return _highlights(opened.checkpoint.hash, rows.id, task, opened, rows)


@st.cache_resource(max_entries=16, show_spinner="Looking for rows worth a look, a few seconds…")
def _highlights(hash_: str, rows_id: str, task: int, _opened: Opened, _rows: RowSet) -> Highlights:
    with _opened.lock:
        checkpoint = _opened.checkpoint
        return find_highlights(
            checkpoint.model, _rows.batch, task, description=checkpoint.description
        )


def effect(opened: Opened, rows: RowSet, name: str, build: Callable[[], Found]) -> Found:
    """Return what interventions do to rows; name: the interventions and which of the rows."""
    result: Found = _effect(opened.checkpoint.hash, rows.id, name, opened, build)
    return result


@st.cache_resource(
    max_entries=16, show_spinner="Predicting the rows as they are and changed, about a second…"
)
def _effect(
    hash_: str, rows_id: str, name: str, _opened: Opened, _build: Callable[[], Found]
) -> Found:
    with _opened.lock:
        return _build()


def attributed(key: str, opened: Opened, rows: RowSet, build: Callable[[], Found]) -> Found:
    """Return attributions that `key`, the checkpoint and the rows determine; not to be changed."""
    result: Found = _attributed(key, opened.checkpoint.hash, rows.id, opened, build)
    return result


@st.cache_resource(max_entries=128, show_spinner="Taking features away, one after the other…")
def _attributed(
    key: str, hash_: str, rows_id: str, _opened: Opened, _build: Callable[[], Found]
) -> Found:
    with _opened.lock:
        return _build()


@dataclass
class Kept:
    """A place for something that takes long, which whoever computes it first fills."""

    value: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def prepared(ids: tuple[str, ...], build: Callable[[], Found]) -> Found:
    """Return what ids determine, built by whoever comes first; `build` may draw its progress."""
    kept = _prepared(ids)
    with kept.lock:
        if kept.value is None:
            kept.value = build()
    found: Found = kept.value
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _prepared(ids: tuple[str, ...]) -> Kept:
    return Kept()


def knockouts(opened: Opened, rows: RowSet) -> Knockouts | None:
    """Return what every expert is worth to the rows, None where nobody has computed it yet."""
    found: Knockouts | None = _knockouts(opened.checkpoint.hash, rows.id).value
    return found


def compute_knockouts(opened: Opened, rows: RowSet, progress: Callable[[float], None]) -> Knockouts:
    """Knock every expert out, telling how far it is, and keep what was found for everybody."""
    kept = _knockouts(opened.checkpoint.hash, rows.id)
    with opened.lock:
        if kept.value is None:
            kept.value = sweep(opened.checkpoint.model, rows.batch, progress)
    found: Knockouts = kept.value
    return found


@st.cache_resource(max_entries=16, show_spinner=False)
def _knockouts(hash_: str, rows_id: str) -> Kept:
    return Kept()


@st.cache_resource(show_spinner=False)
def ledger() -> Ledger:
    """Return the count of the day's uploads, one for the process."""
    return Ledger()


@st.cache_resource(show_spinner=False)
def background() -> Background:
    """Return the worker of long computations, one for the process."""
    return Background(failed=metrics().error)


@st.cache_resource(show_spinner=False)
def metrics() -> Metrics:
    """Return the counts of the process, which Streamlit serves from now on."""
    found = Metrics(lambda: background().active())
    found.serve()
    return found


def found(
    name: str, checkpoint: Checkpoint, sets: Sequence[RowSet], build: Callable[[], Found]
) -> Found:
    """Return what `name`, the checkpoint and sets of rows determine; it must not be changed."""
    result: Found = _found(name, checkpoint.hash, tuple(rows.id for rows in sets), build)
    return result


@st.cache_resource(max_entries=64, show_spinner="Counting the rows…")
def _found(name: str, hash_: str, ids: tuple[str, ...], _build: Callable[[], Found]) -> Found:
    return _build()


def kept(key: Sequence[str], words: str, build: Callable[[], Found]) -> Found:
    """Return what ids determine; it must not be changed. words: what is done, and how long."""
    with st.spinner(words):
        result: Found = _kept(tuple(key), build)
    return result


@st.cache_resource(max_entries=24, show_spinner=False)
def _kept(key: tuple[str, ...], _build: Callable[[], Found]) -> Found:
    return _build()


def figure(
    key: str, checkpoints: Sequence[Checkpoint], build: Callable[[], go.Figure]
) -> go.Figure:
    """Return a figure that `key` and the checkpoints determine; it must not be changed."""
    return _figure(key, tuple(checkpoint.hash for checkpoint in checkpoints), build)


@st.cache_resource(max_entries=64, show_spinner=False)
def _figure(key: str, hashes: tuple[str, ...], _build: Callable[[], go.Figure]) -> go.Figure:
    return Drawn(_build())
