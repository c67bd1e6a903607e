"""Open checkpoints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import aesm2
from aesm2.checkpoint import MANIFEST, Checkpoint
from app.cache.process import metrics
from app.metrics import TimedLock


@dataclass(frozen=True)
class Opened:
    """An open checkpoint and the lock that guards its model."""

    checkpoint: Checkpoint
    lock: TimedLock


def opened(folder: Path, device: str) -> Opened:
    """Open a checkpoint on a device; again after its files changed."""
    return _opened(str(folder), (folder / MANIFEST).stat().st_mtime_ns, device)


@st.cache_resource(max_entries=6, show_spinner="Opening the checkpoint and verifying its files…")
def _opened(folder: str, stamp: int, device: str) -> Opened:
    return Opened(aesm2.load(folder, device), TimedLock(metrics().waited))


def ids(checkpoints: Iterable[Checkpoint]) -> tuple[str, ...]:
    """Tell models from others; devices round differently, so each has its own."""
    return tuple(f"{own.hash} {own.device}" for own in checkpoints)
