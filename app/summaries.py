"""Routing summaries as a source: files beside the app, and one that a user opens."""

import hashlib

import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.errors import InputError
from aesm2.streaming import summary_file
from aesm2.streaming.summary_file import RoutingFile
from app import cache, locations, recipes, state
from app.markdown import escaped
from app.people import who
from app.people.who import Right
from app.rows import upload

PREFIX, FILE = "upload:", "file:"
MAX_MEGABYTES = 50  # as server.maxUploadSize
HOW = """aesm2 utilisation CHECKPOINT s3://logs/monday/ --out summaries/monday.routing \\
    --cluster user_id --engine pool
aesm2 utilisation CHECKPOINT s3://logs/tuesday/ --out summaries/tuesday.routing \\
    --cluster user_id --engine pool"""


def titles(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the titles of the summaries of a checkpoint, by id."""
    files = {
        f"{FILE}{name}": f"{name}{summary_file.SUFFIX}" for name in locations.summaries(checkpoint)
    }
    opened = {id_: f"Opened: {title}" for id_, (title, _) in _uploads().items()}
    return files | opened


def get(checkpoint: Checkpoint, id_: str) -> RoutingFile:
    """Return a summary by its id, verified; InputError where it does not fit the checkpoint."""
    if id_.startswith(FILE):
        return cache.summary(checkpoint, locations.summaries(checkpoint)[id_.removeprefix(FILE)])
    title, content = _uploads()[id_]
    return summary_file.parse(content, checkpoint, title)


def place(checkpoint: Checkpoint, id_: str) -> str:
    """Return where a summary lies, for code that reads it."""
    if id_.startswith(FILE):
        return recipes.place(locations.summaries(checkpoint)[id_.removeprefix(FILE)])
    return _uploads()[id_][0]


def stamp(file: RoutingFile) -> str:
    """Return where counts come from, for charts."""
    about = file.about
    return f"counted over {about.rows:,} rows of {about.source}; trained on {about.data}"


def panel(checkpoint: Checkpoint, name: str) -> None:
    """Draw how a summary is made and, for who may upload, the way to open one from their disk.

    name: what of the view a summary that was opened becomes.
    """
    may = who.may(Right.UPLOAD)
    title = "Open a summary" if may else "Routing summaries"
    with st.popover(title, icon=":material/folder_open:"):
        st.caption(
            "A routing summary is a small file that counts which experts the rows of a log of any"
            " size use. Files in `summaries/` (or the folder that AESM2_SUMMARIES names) are"
            " offered by themselves."
            + (" One that you open stays in this browser session." if may else "")
        )
        st.code(HOW, language="bash")
        if not may:
            return
        file = st.file_uploader("Your summary", key=upload.input_key("summary-upload"))
        if file is not None:
            _take(checkpoint, name, file.name, file.getvalue())
        upload.forgetting("summary-forget")


def _take(checkpoint: Checkpoint, name: str, title: str, content: bytes) -> None:
    id_ = PREFIX + hashlib.sha256(content).hexdigest()[:16]
    try:
        if len(content) > MAX_MEGABYTES * 2**20:
            raise InputError(f"{title}: larger than {MAX_MEGABYTES} MB")
        upload.allow(id_, content)
        found = summary_file.parse(content, checkpoint, title)
    except InputError as error:
        st.error(f"{escaped(str(error))}. Nothing was kept.")
        return
    if id_ not in _uploads():
        state.remember(upload.SUMMARIES, {**_uploads(), id_: (title, content)})
        state.put(**{name: id_})
        st.rerun()
    st.success(f"{escaped(title)}: {found.about.rows:,} rows.", icon=":material/check:")


def _uploads() -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = state.recall(upload.SUMMARIES) or {}
    return found
