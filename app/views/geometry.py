"""Selection Geometry: how close was the call?"""

import streamlit as st

from aesm2.plots.ledger import ledger
from app import widgets
from app.atlas import page as atlas
from app.geometry import calls as geometry_calls
from app.geometry import change as geometry_change
from app.geometry import page as geometry
from app.lens import row as lens_row
from app.lens import rows as lens_rows

WHAT = (
    "Every expert has its own distribution over the gates, a point between “for this gate alone”"
    " and “for everybody”; the model takes the K nearest to each. See where the line ran for a row,"
    " how close other calls were, and the least that would have changed the outcome."
)


def page() -> None:
    """Draw the page: a row's experts in space, margins of many rows, the smallest changes."""
    st.header("Selection Geometry: how close was the call?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    if not opened.checkpoint.layers:
        st.info(geometry.NO_SELECTION, icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="geometry-rows"):
        rows = atlas.source(opened)
    position = None if rows is None else lens_rows.picked(opened, rows)
    if rows is None or position is None:
        return
    layer = lens_rows.trace(opened, rows, position).layer(widgets.current_layer().name)
    of = ledger(layer, 0, widgets.current_task())
    stamp = atlas.stamp(rows)
    st.subheader(
        f"Row {rows.frame.index[position]}, layer {of.spec.name}: the choice for"
        f" {widgets.escaped(of.gate_words)}",
        anchor=False,
    )
    if of.spec.kind == "task":
        lens_row.absence(opened.checkpoint, rows, position, widgets.current_task())
    geometry.says(of)
    geometry.charts(opened, rows, position, of, stamp)
    geometry_calls.section(opened, rows, position, stamp)
    geometry_change.logits(opened, rows, position, layer, of, stamp)
    geometry_change.features(opened, rows, position, stamp)


page()
