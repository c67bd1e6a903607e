"""Start of the app: page configuration and navigation."""

from typing import Literal

import streamlit as st

from aesm2.device import flush_subnormals
from app import cache, failures, log, state, widgets
from app.people import login, who
from app.story import page as story

flush_subnormals()  # every run has a thread of its own
st.set_page_config(page_title="AESM² Explorer", page_icon="◆", layout="wide")
log.settle()
cache.settle_imports()
cache.keep_tidy()
state.start()
state.remember(widgets.CURRENT, None)
login.gate()
# Whoever goes to a hidden page by its address is told why.
shown: Literal["visible", "hidden"] = "visible" if who.may(who.Right.TRAIN) else "hidden"
page = st.navigation(
    {
        "": [st.Page("views/home.py", title="Home", icon=":material/home:", default=True)],
        "See": [
            st.Page("views/data.py", title="Data", icon=":material/table_chart:"),
            st.Page("views/lens.py", title="Instance Lens", icon=":material/search:"),
            st.Page(
                "views/geometry.py", title="Selection Geometry", icon=":material/change_history:"
            ),
            st.Page("views/atlas.py", title="Utilisation Atlas", icon=":material/grid_on:"),
            st.Page(
                "views/routing_drift.py", title="Routing drift", icon=":material/compare_arrows:"
            ),
            st.Page("views/experts.py", title="Expert cards", icon=":material/badge:"),
            st.Page("views/curves.py", title="Training curves", icon=":material/show_chart:"),
        ],
        "Question": [
            st.Page("views/slices.py", title="Slices", icon=":material/data_check:"),
            st.Page("views/interventions.py", title="Interventions", icon=":material/build:"),
            st.Page("views/attribution.py", title="Attribution", icon=":material/insights:"),
            st.Page("views/compare.py", title="Compare checkpoints", icon=":material/compare:"),
        ],
        "Evidence": [
            st.Page("views/bench.py", title="Bench", icon=":material/leaderboard:"),
            st.Page("views/relations.py", title="Relations", icon=":material/account_tree:"),
            st.Page("views/impact.py", title="Impact", icon=":material/storefront:"),
            st.Page("views/paper.py", title="Paper and audit", icon=":material/fact_check:"),
        ],
        "Train": [
            st.Page(
                "views/lab.py", title="Training Lab", icon=":material/science:", visibility=shown
            ),
            st.Page(
                "views/own.py", title="Your data", icon=":material/upload_file:", visibility=shown
            ),
        ],
        "Present": [
            st.Page("views/story.py", title="Story", icon=":material/slideshow:"),
            st.Page("views/report.py", title="Report", icon=":material/keep:"),
        ],
    },
    position="hidden" if story.on() else "top",
)
state.remember("page", page.url_path)
state.remember("about", None)
with cache.metrics().script(page.url_path or "home"), failures.told():
    if story.on():
        story.show()
    else:
        widgets.global_bar()
        page.run()
state.publish()
