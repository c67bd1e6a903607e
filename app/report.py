"""What the Report page is made of: its head, its files, and a box for every pin."""

import datetime
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from aesm2.errors import InputError
from aesm2.report import Pin, Report, read_report, to_html, to_notebook, to_zip, write_report
from aesm2.report.figures import read_figure
from aesm2.report.names import file_names, part
from aesm2.report.pin import FONT_SIZES, LONGEST_COMMENT, LONGEST_TITLE
from aesm2.report.saved import LARGEST_FILE
from app import failures, pins, state, widgets
from app.people import who

DRAWN = 10  # previews that are open from the start
HOW = (
    "Nothing is pinned yet. On any page, press :material/keep: beside a chart's title: the chart"
    " comes here as you see it, with its numbers, its help, where it comes from, and the Python"
    " that makes it."
)
PLACES = {  # where charts are
    "views/home.py": ("Home", "home"),
    "views/lens.py": ("Instance Lens", "search"),
    "views/atlas.py": ("Utilisation Atlas", "grid_on"),
    "views/bench.py": ("Bench", "leaderboard"),
}
FOREIGN = (
    "This report came from a file. Its charts and numbers are shown as the file has them; nothing"
    " here has checked them, and none of its code was run. Read the code before you run it."
)


def told() -> None:
    """Say what went wrong, and offer to undo the last removal."""
    said = state.recall("report-file")
    if said:
        st.error(widgets.escaped(said), icon=":material/error:")
    last = pins.undoable()
    if last is not None:
        with st.container(horizontal=True, vertical_alignment="center", key="report-undone"):
            st.info(f"{widgets.escaped(last.done)}.", icon=":material/delete:")
            st.button("Undo", icon=":material/undo:", key="report-undo", on_click=pins.undo)


def empty() -> None:
    """Say how to pin, and offer to open a saved report."""
    st.info(HOW, icon=":material/keep:")
    with st.container(horizontal=True):
        for place, (label, icon) in PLACES.items():
            st.page_link(place, label=label, icon=f":material/{icon}:")
    _open()


def head(shown: Report) -> None:
    """Draw the title and the size of the text."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="report-head"):
        st.text_input(
            "Title", key=state.show("report-title", shown.title), max_chars=LONGEST_TITLE,
            width=420, on_change=_retitled,
        )  # fmt: skip
        low, high = FONT_SIZES
        st.slider(
            "Size of the text, px", low, high, key=state.show("report-size", shown.font_size),
            width=240, on_change=_resized,
        )  # fmt: skip
    if any(own.reopened for own in shown.pins):
        st.warning(FOREIGN, icon=":material/policy:")


def files(shown: Report) -> None:
    """Offer the files, written once they are asked for, and a saved report to open."""
    name, day = part(shown.title)[:60] or "report", datetime.date.today().isoformat()
    with st.container(horizontal=True, vertical_alignment="center", key="report-files"):
        widgets.download("HTML", f"{name}.html", "text/html", lambda: to_html(shown, day))
        widgets.download("ZIP", f"{name}.zip", "application/zip", lambda: to_zip(shown, day))
        widgets.download(
            "Notebook", f"{name}.ipynb", "application/x-ipynb+json", lambda: to_notebook(shown)
        )
        widgets.download("Save", f"{name}.json", "application/json", lambda: write_report(shown))
        _open()
        st.button("Clear", icon=":material/delete_sweep:", type="tertiary", key="report-clear",
                  on_click=_cleared)  # fmt: skip
    st.caption(
        "HTML: one file with all charts, opens offline. ZIP: every chart's numbers as CSV, its"
        " figure, and the notebook. Notebook: computes the charts again. Save: to go on later."
    )


def entry(shown: Report, own: Pin, place: int) -> None:
    """Draw a pin: its title, what can be done with it, its preview and its comment."""
    with st.container(border=True, key=f"report-{own.id}"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                f"Chart {place + 1}", key=state.show(f"report-name-{own.id}", own.title),
                max_chars=LONGEST_TITLE, on_change=_renamed, args=(own.id,), width="stretch",
            )  # fmt: skip
            _button("Up", "arrow_upward", own.id, place == 0, _moved, -1)
            _button("Down", "arrow_downward", own.id, place + 1 == len(shown.pins), _moved, 1)
            _button("Remove", "delete", own.id, False, _removed, own.title)
        st.text_area(
            "Comment", key=state.show(f"report-words-{own.id}", shown.comment(own.id)), height=68,
            max_chars=LONGEST_COMMENT, placeholder="What should the reader see here?",
            on_change=_commented, args=(own.id,),
        )  # fmt: skip
        preview = st.expander(
            "Chart", expanded=place < DRAWN, key=f"report-shown-{own.id}", on_change="rerun"
        )
        if preview.open:  # a chart nobody looks at would slow every run
            with preview:
                st.plotly_chart(
                    _figure(own), key=f"report-chart-{own.id}", config={"displaylogo": False},
                    alt=own.alt or own.title,
                )  # fmt: skip
        _about(own, file_names(shown)[own.id])


def _about(own: Pin, name: str) -> None:
    facts = [own.stamp, own.size, f"files: {name}"]
    said = " · ".join(widgets.escaped(fact) for fact in facts if fact)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(said, width="stretch")
        if own.code:
            with st.popover("", icon=":material/code:", type="tertiary", help="Copy as Python"):
                st.code(own.code, language="python")


def _figure(own: Pin) -> go.Figure:
    """Build a pin's figure, once in a session."""
    built: dict[str, go.Figure] = state.recall("report-figures") or {}
    if own.id not in built:
        kept = {id_: figure for id_, figure in built.items() if _there(id_)}
        built = {**kept, own.id: read_figure(own.figure, own.title)}
        state.remember("report-figures", built)
    return built[own.id]


def _there(id_: str) -> bool:
    return any(own.id == id_ for own in pins.report().pins)


def _button(
    label: str, icon: str, id_: str, off: bool, act: Callable[[str, Any], None], how: Any
) -> None:
    st.button(
        "", icon=f":material/{icon}:", help=label, key=f"report-{label.lower()}-{id_}",
        disabled=off, type="tertiary", on_click=act, args=(id_, how),
    )  # fmt: skip


def _open() -> None:
    if not who.may(who.Right.UPLOAD):
        return
    with st.popover("Open a report", icon=":material/folder_open:"):
        st.caption("A saved report (.json), or the ZIP of one. It takes the place of this one.")
        st.file_uploader(
            "Report", type=["json", "zip"], key="report-upload", on_change=_opened,
            label_visibility="collapsed",
        )  # fmt: skip


@failures.callback
def _opened() -> None:
    file = state.entered("report-upload")
    state.remember("report-file", "")
    if file is None:
        return
    try:
        who.require(who.Right.UPLOAD)
        if file.size > LARGEST_FILE:
            raise InputError(f"{file.name}: too large to be a report")
        pins.keep(read_report(file.getvalue(), file.name), f"“{file.name}” was opened")
    except InputError as error:
        state.remember("report-file", f"{error}. Nothing was changed.")


@failures.callback
def _retitled() -> None:
    title = str(state.entered("report-title") or "").strip()[:LONGEST_TITLE] or "Report"
    pins.keep(pins.report().model_copy(update={"title": title}))


@failures.callback
def _resized() -> None:
    pins.keep(pins.report().model_copy(update={"font_size": int(state.entered("report-size"))}))


@failures.callback
def _renamed(id_: str) -> None:
    pins.keep(pins.report().renamed(id_, str(state.entered(f"report-name-{id_}") or "")))


@failures.callback
def _commented(id_: str) -> None:
    pins.keep(pins.report().commented(id_, str(state.entered(f"report-words-{id_}") or "")))


@failures.callback
def _moved(id_: str, by: int) -> None:
    pins.keep(pins.report().moved(id_, by))


@failures.callback
def _removed(id_: str, title: str) -> None:
    pins.keep(pins.report().without(id_), f"“{title}” was taken out")


@failures.callback
def _cleared() -> None:
    shown = pins.report()
    pins.keep(shown.model_copy(update={"pins": (), "comments": {}}), "All charts were taken out")
