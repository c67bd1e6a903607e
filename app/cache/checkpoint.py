"""Open checkpoints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import aesm2
from aesm2.checkpoint import MANIFEST, Checkpoint
from aesm2.data.description import read_description
from aesm2.errors import InputError
from app.cache.process import metrics
from app.metrics import TimedLock


@dataclass(frozen=True)
class Opened:
    """An open checkpoint, and the turn of those who run its model over many rows.

    Its model is only read, so whoever asks it about one row does so without the lock.
    """

    checkpoint: Checkpoint
    lock: TimedLock


def opened(folder: Path, device: str) -> Opened:
    """Open a checkpoint on a device; again after its files changed."""
    return _opened(str(folder), (folder / MANIFEST).stat().st_mtime_ns, device)


@st.cache_resource(max_entries=6, show_spinner="Opening the checkpoint and verifying its files…")
def _opened(folder: str, stamp: int, device: str) -> Opened:
    return Opened(aesm2.load(folder, device), TimedLock(metrics().waited))


def dataset_name(folder: Path) -> str | None:
    """Return the name of a checkpoint's dataset without opening it; None where none is told."""
    try:
        stamp = (folder / "dataset.toml").stat().st_mtime_ns
        return _dataset_name(str(folder), stamp)
    except (InputError, OSError):
        return None


@st.cache_resource(max_entries=256, show_spinner=False)
def _dataset_name(folder: str, stamp: int) -> str:
    return read_description(Path(folder) / "dataset.toml").name


def ids(checkpoints: Iterable[Checkpoint]) -> tuple[str, ...]:
    """Tell models from others; devices round differently, so each has its own."""
    return tuple(f"{own.hash} {own.device}" for own in checkpoints)
