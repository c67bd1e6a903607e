"""Utilisation Atlas: which scenarios and tasks use which experts, and how alike they are."""

import functools

import streamlit as st

from app import cache, widgets
from app.atlas import cell as atlas_cell
from app.atlas import counts
from app.atlas import gates as atlas_gates
from app.atlas import page as atlas
from app.lens import gates as lens_gates

WHAT = (
    "For every row the model itself picks a few experts. Counted over many rows, the picks show"
    " which scenarios and tasks rely on the same experts and which go their own way."
)


def page() -> None:
    """Draw the page: who uses which experts, the rows of a cell, distances, health."""
    st.header("Utilisation Atlas: who uses what?", anchor=False)
    opened = widgets.current()
    if lens_gates.there(opened):
        atlas_gates.page(opened)
        return
    st.caption(WHAT)
    widgets.current_gates()  # says so where the model has no gates
    with st.container(horizontal=True, vertical_alignment="bottom", key="atlas-options"):
        found = counts.source(opened)
        if found is None:
            return
        chosen = atlas.options(opened)
    used, stamp, code, rows = found.used, found.stamp, found.code, found.rows
    atlas.filter_note(opened)
    if not used.rows.sum():
        st.info("No row here is in the scenarios chosen above.", icon=":material/filter_alt:")
        return
    pair = atlas.compared(used, chosen)
    with st.container(border=True, key="atlas-says"):
        st.markdown("**What this says**")
        atlas.bullets(atlas.says(used, chosen, pair))
    drawn = functools.partial(cache.drawn, opened, found.id)
    cell = atlas.use_chart(used, chosen, stamp, code, drawn)
    if rows is None:
        counts.without_rows()
    else:
        atlas_cell.show(opened, rows, cell)
    st.subheader("Distance between scenarios", anchor=False)
    atlas.distance_section(chosen, pair, stamp, code, drawn)
    st.subheader("Are the experts put to use?", anchor=False)
    atlas.health_section(used, stamp)
    if rows is not None:
        atlas_gates.beside_section(opened, rows, chosen.by, only=len(chosen.shown) == 1)


page()
