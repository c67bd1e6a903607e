"""How close the calls of many rows were, and the closest of them to look at."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL, path_index, scenario_names, scenario_of_path
from aesm2.plots.margins import Margins, margins, margins_figure, margins_table
from aesm2.routing.margins import Calls, calls, closest
from aesm2.routing.shares import own_grouping
from aesm2.routing.trace import LayerSpec
from app import cache, recipes, state, widgets
from app.atlas import page as atlas
from app.geometry import page as geometry
from app.lens import rows as lens_rows
from app.rows import table as row_table
from app.widgets import Explanation

FIRST = 50  # closest calls listed
LISTED = {
    "layer": "layer", "task": "task", "choice": "choice", "taken": "taken last",
    "left": "left first", "nats": "margin, nats", "logits": "in gate logits",
}  # fmt: skip
MARGINS = Explanation(
    "How close the calls of all rows were: the distance from the last expert taken to the first one"
    " left.",
    "The farther left, the closer: there a little change of the row, of its scenario or of training"
    " makes the model pick another expert. A line is a scenario; its heights add up to 100 %. The"
    " grey upright line is the row above. The axis is logarithmic; the first step holds all"
    " narrower margins too.",
    r"\mathrm{margin} = \mathrm{KL}_{(K+1)} - \mathrm{KL}_{(K)}",
    "Eq. 10–13, §3.3",
)


def section(opened: cache.Opened, rows: cache.RowSet, position: int, stamp: str) -> None:
    """Draw the distribution of margins in the layer of the view, and the closest calls."""
    st.subheader("How close are the calls of other rows?", anchor=False)
    atlas.filter_note(opened)
    every = all_calls(opened, rows)
    spec, task = widgets.current_layer(), widgets.current_task()
    own = [call for call in every if call.spec.name == spec.name and call.task in (None, task)]
    if not own:
        st.info(f"{spec.name} has nothing to choose: {_why(spec)}.", icon=":material/info:")
    else:
        _chart(opened, rows, position, own, stamp)
    _table(opened, rows, every, own)


def all_calls(opened: cache.Opened, rows: cache.RowSet) -> tuple[Calls, ...]:
    """Return how close every call of the rows was; a second or so for ten thousand rows."""

    def build() -> tuple[Calls, ...]:
        with opened.lock, st.spinner(f"Measuring how close every call of {len(rows.frame):,} rows"
                                     " was, a few seconds…"):  # fmt: skip
            return calls(opened.checkpoint.model, rows.batch)

    return cache.found("geometry-calls", opened.checkpoint, [rows], build)


def _chart(
    opened: cache.Opened, rows: cache.RowSet, position: int, own: Sequence[Calls], stamp: str
) -> None:
    names = atlas.groupings(opened)
    by = widgets.pick("Scenarios", "grouping", list(names), atlas.OWN, names.__getitem__, width=190)
    schema, spec = opened.checkpoint.encoder.schema, widgets.current_layer()
    grouping = own_grouping(spec, schema) if by == atlas.OWN else by
    places = scenario_of_path(schema, grouping)[path_index(rows.batch.scenarios.numpy(), schema)]
    scenarios = scenario_names(schema, grouping)

    def build() -> list[Margins]:
        found = [
            margins(call, places, scenarios, geometry.kept(opened, rows, call.task), position)
            for call in own
        ]
        return [panel for panel in found if panel.names]

    code = _code(opened, rows, position, grouping, stamp)
    panels = lens_rows.told(opened, rows, f"margins of {position}: {code}", build)
    if not panels:
        st.info("No row here is in the scenarios chosen above.", icon=":material/filter_alt:")
        return
    key = f"geometry-margins-{spec.name}-{grouping}".replace(".", "-")
    title = f"Margins of {spec.name}" + ("" if grouping == OVERALL else f" by {grouping}")
    widgets.chart(
        lens_rows.drawn(opened, rows, position)(code, lambda: margins_figure(panels, stamp)),
        key, title, MARGINS, margins_table(panels), _words(panels), code=code,
    )  # fmt: skip


def _words(panels: Sequence[Margins]) -> str:
    table = margins_table(panels)
    close = table.sort_values("median, nats").iloc[0]
    return (
        f"Margins by choice and scenario; the narrowest median, {close['median, nats']:.3g} nats,"
        f" is that of {close['scenario']} in the {close['choice']}"
    )


def _table(
    opened: cache.Opened, rows: cache.RowSet, every: Sequence[Calls], own: Sequence[Calls]
) -> None:
    """List the closest calls; a click makes its row, layer and task the current ones."""
    over = {"layer": "this layer", "all": "all layers"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        where = widgets.pick("Closest calls of", "over", list(over), "layer", over.__getitem__,
                             width=190)  # fmt: skip
    found = list(own if where == "layer" else every)
    if not found:
        return
    masks = [geometry.kept(opened, rows, call.task) for call in found]
    lines = closest(found, masks, FIRST)
    if lines.empty:
        return
    st.caption(f"The {len(lines)} closest of {sum(int(m.sum()) for m in masks):,} calls · click"
               " one to make it the row above")  # fmt: skip
    table = closest_table(opened, rows, lines)
    scope = f"{where}{widgets.current_layer().name}{widgets.current_task()}"
    content = f"{opened.checkpoint.hash}{rows.id}{widgets.current_scenarios()}{scope}"
    line, new = row_table.choose(table, "geometry-closest", content, column_config={
        "margin, nats": st.column_config.NumberColumn(format="%.3g"),
        "in gate logits": st.column_config.NumberColumn(format="%.3g"),
    })  # fmt: skip
    widgets.csv(table, "geometry-closest", atlas.stamp(rows))
    if line is not None and new:
        _open(opened, rows, lines.iloc[line])


def closest_table(opened: cache.Opened, rows: cache.RowSet, lines: pd.DataFrame) -> pd.DataFrame:
    """Present `closest` in words: one line a call."""
    described = opened.checkpoint.description
    table = row_table.identity(rows, described, lines["position"].to_numpy())
    tasks = ["–" if task is None else described.task[task].name for task in lines["task"]]
    told = lines.assign(task=tasks)[list(LISTED)].rename(columns=LISTED)
    return table[["row", "scenario"]].join(told)


def _open(opened: cache.Opened, rows: cache.RowSet, line: pd.Series) -> None:
    changed = {"row": str(rows.frame.index[line["position"]]), "layer": line["layer"]}
    if line["task"] is not None:
        changed["task"] = opened.checkpoint.description.task[line["task"]].name
    state.put(**changed)
    st.rerun()


def _why(spec: LayerSpec) -> str:
    if len(spec.gates) == 1:
        return f"it has the single gate {spec.gates[0]}"
    return (
        f"of {spec.experts} experts it takes {spec.specific} as specific, {spec.shared} as shared"
    )


def _code(
    opened: cache.Opened, rows: cache.RowSet, position: int, grouping: str, stamp: str
) -> str:
    spec = widgets.current_layer()
    task = widgets.current_task() if spec.kind == "task" else None
    asked = f"call.spec.name == {spec.name!r}" + (
        "" if task is None else f" and call.task in (None, {task})"
    )
    lines = [
        "import numpy as np",
        "from aesm2.data.encoder import tasks_exist",
        "from aesm2.data.scenarios import path_index, scenario_names, scenario_of_path",
        "from aesm2.plots.margins import margins, margins_figure",
        "from aesm2.routing.margins import calls",
        "schema = checkpoint.encoder.schema",
        f"scenario = scenario_of_path(schema, {grouping!r})"
        "[path_index(batch.scenarios.numpy(), schema)]",
        f"names = scenario_names(schema, {grouping!r})",
        *geometry.mask_lines(None),
        "exists = tasks_exist(checkpoint.description, batch.scenarios.numpy())",
        f"own = [call for call in calls(checkpoint.model, batch) if {asked}]",
        "masks = [kept if call.task is None else kept & exists[:, call.task] for call in own]",
        f"panels = [margins(call, scenario, names, mask, {position})"
        " for call, mask in zip(own, masks)]",
        f"figure = margins_figure(panels, {stamp!r})",
    ]
    return recipes.script(opened, rows, "\n".join(lines))
