"""Do two checkpoints predict alike, and which ranks better, on the same rows."""

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.plots import alignment as alignment_plot
from aesm2.plots import paired as paired_plot
from aesm2.routing.paired import paired_differences, rank_correlation
from app import cache, state, widgets
from app.compare import page as compare
from app.experts import card as experts_card
from app.lens import page as lens
from app.rows import table as row_table

FIRST = 200  # rows of the largest difference that are listed
DENSITY = widgets.Explanation(
    "How many rows have which pair of predictions: the first model's across, the second's upwards.",
    "On the dotted line both say the same. Above it the second model predicts more. A narrow band"
    " that leaves the line is a difference of calibration, which ranking does not feel; a wide band"
    " is disagreement about rows. The axes are log-odds, labelled with probabilities.",
    r"\rho = \mathrm{corr}(\mathrm{rank}\,p_a, \mathrm{rank}\,p_b)",
    "Eq. 18, §3.4",
)
CHANGE = widgets.Explanation(
    "How far the second model's probability lies from the first's, row by row.",
    "One bar holds the rows with such a difference; the number of rows is on a logarithmic scale,"
    " so the few rows with a large difference can be seen. Zero is no difference.",
    r"\Delta_i = p_b^{(i)} - p_a^{(i)}",
    "Eq. 18, §3.4",
)
RANKING = widgets.Explanation(
    "Which model ranks better, scenario by scenario: the difference of AUC × 100 on the same rows.",
    "Right of zero: the second model is better. The interval is DeLong's for two AUCs on the same"
    " rows, which holds how much they go together; hollow: it holds zero. It tells what these rows"
    " leave open about these two trained models; another seed would give others. Rows of one user"
    " are alike, so intervals are somewhat narrow. “Undefined”: a class is missing. Log loss and"
    " its paired interval are on hover and in Numbers.",
    r"\Delta = \mathrm{AUC}_b - \mathrm{AUC}_a,\quad \mathrm{Var}\,\Delta ="
    r" \frac{S^2(V_{10}^b - V_{10}^a)}{P} + \frac{S^2(V_{01}^b - V_{01}^a)}{N}",
    "Table 3, §4.2",
)


def show(two: compare.Pair, stamp: str) -> None:
    """Draw how alike the predictions are, and the rows where they are not."""
    name = compare.task(two)
    a, b, kept = _probabilities(two, name)
    if not len(kept):
        st.info(f"No row here has the task {name}.", icon=":material/filter_alt:")
        return
    difference = b.astype(np.float64) - a
    st.markdown(
        f"For **{widgets.escaped(name)}** over {len(a):,} rows: rank correlation"
        f" {rank_correlation(a, b):.3f} (Spearman); mean difference"
        f" {lens.points(float(difference.mean()))}, mean absolute difference"
        f" {lens.points(float(np.abs(difference).mean())).lstrip('+')}."
    )
    table = alignment_plot.change_table(a, b, two.rows.frame.index[kept].astype(str).tolist())
    position = list(two.a.checkpoint.encoder.schema.tasks).index(name)
    start = (
        "from aesm2.data.encoder import tasks_exist\n"
        f"kept = tasks_exist(checkpoint.description, batch.scenarios.numpy())[:, {position}]\n"
        f"a = routed_a.probabilities[kept, {position}]\n"
        f"b = tasks_of(checkpoint, other, routed_b.probabilities)[kept, {position}]\n"
    )
    left, right = st.columns(2, gap="medium")
    with left:
        widgets.chart(
            alignment_plot.density_figure(a, b, two.names, stamp), "compare-density",
            f"Both predictions of {name}", DENSITY, table.head(10_000),
            f"Rank correlation {rank_correlation(a, b):.3f}",
            code=compare.code(two, start + "from aesm2.plots.alignment import density_figure\n"
                              f"figure = density_figure(a, b, {two.names!r}, {stamp!r})"),
        )  # fmt: skip
    with right:
        widgets.chart(
            alignment_plot.change_figure(difference, stamp), "compare-change",
            f"{two.names[1]} minus {two.names[0]}", CHANGE, table.head(10_000),
            f"Differences go from {difference.min():+.3f} to {difference.max():+.3f}",
            code=compare.code(two, start + "from aesm2.plots.alignment import change_figure\n"
                              f"figure = change_figure(b.astype(float) - a, {stamp!r})"),
        )  # fmt: skip
    _largest(two, name, kept, a, b)


def ranking(two: compare.Pair, stamp: str) -> None:
    """Draw the difference of AUC by scenario."""
    name = compare.task(two)
    if two.rows.batch.labels is None:
        st.info(experts_card.NO_LABELS, icon=":material/label_off:")
        return
    a, b = compare.both(two)

    def build() -> pd.DataFrame:
        return paired_differences(
            a.probabilities, b.probabilities, two.rows.batch, two.a.checkpoint.encoder.schema,
            two.common.tasks,
        )  # fmt: skip

    table = cache.found(f"ranking-{two.key}", two.a.checkpoint, [two.rows], build)
    lines = paired_plot.of_task(table, name)
    title = f"{two.names[1]} minus {two.names[0]},<br>AUC × 100 (points)"
    widgets.chart(
        paired_plot.paired_figure(lines, title, stamp), "compare-ranking",
        f"Which ranks {name} better", RANKING, table, paired_plot.paired_words(lines),
        code=compare.code(two, "\n".join([
            "from aesm2.plots.paired import of_task, paired_figure",
            "from aesm2.routing.paired import paired_differences",
            "a, b = routed_a.probabilities, tasks_of(checkpoint, other, routed_b.probabilities)",
            "schema = checkpoint.encoder.schema",
            f"table = paired_differences(a, b, batch, schema, {two.common.tasks!r})",
            f"figure = paired_figure(of_task(table, {name!r}), {title!r}, {stamp!r})",
        ])),
    )  # fmt: skip
    _both_measures(two, lines)


def _both_measures(two: compare.Pair, lines: pd.DataFrame) -> None:
    """Show the AUC and the log loss of both."""
    auc, loss = ({f"{what}_{side}": f"{title}, {name}" for side, name in zip("ab", two.names,
                                                                          strict=True)}
                 for what, title in (("auc", "AUC × 100"), ("log_loss", "log loss")))  # fmt: skip
    loss |= {"delta_log_loss": "difference", "log_loss_low": "low", "log_loss_high": "high"}
    shown = lines[["scenario", "n", "positives", *auc, *loss]].rename(columns=auc | loss)
    formats = dict.fromkeys(auc.values(), "%.2f") | dict.fromkeys(loss.values(), "%.4f")
    st.dataframe(shown, hide_index=True, column_config={
        name: st.column_config.NumberColumn(format=form) for name, form in formats.items()
    })  # fmt: skip
    st.caption("Difference of log loss in nats, with its paired 95 % interval; below zero the"
               " second fits better.")  # fmt: skip


def _probabilities(two: compare.Pair, task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both probabilities of a task for the rows that have it, and those rows' positions."""
    a, b = compare.both(two)
    at = list(two.a.checkpoint.encoder.schema.tasks).index(task)
    kept = np.flatnonzero(compare.exists(two.a, two.rows)[:, at])
    return a.probabilities[kept, at], b.probabilities[kept, at], kept


def _largest(two: compare.Pair, task: str, kept: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """List the rows that the two see most differently; a click opens one in the Lens."""
    st.markdown("**Rows that they see most differently**")
    st.caption(":material/ads_click: Click a row to open it in the Instance Lens.")
    order = np.argsort(-np.abs(b.astype(np.float64) - a), kind="stable")[:FIRST]
    table = row_table.identity(two.rows, two.a.checkpoint.description, kept[order])
    table[two.names[0]], table[two.names[1]] = 100.0 * a[order], 100.0 * b[order]
    table["difference"] = 100.0 * (b[order].astype(np.float64) - a[order])
    percent = st.column_config.NumberColumn(format="%.2f %%")
    line, new = row_table.choose(
        table, "compare-rows", f"{two.a.checkpoint.hash}{two.key}{two.rows.id}{task}",
        column_config=dict.fromkeys(two.names, percent)
        | {"difference": st.column_config.NumberColumn(format="%+.2f points")},
    )  # fmt: skip
    if line is not None and new:
        name = str(two.rows.frame.index[kept[order[line]]])
        state.put(row=name, task=task, q="", rows=two.rows.origin)
        st.switch_page("views/lens.py")
