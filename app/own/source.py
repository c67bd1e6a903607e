"""Your data: where the table comes from, an upload or a path on this machine."""

from collections.abc import Callable

import streamlit as st

from aesm2.errors import InputError
from app import failures, locations, state, widgets
from app.lens import page as lens
from app.own import page as own
from app.rows import upload

EXAMPLE = "data_samples/kuairand_pure/log.parquet"
NEEDED = (
    "A table with **one row an impression**: what was shown to whom and where, and what came of"
    " it. At least one column must say yes or no (`click`, `purchase`; 0/1, yes/no, true/false)."
    " Columns with few values, such as a country or a page, become scenarios; a date splits the"
    " rows by time. Column names and order are yours."
)


def section() -> None:
    """Draw the two ways to bring a table, and take one that is new."""
    left, right = st.columns(2)
    with left:
        file = st.file_uploader(
            "Upload a table", type=["csv", "tsv", "parquet"], key="own-upload",
            help=f"CSV (any separator, UTF-8) or parquet, at most {upload.MAX_MEGABYTES} MB.",
        )  # fmt: skip
    with right, st.form("own-path", border=False):
        path = st.text_input(
            "Or name a table on this machine", placeholder="folder/log.parquet",
            help="A CSV or parquet file, or a folder of parquet files, of any size. It stays where"
            f" it is. Only below {', '.join(map(str, own.roots()))}.",
        )  # fmt: skip
        asked = st.form_submit_button("Open the table", icon=":material/folder_open:")
    content = b"" if file is None else file.getvalue()
    if lens.fresh("own-upload", "" if file is None else file.file_id) and file is not None:
        _take(lambda: own.from_upload(file.name, content))
    if asked and path.strip():
        _take(lambda: own.from_path(path))
    problem = state.recall("own-problem")
    if problem:
        kept = " What you had is kept." if own.current() else ""
        st.error(f"{widgets.escaped(problem)}.{kept}", icon=":material/error:")


def invitation() -> None:
    """Say what is needed, and offer an example."""
    st.info(NEEDED, icon=":material/info:")
    if (locations.ROOT / EXAMPLE).exists():
        st.button(
            "Try it with the log of KuaiRand-Pure", icon=":material/play_arrow:", key="own-example",
            on_click=failures.callback(_take),
            args=(lambda: own.from_path(str(locations.ROOT / EXAMPLE)),),
        )  # fmt: skip


def _take(make: Callable[[], own.Own]) -> None:
    """Take a table, or remember why it cannot be."""
    state.remember("own-problem", None)
    try:
        own.change(make())
        state.remember("own-saved", None)
    except InputError as error:
        state.remember("own-problem", str(error).rstrip("."))
