"""A clicked cell of the Atlas: how many rows it stands for, which, and the way to the Lens."""

from typing import Any

import numpy as np
import streamlit as st
import torch

from aesm2.data.encoder import tasks_exist
from aesm2.data.scenarios import (
    OVERALL,
    PATH,
    path_index,
    scenario_names,
    scenario_of_path,
)
from aesm2.routing.findings import scenario_label
from aesm2.routing.shares import Choices, RoleName, layer_choices
from app import cache, state, widgets
from app.lens import page as lens
from app.rows import table as row_table

FIRST = 20  # rows listed


def show(opened: cache.Opened, rows: cache.RowSet, cell: list[Any]) -> None:
    """Draw the rows of a cell; cell: customdata of `utilisation_figure`, empty for none."""
    if not cell or not _is_here(opened, cell):
        st.caption(":material/ads_click: Click a cell to see its rows and open one in the Lens.")
        return
    name, role, target, by, scenario, expert = cell
    schema = opened.checkpoint.encoder.schema
    kinds = {spec.name: spec.kind for spec in opened.checkpoint.layers}
    is_task = kinds[name] == "task"
    among = np.flatnonzero(_among(opened, rows, by, scenario, target if is_task else None))
    if not len(among):
        st.caption(f"No row is in this scenario{' and has this task' if is_task else ''}.")
        return
    choices = _choices(opened, rows, name, among)
    everyone = np.ones(len(among), bool)
    positions = among[choices.rows(_role(role), target, expert, everyone)]
    label = widgets.escaped(scenario_label(by, scenario_names(schema, by)[scenario]))
    task = f", task {schema.tasks[target]}" if is_task else ""
    if lens.fresh("atlas-cell", cell):
        st.toast(f"{len(positions):,} rows take it: see below the chart.", icon=":material/south:")
    with st.container(border=True, key="atlas-cell"):
        st.markdown(
            f"**Expert {expert}{f' as {role}' if role else ''} in {name}**, {label}{task}:"
            f" {len(positions):,} of {len(among):,} rows take it."
        )
        if len(positions):
            _rows(opened, rows, positions, {"layer": name, "expert": str(expert)} |
                  ({"task": schema.tasks[target]} if task else {}) |
                  _path(opened, by, scenario))  # fmt: skip


def _is_here(opened: cache.Opened, cell: list[Any]) -> bool:
    """Whether the checkpoint has the cell: a click may be older than the choice of checkpoint."""
    name, _, _, by, scenario, expert = cell
    schema = opened.checkpoint.encoder.schema
    spec = next((spec for spec in opened.checkpoint.layers if spec.name == name), None)
    known = by in (*schema.level_names, PATH, OVERALL)
    if spec is None or not known or expert >= spec.experts:
        return False
    return bool(scenario < len(scenario_names(schema, by)))


def _rows(
    opened: cache.Opened, rows: cache.RowSet, positions: np.ndarray, view: dict[str, str]
) -> None:
    first = positions[:FIRST]
    view |= {"rows": rows.origin, "q": "", "rows-page": ""}
    with st.container(horizontal=True, vertical_alignment="center"):
        opening = st.button("Open the first in the Lens", key="atlas-open", type="primary",
                            icon=":material/search:")  # fmt: skip
        st.caption(f"or choose one of the first {len(first)} below")
    event = st.dataframe(
        row_table.identity(rows, opened.checkpoint.description, first), hide_index=True,
        height=180, key="atlas-rows", on_select="rerun", selection_mode="single-row",
        placeholder="–",
    )  # fmt: skip
    chosen = list(event["selection"]["rows"])
    if opening or chosen:
        position = first[chosen[0] if chosen and not opening else 0]
        state.put(**view, row=str(rows.frame.index[position]))
        st.switch_page("views/lens.py")


def _choices(opened: cache.Opened, rows: cache.RowSet, layer: str, among: np.ndarray) -> Choices:
    """Return the choices of some rows; those asked for last are kept for this session."""
    key = (opened.checkpoint.hash, rows.id, layer, among.tobytes())
    kept_key, kept = state.recall("atlas-choices") or (None, None)
    if kept is not None and kept_key == key:
        found: Choices = kept
        return found
    with opened.lock, st.spinner("Finding the rows of this cell…"):
        part = rows.batch[torch.from_numpy(among)]
        found = layer_choices(opened.checkpoint.model, part, layer)
    state.remember("atlas-choices", (key, found))
    return found


def _among(
    opened: cache.Opened, rows: cache.RowSet, by: str, scenario: int, task: int | None
) -> np.ndarray:
    """Mark the rows of the scenario that are in those of the bar and have the task, if any."""
    schema, scenarios = opened.checkpoint.encoder.schema, rows.batch.scenarios.numpy()
    keep: np.ndarray = scenario_of_path(schema, by)[path_index(scenarios, schema)] == scenario
    for level, wanted in enumerate(widgets.current_scenarios()):
        if wanted is not None:
            keep &= scenarios[:, level] == wanted
    if task is not None:
        keep &= tasks_exist(opened.checkpoint.description, scenarios)[:, task]
    return keep


def _path(opened: cache.Opened, by: str, scenario: int) -> dict[str, str]:
    """Return what to set in the bar so that it names the scenario."""
    schema = opened.checkpoint.encoder.schema
    if by == OVERALL:
        return {}
    if by != PATH:
        return {f"s-{by}": schema.levels[schema.level_names.index(by)][scenario]}
    place = np.unravel_index(scenario, tuple(len(level) for level in schema.levels))
    named = zip(schema.level_names, schema.levels, place, strict=True)
    return {f"s-{name}": level[int(index)] for name, level, index in named}


def _role(name: str) -> RoleName | None:
    roles: dict[str, RoleName | None] = {"specific": "specific", "shared": "shared"}
    return roles.get(name)
