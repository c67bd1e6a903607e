"""Routing drift: do two logs use the experts alike, beyond what chance would do?"""

import streamlit as st

from app import widgets
from app.routing_drift import page as drift

WHAT = (
    "The same model, two logs: days, weeks, or training and test rows. Where a scenario's rows take"
    " other experts than before, its users, items or prices changed in a way the model cares about."
)


def page() -> None:
    """Draw the page: what drifted, every cell, the experts of one, the traffic."""
    st.header("Routing drift: are the experts used as before?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    widgets.current_layer()  # says so where the model selects no experts
    chosen = drift.options(opened)
    if chosen is None:
        return
    found = drift.compared(opened, chosen)
    drift.says(found, chosen)
    drift.heatmap(opened, found, chosen)
    drift.cell_section(opened, found, chosen)
    st.subheader("Every cell", anchor=False)
    drift.cells_table(found, chosen)
    st.subheader("Did the traffic change?", anchor=False)
    drift.mix_section(opened, found, chosen)


page()
