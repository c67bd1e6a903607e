"""Training curves: how did it get there?"""

import streamlit as st

from app import widgets
from app.curves import page as curves
from app.curves import runs as curves_runs


def page() -> None:
    """Draw the page: the run in numbers, its curves, snapshots of utilisation, comparisons."""
    st.header("Training curves: how did it get there?", anchor=False)
    st.caption(
        "How the losses fell, how ranking improved, and how the choice of experts took shape while"
        " the model learned."
    )
    opened = widgets.current()
    with st.container(horizontal=True, vertical_alignment="bottom", key="curves-options"):
        runs = curves_runs.chosen(opened)
        options = curves.options(runs[0])
    curves_runs.note(runs)
    if runs[0].history:
        curves.facts(runs[0])
        st.subheader("Losses and ranking", anchor=False)
        curves.losses(runs, options)
        curves.validation(runs, options)
        st.subheader("Sharpness of the selection", anchor=False)
        curves.divergences(runs, options)
        st.subheader("Use of the experts as it was", anchor=False)
        curves.snapshots(runs[0])
    else:
        st.info(
            "This checkpoint has no history: its history.jsonl is empty. Train with `aesm2 train`"
            " to get one, or pick another checkpoint in the bar.", icon=":material/info:",
        )  # fmt: skip
    curves.comparison(runs)


page()
