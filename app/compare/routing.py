"""Do two checkpoints route alike: matched experts, and what differs once they are matched."""

import functools

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.data.scenarios import path_index, scenario_names, scenario_of_path
from aesm2.plots import alignment as alignment_plot
from aesm2.plots.grid import grid_figure
from aesm2.plots.style import Role
from aesm2.routing.alignment import (
    Alignment,
    Routed,
    align,
    alignment_table,
    routing_difference,
    use_difference,
)
from aesm2.routing.findings import scenario_label
from aesm2.routing.paired import scope_masks
from aesm2.routing.shares import ROLES, Choices
from app import cache, widgets
from app.compare import page as compare

MATCHING = widgets.Explanation(
    "Which experts of the two models do the same work: the numbers of experts mean nothing across"
    " models, so they are matched by the rows that take them.",
    "A cell is the overlap of the choices that fell on two experts: 1 is the same rows in the same"
    " roles, 0 no row in common. Framed: the matching with the largest total (Hungarian method)."
    " Matching always finds something: compare with what a random matching gives, and with the best"
    " matching where one model's choices are dealt to other rows, told below. Two experts that"
    " nobody takes count as alike.",
    r"J(k, l) = \frac{|A_k \cap B_l|}{|A_k \cup B_l|},\quad A_k = \{(i, r): k \in E_r^{(i)}\},"
    r"\ r \in \{sp, sh\}",
    "Eq. 10 and 12, §3.3",
)
DIFFERENCE = widgets.Explanation(
    "How many rows go through other experts in the second model than in the first, after matching.",
    "0: every row takes the counterparts of its experts; 1: none takes exactly those. The set is"
    " E_sp ∪ E_sh; one other expert makes it another set, so also look at the mean overlap in"
    " Numbers. Intervals (Wilson) are on hover and in Numbers; they take rows as independent.",
    r"\frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}\big[\pi(E^{(i)}_a) \neq E^{(i)}_b\big]",
    "Eq. 10 and 12, §3.3",
)
USE = widgets.Explanation(
    "How much more often a scenario's rows take the counterpart in the second model than the expert"
    " in the first, in percentage points.",
    "Blue: the second model sends more of the scenario's rows there; red: fewer; white: as many."
    " Columns are pairs: the first model's expert, then its counterpart. An empty column has none.",
    r"u^{b}_{s\,\pi(k)} - u^{a}_{sk}",
    "Fig. 7, §4.5",
)


def show(two: compare.Pair, stamp: str) -> None:
    """Draw the matching of the bar's layer and what differs in all layers."""
    if not two.common.layers:
        st.info("No layer selects among the same gates in both, so there is no routing to compare;"
                " ask about predictions or ranking above.", icon=":material/info:")  # fmt: skip
        return
    a, b = compare.both(two)
    with st.spinner("Matching the experts of every layer, a second or two…"):
        matched = {name: _aligned(two, name, a, b) for name in two.common.layers}
    wanted = widgets.current_layer().name
    if wanted not in matched:
        st.caption(f":material/info: {wanted} is not compared: showing {next(iter(matched))}.")
        wanted = next(iter(matched))
    _matching(two, matched[wanted], a, b, stamp)
    _difference(two, matched, a, b, stamp)
    _use(two, matched[wanted], a, b, stamp)


def _aligned(two: compare.Pair, layer: str, a: Routed, b: Routed) -> Alignment:
    def build() -> Alignment:
        return align(*_choices(a, b, layer))

    return cache.found(f"align-{two.key}-{layer}", two.a.checkpoint, [two.rows], build)


def _choices(a: Routed, b: Routed, layer: str) -> tuple[Choices, Choices]:
    return a.layer(layer), b.layer(layer)


def _matching(two: compare.Pair, found: Alignment, a: Routed, b: Routed, stamp: str) -> None:
    st.markdown(widgets.escaped(alignment_plot.similarity_words(found)))
    name = found.layer
    code = compare.code(two, "\n".join([
        "from aesm2.plots.alignment import similarity_figure",
        f"found = align(routed_a.layer({name!r}), routed_b.layer({name!r}))",
        f"figure = similarity_figure(found, {two.names!r}, {stamp!r})",
    ]))  # fmt: skip
    build = functools.partial(alignment_plot.similarity_figure, found, two.names, stamp)
    widgets.chart(
        compare.drawn(two, code, build), "compare-matching",
        f"Which experts of {name} do the same work", MATCHING,
        alignment_table(found, *_choices(a, b, name)), alignment_plot.similarity_words(found),
        code=code,
    )  # fmt: skip


def _difference(
    two: compare.Pair, matched: dict[str, Alignment], a: Routed, b: Routed, stamp: str
) -> None:
    def build() -> pd.DataFrame:
        groups = scope_masks(two.rows.batch.scenarios.numpy(), two.a.checkpoint.encoder.schema)
        exists = compare.exists(two.a, two.rows)
        return pd.concat([
            routing_difference(*_choices(a, b, name), found, groups, exists)
            for name, found in matched.items()
        ], ignore_index=True)  # fmt: skip

    table = cache.found(f"routing-difference-{two.key}", two.a.checkpoint, [two.rows], build)
    whole = table[table["scope"] == "all"]
    code = compare.code(two, "\n".join([
        "import pandas as pd",
        "from aesm2.data.encoder import tasks_exist",
        "from aesm2.plots.grid import grid_figure",
        "from aesm2.routing.paired import scope_masks",
        "scenarios = batch.scenarios.numpy()",
        "groups = scope_masks(scenarios, checkpoint.encoder.schema)",
        "exists = tasks_exist(checkpoint.description, scenarios)",
        f"pairs = [(routed_a.layer(n), routed_b.layer(n)) for n in {two.common.layers!r}]",
        "parts = [routing_difference(a, b, align(a, b), groups, exists) for a, b in pairs]",
        f"figure = grid_figure(pd.concat(parts), 'differ', {stamp!r})",
    ]))  # fmt: skip
    widgets.chart(
        compare.drawn(two, code, lambda: grid_figure(table, "differ", stamp)), "compare-difference",
        "Share of rows that take other experts, once matched", DIFFERENCE, table,
        "; ".join(f"{line['layer']} {line['task']}: {line['differ']:.0%} of {line['rows']:,} rows"
                  for line in whole.to_dict("records")),
        code=code,
    )  # fmt: skip


def _use(two: compare.Pair, found: Alignment, a: Routed, b: Routed, stamp: str) -> None:
    layer = next(la for la in two.a.checkpoint.layers if la.name == found.layer)
    schema = two.a.checkpoint.encoder.schema
    by = schema.level_names[layer.level or 0]
    names = scenario_names(schema, by)
    target = widgets.current_task() if layer.kind == "task" else 0
    own = scenario_of_path(schema, by)[path_index(two.rows.batch.scenarios.numpy(), schema)]
    if layer.kind == "task":
        own = np.where(compare.exists(two.a, two.rows)[:, target], own, -1)
    start = [
        "import numpy as np",
        "from aesm2.data.encoder import tasks_exist",
        "from aesm2.data.scenarios import path_index, scenario_of_path",
        "from aesm2.plots.alignment import use_figure",
        "from aesm2.routing.alignment import use_difference",
        "schema, scenarios = checkpoint.encoder.schema, batch.scenarios.numpy()",
        f"own = scenario_of_path(schema, {by!r})[path_index(scenarios, schema)]",
    ]
    if layer.kind == "task":
        start.append("has_task = tasks_exist(checkpoint.description, scenarios)"
                     f"[:, {target}]\nown = np.where(has_task, own, -1)")  # fmt: skip
    values = use_difference(*_choices(a, b, found.layer), found, target, own, len(names))
    rows = np.bincount(own[own >= 0], minlength=len(names))
    there = np.flatnonzero(rows)
    labels = [f"{scenario_label(by, names[s])} (n = {rows[s]:,})" for s in there]
    of = f"{found.layer}{f' for {layer.gates[target]}' if layer.kind == 'task' else ''}"
    code = compare.code(two, "\n".join([
        *start,
        f"a, b = routed_a.layer({found.layer!r}), routed_b.layer({found.layer!r})",
        "found = align(a, b)",
        f"values = use_difference(a, b, found, {target}, own, {len(names)})",
        f"values = values[:, {there.tolist()!r}]",
        f"figure = use_figure(values, {labels!r}, found, {stamp!r})",
    ]))  # fmt: skip
    build = functools.partial(alignment_plot.use_figure, values[:, there], labels, found, stamp)
    widgets.chart(
        compare.drawn(two, code, build), "compare-use",
        f"Use of the matched experts of {of}: {two.names[1]} minus {two.names[0]}", USE,
        _use_table(values, names, rows, found),
        f"Differences of use go from {100 * np.nanmin(values):+.0f} to"
        f" {100 * np.nanmax(values):+.0f} points",
        code=code,
    )  # fmt: skip
    st.caption(" ".join(f"{Role(role).glyph} {role}" for role in ROLES) + ", in percentage points"
               " of the scenario's rows.")  # fmt: skip


def _use_table(
    values: np.ndarray, names: tuple[str, ...], rows: np.ndarray, found: Alignment
) -> pd.DataFrame:
    return pd.DataFrame([
        {"layer": found.layer, "role": role, "scenario": name, "rows": int(rows[s]), "expert": k,
         "counterpart": int(other), "difference": values[r, s, k]}
        for r, role in enumerate(ROLES)
        for s, name in enumerate(names)
        for k, other in enumerate(found.expert)
    ])  # fmt: skip
