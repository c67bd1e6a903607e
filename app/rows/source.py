"""Which rows a page is about: one source of rows, and one slice of them, for all pages."""

import hashlib

import streamlit as st
import torch

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import SPLITS, SplitName
from aesm2.errors import InputError
from aesm2.slices import Slice, mask, parse
from aesm2.slices.saved import saved
from aesm2.slices.text import EXAMPLE
from app import cache, locations, state, widgets
from app.markdown import as_sentence
from app.people import who
from app.rows import upload

TITLES: dict[SplitName, str] = {
    "test": "Test split", "validation": "Validation split", "train": "Training split"
}  # fmt: skip
SLICE_HELP = (
    "Only rows on which all of this holds: a saved slice, or one you type, such as"
    f" `{EXAMPLE}`. Values with spaces go in quotes. It stays in force on"
    " every page, and in the address."
)
_SLICED = "uploads-sliced"  # in the session: (checkpoint hash, row set id) → RowSet
_SHOWN = 60  # characters of a slice on a chart


def source(opened: cache.Opened, uploading: bool = False) -> cache.RowSet | None:
    """Draw the choice of rows and of a slice of them; None, with a way on, where there are none.

    uploading: whether rows can be uploaded here; other pages lead to the Lens for that.
    """
    splits, problem = _splits(opened)
    uploads = upload.uploaded()
    titles: dict[str, str] = {name: TITLES[name] for name in splits}
    titles |= {id_: f"Uploaded: {title}" for id_, title in uploads.items()}
    wanted = state.get("rows").partition(cache.OF_SLICE)[0]
    lost = wanted.startswith(upload.PREFIX) and wanted not in uploads
    if wanted and wanted not in titles and not lost:
        state.put(rows="")
    now = wanted if wanted in titles else next(iter(titles), None)
    if now is not None:
        st.selectbox("Rows", list(titles), format_func=titles.__getitem__, width=200,
                     **state.bind("rows", now))  # fmt: skip
        _slice_input(opened)
    if uploading and who.may(who.Right.UPLOAD):
        with st.popover("Upload rows", icon=":material/upload:"):
            example = cache.rows(opened.checkpoint, splits[0]).frame if splits else None
            upload.panel(opened.checkpoint, example)
    if problem:
        st.warning(as_sentence(problem), icon=":material/folder_off:")
        if not uploading and who.may(who.Right.UPLOAD):
            st.page_link("views/lens.py", label="Upload rows in the Lens", icon=":material/upload:")
    if lost:
        _lost(anything=now is not None)
    if now is None:
        return None
    rows = _sliced_or_all(opened, _whole(opened, now))
    widgets.about(slice=rows.title)
    return rows


def whole(rows: cache.RowSet, opened: cache.Opened) -> cache.RowSet:
    """Return the rows that `rows` is a slice of, or `rows` where it is none."""
    return _whole(opened, rows.origin) if rows.slice else rows


def for_other(other: cache.Opened, rows: cache.RowSet) -> cache.RowSet:
    """Return the same rows as another checkpoint sees them; InputError where they do not fit it."""
    return sliced(other, _whole(other, rows.origin), rows.slice)


def sliced(opened: cache.Opened, rows: cache.RowSet, text: str) -> cache.RowSet:
    """Return the rows of a slice, "" for all; InputError where it does not fit or has no row."""
    own = parse(text, opened.checkpoint.description)
    if not len(own):
        return rows
    if not rows.id.startswith(upload.PREFIX):
        key = ("rows of a slice", opened.checkpoint.hash, sliced_id(rows, own))
        words = "Taking the rows of the slice…"
        found = cache.kept(key, words, lambda: restricted(opened.checkpoint, rows, own))
    else:  # the user's rows stay in the session
        kept = state.recall(_SLICED) or {}
        place = (opened.checkpoint.hash, sliced_id(rows, own))
        if place not in kept:
            kept = {place: restricted(opened.checkpoint, rows, own)}
            state.remember(_SLICED, kept)
        found = kept[place]
    if not len(found.frame):
        raise InputError(f"no row of these is in it: none has {own.words}")
    return found


def restricted(checkpoint: Checkpoint, rows: cache.RowSet, own: Slice) -> cache.RowSet:
    """Take the rows of a slice; there may be none."""
    keep, text = mask(own, rows.frame, checkpoint.description), str(own)
    batch, title = rows.batch[torch.from_numpy(keep)], f"{rows.title}, slice {text}"
    return cache.RowSet(sliced_id(rows, own), title, rows.frame[keep], batch, rows.labels, text)


def sliced_id(rows: cache.RowSet, own: Slice) -> str:
    """Return the id of the rows of a slice, which determines them."""
    return f"{rows.id}{cache.OF_SLICE}{hashlib.sha256(str(own).encode()).hexdigest()[:16]}"


def count(opened: cache.Opened, rows: cache.RowSet, text: str) -> int:
    """Count the rows of a slice; InputError where it does not fit."""
    described = opened.checkpoint.description
    return int(mask(parse(text, described), rows.frame, described).sum())


def stamp(rows: cache.RowSet, split: bool = True) -> str:
    """Return where the rows come from, for charts; split: name the split too."""
    if rows.id.startswith(upload.PREFIX):
        text = f"uploaded rows: {rows.name}; the model is trained on {widgets.stamp()}"
    else:
        text = f"{widgets.stamp()}, {rows.name} split" if split else widgets.stamp()
    if not rows.slice:
        return text
    short = rows.slice if len(rows.slice) <= _SHOWN else f"{rows.slice[: _SHOWN - 1]}…"
    return f"{text}; slice {short} (n = {len(rows.frame):,})"


def known(opened: cache.Opened) -> dict[str, str]:
    """Return the saved slices of the dataset by name; none, said why, where they cannot be read."""
    try:
        name = opened.checkpoint.description.name
        return saved(locations.slices_home(own=False), name) | saved(locations.slices_home(), name)
    except (InputError, OSError) as error:
        said = widgets.escaped(str(error))
        st.warning(f"The saved slices cannot be read. {said}", icon=":material/bookmark_remove:")
        return {}


def _slice_input(opened: cache.Opened) -> None:
    now, names = state.get("slice"), {"": "all of them"}
    for name, text in known(opened).items():
        names.setdefault(text, name)
    options = list(names) if now in names else [*names, now]
    st.selectbox(
        "Slice", options, format_func=lambda text: names.get(text, text), width=260,
        accept_new_options=True, help=SLICE_HELP, **state.bind("slice", now),
    )  # fmt: skip


def _sliced_or_all(opened: cache.Opened, rows: cache.RowSet) -> cache.RowSet:
    """Return the rows of the view's slice; all, with what to do about it, where it cannot be."""
    text = state.get("slice")
    try:
        return sliced(opened, rows, text)
    except InputError as error:
        with st.container(key="slice-problem"):
            st.warning(
                f"The slice “{widgets.escaped(text)}” is left out: {widgets.escaped(str(error))}."
                f" All {len(rows.frame):,} rows are shown; correct the slice above, or clear it.",
                icon=":material/filter_alt_off:",
            )
            st.button("Clear the slice", key="slice-clear", on_click=state.put,
                      kwargs={"slice": ""})  # fmt: skip
        return rows


def _whole(opened: cache.Opened, name: str) -> cache.RowSet:
    if name.startswith(upload.PREFIX):
        return upload.rows(opened.checkpoint, name)
    return cache.rows(opened.checkpoint, next(split for split in SPLITS if split == name))


def _splits(opened: cache.Opened) -> tuple[list[SplitName], str]:
    """Return the splits that have rows, and what keeps the dataset from being read, or ""."""
    try:
        there = cache.splits(opened.checkpoint)
    except InputError as error:
        return [], str(error)
    return [name for name in TITLES if name in there], ""


def _lost(anything: bool) -> None:
    st.info(
        "This address names rows that were uploaded in another session. Uploads are never stored,"
        " so an address cannot bring them back: upload the file again"
        + (", or go on with the rows below." if anything else "."),
        icon=":material/upload_file:",
    )
