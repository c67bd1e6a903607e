"""Studies, and what follows from one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from aesm2.evidence.folder import MANIFEST, Evidence, read_evidence
from app.cache.values import Found, of_ids


@dataclass(frozen=True)
class Study:
    """An opened folder of evidence; id determines its content."""

    id: str
    evidence: Evidence


def study(folder: Path) -> Study:
    """Open a folder of evidence; again after its manifest changed."""
    return _study(_id(folder, MANIFEST), folder)


@st.cache_resource(max_entries=16, show_spinner="Reading the evidence…")
def _study(id_: str, _folder: Path) -> Study:
    return Study(id_, read_evidence(_folder))


def of_study(key: str, study: Study, build: Callable[[], Found]) -> Found:
    """Return what `key` and a study determine, a table or figure; it must not be changed."""
    return of_ids(key, (study.id,), build)


def of_folder(key: str, folder: Path, manifest: str, build: Callable[[], Found]) -> Found:
    """Return what `key` and the content of a folder determine; again after its manifest changed."""
    return of_ids(key, (_id(folder, manifest),), build)


def _id(folder: Path, manifest: str) -> str:
    return f"{folder}@{hashlib.sha256((folder / manifest).read_bytes()).hexdigest()}"
