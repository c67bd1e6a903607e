"""What a model makes of many rows, one such computation at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.plots.style import provenance
from aesm2.routing.gates import GateUsage
from aesm2.routing.gates import gate_usage as compute_gate_usage
from aesm2.routing.grouped import grouped_utilisation
from aesm2.routing.highlights import Highlights
from aesm2.routing.highlights import highlights as find_highlights
from aesm2.routing.knockout import Knockouts, Progress
from aesm2.routing.knockout import knockouts as sweep
from aesm2.routing.utilisation import Utilisation
from aesm2.routing.utilisation import utilisation as compute_utilisation
from aesm2.streaming import summary_file
from aesm2.streaming.summary_file import RoutingFile
from aesm2.streaming.works import row_groups
from app.cache.checkpoint import Opened
from app.cache.data import RowSet
from app.cache.values import Found, Kept

IDS: dict[type | str, Callable[[Any], str]] = {
    Opened: lambda opened: opened.checkpoint.hash,
    RowSet: lambda rows: rows.id,
}  # what stands for an argument in a key


@st.cache_resource(
    max_entries=64, show_spinner="Counting which experts the rows use…", hash_funcs=IDS
)
def utilisation(opened: Opened, rows: RowSet) -> Utilisation:
    """Count which experts the rows use."""
    with opened.lock:
        return compute_utilisation(opened.checkpoint.model, rows.batch)


@st.cache_resource(
    max_entries=16, show_spinner="Counting which experts the rows use…", hash_funcs=IDS
)
def grouped(opened: Opened, rows: RowSet, column: str | None) -> RoutingFile:
    """Count which experts the rows use, in groups by a column, None for blocks of rows."""
    groups, block = row_groups(rows.frame, column)
    with opened.lock:
        found = grouped_utilisation(opened.checkpoint.model, rows.batch, groups)
    data = provenance(opened.checkpoint.description)
    return summary_file.of(opened.checkpoint, found, rows.title, data, column, block)


@st.cache_resource(
    max_entries=64, show_spinner="Adding up what the gates give each expert…", hash_funcs=IDS
)
def gate_usage(opened: Opened, rows: RowSet) -> GateUsage:
    """Add up what the rows' gates give each expert."""
    with opened.lock:
        return compute_gate_usage(opened.checkpoint.model, rows.batch)


@st.cache_resource(
    max_entries=64, show_spinner="Looking for rows worth a look, a few seconds…", hash_funcs=IDS
)
def highlights(opened: Opened, rows: RowSet, task: int) -> Highlights:
    """Find the rows worth a look."""
    checkpoint = opened.checkpoint
    with opened.lock:
        return find_highlights(
            checkpoint.model, rows.batch, task, description=checkpoint.description
        )


def summary(checkpoint: Checkpoint, file: Path) -> RoutingFile:
    """Read a routing summary, verified; again after it changed."""
    return _summary(checkpoint.hash, str(file), file.stat().st_mtime_ns, checkpoint)


@st.cache_resource(max_entries=16, show_spinner="Reading the routing summary…")
def _summary(hash_: str, file: str, stamp: int, _checkpoint: Checkpoint) -> RoutingFile:
    return summary_file.read(file, _checkpoint)


def effect(opened: Opened, rows: RowSet, name: str, build: Callable[[], Found]) -> Found:
    """Return what interventions do to rows; name: the interventions and which of the rows."""
    result: Found = _effect(opened, rows, name, build)
    return result


@st.cache_resource(
    max_entries=16,
    show_spinner="Predicting the rows as they are and changed, about a second…",
    hash_funcs=IDS,
)
def _effect(opened: Opened, rows: RowSet, name: str, _build: Callable[[], Found]) -> Found:
    with opened.lock:
        return _build()


def attributed(key: str, opened: Opened, rows: RowSet, build: Callable[[], Found]) -> Found:
    """Return attributions that `key`, the checkpoint and the rows determine; not to be changed."""
    result: Found = _attributed(opened, rows, key, build)
    return result


@st.cache_resource(
    max_entries=128, show_spinner="Taking features away, one after the other…", hash_funcs=IDS
)
def _attributed(opened: Opened, rows: RowSet, key: str, _build: Callable[[], Found]) -> Found:
    with opened.lock:
        return _build()


def knockouts(opened: Opened, rows: RowSet) -> Knockouts | None:
    """Return what every expert is worth to the rows, None where nobody has computed it yet."""
    found: Knockouts | None = _knockouts(opened, rows).value
    return found


def compute_knockouts(opened: Opened, rows: RowSet, progress: Progress) -> Knockouts:
    """Knock every expert out, telling how far it is, and keep what was found for everybody."""
    kept = _knockouts(opened, rows)
    with opened.lock:
        if kept.value is None:
            kept.value = sweep(opened.checkpoint.model, rows.batch, progress)
    found: Knockouts = kept.value
    return found


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=IDS)
def _knockouts(opened: Opened, rows: RowSet) -> Kept:
    return Kept()
