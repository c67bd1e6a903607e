"""Impact: what would ranking by AESM² be worth?"""

import streamlit as st

from app import impact, studies


def page() -> None:
    """Draw the page: what is expected, by scenario, under which assumptions; the paper's test."""
    st.header("Impact: what would a better ranking be worth?", anchor=False)
    st.caption(
        "How many more clicks and purchases shoppers would make if results were ordered by AESM²"
        " instead of by another model, in a simulated shop where the truth is known."
    )
    study = studies.chosen("replay")
    if study is not None:
        impact.expected(study)
    st.subheader("What was measured on real shoppers", anchor=False)
    impact.published()


page()
