"""Attribution: which features made the model choose these experts, and predict what it does?"""

import streamlit as st

from app import widgets
from app.attribution import page as attribution
from app.attribution import row as attribution_row
from app.attribution import slice as attribution_slice
from app.lens import row as lens_row
from app.lens import rows as lens_rows

WHAT = (
    "Pick a row and something that the model computes for it: a prediction, the score an expert is"
    " chosen by, or how clearly a choice was made. See how much each feature moves it, by four"
    " methods, and whether they add up and agree."
)
NO_SELECTION = (
    "This model chooses no experts, and this page explains models that do. Pick an AESM² checkpoint"
    " in the bar; what this model predicts for a row and what changes it, the Instance Lens shows."
)


def page() -> None:
    """Draw the page: rows, the row, what to explain, its attributions, those of many rows."""
    st.header("Attribution: which features made it choose?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    if not opened.checkpoint.layers:
        st.info(NO_SELECTION, icon=":material/info:")
        return
    rows = lens_rows.source(opened)
    position = None if rows is None else lens_rows.picked(opened, rows)
    if rows is None or position is None:
        return
    asked = attribution.inputs(opened, rows, position)
    if asked is None:
        return
    stamp = lens_rows.stamp(rows)
    st.subheader(f"Row {rows.frame.index[position]}: {asked.title}", anchor=False)
    if attribution.of_a_task(asked):
        lens_row.absence(opened.checkpoint, rows, position, widgets.current_task())
    attribution_row.section(asked, stamp)
    st.subheader("Over many rows", anchor=False)
    attribution_slice.section(asked, stamp)


page()
