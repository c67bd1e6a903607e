"""What the Relations page is made of: transfer matrices and the two trees of scenarios."""

import pandas as pd
import streamlit as st

from aesm2.errors import InputError
from aesm2.evidence.paper import SOURCE
from aesm2.evidence.related import PAPER, published_cells, related, transfer_cells
from aesm2.evidence.relations import LARGEST
from aesm2.evidence.standings import variant_title
from aesm2.plots import tanglegram as tree_plot
from aesm2.plots import transfer as transfer_plot
from app import cache, recipes, studies, widgets
from app.markdown import as_sentence

VALUES = {"auc": "AUC × 100", "truth_auc": "AUC × 100 against the true probabilities"}
MATRIX = widgets.Explanation(
    "The AUC of a model that was trained on the rows of one scenario only, on the test rows of"
    " every scenario.",
    "Compare down a column, where all models see the same rows; the outlined cell is the model that"
    " was trained there. Yellow is high, blue low, on one scale for all matrices here. ± is the"
    " standard deviation over seeds; n and the positives (+) are of the test rows: with few"
    " positives a cell is mostly chance. A cell is undefined where its test rows have one class"
    " only. The model is ESMM, as in the paper.",
    "",
    "Tables 5 and 7, §4.3",
)
TREES = widgets.Explanation(
    "Two trees of the same scenarios: left by how much AUC is lost when a model is used in the"
    " other scenario, right by how differently AESM² uses its experts in them.",
    "Scenarios that join early are close. A line leads to the same scenario in the other tree,"
    " dotted where it changes its place; without crossings the trees agree in their order. The"
    " correlation tells whether pairs that are far apart by transfer are far apart by use as well;"
    " its p counts the relabellings of the scenarios that agree as well or better (Mantel, 1967),"
    " so with few scenarios it cannot be small.",
    r"d_{ab} = \max\left(0, \tfrac12 (A_{aa} - A_{ba} + A_{bb} - A_{ab})\right)",
    "Fig. 7, §4.3, §4.5",
)


def measure(transfer: pd.DataFrame) -> str:
    """Draw the choice of the measure, where there are two."""
    there = [name for name in VALUES if name in transfer and transfer[name].notna().any()]
    if len(there) < 2:
        return "auc"
    return widgets.pick("Measure", "transfer-value", there, there[0], VALUES.__getitem__,
                        width=320)  # fmt: skip


def matrices(study: cache.Study, transfer: pd.DataFrame, value: str) -> None:
    """Draw a matrix a task, with the paper's own beside it."""
    cells = cache.of_study(f"transfer {value}", study, lambda: transfer_cells(transfer, value))
    tasks = list(cells["task"].unique())
    quoted = {task: published_cells(task) for task in tasks if task in PAPER}
    scale = transfer_plot.scale_of(pd.concat([cells, *quoted.values()]))
    for task in tasks:
        left, right = st.columns(2, gap="medium")
        with left:
            _matrix(study, cells, task, scale, f"relations-{value}", "Here", studies.stamp(study),
                    f"transfer_cells(evidence.tables['transfer'], {value!r})")  # fmt: skip
        if task in quoted:
            stamp = f"quoted from the paper: {SOURCE}, Table {PAPER[task]}, AliPay"
            with right:
                _matrix(study, quoted[task], task, scale, "relations-paper",
                        f"Table {PAPER[task]} of the paper, other data", stamp,
                        f"published_cells({task!r})")  # fmt: skip
    studies.made(study, "transfer")


def trees(study: cache.Study, transfer: pd.DataFrame, value: str) -> None:
    """Draw the two trees and say how far they agree."""
    distances = studies.table(study, "distances")
    if distances is None:
        return
    tasks, variants = list(transfer["task"].unique()), list(distances["variant"].unique())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = widgets.pick("Transfer of", "relations-task", tasks, tasks[0], str.upper, width=160)
        variant = widgets.pick("Experts of", "relations-variant", variants, variants[0],
                               variant_title, width=180)  # fmt: skip
    key = studies.slug("relations-trees", value, task, variant)
    try:
        found = cache.of_study(
            key, study, lambda: related(transfer, distances, task, variant, value)
        )
    except InputError as error:
        st.info(as_sentence(error),
                icon=":material/info:")  # fmt: skip
        return
    said = tree_plot.relations_words(found)
    with st.container(border=True, key="relations-says"):
        st.markdown("**What this says**")
        st.markdown("\n".join(f"- {widgets.escaped(sentence)}" for sentence in said))
        left_out = sorted(set(transfer["test"]) - set(found.scenarios))
        if left_out:
            st.caption(f"Left out, since a figure of theirs is undefined: {', '.join(left_out)}.")
    title = f"{task.upper()} transfer, and use of the experts of {variant_title(variant)}"
    widgets.chart(
        cache.of_study(
            f"figure {key}",
            study,
            lambda: tree_plot.tanglegram_figure(found, f"{studies.stamp(study)}; means over seeds"),
        ),
        key,
        title,
        TREES,
        tree_plot.pairs_table(found),
        " ".join(said),
        code=recipes.of_evidence(
            study,
            "from aesm2.evidence.related import related\n"
            "from aesm2.plots import tanglegram\n"
            "transfer, distances = (evidence.tables[name] for name in ('transfer', 'distances'))\n"
            f"found = related(transfer, distances, {task!r}, {variant!r}, {value!r})\n"
            "figure = tanglegram.tanglegram_figure("
            f"found, {f'{studies.stamp(study)}; means over seeds'!r})",
        ),
    )
    if found.tanglegram is None:
        st.caption(f"Over {LARGEST} scenarios: the order of the leaves is not untangled.")
    elif found.tanglegram.crossings:
        st.caption(f"{found.tanglegram.crossings} pairs of lines cross, the fewest there can be.")


def _matrix(
    study: cache.Study,
    cells: pd.DataFrame,
    task: str,
    scale: tuple[float, float],
    name: str,
    title: str,
    stamp: str,
    made: str,
) -> None:
    key = studies.slug(name, task)
    widgets.chart(
        cache.of_study(
            f"figure {key} {scale}",
            study,
            lambda: transfer_plot.transfer_figure(cells, task, scale, stamp),
        ),
        key,
        f"{title}: {task.upper()}, AUC × 100",
        MATRIX,
        cells[cells["task"] == task],
        transfer_plot.transfer_words(cells, task),
        code=recipes.of_evidence(
            study,
            "from aesm2.evidence.related import published_cells, transfer_cells\n"
            "from aesm2.plots import transfer\n"
            f"cells = {made}\n"
            f"scale = {tuple(map(float, scale))}  # one for all matrices of the page\n"
            f"figure = transfer.transfer_figure(cells, {task!r}, scale, {stamp!r})",
        ),
    )
