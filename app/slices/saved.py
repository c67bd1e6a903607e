"""Using a slice on every page, and the saved ones: by name, kept for all datasets of one name."""

import contextlib

import streamlit as st

from aesm2.errors import InputError
from aesm2.slices import saved
from app import cache, failures, locations, state, widgets
from app.people import who
from app.people.who import Right
from app.rows import source as row_source

_DELETED = "slice-deleted"  # in the session: (dataset, name, text)


def actions(opened: cache.Opened, text: str, rows: int) -> None:
    """Draw what can be done with a slice: use it, save it, open it elsewhere."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="slice-actions"):
        st.button(
            "Use this slice", type="primary", icon=":material/filter_alt:", key="slice-use",
            disabled=rows == 0 or text == state.get("slice"), on_click=state.put,
            kwargs={"slice": text},
            help="Every page then shows these rows only, until you clear it.",
        )  # fmt: skip
        for page, title, icon in (
            ("views/lens.py", "Open in the Lens", ":material/search:"),
            ("views/atlas.py", "Open in the Atlas", ":material/grid_on:"),
        ):
            if st.button(title, icon=icon, disabled=rows == 0, key=f"slice-{title[-5:].strip()}"):
                state.put(slice=text, row="")
                st.switch_page(page)
        if who.may(Right.SLICES):
            with st.popover("Save as…", icon=":material/bookmark_add:"):
                _saving(opened, text)


def section(opened: cache.Opened, rows: cache.RowSet) -> None:
    """List the saved slices of the dataset with what can be done with each."""
    st.subheader("Saved slices", anchor=False)
    dataset = opened.checkpoint.description.name
    named, mine = row_source.known(opened), _own(dataset)
    if not named:
        st.caption("None yet: look at a slice above and save it under a name.")
    for name, text in named.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{widgets.escaped(name)}** · {_size(opened, rows, text)} ·"
                f" {widgets.escaped(text)}", width="stretch",
            )  # fmt: skip
            st.button("Look at it", key=f"saved-look-{name}", on_click=state.put,
                      kwargs={"look": text})  # fmt: skip
            st.button("Use it", key=f"saved-use-{name}", on_click=state.put,
                      kwargs={"slice": text})  # fmt: skip
            if name in mine:
                st.button("", icon=":material/delete:", key=f"saved-delete-{name}",
                          help=f"Delete “{name}”; it can be taken back", type="tertiary",
                          on_click=_delete, args=(dataset, name))  # fmt: skip
    _undo_offer(dataset)


def _own(dataset: str) -> dict[str, str]:
    """Return the slices that whoever asks may delete; none where they cannot be read."""
    with contextlib.suppress(InputError, OSError):
        return saved.saved(locations.slices_home(), dataset) if who.may(Right.SLICES) else {}
    return {}


def _save(dataset: str, name: str, text: str) -> None:
    who.require(Right.SLICES)
    locations.slices_home().mkdir(parents=True, exist_ok=True)
    saved.save(locations.slices_home(), dataset, name, text)


def _size(opened: cache.Opened, rows: cache.RowSet, text: str) -> str:
    try:
        own = row_source.count(opened, row_source.whole(rows, opened), text)
    except InputError:
        return "does not fit this dataset"
    return f"n = {own:,}"


def _saving(opened: cache.Opened, text: str) -> None:
    name = st.text_input("Name", key="slice-name", max_chars=saved.LONGEST_NAME)
    st.code(text, language=None, wrap_lines=True)
    if st.button("Save", key="slice-save", type="primary", disabled=not name.strip()):
        try:
            _save(opened.checkpoint.description.name, name, text)
        except (InputError, OSError) as error:
            st.error(f"Not saved: {widgets.escaped(str(error))}.", icon=":material/error:")
            return
        st.toast(f"Saved as “{widgets.escaped(name.strip())}”.", icon=":material/bookmark_added:")
        st.rerun()


@failures.callback
def _delete(dataset: str, name: str) -> None:
    try:
        who.require(Right.SLICES)
        text = saved.delete(locations.slices_home(), dataset, name)
    except (InputError, OSError) as error:
        st.toast(f"Not deleted: {widgets.escaped(str(error))}.", icon=":material/error:")
        return
    state.remember(_DELETED, (dataset, name, text))


def _undo_offer(dataset: str) -> None:
    gone = state.recall(_DELETED)
    if gone is None or gone[0] != dataset:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"“{widgets.escaped(gone[1])}” is deleted.")
        st.button("Undo", icon=":material/undo:", key="slice-undo", on_click=_undo, args=gone)


@failures.callback
def _undo(dataset: str, name: str, text: str) -> None:
    try:
        _save(dataset, name, text)
    except (InputError, OSError) as error:
        st.toast(f"Not brought back: {widgets.escaped(str(error))}.", icon=":material/error:")
        return
    state.remember(_DELETED, None)
