"""One row: its features, what the encoder made of them, and its predictions beside its labels."""

import math

import pandas as pd
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.description import Description
from aesm2.data.encoder import tasks_exist
from aesm2.layers.embedding import MISSING, UNSEEN
from aesm2.routing.counterfactual import predictions
from aesm2.routing.trace import RoutingTrace
from app import cache
from app.lens import page as lens
from app.lens import rows as lens_rows
from app.markdown import escaped


def show(opened: cache.Opened, rows: cache.RowSet, position: int, trace: RoutingTrace) -> None:
    """Draw the row at `position`; `trace` is of it alone."""
    checkpoint = opened.checkpoint
    labels = None if rows.batch.labels is None else rows.batch.labels[position].tolist()
    _predictions(checkpoint, predictions(trace, checkpoint), labels)
    table = lens_rows.told(
        opened, rows, f"features of {position}", lambda: features(checkpoint, rows, position)
    )
    with st.expander(f"Features of the row: {_summary(table)}", icon=":material/list:"):
        groups = checkpoint.description.features
        for name, place in zip(groups, st.columns(len(groups)), strict=True):
            with place:
                st.markdown(f"**{escaped(name.capitalize())}**")
                own = table[table["group"] == name].drop(columns="group")
                st.dataframe(
                    own, hide_index=True, height=min(38 + 35 * len(own), 320), row_height=35
                )


def absence(checkpoint: Checkpoint, rows: cache.RowSet, position: int, task: int) -> None:
    """Say so where a task does not exist in the scenario of the row at `position`."""
    described = checkpoint.description
    scenarios = rows.batch.scenarios[position : position + 1].numpy()
    if not tasks_exist(described, scenarios)[0, task]:
        title = described.task[task].title or described.task[task].name
        st.info(
            f"{title} does not exist in this row's scenario. The model routes every row for every"
            " task, so there is a choice to see, but nothing was trained or is predicted with it.",
            icon=":material/block:",
        )


def features(checkpoint: Checkpoint, rows: cache.RowSet, position: int) -> pd.DataFrame:
    """Return one line a feature: group, feature, value, what the encoder made of it, a flag."""
    lines = []
    indices = rows.batch.fields[position].tolist()
    fields = list(checkpoint.description.fields)
    for group, members in checkpoint.description.features.items():
        for name, feature in members.items():
            index = indices[fields.index(name)]
            flag, seen = "", checkpoint.encoder.value_names(name)[index]
            if index == MISSING:
                flag, seen = "∅", "missing"
            elif index == UNSEEN:
                flag = "⚠"
                rare = f" ≥ {feature.min_count} times" if feature.min_count > 1 else ""
                seen = f"unseen: training did not meet it{rare}"
            elif feature.kind == "categorical":
                seen = "known value"
            value = rows.frame[feature.column or name].iloc[position]
            lines.append(
                {
                    "group": group, "feature": feature.title or name, "value": lens.spell(value),
                    "encoded as": seen, "flag": flag,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def _summary(table: pd.DataFrame) -> str:
    odd = table[table["flag"] != ""]
    if odd.empty:
        return f"{len(table)}, none unseen or missing"
    few = ", ".join(f"{f} {n}" for f, n in zip(odd["flag"][:4], odd["feature"][:4], strict=True))
    return f"{len(table)}, {len(odd)} unseen (⚠) or missing (∅): {few}{' …' * (len(odd) > 4)}"


def conditional_name(described: Description, task: int) -> str:
    """Return what the probability given the followed task is called, e.g. "CVR"."""
    own = described.task[task]
    return (own.conditional or f"{own.name} given {own.follows}").upper()


def _predictions(
    checkpoint: Checkpoint, predicted: pd.DataFrame, labels: list[float] | None
) -> None:
    described = checkpoint.description
    with st.container(horizontal=True):
        for i, task in enumerate(described.task):
            line = predicted.iloc[i]
            if task.follows:
                st.metric(
                    f"p{conditional_name(described, i)}", lens.percent(line["conditional"]),
                    border=True, width=210, delta=f"given {task.follows.upper()}",
                    delta_color="off", delta_arrow="off",
                    help=f"Probability of {task.name} given {task.follows}: the sigmoid of its"
                    f" tower's logit. p{task.name.upper()} = p{task.follows.upper()} ·"
                    f" p{conditional_name(described, i)}.",
                )  # fmt: skip
            label = _label(line["probability"], None if labels is None else labels[i])
            st.metric(
                f"{task.title or task.name} · p{task.name.upper()}",
                lens.percent(line["probability"]), border=True, width=210, delta=label,
                delta_color="off", delta_arrow="off",
            )  # fmt: skip


def _label(probability: float, label: float | None) -> str:
    """Say what the row's label is, or why it has none."""
    if math.isnan(probability):
        return "not in this scenario"
    return "no label" if label is None or math.isnan(label) else f"label {int(label)}"
