"""Report: pinned charts, put in order and taken away."""

import streamlit as st

from app import pins, report


def page() -> None:
    """Draw the page: title and size, files to take away, and every pin with its comment."""
    st.header("Report: take it away", anchor=False)
    st.caption(
        "Charts that you pinned, in your order and with your words, as files that need neither"
        " this app nor a network. Pins stay in this browser session; save the report to keep it."
    )
    report.told()
    shown = pins.report()
    if not shown.pins:
        report.empty()
        return
    report.head(shown)
    report.files(shown)
    for place, own in enumerate(shown.pins):
        report.entry(shown, own, place)


page()
