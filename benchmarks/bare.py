"""A bare Streamlit app that draws the figures of AESM² Explorer and does nothing else.

`streamlit run benchmarks/bare.py`, with $AESM2_BARE the file that `benchmarks.app` wrote: for every
page and task the figures as JSON. It has the same pages, a choice of the task, and the same charts
with the same data; no model, no tables, no help. What the app takes longer than this is its own.
"""

import functools
import json
import os
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st


@st.cache_resource
def figures() -> dict[str, dict[str, list[go.Figure]]]:
    """Read the figures, once."""
    told = json.loads(Path(os.environ["AESM2_BARE"]).read_text(encoding="utf-8"))
    return {
        page: {
            task: [go.Figure(json.loads(text), skip_invalid=True) for text in texts]
            for task, texts in tasks.items()
        }
        for page, tasks in told.items()
    }


def page(name: str, heading: str) -> None:
    """Draw a page's charts."""
    found = figures()[name]
    st.header(heading, anchor=False)
    with st.container(key="global-bar"):
        tasks = list(found)
        now = st.session_state.get("task", tasks[-1])
        task = st.selectbox("Task", tasks, index=tasks.index(now), key="view-task")
    st.session_state["task"] = task  # for the next page
    for number, figure in enumerate(found[task]):
        with st.container(key=f"chart-{number}"):
            st.plotly_chart(figure, key=f"figure-{number}")
    st.query_params["task"] = task


def main() -> None:
    """Draw the page of the address, with the app's own menu."""
    from benchmarks.app import PAGES

    st.set_page_config(layout="wide")
    pages = [
        st.Page(functools.partial(page, name, heading), title=name, url_path=path or "home",
                default=not path)
        for name, (path, heading) in PAGES.items()
    ]  # fmt: skip
    st.navigation({"": pages[:1], "See": pages[1:]}, position="top").run()


if __name__ == "__main__":
    main()
