"""Rows to leaf through: those of a split, by scenario, label and search, with a way to the Lens."""

import numpy as np
import streamlit as st

from aesm2.checkpoint import Checkpoint
from app import cache, state, widgets
from app.rows import search as row_search
from app.rows import source as row_source
from app.rows import table as row_table

LABELS = {"": "any label", "1": "positive", "0": "negative", "none": "no label"}


def section(opened: cache.Opened) -> None:
    """Draw the choice of rows, a page of them, and the way of one into the Lens."""
    checkpoint = opened.checkpoint
    described = checkpoint.description
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rows = row_source.source(opened)
        if rows is None:
            return
        wanted = [
            widgets.pick(task.title or task.name, f"y-{task.name}", list(LABELS), "",
                         LABELS.__getitem__, width=170)
            for task in described.task
        ]  # fmt: skip
        row_search.box(described, "data-q")
    query, path = state.get("data-q"), widgets.current_scenarios()
    found = row_search.filtered(rows, described, path, query)
    found = found[with_labels(rows, wanted)[found]]
    if not len(found):
        _nothing(checkpoint)
        return
    shown = row_table.page(found, len(rows.frame), "data-page", "click one to open it in the Lens")
    table = row_table.identity(rows, described, shown)
    line, _ = row_table.choose(
        row_table.with_features(table, rows, described, shown, query),
        "data-rows",
        f"{checkpoint.hash}{rows.id}{shown[:1]}{query}{wanted}{path}",
    )
    if line is not None:
        _opening(str(rows.frame.index[shown[line]]), rows.origin)


def with_labels(rows: cache.RowSet, wanted: list[str]) -> np.ndarray:
    """Mark the rows whose label of each task is as wanted; see LABELS."""
    if rows.batch.labels is None:
        return np.full(len(rows.frame), all(label in ("", "none") for label in wanted))
    keep = np.ones(len(rows.frame), bool)
    for own, label in zip(rows.batch.labels.numpy().T, wanted, strict=True):
        if label:
            keep &= np.isnan(own) if label == "none" else own == float(label)
    return keep


def _opening(row: str, origin: str) -> None:
    if st.button(f"Open row {row} in the Lens", key="data-open", type="primary",
                 icon=":material/search:"):  # fmt: skip
        state.put(**{"row": row, "rows": origin, "q": "", "rows-page": ""})
        st.switch_page("views/lens.py")


def _nothing(checkpoint: Checkpoint) -> None:
    described = checkpoint.description
    names = [f"s-{level.name}" for level in described.level]
    names += [f"y-{task.name}" for task in described.task]
    st.info("No row has all of this: its scenario in the bar, these labels, this search.",
            icon=":material/filter_alt:")  # fmt: skip
    st.button(
        "Clear the filter", type="primary", key="data-clear", on_click=state.put,
        kwargs=dict.fromkeys([*names, "data-q", "data-page"], ""),
    )  # fmt: skip
