"""Interventions: what if an expert were gone, forced in, or the gates were others?"""

import streamlit as st

from app import widgets
from app.atlas import page as atlas
from app.interventions import page as interventions
from app.interventions import rows as interventions_rows

WHAT = (
    "Choose experts in the model's stead and see what follows, for one row and for many. The model"
    " itself is never changed; what is done stands in the address."
)
NO_SELECTION = (
    "This model has no expert selection, so nothing can be chosen in its stead: pick an AESM²"
    " checkpoint in the bar. Its gates and predictions are in the Instance Lens."
)


def page() -> None:
    """Draw the page: what is done, then one row, many rows, or every knock-out."""
    st.header("Interventions: what if?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    if not opened.checkpoint.layers:
        st.info(NO_SELECTION, icon=":material/info:")
        st.page_link("views/lens.py", label="Instance Lens", icon=":material/search:")
        return
    doing = interventions.builder(opened.checkpoint.layers)
    with st.container(horizontal=True, vertical_alignment="bottom", key="interventions-options"):
        rows = atlas.source(opened)
        views = interventions_rows.VIEWS
        shown = widgets.pick("Look at", "do-view", list(views), "row", views.__getitem__, width=180)
    if rows is None:
        return
    if shown == "row":
        interventions_rows.row_view(opened, rows, doing)
    elif shown == "rows":
        interventions_rows.rows_view(opened, rows, doing)
    else:
        interventions_rows.all_view(opened, rows)


page()
