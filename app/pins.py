"""Pins: the report of this session, and the button that puts a chart into it or takes it out."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from aesm2.errors import InputError
from aesm2.report import Context, Help, Report, pinned
from aesm2.report.figures import figure_text
from aesm2.report.pin import pin_id
from app import failures, state
from app.markdown import escaped

_REPORT, _PROBLEM, _UNDO = "report", "report-problem", "report-undo"
PAGE = "views/report.py"


@dataclass(frozen=True)
class Chart:
    """A chart as it is drawn: all that a pin of it holds. data: the numbers, or what makes them."""

    figure: go.Figure
    data: pd.DataFrame | Callable[[], pd.DataFrame]
    key: str
    title: str
    help: Help
    alt: str
    code: str
    context: Context


@dataclass(frozen=True)
class Undo:
    """What can be undone: the report as it was, and what was done to it."""

    before: Report
    done: str


def report() -> Report:
    """Return the report of this session."""
    found: Report | None = state.recall(_REPORT)
    return found or Report()


def keep(changed: Report, done: str = "") -> None:
    """Keep a changed report; done: what was done, where it can be undone."""
    state.remember(_UNDO, Undo(report(), done) if done else None)
    state.remember(_REPORT, changed)


def undoable() -> Undo | None:
    """Return the last change if it can be undone."""
    found: Undo | None = state.recall(_UNDO)
    return found


@failures.callback
def undo() -> None:
    """Take the last change back."""
    last = undoable()
    if last is not None:
        keep(last.before)


def tell(problem: str) -> None:
    """Keep a problem for the next run to show."""
    state.remember(_PROBLEM, problem)


def problem() -> str:
    """Return a problem that was not shown yet, once."""
    found = str(state.recall(_PROBLEM) or "")
    state.remember(_PROBLEM, "")
    return found


def badge() -> None:
    """Draw the number of pins as a link to the report; nothing where there are none."""
    said = problem()
    if said:
        st.toast(f"Not pinned: {escaped(said)}.", icon=":material/error:")
    count = len(report().pins)
    if count:
        st.page_link(
            PAGE, label=f"Report: {count}", icon=":material/keep:",
            help="Pinned charts: put them in order, comment them, take them away",
        )  # fmt: skip


def toggle(chart: Chart) -> None:
    """Draw the button that pins a chart, or takes its pin out."""
    id_ = _pinned(chart)
    st.button(
        "", icon=":material/keep:", type="primary" if id_ else "tertiary", key=f"pin-{chart.key}",
        help="In the report: press to take it out" if id_ else "Pin to the report",
        on_click=_toggled, args=(chart, id_),
    )  # fmt: skip


def _pinned(chart: Chart) -> str:
    """Return the id of a chart's pin, or "". A figure is compared only where its key is pinned."""
    page = chart.context.page
    ids = {own.id for own in report().pins if own.key == chart.key and own.context.page == page}
    if not ids:
        return ""
    try:
        id_ = pin_id(page, chart.key, figure_text(chart.figure, chart.title))
    except InputError:
        return ""
    return id_ if id_ in ids else ""


@failures.callback
def _toggled(chart: Chart, id_: str) -> None:
    if id_:
        keep(report().without(id_), f"“{chart.title}” was taken out")
        return
    about = chart.context
    model = {"layer": about.layer, "task": about.task} if about.hash else {}
    address = state.address(about.page, **model)
    data = chart.data() if callable(chart.data) else chart.data
    try:
        new = pinned(
            chart.figure, data, chart.key, chart.title, chart.help, alt=chart.alt,
            code=chart.code, context=about.model_copy(update={"address": address[:2_000]}),
        )  # fmt: skip
        keep(report().added(new))
    except InputError as error:
        tell(str(error))
