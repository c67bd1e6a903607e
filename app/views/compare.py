"""Compare checkpoints: do two models of one dataset route, predict and rank alike?"""

import streamlit as st

from app import widgets
from app.atlas import page as atlas
from app.compare import page as compare
from app.compare import predictions as compare_predictions
from app.compare import routing as compare_routing
from app.compare import rule as compare_rule

WHAT = (
    "Two trained models may use their experts alike and predict differently, or the other way"
    " round. The checkpoint of the bar stands beside another of the same dataset, on the same rows."
)


def page() -> None:
    """Draw the page: the pair, then what is asked of it."""
    st.header("Compare checkpoints: are they alike?", anchor=False)
    opened = widgets.current()
    st.caption(WHAT)
    asked = compare.part()
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare-options"):
        rows = atlas.source(opened)
        other = compare.other(opened) if asked != "rule" else None
    if rows is None:
        return
    stamp = atlas.stamp(rows)
    if asked == "rule":
        compare_rule.show(opened, rows, stamp)
        return
    if other is None:
        return
    two = compare.pair(opened, rows, other)
    if asked == "routing":
        compare_routing.show(two, stamp)
    elif asked == "predictions":
        compare_predictions.show(two, stamp)
    else:
        compare_predictions.ranking(two, stamp)


page()
