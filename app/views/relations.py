"""Relations: which scenarios can learn from each other, and does the model know?"""

import streamlit as st

from app import relations, studies


def page() -> None:
    """Draw the page: transfer matrices, and the two trees of scenarios face to face."""
    st.header("Relations: which scenarios can learn from each other?", anchor=False)
    st.caption(
        "A model trained in one scenario and used in another shows how much the two have in common."
        " Scenarios that have much in common should also use the same experts of AESM²."
    )
    study = studies.chosen()
    if study is None:
        return
    studies.facts(study)
    transfer = studies.table(study, "transfer")
    if transfer is None:
        return
    value = relations.measure(transfer)
    st.subheader("Trained here, used there", anchor=False)
    relations.matrices(study, transfer, value)
    st.subheader("Does AESM² see the same relations?", anchor=False)
    relations.trees(study, transfer, value)


page()
