"""Paper and audit: every equation, table and figure, and whether this model follows them."""

import streamlit as st

from app import widgets
from app.paper import items as paper_items
from app.paper import page as paper

WHAT = (
    "Every equation of the paper is computed once more for a row, in double precision and without"
    " the model's code, and compared with what the model did. Below: where each equation, table and"
    " figure lives here, and what cannot be made again, and why."
)


def page() -> None:
    """Draw the page: the audit of a row, then the equations, tables and figures."""
    st.header("Paper and audit: does it do what the paper says?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    audited = paper.audited(opened)
    if audited is not None:
        paper.result(opened, audited)
    shown = paper_items.filters()
    if "equations" in shown:
        paper_items.equations(None if audited is None else audited.found)
    for kind in ("table", "figure"):
        if f"{kind}s" in shown:
            paper_items.exhibits(kind)


page()
