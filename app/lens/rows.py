"""Which row to look at: the source of rows, a filter, a table to pick from."""

import functools
import hashlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd
import streamlit as st
import torch

from aesm2.data.description import Description
from aesm2.data.encoder import tasks_exist
from aesm2.inference import probabilities
from aesm2.routing.counterfactual import answer
from aesm2.routing.trace import RoutingTrace
from app import cache, failures, state, widgets
from app.rows import search as row_search
from app.rows import source as row_source
from app.rows import table as row_table
from app.rows import upload

Found = TypeVar("Found")


def source(opened: cache.Opened) -> cache.RowSet | None:
    """Draw the choice of rows, with the upload of one's own; None where there are none."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        return row_source.source(opened, uploading=True)


def stamp(rows: cache.RowSet) -> str:
    """Return where the rows come from, for charts."""
    return row_source.stamp(rows, split=False)


def drawn(opened: cache.Opened, rows: cache.RowSet, position: int) -> cache.Draw:
    """Return what draws the figures of one row, each once for its script.

    Two rows of a source may have one name, so a script alone does not tell them apart. Figures of
    uploaded rows are not kept: nothing of an upload outlives its session.
    """
    if rows.id.startswith(upload.PREFIX):
        return cache.anew
    return functools.partial(cache.drawn, opened, f"{rows.id} at {position}")


def told(opened: cache.Opened, rows: cache.RowSet, key: str, build: Callable[[], Found]) -> Found:
    """Return what `key` says of the rows, computed once; anew for uploaded rows, as in `drawn`."""
    if rows.id.startswith(upload.PREFIX):
        return build()
    return cache.told(f"{rows.id}: {key}", [opened.checkpoint], build)


def trace(opened: cache.Opened, rows: cache.RowSet, position: int) -> RoutingTrace:
    """Trace one row."""

    def build() -> RoutingTrace:
        one = slice(position, position + 1)
        return answer(opened.checkpoint, rows.batch[one], rows.frame.index[one])

    return told(opened, rows, f"trace of {position}", build)


def picked(opened: cache.Opened, rows: cache.RowSet) -> int | None:
    """Draw search and table; return the position of the row of the view, None where there is none.

    An id that is not there, or a filter that leaves nothing, is said with what to do about it.
    """
    described = opened.checkpoint.description
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row_search.box(described, "q")
        path = widgets.current_scenarios()
        found = row_search.filtered(rows, described, path, state.get("q"))
        st.button(
            "Random row", icon=":material/casino:", disabled=len(found) == 0, key="lens-random",
            on_click=_pick_random, args=(rows.frame.index, found),
        )  # fmt: skip
    if len(found) == 0:
        _nothing_found(described)
        return None
    _table(opened, rows, found)
    return _position(rows, found)


def overview(
    opened: cache.Opened, rows: cache.RowSet, positions: np.ndarray, query: str
) -> pd.DataFrame:
    """Return one line a row: id, scenario, labels, predictions in percent, and a few features.

    A prediction is missing where the task does not exist in the row's scenario.
    """
    described, batch = opened.checkpoint.description, rows.batch[torch.from_numpy(positions)]
    predicted = probabilities(opened.checkpoint.model, batch)
    predicted[~tasks_exist(described, batch.scenarios.numpy())] = np.nan
    table = row_table.identity(rows, described, positions)
    for number, task in enumerate(described.task):
        table[f"p{task.name.upper()}"] = 100.0 * predicted[:, number]
    return row_table.with_features(table, rows, described, positions, query)


def _table(opened: cache.Opened, rows: cache.RowSet, found: np.ndarray) -> None:
    shown = row_table.page(found, len(rows.frame), "rows-page", "click one to look at it")
    query, tasks = state.get("q"), opened.checkpoint.description.task
    of = hashlib.sha256(shown.tobytes()).hexdigest()
    line, new = row_table.choose(
        told(opened, rows, f"table of {of}, {query}", lambda: overview(opened, rows, shown, query)),
        "lens-rows",
        f"{opened.checkpoint.hash}{rows.id}{shown[:1]}{query}{widgets.current_scenarios()}",
        column_config={
            f"p{t.name.upper()}": st.column_config.NumberColumn(format="%.2f %%", help=t.title)
            for t in tasks
        },
    )
    if line is not None and new:
        state.put(row=str(rows.frame.index[shown[line]]))


def _position(rows: cache.RowSet, found: np.ndarray) -> int | None:
    wanted = state.get("row")
    if not wanted:
        state.remember("rows-shown", rows.id)
        return int(found[0])
    places = np.flatnonzero(row_search.has_id(rows.frame, wanted))
    shown = state.recall("rows-shown")
    state.remember("rows-shown", rows.id)
    if len(places) == 0 and shown not in (None, rows.id):  # the user has just changed the source
        state.put(row="")
        return int(found[0])
    if len(places) == 0:
        st.info(
            f"There is no row “{widgets.escaped(wanted)}” in these rows. Choose another source of"
            " rows above, or go on with the first row.", icon=":material/search_off:",
        )  # fmt: skip
        st.button("Show the first row", on_click=state.put, kwargs={"row": ""}, key="lens-first")
        return None
    if places[0] not in found:
        st.caption(
            f":material/filter_alt_off: Row {widgets.escaped(wanted)} is outside the filter above."
        )
    return int(places[0])


def _nothing_found(described: Description) -> None:
    levels = [f"s-{level.name}" for level in described.level]
    parts = [f"{lv.title or lv.name} = {state.get(f's-{lv.name}')}" for lv in described.level
             if state.get(f"s-{lv.name}")]  # fmt: skip
    if state.get("q"):
        parts.append(f"“{state.get('q')}”")
    said = widgets.escaped(" and ".join(parts) or "these values")
    st.info(f"No row has {said}.", icon=":material/filter_alt:")
    st.button(
        "Clear the filter", type="primary", key="lens-clear", on_click=state.put,
        kwargs=dict.fromkeys([*levels, "q", "rows-page"], ""),
    )  # fmt: skip


@failures.callback
def _pick_random(index: pd.Index, found: np.ndarray) -> None:
    state.put(row=str(index[np.random.default_rng().choice(found)]))
