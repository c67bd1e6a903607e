"""What interventions do: to one row, to the rows of the bar's scenario, and every knock-out."""

from typing import get_args

import numpy as np
import streamlit as st
import torch

from aesm2.plots import interventions as plot
from aesm2.routing.causal_words import (
    effect_findings,
    flip_findings,
    importance_findings,
    retarget_findings,
)
from aesm2.routing.counterfactual import Counterfactual
from aesm2.routing.effects import Effect, effect, traces
from aesm2.routing.interventions import Interventions, KnockOut, swapped, to_text
from app import cache, recipes, widgets
from app.atlas import page as atlas
from app.interventions import page as interventions
from app.lens import door as lens_door
from app.lens import page as lens
from app.lens import rows as lens_rows
from app.rows import search as row_search

VIEWS = {"row": "This row", "rows": "These rows", "all": "All knock-outs"}
MEASURES: dict[plot.Measure, str] = {"auc": "AUC × 100", "log_loss": "log loss"}
IN_UNITS: dict[plot.Measure, str] = {
    "auc": "AUC × 100, in points", "log_loss": "log loss, in thousandths of a nat",
}  # fmt: skip
CHANGE = widgets.Explanation(
    "How much AUC or log loss changes under the interventions, for each scenario of the rows.",
    "A mark is the change from the model as it is, its line the 95 % interval. The interval is"
    " paired: both predictions see the same rows, so it is far narrower than that of either figure."
    " Hollow marks have an interval that holds zero. Green is better, purple worse. Rows count"
    " where they come from, also if their scenario is swapped. Intervals take rows for independent;"
    " those of one user are alike, so true ones are wider.",
    r"\Delta = A_{\text{after}} - A_{\text{before}},\;"
    r" \sigma^2 = \frac{s^2(V_{10}^{\Delta})}{n_+} + \frac{s^2(V_{01}^{\Delta})}{n_-}",
)
FLIPS = widgets.Explanation(
    "The share of rows whose chosen sets change: the flip rate.",
    "A row counts once in a layer, whether its specific or its shared set changed, and by however"
    " much. Later layers change because their input does. Hover a cell for counts and its 95 %"
    " interval.",
    r"\frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}[E_{sp}^{(i)}, E_{sh}^{(i)} \text{ change}]",
    "Eq. 10 and 12, §3.3",
)
IMPORTANCE = widgets.Explanation(
    "What an expert is worth: how AUC or log loss changes where it alone is knocked out and the"
    " next best takes its place.",
    "A line is an expert, a column a scenario. Red: worse without it; blue: better without it;"
    " white: nothing changes. A number in brackets is within its 95 % interval of zero. Experts"
    " stand in for each other, so an expert that costs little alone may matter together with"
    " others. Of every twenty cells about one misses zero by chance alone. Click a cell to knock"
    " its expert out above.",
    r"\Delta_{k} = A(\text{without } k) - A",
    "Eq. 10–15, §3.3",
)


def row_view(opened: cache.Opened, rows: cache.RowSet, doing: Interventions) -> None:
    """Draw one row before and after."""
    position = lens_rows.picked(opened, rows)
    if position is None:
        return
    checkpoint, name = opened.checkpoint, rows.frame.index[position]
    st.subheader(f"Row {name}", anchor=False)
    if not doing:
        interventions.example(checkpoint.layers)
    batch, index = rows.batch[position : position + 1], rows.frame.index[[position]]
    before, after = traces(checkpoint.model, batch, index, doing, np.array([position]))
    changed = swapped(batch, checkpoint.layers, doing)
    lens_door.compare(
        checkpoint, Counterfactual(before, after, changed), atlas.stamp(rows),
        lambda lines: recipes.script(
            opened, rows, ROW_CODE.format(position=position, doing=to_text(doing)) + lines
        ),
        "interventions",
    )  # fmt: skip


def rows_view(opened: cache.Opened, rows: cache.RowSet, doing: Interventions) -> None:
    """Draw what changes over the rows of the bar's scenario."""
    if not doing:
        interventions.example(opened.checkpoint.layers)
        return
    path = widgets.current_scenarios()
    positions = row_search.filtered(rows, opened.checkpoint.description, path, "")
    atlas.filter_note(opened)
    if not len(positions):
        st.info("No row here is in the scenarios chosen above.", icon=":material/filter_alt:")
        return
    found = _effect(opened, rows, doing, positions)
    task, flips = _task(opened), found.flips()
    with st.container(border=True, key="interventions-says"):
        st.markdown("**What this says**")
        said = effect_findings(found.measures(), task) if rows.labels else []
        atlas.bullets([*said, *retarget_findings(flips, doing), *flip_findings(flips)])
    lines = ROWS_CODE.format(doing=to_text(doing), path=path)
    if rows.labels:
        _changes(opened, rows, found, lines)
    else:
        st.info("These rows have no labels, so no AUC or log loss can be measured on them.",
                icon=":material/label_off:")  # fmt: skip
    stamp = atlas.stamp(rows)
    widgets.chart(
        plot.flip_figure(flips, stamp), "interventions-flips", "Whose experts change", FLIPS, flips,
        " ".join(flip_findings(flips)),
        code=recipes.script(opened, rows, f"{lines}figure = flip_figure(found.flips(), {stamp!r})"),
    )  # fmt: skip


def all_view(opened: cache.Opened, rows: cache.RowSet) -> None:
    """Draw what every expert is worth, once it has been computed."""
    if not rows.labels:
        st.info("These rows have no labels. Choose other rows, or upload them with labels.",
                icon=":material/label_off:")  # fmt: skip
        return
    found = cache.knockouts(opened, rows)
    if found is None:
        _offer(opened, rows)
        return
    cells, task = found.to_frame(), _task(opened)
    with st.container(border=True, key="interventions-worth"):
        st.markdown("**What this says**")
        atlas.bullets(importance_findings(cells, task))
    measure, stamp = _measure(), atlas.stamp(rows)
    cell = widgets.chart(
        plot.importance_figure(cells, task, measure, stamp),
        f"interventions-{measure}-{task}",
        f"What every expert is worth for {task}: change of {IN_UNITS[measure]}, without it",
        IMPORTANCE,
        cells[cells["task"] == task],
        " ".join(importance_findings(cells, task)),
        selectable=True,
        code=recipes.script(opened, rows, ALL_CODE.format(task=task, measure=measure, stamp=stamp)),
    )
    if lens.fresh("interventions", cell):
        interventions.put(to_text((KnockOut(str(cell[0]), int(cell[1])),)))
        st.rerun()


def _offer(opened: cache.Opened, rows: cache.RowSet) -> None:
    experts = sum(spec.experts for spec in opened.checkpoint.layers)
    st.markdown(
        f"Each of the {experts} experts is knocked out in turn, and all {len(rows.frame):,} rows"
        " are predicted again and measured, in one sweep: about a quarter of a minute for 100,000"
        " rows and 20 experts on a free processor. All rows count, whatever the bar chooses."
    )
    if not st.button("Knock out every expert", type="primary", key="interventions-sweep"):
        return
    bar = st.progress(0.0, "Knocking out every expert…")
    cache.compute_knockouts(
        opened, rows, lambda done: bar.progress(done, f"Knocking out every expert: {done:.0%}")
    )
    bar.empty()
    st.rerun()  # without the button


def _effect(
    opened: cache.Opened, rows: cache.RowSet, doing: Interventions, positions: np.ndarray
) -> Effect:
    model, part = opened.checkpoint.model, rows.batch[torch.from_numpy(positions)]
    name = f"{to_text(doing)} {widgets.current_scenarios()}"
    return cache.effect(opened, rows, name, lambda: effect(model, part, doing, positions))


def _changes(opened: cache.Opened, rows: cache.RowSet, found: Effect, lines: str) -> None:
    measure, stamp, task = _measure(), atlas.stamp(rows), _task(opened)
    measures = found.measures()
    widgets.chart(
        plot.change_figure(measures, task, measure, stamp), f"interventions-change-{measure}",
        f"Change of {IN_UNITS[measure]}, for {task}", CHANGE, measures,
        " ".join(effect_findings(measures, task)),
        code=recipes.script(opened, rows, f"{lines}figure = change_figure(found.measures(),"
                            f" {task!r}, {measure!r}, {stamp!r})"),
    )  # fmt: skip


def _measure() -> plot.Measure:
    names = list(MEASURES)
    wanted = widgets.pick("Measure", "do-measure", names, "auc", lambda m: MEASURES[_known(m)],
                          width=170)  # fmt: skip
    return _known(wanted)


def _known(name: str) -> plot.Measure:
    measures: tuple[plot.Measure, ...] = get_args(plot.Measure)
    return next((own for own in measures if own == name), "auc")


def _task(opened: cache.Opened) -> str:
    return opened.checkpoint.description.task[widgets.current_task()].name


ROW_CODE = """
import numpy as np
from aesm2.routing.effects import traces
from aesm2.routing.interventions import parse
position, doing = {position}, parse({doing!r})
row = slice(position, position + 1)
before, after = traces(checkpoint.model, batch[row], rows.index[row], doing, np.array([position]))
"""
ROWS_CODE = """
import numpy as np, torch
from aesm2.plots.interventions import change_figure, flip_figure
from aesm2.routing.effects import effect
from aesm2.routing.interventions import parse
path = {path}  # of each level the place of its scenario, None for all
keep = np.ones(len(batch), bool)
for level, scenario in enumerate(path):
    if scenario is not None:
        keep &= batch.scenarios[:, level].numpy() == scenario
where = np.flatnonzero(keep)
found = effect(checkpoint.model, batch[torch.from_numpy(where)], parse({doing!r}), where)
"""
ALL_CODE = """
from aesm2.plots.interventions import importance_figure
from aesm2.routing.knockout import knockouts
cells = knockouts(checkpoint.model, batch).to_frame()
figure = importance_figure(cells, {task!r}, {measure!r}, {stamp!r})
"""
