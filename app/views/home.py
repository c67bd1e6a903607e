"""Home: what am I looking at?"""

import streamlit as st

from app import widgets
from app.home import page as home
from app.home import rows as home_rows


def page() -> None:
    """Draw the page: what this is, the model, how good it is, its data, rows to look at."""
    st.header("What am I looking at?", anchor=False)
    home.introduction()
    opened = widgets.current()
    checkpoint = opened.checkpoint
    home.facts(checkpoint)
    home.architecture(opened)
    st.subheader("How good are the predictions?", anchor=False)
    home.metrics(opened)
    st.subheader("What data is it trained on?", anchor=False)
    home.statistics(checkpoint)
    home_rows.section(opened)
    st.subheader("Where does it come from?", anchor=False)
    home.rights(checkpoint)


page()
