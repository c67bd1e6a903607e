"""Expert cards: who is this expert, what do its rows have in common, what depends on it?"""

import streamlit as st

from app import widgets
from app.atlas import page as atlas
from app.experts import card as experts_card
from app.experts import page as experts

WHAT = (
    "A layer's experts are numbered; nobody named them. Their rows say what they are for: who takes"
    " them in which role, what those rows have in common, and what the model loses without one."
)


def page() -> None:
    """Draw the page: all experts of the layer, then the card of one."""
    st.header("Expert cards: who is this expert?", anchor=False)
    opened = widgets.current()
    st.caption(WHAT)
    if not opened.checkpoint.layers:
        st.info(experts.NO_SELECTION, icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="experts-options"):
        rows = atlas.source(opened)
        if rows is None:
            return
        experts.options(opened)
    atlas.filter_note(opened)
    found = experts.cards(opened, rows)
    if found is None:
        return
    stamp = atlas.stamp(rows)
    experts.gallery(opened, rows, found, stamp)
    experts_card.show(opened, rows, found, stamp)


page()
