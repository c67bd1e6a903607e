"""Two checkpoints of one dataset: which they are, their rows, and what the page asks of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aesm2.data.encoder import tasks_exist
from aesm2.routing.alignment import Routed, routed
from aesm2.routing.comparable import Comparable, batch_of, comparable, tasks_of
from app import cache, locations, recipes, state, widgets
from app.rows import upload

PARTS = {
    "routing": "Do they route alike?",
    "predictions": "Do they predict alike?",
    "ranking": "Which ranks better?",
    "rule": "Which masking rule?",
}


@dataclass(frozen=True)
class Pair:
    """Two open checkpoints and the rows that both read. a is the checkpoint of the bar."""

    a: cache.Opened
    b: cache.Opened
    names: tuple[str, str]
    common: Comparable
    rows: cache.RowSet

    @property
    def key(self) -> str:
        """Tells this pair and its rows from others, beside a's hash."""
        return self.b.checkpoint.hash


def part() -> str:
    """Draw the choice of what to ask; return it."""
    now = state.choice("part", list(PARTS), "routing")
    st.segmented_control("What to ask", list(PARTS), format_func=PARTS.__getitem__,
                         **state.bind("part", now))  # fmt: skip
    return now


def candidates(opened: cache.Opened) -> list[str]:
    """Return the other checkpoints of the same dataset, by id."""
    own = opened.checkpoint
    return [
        name
        for name, folder in locations.catalogue().items()
        if folder != own.path and cache.dataset_name(folder) == own.description.name
    ]


def other(opened: cache.Opened) -> str | None:
    """Draw the choice of the second checkpoint; None, with a way on, where there is none."""
    names = candidates(opened)
    if not names:
        name = opened.checkpoint.description.name
        st.info(
            f"There is no other checkpoint of the dataset “{name}” to compare with. Train one in"
            " the Training Lab, or put its folder into checkpoints/.", icon=":material/compare:",
        )  # fmt: skip
        st.page_link("views/lab.py", label="Open the Training Lab", icon=":material/science:")
        return None
    return widgets.pick("Compare with", "other", names, names[0], width=220)


def pair(opened: cache.Opened, rows: cache.RowSet, name: str) -> Pair:
    """Open the second checkpoint and find what the two have in common; its notes are drawn."""
    second = cache.opened(locations.catalogue()[name], state.get("device", "auto"))
    common = comparable(opened.checkpoint, second.checkpoint)
    for note in common.notes:
        st.caption(f":material/info: {widgets.escaped(note)}")
    first = next(n for n, path in locations.catalogue().items() if path == opened.checkpoint.path)
    return Pair(opened, second, (first, name), common, rows)


def of_first(opened: cache.Opened, rows: cache.RowSet) -> Routed:
    """Return what the bar's checkpoint does with the rows."""

    def build() -> Routed:
        with opened.lock:
            return routed(opened.checkpoint.model, rows.batch)

    with st.spinner(f"Running {len(rows.frame):,} rows through the model, a few seconds…"):
        return cache.found("routed", opened.checkpoint, [rows], build)


def both(two: Pair) -> tuple[Routed, Routed]:
    """Return what both do with the rows; b's probabilities stand in the order of a's tasks."""
    second = two.b.checkpoint

    def build() -> Routed:
        batch = batch_of(second, two.rows.frame)
        with two.b.lock:
            found = routed(second.model, batch)
        return Routed(found.layers, tasks_of(two.a.checkpoint, second, found.probabilities))

    with st.spinner(f"Running {len(two.rows.frame):,} rows through both models, a few seconds…"):
        name = f"routed-beside-{two.a.checkpoint.hash}"
        return of_first(two.a, two.rows), cache.found(name, second, [two.rows], build)


def task(two: Pair) -> str:
    """Return the bar's task if both have it, else the first that both have, which is said."""
    wanted = two.a.checkpoint.encoder.schema.tasks[widgets.current_task()]
    if wanted in two.common.tasks:
        return wanted
    st.caption(f":material/info: Only one of them has the task {wanted}: showing"
               f" {two.common.tasks[0]}.")  # fmt: skip
    return two.common.tasks[0]


def exists(opened: cache.Opened, rows: cache.RowSet) -> np.ndarray:
    """Whether the scenario of each row has each task, (rows, tasks)."""
    return tasks_exist(opened.checkpoint.description, rows.batch.scenarios.numpy())


def code(two: Pair, lines: str) -> str:
    """Return a script over both checkpoints: `routed_a` and `routed_b` are what they do."""
    start = "\n".join([
        f"other = aesm2.load({recipes.place(two.b.checkpoint.path)!r})",
        "from aesm2.routing.alignment import align, routed, routing_difference",
        "from aesm2.routing.comparable import tasks_of",
        "routed_a = routed(checkpoint.model, batch)",
        "routed_b = routed(other.model, other.encode(rows))",
    ])  # fmt: skip
    return recipes.script(two.a, two.rows, f"{start}\n{lines}")


def drawn(two: Pair, script: str, build: Callable[[], go.Figure]) -> go.Figure:
    """Return the figure of a script over both checkpoints, built once but for uploaded rows."""
    if two.rows.id.startswith(upload.PREFIX):
        return build()
    return cache.figure(f"{two.rows.id}: {script}", [two.a.checkpoint, two.b.checkpoint], build)
