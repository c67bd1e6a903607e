"""A clicked cell of the Atlas: how many rows it stands for, which, and the way to the Lens."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
import torch

from aesm2.evaluation import OVERALL, PATH, SEPARATOR, path_index
from aesm2.routing.findings import scenario_label
from aesm2.routing.shares import Choices, RoleName, layer_choices, scenario_names, scenario_of_path
from app import cache, lens, state, upload, widgets

FIRST = 20  # rows listed


def show(opened: cache.Opened, rows: cache.RowSet, cell: list[Any] | None) -> None:
    """Draw the rows of a cell; cell: customdata of `utilisation_figure`."""
    if cell is None or not _is_here(opened, cell):
        st.caption(":material/ads_click: Click a cell to see its rows and open one in the Lens.")
        return
    name, role, target, by, scenario, expert = cell
    schema = opened.checkpoint.encoder.schema
    among = np.flatnonzero(_among(opened, rows, by, scenario))
    if not len(among):
        st.caption("No row is in this scenario.")
        return
    choices = _choices(opened, rows, name, among)
    everyone = np.ones(len(among), bool)
    positions = among[choices.rows(_role(role), target, expert, everyone)]
    label = scenario_label(by, scenario_names(schema, by)[scenario])
    task = f", task {schema.tasks[target]}" if choices.spec.kind == "task" else ""
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
    uploaded = rows.id.startswith(upload.PREFIX)
    if rows.title == "train" and not uploaded:
        st.caption("The Lens looks at validation, test and uploaded rows, not at training rows.")
        st.dataframe(_listed(opened, rows, first), hide_index=True, height=180)
        return
    view |= {"rows": rows.id if uploaded else rows.title, "q": "", "page": ""}
    with st.container(horizontal=True, vertical_alignment="center"):
        opening = st.button("Open the first in the Lens", key="atlas-open", type="primary",
                            icon=":material/search:")  # fmt: skip
        st.caption(f"or choose one of the first {len(first)} below")
    event = st.dataframe(
        _listed(opened, rows, first), hide_index=True, height=180, key="atlas-rows",
        on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    chosen = list(event["selection"]["rows"])
    if opening or chosen:
        position = first[chosen[0] if chosen and not opening else 0]
        state.put(**view, row=str(rows.frame.index[position]))
        st.switch_page("views/lens.py")


def _listed(opened: cache.Opened, rows: cache.RowSet, positions: np.ndarray) -> pd.DataFrame:
    described = opened.checkpoint.description
    scenarios = rows.batch.scenarios.numpy()[positions]
    names = [level.scenarios for level in described.level]
    table = pd.DataFrame({"row": rows.frame.index[positions].astype(str)})
    table["scenario"] = [
        SEPARATOR.join(level[s] for level, s in zip(names, path, strict=True)) for path in scenarios
    ]
    if rows.batch.labels is not None:
        for number, task in enumerate(described.task):
            table[task.label] = rows.batch.labels.numpy()[positions, number].astype(int)
    return table


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


def _among(opened: cache.Opened, rows: cache.RowSet, by: str, scenario: int) -> np.ndarray:
    """Mark the rows of the scenario that are also in the scenarios of the bar."""
    schema, scenarios = opened.checkpoint.encoder.schema, rows.batch.scenarios.numpy()
    keep: np.ndarray = scenario_of_path(schema, by)[path_index(scenarios, schema)] == scenario
    for level, wanted in enumerate(widgets.current_scenarios()):
        if wanted is not None:
            keep &= scenarios[:, level] == wanted
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
