"""Which features are distributed differently between scenarios, or between training and test."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import SplitName
from aesm2.data.drift import scenario_drift, split_drift, value_counts
from aesm2.data.scenarios import scenario_index, scenario_names
from aesm2.plots import distribution as distribution_plot
from aesm2.plots import drift as drift_plot
from aesm2.routing.findings import scenario_label
from app import cache, state, widgets
from app.data import code, tables
from app.data.code import Compared
from app.lens import page as lens

FIRST = 20  # features drawn unless all are asked for
NARROW = 6  # comparisons that leave room for a second chart beside them
BETWEEN = {"scenarios": "scenarios", "splits": "training and test rows"}
NOTHING = {
    "scenarios": "Only one scenario has rows here; compare training and test rows instead.",
    "splits": "Training or test rows are missing here; compare scenarios instead.",
}
SPLITS: tuple[SplitName, SplitName] = ("train", "test")
DRIFT = widgets.Explanation(
    "How differently a feature is distributed in two sets of rows: a scenario and all other rows,"
    " or training and test.",
    "0 is no more than chance would do, 1 is no value in common. Small sets differ by chance, above"
    " all in ids: the divergence E that rows drawn at random would have is taken off (its"
    " hypergeometric expectation, as in adjusted mutual information; Vinh, Epps and Bailey, 2010)."
    " In brackets: within what 95 % of such draws do. Missing and unseen count as values. Chance"
    " takes rows as independent; rows of one user are alike, so a little above it proves little. ⚠"
    " marks fewer than 30 rows. Click a line to see its values.",
    r"\frac{\mathrm{JS}_2(p, q) - E}{1 - E},\quad \mathrm{JS}_2 = \tfrac12 \mathrm{KL}_2(p, m)"
    r" + \tfrac12 \mathrm{KL}_2(q, m),\ m = \tfrac12 (p + q)\ \text{(bits)}",
)
DISTRIBUTION = widgets.Explanation(
    "How many of each set's rows have which value.",
    "One dot a set; a long grey line is a value that sets them apart. Numbers are cut where the"
    " model cuts them, at quantiles of the training rows. Of many ids, those whose share differs"
    " most stand alone.",
)


def section(checkpoint: Checkpoint, parts: list[cache.RowSet] | None, by: str, split: str) -> None:
    """Draw the comparison of all features, and the values of the chosen one."""
    if not parts:
        st.info("Comparing features needs the rows, which are not at hand here.",
                icon=":material/folder_off:")  # fmt: skip
        return
    names = list(checkpoint.description.fields)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        between = widgets.pick("Compare", "drift", list(BETWEEN), "scenarios",
                               BETWEEN.__getitem__, width=240)  # fmt: skip
        found = (
            _scenarios(checkpoint, parts, by, split)
            if between == "scenarios"
            else _splits(checkpoint, by)
        )
        if found is None or not drift_plot.compared(found.drift):
            st.info(NOTHING[between], icon=":material/info:")
            return
        order = [names[f] for f in drift_plot.ranked(found.drift)]
        chosen = widgets.pick("Feature", "feature", order, order[0], _title(checkpoint), width=240)
        most = len(names)
        if most > FIRST:
            many = {str(FIRST): f"the {FIRST} that differ most", str(most): f"all {most}"}
            most = int(widgets.pick("Show", "drift-show", list(many), str(FIRST),
                                    many.__getitem__, width=220))  # fmt: skip
    wide = len(drift_plot.compared(found.drift)) > NARROW
    left, right = (st.container(), st.container()) if wide else st.columns(2, gap="medium")
    with left:
        _heatmap(checkpoint, found, names.index(chosen), most)
    with right:
        _values(checkpoint, found, names.index(chosen))


def _heatmap(checkpoint: Checkpoint, found: Compared, chosen: int, most: int) -> None:
    names = list(checkpoint.description.fields)
    labels = [_title(checkpoint)(name) for name in names]

    def build() -> tuple[go.Figure, pd.DataFrame]:
        drift, sets = found.drift, found.names
        figure = drift_plot.drift_figure(drift, labels, sets, chosen, most, found.stamp)
        return figure, drift_plot.drift_table(drift, labels, sets)

    key = f"data-drift-{found.key}-{most}"
    figure, table = cache.found(f"{key}-{chosen}", checkpoint, found.parts, build)
    clicked = widgets.chart(
        figure,
        key,
        found.what,
        DRIFT,
        table,
        drift_plot.drift_words(found.drift, labels, found.names),
        selectable=True,
        code=code.drift(checkpoint, found, chosen, most),
    )
    if len(drift_plot.compared(found.drift)) > drift_plot.MOST:
        st.caption(f"Drawn: the {drift_plot.MOST} scenarios with most rows; Numbers has all.")
    if lens.fresh("drift", [found.key, *clicked] if clicked else []):
        state.put(feature=names[int(clicked[0])])
        st.rerun()


def _values(checkpoint: Checkpoint, found: Compared, feature: int) -> None:
    """Draw the values of one feature in each set of rows."""
    encoder = checkpoint.encoder
    name = list(checkpoint.description.fields)[feature]
    size = encoder.schema.fields[feature]
    counts = np.sum(
        [
            value_counts(part.batch.fields[:, feature].numpy(), size, own, len(found.sets))
            for part, own in zip(found.parts, found.members, strict=True)
        ],
        axis=0,
    )
    shown = distribution_plot.distribution(
        _title(checkpoint)(name), encoder.value_names(name), name in encoder.edges,
        found.sets, counts,
    )  # fmt: skip
    widgets.chart(
        distribution_plot.distribution_figure(shown, found.stamp),
        f"data-values-{found.key}-{name}",
        f"Values of {shown.feature}",
        DISTRIBUTION,
        distribution_plot.distribution_table(shown),
        f"Shares of the values of {shown.feature} in {', '.join(shown.sets)}",
        code=code.values(checkpoint, found, feature),
    )
    if len(shown.sets) < int((counts.sum(1) > 0).sum()):
        st.caption(f"The {len(shown.sets)} scenarios with most rows, of {len(found.sets)}.")


def _scenarios(checkpoint: Checkpoint, parts: list[cache.RowSet], by: str, split: str) -> Compared:
    """Compare the rows of each scenario with all the others."""
    schema = checkpoint.encoder.schema
    names = scenario_names(schema, by)
    labels = tuple(scenario_label(by, name) for name in names)

    def build() -> Compared:
        members = [_scenario(checkpoint, part, by) for part in parts]
        fields = np.concatenate([part.batch.fields.numpy() for part in parts])
        found = scenario_drift(fields, schema.fields, np.concatenate(members), len(names))
        stamp = f"{widgets.stamp()}, {tables.SPLIT_TITLES[split]}"
        what = "Difference from all other rows"
        return Compared(found, labels, labels, parts, members, f"{by}-{split}", what, stamp, by)

    return cache.found(f"drift-{by}", checkpoint, parts, build)


def _splits(checkpoint: Checkpoint, by: str) -> Compared | None:
    """Compare training and test rows, all of them and by scenario; None where one is missing."""
    schema, there = checkpoint.encoder.schema, cache.splits(checkpoint)
    if not all(split in there for split in SPLITS):
        return None
    parts = [cache.rows(checkpoint, split) for split in SPLITS]
    names = scenario_names(schema, by)
    labels = tuple(scenario_label(by, name) for name in names)

    def build() -> Compared:
        a, b = (part.batch.fields.numpy() for part in parts)
        own = [_scenario(checkpoint, part, by) for part in parts]
        found = split_drift(a, b, schema.fields, own[0], own[1], len(names))
        members = [np.full(len(part.frame), i) for i, part in enumerate(parts)]
        stamp = f"{widgets.stamp()}, training and test rows"
        sets = ("training", "test")
        columns = ("all rows", *labels)
        what = "Difference of test from training"
        return Compared(found, columns, sets, parts, members, f"{by}-splits", what, stamp, by)

    return cache.found(f"drift-splits-{by}", checkpoint, parts, build)


def _scenario(checkpoint: Checkpoint, rows: cache.RowSet, by: str) -> np.ndarray:
    schema = checkpoint.encoder.schema
    return scenario_index(rows.batch.scenarios.numpy(), schema, by)


def _title(checkpoint: Checkpoint) -> Callable[[str], str]:
    """Return what names a feature: its title, or its name."""
    fields = checkpoint.description.fields
    return lambda name: fields[name].title or name
