"""What the Selection Geometry shares: which rows count, the cloud, both charts of a row."""

import functools

import numpy as np
import streamlit as st
import torch

from aesm2.data.encoder import tasks_exist
from aesm2.plots.geometry import LOG_RATIO, SIMPLEX, simplex_figure
from aesm2.plots.ledger import Ledger, gap_sentence, number
from aesm2.plots.score_plane import (
    LINEAR,
    LOG,
    Cloud,
    cloud,
    decision,
    points_table,
    score_figure,
)
from aesm2.plots.style import Role
from aesm2.routing.counterfactual import answer
from aesm2.routing.geometry import MOST_DRAWN
from aesm2.routing.highlights import SEED, sample
from aesm2.routing.margins import CHOOSING, Choosing
from aesm2.routing.trace import LayerTrace
from app import cache, recipes, state, widgets
from app.lens import rows as lens_rows
from app.rows import search as row_search
from app.widgets import Explanation

POINTS = 2000  # of the cloud; more would be slow to draw
ALL, NONE = "all", "none"
NO_SELECTION = (
    "This model does not select experts, so there is no call to be close: pick an AESM² checkpoint"
    " in the bar. The Instance Lens and the Utilisation Atlas show how other models weigh experts."
)
SPACES = {SIMPLEX: "simplex (shares)", LOG_RATIO: "log-ratios"}
SIMPLEX_HELP = Explanation(
    "Each expert's own distribution over the gates, as a point: whom is this expert for?",
    "A corner is an expert for that gate alone (▼ the row's own gate), the centre an expert for"
    " everybody. Thin lines have equal divergence; experts up to the dashed line, on the side of"
    " the corner or of the centre, are taken. Small faint marks are other rows' experts.",
    r"\tilde G[k,:] = \mathrm{softmax}(G[k,:]),\quad \mathrm{KL}(p_j, \tilde G[k,:]),\;"
    r" \mathrm{KL}(q, \tilde G[k,:])",
    "Eq. 9–13, §3.3",
)
PROJECTION_HELP = Explanation(
    "Each expert's distribution over the gates in log-ratio coordinates, where they vary most.",
    "q is the expert for everybody. Lines lead towards the gates: the farther along one, the more"
    " an expert is for that gate alone; the corners themselves are infinitely far. The axes say how"
    " much of the variance this plane keeps. What is lost can hide a distance: contours would not"
    " be exact here, the score plane beside it is.",
    r"\mathrm{clr}(\tilde G[k,:]) = G[k,:] - \tfrac1m \textstyle\sum_j G[k,j]",
    "Eq. 9, §3.3",
)
SCORE_HELP = Explanation(
    "Both scores of each expert: the call itself, exact for any number of gates.",
    "Across: distance from specific to the row's own gate. Up: distance from shared by all. Left of"
    " the vertical line an expert is taken as specific, below the horizontal one as shared; both"
    " pass through the last expert taken. An expert just past a line lost a close call.",
    r"E_{sp} = \mathrm{TopK}(-\mathrm{KL}(p_j, \tilde G[k,:])),\;"
    r" E_{sh} = \mathrm{TopK}(-\mathrm{KL}(q, \tilde G[k,:]))",
    "Eq. 10–13, §3.3",
)


def kept(opened: cache.Opened, rows: cache.RowSet, task: int | None) -> np.ndarray:
    """Mark the rows of the bar's scenarios that have a task, None for any, (rows,) bool."""
    described = opened.checkpoint.description
    mask = np.zeros(len(rows.batch), bool)
    mask[row_search.filtered(rows, described, widgets.current_scenarios(), "")] = True
    if task is not None:
        mask &= tasks_exist(described, rows.batch.scenarios.numpy())[:, task]
    return mask


def traced(opened: cache.Opened, rows: cache.RowSet, positions: np.ndarray) -> LayerTrace:
    """Trace some rows through the layer of the view."""
    with opened.lock:
        part = rows.batch[torch.from_numpy(positions)]
        found = answer(opened.checkpoint, part, rows.frame.index[positions])
    return found.layer(widgets.current_layer().name)


def says(of: Ledger) -> None:
    """Say how close the row's calls were."""
    for choosing in CHOOSING:
        glyph = Role(choosing).glyph
        st.markdown(f"- **{glyph} {choosing}** {widgets.escaped(gap_sentence(of, choosing))}")


def charts(opened: cache.Opened, rows: cache.RowSet, position: int, of: Ledger, stamp: str) -> None:
    """Draw the simplex and the score plane of the row, with a cloud of other rows behind it."""
    if len(of.spec.gates) == 1:
        st.info(
            f"Layer {of.spec.name} has a single gate, {of.gate}: every expert gives it its whole"
            " row, the simplex is one point, and both divergences are 0. Pick another layer in the"
            " bar.", icon=":material/info:",
        )  # fmt: skip
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space, behind, drawn = _inputs(opened, rows, of)
        axes = widgets.pick("Score axes", "axes", [LINEAR, LOG], LINEAR, width=150)
    told = "" if behind is None else _told(of, behind)
    key = f"{of.spec.name.replace('.', '-')}-{space}"
    names, kept_figure = points_table(of), lens_rows.drawn(opened, rows, position)
    code = functools.partial(_code, opened, rows, position, of, drawn, stamp)
    simplex, scores = code("simplex_figure", f", {space!r}"), code("score_figure", f", {axes!r}")
    first, second = st.columns(2, gap="medium")
    with first:
        exact = len(of.spec.gates) <= MOST_DRAWN and space == SIMPLEX
        widgets.chart(
            kept_figure(simplex, lambda: simplex_figure(of, behind, stamp, space)),
            f"geometry-simplex-{key}",
            _title(of, exact),
            SIMPLEX_HELP if exact else PROJECTION_HELP,
            names,
            f"Experts of layer {of.spec.name} among its gates {', '.join(of.spec.gates)}",
            code=simplex,
        )
    with second:
        widgets.chart(
            kept_figure(scores, lambda: score_figure(of, behind, stamp, axes)),
            f"geometry-scores-{key}-{axes}", "The score plane: both divergences", SCORE_HELP,
            names, _score_alt(of), code=scores,
        )  # fmt: skip
    st.caption(
        told + "▲ specific, ● shared, ◆ both, ○ not chosen."
        + (" Drag the tetrahedron to turn it." if exact and len(of.spec.gates) == 4 else "")
    )  # fmt: skip


def _inputs(
    opened: cache.Opened, rows: cache.RowSet, of: Ledger
) -> tuple[str, Cloud | None, np.ndarray]:
    """Draw the options; return the space, the cloud and the positions of its rows."""
    spaces, space = list(SPACES), SIMPLEX
    if 2 < len(of.spec.gates) <= MOST_DRAWN:
        space = widgets.pick("Space", "space", spaces, SIMPLEX, SPACES.__getitem__, width=190)
    numbers = [str(k) for k in range(of.spec.experts)]
    names = {ALL: "all experts", NONE: "no cloud"} | {k: f"expert {k}" for k in numbers}
    which = widgets.pick("Cloud of other rows", "cloud", list(names), ALL, names.__getitem__,
                         width=190)  # fmt: skip
    if which == NONE:
        return space, None, np.empty(0, np.int64)
    expert = None if which == ALL else int(which)
    task = widgets.current_task() if of.spec.kind == "task" else None
    among = np.flatnonzero(kept(opened, rows, task))
    limit = POINTS if expert is not None else max(1, POINTS // of.spec.experts)
    drawn = among[sample(len(among), limit, SEED)]
    if not len(drawn):
        return space, None, drawn
    key = f"geometry-cloud-{of.spec.name}-{task}-{which}-{widgets.current_scenarios()}"

    def build() -> Cloud:
        return cloud(traced(opened, rows, drawn), task or 0, expert, len(among))

    return space, cache.found(key, opened.checkpoint, [rows], build), drawn


def _told(of: Ledger, behind: Cloud) -> str:
    whole = behind.rows == behind.of_rows
    drawn = f"all {behind.rows:,}" if whole else f"{behind.rows:,} of {behind.of_rows:,}"
    seed = "" if whole else f", drawn with seed {SEED}"
    which = state.get("cloud", ALL)
    names = f"their {of.spec.experts} experts" if which == ALL else f"their expert {which}"
    return f"Cloud: {drawn} rows of the scenarios set above{seed}, {names}. "


def _title(of: Ledger, exact: bool) -> str:
    if not exact:
        return f"Log-ratio projection of {len(of.spec.gates)} gates"
    shapes = {2: "an interval", 3: "a triangle", 4: "a tetrahedron"}
    return f"The simplex of gates: {shapes[len(of.spec.gates)]}"


def _score_alt(of: Ledger) -> str:
    levels: list[tuple[Choosing, float | None]] = [(c, decision(of, c)) for c in CHOOSING]
    lines = [f"{choosing} up to {number(level)}" for choosing, level in levels if level is not None]
    return f"Divergences of the experts of {of.spec.name}; taken as {' and '.join(lines)} nats"


def _code(
    opened: cache.Opened, rows: cache.RowSet, position: int, of: Ledger, drawn: np.ndarray,
    stamp: str, figure: str, more: str,
) -> str:  # fmt: skip
    task = widgets.current_task() if of.spec.kind == "task" else None
    which, module = state.get("cloud", ALL), "geometry" if "simplex" in figure else "score_plane"
    if not len(drawn):
        behind = ["behind = None"]
    else:
        expert = None if which == ALL else int(which)
        behind = [
            *mask_lines(task),
            f"drawn = np.flatnonzero(kept)[sample(kept.sum(), {len(drawn)}, seed={SEED})]",
            f"others = checkpoint.trace(rows.iloc[drawn]).layer({of.spec.name!r})",
            f"behind = cloud(others, {task or 0}, {expert}, int(kept.sum()))",
        ]
    lines = [
        "import numpy as np",
        *(["from aesm2.data.encoder import tasks_exist"] if task is not None else []),
        f"from aesm2.plots.{module} import {figure}",
        "from aesm2.plots.ledger import ledger",
        "from aesm2.plots.score_plane import cloud",
        "from aesm2.routing.highlights import sample",
        f"layer = checkpoint.trace(rows.iloc[[{position}]]).layer({of.spec.name!r})",
        f"of = ledger(layer, 0, {widgets.current_task()})",
        *behind,
        f"figure = {figure}(of, behind, {stamp!r}{more})",
    ]
    return recipes.script(opened, rows, "\n".join(lines))


def mask_lines(task: int | None) -> list[str]:
    """Return the lines of a script that mark the rows that count as `kept`."""
    lines = ["kept = np.ones(len(batch), bool)"]
    for level, scenario in enumerate(widgets.current_scenarios()):
        if scenario is not None:
            lines.append(f"kept &= batch.scenarios[:, {level}].numpy() == {scenario}")
    if task is not None:
        scenarios = "batch.scenarios.numpy()"
        lines.append(f"kept &= tasks_exist(checkpoint.description, {scenarios})[:, {task}]")
    return lines
