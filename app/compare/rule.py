"""The masking rule of the authors' released code, recomputed on the logits of the model here."""

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.plots import masking as masking_plot
from aesm2.plots import paired as paired_plot
from aesm2.plots.grid import grid_figure
from aesm2.routing.masking import (
    LayerAudit,
    audit,
    audit_case,
    audit_table,
    released_probabilities,
)
from aesm2.routing.paired import paired_differences, scope_masks
from aesm2.routing.trace import trace
from app import cache, recipes, widgets
from app.compare import page as compare
from app.experts import card as experts_card
from app.lens import rows as lens_rows

INTRO = (
    "The paper masks the gate logits of the experts that were not chosen with −∞ (Eq. 14), and so"
    " does every AESM² model here. The TensorFlow code that the authors released **multiplies**"
    " instead: by 2 where an expert is chosen in both roles, by 1 where in one, by −10⁹ where in"
    " none. A negative logit times −10⁹ is the largest number of the row, so an expert that was"
    " *not* chosen then takes the softmax. What would that rule have mixed, here?"
)
WHAT = (
    " Recomputed: that one rule, on this model's own logits and choices, each layer by itself. Not"
    " recomputed: whatever else the released code does differently (noise for the selection alone,"
    " averaged divergences, normalised gates, experts shared across depths). A model trained with"
    " that rule would have other logits: this is what the rule does, not what that code scores."
)
AFFECTED = widgets.Explanation(
    "In how many rows the rule of the released code would put weight (above 10⁻⁶) on an expert that"
    " was not chosen." + WHAT,
    "0: the rule is harmless there, since every unselected expert has a positive logit; 1: it"
    " overrides the choice in every row. Intervals (Wilson) are on hover; the mean weight that"
    " moves and its quantiles are in Numbers.",
    r"w'_k = \mathrm{softmax}_k\big(g_{jk} \cdot c_k\big),\ c_k = 2, 1, -10^9",
    "Eq. 14, §3.3; released code",
)
MOVED = widgets.Explanation(
    "How much of a row's mixing weight lies elsewhere under the rule of the released code." + WHAT,
    "0: the same mixture; 1: all weight on other experts. It holds both kinds of change: weight on"
    " unselected experts, and the doubled logit of one that was chosen twice.",
    r"\mathrm{TV} = \tfrac12 \sum_k |w'_k - w_k|",
    "Eq. 14 and 1, §3.3; released code",
)
RANKING = widgets.Explanation(
    "How this model would rank if its layers mixed by the rule of the released code." + WHAT,
    "Left of zero: it ranks worse than with the mask it was trained with. It was not trained under"
    " that rule, so this is another model than either; the rule acts in all layers, one after the"
    " other. The interval is DeLong's for two AUCs on the same rows; hollow: it holds zero.",
    r"\Delta = \mathrm{AUC}_{\text{rule}} - \mathrm{AUC}",
    "Eq. 14, §3.3; released code",
)
CASE = widgets.Explanation(
    "One row in one layer: the weights of Eq. 14 and those of the rule of the released code."
    + WHAT,
    "Marks are Eq. 14, by role; bars the rule. A bar over a grey ring is weight on an expert that"
    " was not chosen. Logits and factors are in Numbers.",
    r"w_k = \mathrm{softmax}_k(\hat g_j),\quad w'_k = \mathrm{softmax}_k(g_{jk} \cdot c_k)",
    "Eq. 14, §3.3; released code",
)


def show(opened: cache.Opened, rows: cache.RowSet, stamp: str) -> None:
    """Draw what the rule would mix with the bar's checkpoint."""
    st.markdown(INTRO)
    if not opened.checkpoint.layers:
        st.info("This model has no expert selection, so there is nothing to mask. Pick an AESM²"
                " checkpoint in the bar.", icon=":material/info:")  # fmt: skip
        return
    found = _audited(opened, rows)
    table = _table(opened, rows, found)
    st.markdown(_words(table))
    widgets.chart(
        grid_figure(table, "affected", stamp), "compare-rule",
        "Share of rows where the released rule weighs an unselected expert", AFFECTED, table,
        _words(table),
        code=recipes.script(opened, rows, "\n".join([
            "from aesm2.data.encoder import tasks_exist",
            "from aesm2.plots.grid import grid_figure",
            "from aesm2.routing.masking import audit, audit_table",
            "from aesm2.routing.paired import scope_masks",
            "scenarios = batch.scenarios.numpy()",
            "groups = scope_masks(scenarios, checkpoint.encoder.schema)",
            "exists = tasks_exist(checkpoint.description, scenarios)",
            "table = audit_table(audit(checkpoint.model, batch), groups, exists)",
            f"figure = grid_figure(table, 'affected', {stamp!r})",
        ])),
    )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    with left:
        _moved(opened, rows, found, stamp)
    with right:
        _ranking(opened, rows, stamp)
    st.subheader("One row's case", anchor=False)
    _case(opened, rows, stamp)


def _audited(opened: cache.Opened, rows: cache.RowSet) -> tuple[LayerAudit, ...]:
    def build() -> tuple[LayerAudit, ...]:
        with opened.lock:
            return audit(opened.checkpoint.model, rows.batch)

    with st.spinner(f"Recomputing the rule for {len(rows.frame):,} rows, a few seconds…"):
        return cache.found("audit", opened.checkpoint, [rows], build)


def _table(opened: cache.Opened, rows: cache.RowSet, found: tuple[LayerAudit, ...]) -> pd.DataFrame:
    def build() -> pd.DataFrame:
        groups = scope_masks(rows.batch.scenarios.numpy(), opened.checkpoint.encoder.schema)
        return audit_table(found, groups, compare.exists(opened, rows))

    return cache.found("audit-table", opened.checkpoint, [rows], build)


def _words(table: pd.DataFrame) -> str:
    """Say what the rule moves over all rows, layer by layer."""
    told = [
        f"in {line['layer']}{' for ' + line['task'] if line['task'] else ''}"
        f" {100 * line['moved']:.0f} % of the weight moves and {100 * line['affected']:.1f} % of"
        " the rows weigh an unselected expert"
        for line in table[table["scope"] == "all"].to_dict("records")
        if line["rows"]
    ]
    return widgets.escaped(f"Under the released rule, {'; '.join(told)}.")


def _moved(
    opened: cache.Opened, rows: cache.RowSet, found: tuple[LayerAudit, ...], stamp: str
) -> None:
    spec = widgets.current_layer()
    layer = next(own for own in found if own.spec.name == spec.name)
    target = widgets.current_task() if spec.kind == "task" else 0
    kept = np.ones(len(rows.frame), bool)
    if spec.kind == "task":
        kept = compare.exists(opened, rows)[:, target]
    moved = layer.moved[target, kept]
    if not len(moved):
        st.info("No row here has this task.", icon=":material/filter_alt:")
        return
    of = f"{spec.name}{f' for {spec.gates[target]}' if spec.kind == 'task' else ''}"
    table = pd.DataFrame({
        "row": rows.frame.index[np.flatnonzero(kept)].astype(str), "moved": moved,
        "on unselected": layer.on_unselected[target, kept],
    })  # fmt: skip
    widgets.chart(
        masking_plot.moved_figure(layer, target, kept, stamp), "compare-moved",
        f"Weight that moves in {of} (n = {len(moved):,})", MOVED, table,
        f"Half of the rows move more than {np.median(moved):.2f} of their weight",
        code=recipes.script(opened, rows, "\n".join([
            "import numpy as np",
            "from aesm2.data.encoder import tasks_exist",
            "from aesm2.plots.masking import moved_figure",
            "from aesm2.routing.masking import audit",
            "layers = {la.spec.name: la for la in audit(checkpoint.model, batch)}",
            "kept = tasks_exist(checkpoint.description, batch.scenarios.numpy())"
            f"[:, {target}]" if spec.kind == "task" else "kept = np.ones(len(batch), bool)",
            f"figure = moved_figure(layers[{spec.name!r}], {target}, kept, {stamp!r})",
        ])),
    )  # fmt: skip


def _ranking(opened: cache.Opened, rows: cache.RowSet, stamp: str) -> None:
    if rows.batch.labels is None:
        st.info(experts_card.NO_LABELS, icon=":material/label_off:")
        return
    ours, checkpoint = compare.of_first(opened, rows), opened.checkpoint

    def build() -> pd.DataFrame:
        with opened.lock:
            ruled = released_probabilities(checkpoint.model, rows.batch)
        return paired_differences(ours.probabilities, ruled, rows.batch, checkpoint.encoder.schema)

    with st.spinner(f"Predicting {len(rows.frame):,} rows under the rule, a few seconds…"):
        table = cache.found("audit-ranking", checkpoint, [rows], build)
    task = checkpoint.encoder.schema.tasks[widgets.current_task()]
    lines = paired_plot.of_task(table, task)
    title = "released rule minus Eq. 14,<br>AUC × 100 (points)"
    widgets.chart(
        paired_plot.paired_figure(lines, title, stamp), "compare-rule-ranking",
        f"Ranking of {task} under the rule, untrained for it", RANKING, table,
        paired_plot.paired_words(lines),
        code=recipes.script(opened, rows, "\n".join([
            "from aesm2.inference import probabilities",
            "from aesm2.plots.paired import of_task, paired_figure",
            "from aesm2.routing.masking import released_probabilities",
            "from aesm2.routing.paired import paired_differences",
            "model = checkpoint.model",
            "ours, ruled = probabilities(model, batch), released_probabilities(model, batch)",
            "table = paired_differences(ours, ruled, batch, checkpoint.encoder.schema)",
            f"figure = paired_figure(of_task(table, {task!r}), {title!r}, {stamp!r})",
        ])),
    )  # fmt: skip


def _case(opened: cache.Opened, rows: cache.RowSet, stamp: str) -> None:
    position = lens_rows.picked(opened, rows)
    if position is None:
        return
    found = trace(
        opened.checkpoint.model, rows.batch[position : position + 1], rows.frame.index[[position]]
    )
    spec = widgets.current_layer()
    target = widgets.current_task() if spec.kind == "task" else 0
    case = audit_case(found.layer(spec.name), 0, target)
    off = case.loc[~(case["specific"] | case["shared"]), "rule_weight"].sum()
    moved = (case["rule_weight"] - case["weight"]).abs().sum() / 2
    name = rows.frame.index[position]
    st.markdown(f"Row {name}: {100 * moved:.0f} % of its weight moves, {100 * off:.0f} % goes to"
                " experts that were not chosen.")  # fmt: skip
    widgets.chart(
        masking_plot.case_figure(case, stamp), "compare-case",
        f"Row {name} in {spec.name}: Eq. 14 and the released rule", CASE, case,
        f"{100 * off:.0f} % of the rule's weight is on experts that were not chosen",
        code=recipes.script(opened, rows, "\n".join([
            "from aesm2.plots.masking import case_figure",
            "from aesm2.routing.masking import audit_case",
            f"found = checkpoint.trace(rows.iloc[[{position}]])",
            f"case = audit_case(found.layer({spec.name!r}), 0, {target})",
            f"figure = case_figure(case, {stamp!r})",
        ])),
    )  # fmt: skip
