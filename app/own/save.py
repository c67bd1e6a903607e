"""Your data: writing the dataset's folder, taking it back, and what to do next."""

import shlex
from dataclasses import replace
from pathlib import Path

import streamlit as st

from aesm2.data.description import DESCRIPTION
from aesm2.data.draft import Draft
from aesm2.data.draft.preview import Preview
from aesm2.data.store import Saved, relative, save, undo
from aesm2.errors import InputError
from aesm2.owner import OWNER
from app import failures, locations, state, widgets
from app.lab.folder import places
from app.own import page as own
from app.people import quotas, who

READ = 1_000_000  # rows that are read whole before a dataset is saved
_SAVED, _PROBLEM = "own-saved", "own-save-problem"


def placed(table: own.Own) -> Draft:
    """Return the draft with the path of its table as seen from the dataset's folder."""
    if table.path is None:
        return replace(table.draft, table=table.file)
    return replace(
        table.draft, table=relative(table.path, locations.data_home() / table.draft.name)
    )


def section(table: own.Own, found: Preview) -> None:
    """Draw the button that saves, what came of it, and the commands that come next."""
    folder = locations.data_home() / found.description.name
    saved: Saved | None = state.recall(_SAVED)
    there = folder.exists() and (saved is None or saved.folder != folder)
    where = "a copy of the table and its description" if table.content else "its description"
    st.caption(f"Saves {where} as the folder {widgets.escaped(_shown(folder))}.")
    agreed = not there or st.checkbox(
        f"There is a dataset “{found.description.name}” already: replace it (it can be undone)",
        key=f"own-replace-{found.description.name}",
    )
    shared = not who.person().id or st.checkbox(
        "For everybody here", key="own-shared", help="otherwise you alone see it"
    )
    if st.button(
        "Save the dataset", icon=":material/save:", type="primary", key="own-save",
        disabled=not agreed,
    ):  # fmt: skip
        with st.spinner("Reading every row as training will, and writing…"):
            _save(table, found, folder, shared)
        st.rerun()
    problem = state.recall(_PROBLEM)
    if problem:
        st.error(f"{widgets.escaped(problem)}. Nothing was changed.", icon=":material/error:")
    if saved is not None:
        _done(saved)


def commands(folder: Path) -> str:
    """Return the commands that train on a saved dataset and measure the result."""
    data, run = _shown(folder), _shown(locations.ROOT / "runs" / folder.name)
    train = f"aesm2 train {shlex.quote(data)} --run {shlex.quote(run)}"
    return f"{train}\naesm2 evaluate {shlex.quote(f'{run}/checkpoint')} {shlex.quote(data)}"


def _done(saved: Saved) -> None:
    rows = ", ".join(f"{count:,} {split}" for split, count in saved.rows.items())
    said = f" Every row was read: {rows}." if rows else " The rows were not read: too many."
    st.success(f"Saved as {widgets.escaped(_shown(saved.folder))}.{said}", icon=":material/check:")
    st.markdown("Train on it in a terminal:")
    st.code(commands(saved.folder), language="bash")
    st.caption(
        f"Then reload this page: the model is “runs/{widgets.escaped(saved.folder.name)}” under"
        " Checkpoint in the bar above, and its rows are found where you saved them."
    )
    st.button("Undo: delete what was saved", icon=":material/undo:", key="own-undo",
              on_click=_undo, args=(saved,))  # fmt: skip


def _save(table: own.Own, found: Preview, folder: Path, shared: bool) -> None:
    files = {DESCRIPTION: found.text.encode()}
    if table.content is not None:
        files[table.file] = table.content
    if not shared:
        files[OWNER] = who.person().id.encode()
    read = table.draft.looked.sample.rows <= READ
    state.remember(_PROBLEM, None)
    try:
        person = who.require(who.Right.DATA)
        before: Saved | None = state.recall(_SAVED)
        if before is None or before.folder != folder:  # else it is of this session
            who.require_own(folder, "dataset")
        quotas.require_disk(person, places(), sum(map(len, files.values())))
        saved = save(folder, files, folder.exists(), state.recall(_SAVED), read)
        state.remember(_SAVED, saved)
    except InputError as error:
        state.remember(_PROBLEM, str(error).rstrip("."))


@failures.callback
def _undo(saved: Saved) -> None:
    state.remember(_PROBLEM, None)
    try:
        who.require(who.Right.DATA)
        undo(saved)
        state.remember(_SAVED, None)
        st.toast(f"Deleted {widgets.escaped(_shown(saved.folder))}.", icon=":material/undo:")
    except InputError as error:
        state.remember(_PROBLEM, f"{error}".rstrip("."))


def _shown(path: Path) -> str:
    """Spell a path as seen from where the app was started, if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
