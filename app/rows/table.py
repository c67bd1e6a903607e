"""Rows as a table: what names them, a page at a time, one to be clicked."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.data.description import Description
from aesm2.data.scenarios import SEPARATOR
from app import cache, state
from app.lens import page as lens
from app.rows import search

PAGE = 200  # rows of the table; more would slow every rerun


def identity(rows: cache.RowSet, described: Description, positions: np.ndarray) -> pd.DataFrame:
    """Return one line a row: id, scenario and labels, missing where there is none."""
    scenarios = rows.batch.scenarios.numpy()[positions]
    names = [level.scenarios for level in described.level]
    table = pd.DataFrame({"row": rows.frame.index[positions].astype(str)})
    table["scenario"] = [
        SEPARATOR.join(level[s] for level, s in zip(names, path, strict=True)) for path in scenarios
    ]
    if rows.batch.labels is not None:
        labels = rows.batch.labels.numpy()[positions]
        for number, name in enumerate(label_names(described)):
            table[name] = pd.array(labels[:, number], dtype="Int64")
    return table


def label_names(described: Description) -> list[str]:
    """Return what the label of each task is called: its column, unless two tasks read the same."""
    columns = [task.label for task in described.task]
    return [
        task.label if columns.count(task.label) == 1 else f"{task.label} ({task.name})"
        for task in described.task
    ]


def with_features(
    table: pd.DataFrame, rows: cache.RowSet, described: Description, positions: np.ndarray,
    query: str,
) -> pd.DataFrame:  # fmt: skip
    """Add the first two features of each group, then the columns that the query names, as text."""
    few = [f.column or n for g in described.features.values() for n, f in list(g.items())[:2]]
    wanted = dict.fromkeys([*few, *search.columns_asked(described, query)])
    return table.assign(
        **{
            column: [lens.spell(value) for value in rows.frame[column].iloc[positions].tolist()]
            for column in wanted
            if column in rows.frame.columns and column not in table.columns
        }
    )


def page(found: np.ndarray, total: int, name: str, hint: str) -> np.ndarray:
    """Draw the choice of a page and return the positions on it; name: of the page in the view."""
    pages = max(1, -(-len(found) // PAGE))
    now = state.number(name, 1, 1, pages)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{len(found):,} of {total:,} rows · {hint}")
        if pages > 1:
            st.number_input(f"Page of {pages}", 1, pages, width=130, **state.bind(name, now))
    return found[(now - 1) * PAGE : now * PAGE]


def choose(table: pd.DataFrame, key: str, content: str, **more: Any) -> tuple[int | None, bool]:
    """Draw a table of which one line can be clicked.

    content: what determines the lines; a click counts for them alone. Returns the chosen line, None
    without one, and whether the click is new.
    """
    widget = f"{key}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    event = st.dataframe(
        table, hide_index=True, height=230, key=widget, on_select="rerun",
        selection_mode="single-row", placeholder="–", **more,
    )  # fmt: skip
    chosen = list(event["selection"]["rows"])
    new = lens.fresh(key, [widget, *chosen] if chosen else [])
    return (chosen[0] if chosen else None), new
