"""Tables and other values that are kept."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

from aesm2.checkpoint import Checkpoint
from app.cache.checkpoint import ids
from app.cache.data import RowSet

Found = TypeVar("Found")


def told(key: str, checkpoints: Sequence[Checkpoint], build: Callable[[], Found]) -> Found:
    """Return what `key` and checkpoints determine; it must not be changed, nor take long."""
    return of_ids(key, ids(checkpoints), build)


def of_ids(key: str, ids: tuple[str, ...], build: Callable[[], Found]) -> Found:
    """Return what `key` and ids determine; it must not be changed, nor take long."""
    result: Found = _of_ids(key, ids, build)
    return result


@st.cache_resource(max_entries=384, show_spinner=False)
def _of_ids(key: str, ids: tuple[str, ...], _build: Callable[[], Found]) -> Found:
    return _build()


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
