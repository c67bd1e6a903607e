"""Data: what is the model trained on, per scenario?"""

import streamlit as st

from app import widgets
from app.data import about as data_about
from app.data import drift as data_drift
from app.data import rows as data_rows
from app.data import tables as data_tables


def page() -> None:
    """Draw the page: counts and rates by scenario, drift of features, rows, where it comes from."""
    st.header("Data: what is the model trained on?", anchor=False)
    st.caption(
        "How many impressions and positives each scenario has, how sure its rates are, which"
        " features differ between scenarios and between training and test, and the rows themselves."
    )
    opened = widgets.current()
    checkpoint = opened.checkpoint
    by, split = data_tables.options(checkpoint)
    rows = data_tables.rows(checkpoint, split)
    counts = data_tables.counts(checkpoint, rows, split)
    data_tables.table(checkpoint, counts, by, split, "data-statistics")
    st.subheader("Rates by scenario", anchor=False)
    data_tables.charts(checkpoint, counts, rows, by, split)
    st.subheader("Are the features distributed alike?", anchor=False)
    data_drift.section(checkpoint, rows, by, split)
    st.subheader("Rows", anchor=False)
    data_rows.section(opened)
    st.subheader("Where it comes from, and what is made of it", anchor=False)
    data_about.rights(checkpoint)
    data_about.rules(checkpoint)
    data_about.features(checkpoint, rows, split)


page()
