"""The data by scenario: the paper's tables, and rates and values with their intervals."""

import functools
import operator

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.counts import Counts, count, stored_counts
from aesm2.data.scenarios import PATH
from aesm2.data.worth import Worth, worth
from aesm2.errors import InputError
from aesm2.plots import data as data_plot
from aesm2.plots import rates as rates_plot
from app import cache, recipes, widgets

SPLIT_TITLES = {"all": "all splits", "train": "training rows", "validation": "validation rows",
                "test": "test rows"}  # fmt: skip
ACROSS = 3  # charts beside each other on a wide screen
RATES = widgets.Explanation(
    "How often a row is positive in each scenario, among all its impressions or among the rows that"
    " are positive in the task before it.",
    "A dot is a rate, the line through it its 95 % interval (Wilson): a short line is a sure value."
    " The diamond and the dotted line are all rows. Where rates differ by more than ten times, a"
    " step on the axis is a factor; an arrow there marks a rate of 0, at the upper end of what it"
    " may be. The interval takes rows as independent; rows of one user are alike, so it is a little"
    " too short.",
    r"\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4n^2}}}"
    r"{1 + z^2 / n}",
)
VALUE = widgets.Explanation(
    "What the positives of 1,000 impressions are worth, as gross merchandise value (GMV).",
    "The line is the 95 % interval, normal on the logarithm: it is wide where a few large values"
    " make most of the sum. Positives without a value add nothing.",
    r"1000 \cdot \frac{1}{n} \sum_i v_i y_i",
)


def options(checkpoint: Checkpoint) -> tuple[str, str]:
    """Draw the choice of grouping and split; return them."""
    levels = checkpoint.description.level
    groupings = {level.name: level.title or level.name for level in levels}
    if len(levels) > 1:
        groupings[PATH] = "fine-grained"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = widgets.pick("Scenarios by", "data-by", list(groupings), levels[0].name,
                          groupings.__getitem__, width=200)  # fmt: skip
        split = widgets.pick("Rows", "data-split", list(SPLIT_TITLES), "all",
                             SPLIT_TITLES.__getitem__, width=180)  # fmt: skip
    widgets.about(slice=split)
    return by, split


def rows(checkpoint: Checkpoint, split: str) -> list[cache.RowSet] | None:
    """Return the rows of a split or of all; None, said with what to do, where they are not here."""
    try:
        there = cache.splits(checkpoint)
    except InputError as error:
        st.info(
            "The rows are not at hand, so the counts below are those that the checkpoint holds:"
            f" {widgets.escaped(str(error))}.", icon=":material/folder_off:",
        )  # fmt: skip
        return None
    parts = [cache.rows(checkpoint, name) for name in there if split in ("all", name)]
    if not parts:
        st.info(f"There are no {SPLIT_TITLES[split]} here.", icon=":material/filter_alt:")
    return parts


def counts(checkpoint: Checkpoint, parts: list[cache.RowSet] | None, split: str) -> Counts:
    """Count the rows, or take what the checkpoint holds where they are not at hand."""
    schema = checkpoint.encoder.schema
    stored = stored_counts(checkpoint.statistics, schema, split)
    if parts is None:
        return stored
    found = cache.found(
        "counts", checkpoint, parts,
        lambda: functools.reduce(operator.add, [count(part.batch, schema) for part in parts]),
    ) if parts else stored_counts(checkpoint.statistics.iloc[:0], schema, split)  # fmt: skip
    if not np.array_equal(found.impressions, stored.impressions):
        here, there = int(found.impressions.sum()), int(stored.impressions.sum())
        st.info(sample_words(here, there, SPLIT_TITLES[split]), icon=":material/content_cut:")
    return found


def sample_words(here: int, there: int, what: str) -> str:
    """Say how the rows at hand differ from those the checkpoint counted."""
    if here < there:
        return (
            f"The rows at hand are a sample: {here:,} of the {there:,} ({what}) that this"
            " checkpoint was trained and measured with. The numbers below are of the sample."
        )
    return (
        f"The rows at hand are not those of this checkpoint: {here:,} here, {there:,} ({what}) when"
        " it was trained. The numbers below are of the rows at hand."
    )


def table(checkpoint: Checkpoint, counts: Counts, by: str, split: str, key: str) -> None:
    """Draw counts, rates and shares as in the paper's tables."""
    described = checkpoint.description
    found = data_plot.statistics_table(counts, described, by)
    wide = len(found.columns) - 1 > data_plot.WIDE
    widgets.table(data_plot.written_statistics(found), f"{key}-{by}-{split}",
                  height=400 if wide else "content")  # fmt: skip
    said = [
        "Laid out as Tables 1 and 2 of the paper (§4.1): counts, then rates, then each scenario's"
        " share of all."
    ]
    if wide:
        none = np.count_nonzero(found.loc["#impressions"].to_numpy() == 0)
        left = f"; {none} scenarios without rows are left out" if none else ""
        said = [f"The measures of Tables 1 and 2 of the paper (§4.1), a line a scenario{left}."]
    if (counts.labelled != counts.impressions[:, None]).any():
        said.append("A rate is over the rows that have the label; – is a task that does not exist"
                    " there, or a rate of nothing.")  # fmt: skip
    st.caption(f"{' '.join(said)} Data: {widgets.escaped(widgets.stamp())},"
               f" {SPLIT_TITLES[split]}.")  # fmt: skip


def charts(
    checkpoint: Checkpoint, found: Counts, parts: list[cache.RowSet] | None, by: str, split: str
) -> None:
    """Draw each rate, and what positives are worth, by scenario."""
    if not found.impressions.sum():
        return
    described, stamp = checkpoint.description, f"{widgets.stamp()}, {SPLIT_TITLES[split]}"
    values = _worth(checkpoint, parts)

    def build() -> list[tuple[rates_plot.Panel, go.Figure]]:
        panels = rates_plot.panels(found, values, described, by)
        return [(panel, rates_plot.panel_figure(panel, described, stamp)) for panel in panels]

    drawn = cache.found(f"rates-{by}-{split}", checkpoint, parts or [], build)
    places = [column for _ in drawn[::ACROSS] for column in st.columns(ACROSS, gap="medium")]
    for (panel, figure), place in zip(drawn, places, strict=False):
        with place:
            widgets.chart(
                figure,
                f"data-rate-{panel.key}-{by}-{split}",
                panel.title,
                RATES if panel.axis == "%" else VALUE,
                rates_plot.panel_table(panel),
                rates_plot.panel_words(panel),
                code=recipes.of_rows(
                    checkpoint, parts, _rate_lines(panel, bool(parts), values, by, split, stamp)
                ),
            )
    if len(drawn[0][0].lines) > rates_plot.MOST + 1:
        st.caption(f"Drawn: the {rates_plot.MOST} scenarios with most rows; Numbers has all.")


def _rate_lines(
    panel: rates_plot.Panel, there: bool, values: Worth | None, by: str, split: str, stamp: str
) -> str:
    """Return the lines that draw a panel. there: whether the rows are, else what was stored."""
    counted, counts = "count", "count(batch, schema)"
    if not there:
        counted, counts = (
            "stored_counts",
            f"stored_counts(checkpoint.statistics, schema, {split!r})",
        )
    worth_ = "None" if values is None else "worth(rows, batch, described, schema)"
    return (
        f"from aesm2.data.counts import {counted}\n"
        + ("" if values is None else "from aesm2.data.worth import worth\n")
        + "from aesm2.plots import rates\n"
        "described, schema = checkpoint.description, checkpoint.encoder.schema\n"
        f"counts = {counts}\n"
        f"panels = rates.panels(counts, {worth_}, described, {by!r})\n"
        f"panel = next(panel for panel in panels if panel.key == {panel.key!r})\n"
        f"figure = rates.panel_figure(panel, described, {stamp!r})"
    )


def _worth(checkpoint: Checkpoint, parts: list[cache.RowSet] | None) -> Worth | None:
    """Add up values; None where no task has one, or the rows are not at hand or lack the column."""
    described, schema = checkpoint.description, checkpoint.encoder.schema
    valued = [task for task in described.task if task.value is not None]
    if not valued:
        return None
    if not parts:
        st.caption("Values are not among what the checkpoint holds: they need the rows.")
        return None
    try:
        return cache.found(
            "worth", checkpoint, parts,
            lambda: functools.reduce(
                operator.add, [worth(p.frame, p.batch, described, schema) for p in parts]
            ),
        )  # fmt: skip
    except InputError as error:
        said = widgets.escaped(str(error))
        st.warning(f"Values are left out: {said}.", icon=":material/warning:")
        return None
