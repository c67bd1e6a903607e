"""Slices: where is it wrong, or routed oddly?"""

import streamlit as st

from app import widgets
from app.rows import source as row_source
from app.slices import one as slices_one
from app.slices import page as slices
from app.slices import saved as slices_saved

WHAT = (
    "Which rows does the model get wrong, predict too high or too low, or send to unusual experts?"
    " Conditions on a few columns single them out; use such a slice on every page to see why."
)
NO_SELECTION = (
    "This model selects no experts, so only its errors and its calibration can be compared; pick an"
    " AESM² checkpoint in the bar to look at its routing too."
)


def page() -> None:
    """Draw the page: how to look, what was found by measure, one slice, the saved ones."""
    st.header("Slices: where is it wrong, or routed oddly?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    with st.container(horizontal=True, vertical_alignment="bottom", key="slices-options"):
        rows = row_source.source(opened)
        if rows is None:
            return
        search, every = slices.search_input()
    if not opened.checkpoint.layers:
        st.info(NO_SELECTION, icon=":material/info:")
    measures = slices.measures_input(opened, rows)
    found = slices.looked_or_told(opened, rows, measures, search)
    if found is not None:
        slices.says(found, measures)
        slices.charts(opened, rows, found, measures, every)
    st.subheader("One slice", anchor=False)
    slices_one.section(opened, rows, found, measures)
    slices_saved.section(opened, rows)
    if found is not None:
        slices.table(rows, found, every)


page()
