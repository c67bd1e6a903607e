"""What the Attribution page asks: which target, against which baseline, by which method."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from aesm2.attribution import (
    METHODS,
    Features,
    GateLogit,
    Logit,
    Margin,
    Method,
    Probability,
    Score,
    Target,
    features_of,
    mean_baseline,
    row_baseline,
    value_baseline,
)
from aesm2.attribution.targets import reader
from aesm2.errors import InputError
from app import cache, state, widgets
from app.markdown import as_sentence
from app.rows import search as row_search

WHATS = {
    "probability": "the probability of the task",
    "logit": "the task's log-odds",
    "specific": "an expert's specific score",
    "shared": "an expert's shared score",
    "gate": "an expert's gate logit",
    "margin-specific": "the margin of the specific choice",
    "margin-shared": "the margin of the shared choice",
}
OF_EXPERT = ("specific", "shared", "gate")
MISSING, UNSEEN, MEAN, ROW = "missing", "unseen", "mean", "row"
BASELINES = {
    MEAN: "the mean of the rows", MISSING: "every value missing",
    UNSEEN: "values training never met", ROW: "another row",
}  # fmt: skip
STEPS = ("50", "200", "1000")
OWN = "own"  # the row's own gate


@dataclass(frozen=True)
class Asked:
    """What the page asks of a row.

    position: of the row. title: of the target, in words. against: the baseline, in words; baseline
    makes it. code: Python for target, baseline and features. key: determines all of that but the
    row and the method.
    """

    opened: cache.Opened
    rows: cache.RowSet
    position: int
    target: Target
    title: str
    against: str
    baseline: Callable[[], Tensor]
    features: Features
    method: Method
    steps: int
    code: str
    key: str


def inputs(opened: cache.Opened, rows: cache.RowSet, position: int) -> Asked | None:
    """Draw the inputs; None, said kindly, where what is asked for is not there."""
    described = opened.checkpoint.description
    with st.container(horizontal=True, vertical_alignment="bottom", key="attribution-options"):
        what = widgets.pick("Explain", "attr-what", list(WHATS), "probability",
                            WHATS.__getitem__, width=270)  # fmt: skip
        target, title = _target(what)
        base = widgets.pick("Compared with", "attr-base", list(BASELINES), MEAN,
                            BASELINES.__getitem__, width=220)  # fmt: skip
        if base == ROW:
            st.text_input("Id of that row", width=150, **state.bind("attr-row", _row_id()))
    with st.container(horizontal=True, vertical_alignment="bottom", key="attribution-method"):
        names = {str(method): name for method, name in METHODS.items()}
        method = widgets.pick("Method", "attr-method", list(names), "held", names.__getitem__,
                              width=270)  # fmt: skip
        by = widgets.pick("By", "attr-by", ["feature", "group"], "feature", width=120)
        steps = widgets.pick("Steps", "attr-steps", list(STEPS), STEPS[0], width=100)
    try:
        reader(target, opened.checkpoint.model)
        against, key, baseline, code = _baseline(base, opened, rows)
    except InputError as error:
        st.info(as_sentence(error), icon=":material/info:")
        return None
    groups = by == "group"
    return Asked(
        opened=opened, rows=rows, position=position, target=target, title=title, against=against,
        baseline=baseline, features=features_of(described, groups),
        method=next(own for own in METHODS if own == method), steps=int(steps),
        code=_code(target, code, groups),
        key=f"{target!r}|{key}|{by}|{steps}",
    )  # fmt: skip


def of_a_task(asked: Asked) -> bool:
    """Whether the target is a task's, which may not exist in the row's scenario."""
    target = asked.target
    if isinstance(target, GateLogit):
        return widgets.current_layer().kind == "task"
    return isinstance(target, (Probability, Logit)) or target.task != ""


def shown_rows(asked: Asked) -> np.ndarray:
    """Return the positions of the rows that the bar and the search leave."""
    described = asked.opened.checkpoint.description
    return row_search.filtered(asked.rows, described, widgets.current_scenarios(), state.get("q"))


def _target(what: str) -> tuple[Target, str]:
    """Draw what else a target needs; return it with its title."""
    described = widgets.current().checkpoint.description
    task = described.task[widgets.current_task()]
    name = task.title or task.name
    if what == "probability":
        return Probability(task.name), f"probability of {name}"
    if what == "logit":
        given = f" given {task.follows}" if task.follows else ""
        return Logit(task.name), f"log-odds of {name}{given}"
    layer = widgets.current_layer()
    of_task = task.name if layer.kind == "task" else ""
    chooser = f" for {name}" if of_task else ""
    if what == "margin-specific":
        return Margin(layer.name, "specific", of_task), (
            f"margin of the specific choice in {layer.name}{chooser}"
        )
    if what == "margin-shared":
        return Margin(layer.name, "shared"), f"margin of the shared choice in {layer.name}"
    options = [str(k) for k in range(layer.experts)]
    expert = int(widgets.pick("Expert", "expert", options, "0", width=100))
    if what == "specific":
        return Score(layer.name, expert, "specific", of_task), (
            f"specific score of expert {expert} in {layer.name}{chooser}"
        )
    if what == "shared":
        return Score(layer.name, expert, "shared"), (
            f"shared score of expert {expert} in {layer.name}"
        )
    return _gate(layer.name, expert, layer.gates, layer.kind == "task", task.name)


def _gate(
    layer: str, expert: int, gates: tuple[str, ...], of_tasks: bool, task: str
) -> tuple[Target, str]:
    if of_tasks:  # the bar chooses the task
        return GateLogit(layer, expert, task), (
            f"gate logit of expert {expert} in {layer} at gate {task}"
        )
    numbers = [OWN, *(str(j) for j in range(len(gates)))]  # a gate may be called "own"
    wanted = widgets.pick("Gate", "attr-gate", numbers, OWN,
                          lambda j: "the row's own" if j == OWN else gates[int(j)],
                          width=160)  # fmt: skip
    if wanted == OWN:
        return GateLogit(layer, expert), f"gate logit of expert {expert} in {layer}, own gate"
    gate = gates[int(wanted)]
    return GateLogit(layer, expert, gate), f"gate logit of expert {expert} in {layer}, gate {gate}"


def _code(target: Target, baseline: str, groups: bool) -> str:
    """Return Python that makes target, baseline and features; baseline: that of the baseline."""
    makes = baseline.split(" = ")[1].partition("(")[0]
    return (
        f"from aesm2.attribution import {type(target).__name__}, attribute, features_of, {makes}\n"
        f"{baseline}\nfeatures = features_of(checkpoint.description, groups={groups})\n"
        f"target = {target!r}"
    )


def _row_id() -> str:
    return state.get("attr-row")


def _baseline(
    base: str, opened: cache.Opened, rows: cache.RowSet
) -> tuple[str, str, Callable[[], Tensor], str]:
    """Return a baseline's words, its key, how it is made, and the Python that makes it."""
    model = opened.checkpoint.model
    if base in (MISSING, UNSEEN):
        unseen = base == UNSEEN
        code = f"baseline = value_baseline(checkpoint.model, unseen={unseen})"
        return BASELINES[base], base, lambda: value_baseline(model, unseen), code
    if base == ROW:
        found = np.flatnonzero(row_search.has_id(rows.frame, _row_id()))
        if len(found) == 0:
            raise InputError(
                f"there is no row “{_row_id()}” in these rows: give the id of one, as in the table"
                if _row_id() else "give the id of the row to compare with, as in the table above"
            )  # fmt: skip
        at = int(found[0])
        code = f"baseline = row_baseline(checkpoint.model, batch[{at} : {at + 1}])"
        return (
            f"row {_row_id()}",
            f"row {at}",
            (lambda: row_baseline(model, rows.batch[at : at + 1])),
            code,
        )
    # The search is left out: who searches an id would compare the row with itself.
    path = widgets.current_scenarios()
    keep, kept = np.ones(len(rows.frame), bool), []
    for level, scenario in enumerate(path):
        if scenario is not None:
            keep &= rows.batch.scenarios[:, level].numpy() == scenario
            kept.append(f"(batch.scenarios[:, {level}] == {scenario})")
    if not keep.any():
        raise InputError("no row is in the scenarios chosen in the bar: choose others")
    mask, some = torch.from_numpy(keep), f"batch[{' & '.join(kept)}]" if kept else "batch"
    words = f"the mean of {int(keep.sum()):,} rows"
    return (
        words,
        f"mean {path}",
        lambda: mean_baseline(model, rows.batch[mask]),
        (f"baseline = mean_baseline(checkpoint.model, {some})"),
    )
