"""The gates of a model without selection, for one row: what each gives every expert."""

from typing import Any

import pandas as pd
import streamlit as st

from aesm2.data.batch import Batch
from aesm2.plots import mixtures
from aesm2.plots.style import Role
from aesm2.routing.gates import GateWeights, gate_weights, mixture_layers
from app import cache, widgets
from app.recipes import Code

WEIGHTS = widgets.Explanation(
    "How much of each layer's output comes from each expert, for this row.",
    "One line of bars a layer, from 0 to 1; each adds up to 1. This model computes every expert"
    " that a gate is connected to and selects none. “Effective” is exp of the entropy of the"
    " weights: 1 where one expert has all, the number of experts where all count alike.",
    r"y = \textstyle\sum_k w_k\, f_k(x),\quad \sum_k w_k = 1",
    "Eq. 1–4, §3.1",
)
OWNERS = (
    f"{Role.SPECIFIC.glyph} an expert of the row's own gate · {Role.SHARED.glyph} an expert of all"
    f" gates · {Role.UNSELECTED.glyph} an expert of another gate"
)


def panel(
    opened: cache.Opened, batch: Batch, name: Any, stamp: str, code: Code, drawn: cache.Draw
) -> None:
    """Draw the weights of every layer for the one row of `batch`, called `name`."""
    found, task = _found(opened, batch, name), widgets.current_task()
    tasks = opened.checkpoint.encoder.schema.tasks
    st.subheader("What the gates give each expert", anchor=False)
    st.caption(
        f"{opened.checkpoint.config.model.title} selects no experts: its gates weigh them, and all"
        f" that have weight contribute. Where tasks have gates of their own, those of {tasks[task]}"
        " are shown."
    )
    lines = f"encoded = checkpoint.encode(row)\n{_lines(stamp)}"
    _chart(found, "lens-gates", "Weights of the experts, layer by layer", stamp, code(lines),
           drawn)  # fmt: skip
    if any(owner is not None for layer in found.layers for owner in layer.spec.owners):
        st.caption(OWNERS)


def compare(
    opened: cache.Opened, before: Batch, after: Batch, name: Any, stamp: str, code: Code,
    drawn: cache.Draw,
) -> None:  # fmt: skip
    """Draw the weights of one row as it is and changed, beside each other."""
    sides = (
        (before, "before", "As it is", "checkpoint.encode(row)"),
        (after, "after", "Changed", "both.batch"),
    )
    for place, (batch, key, title, made) in zip(st.columns(2), sides, strict=True):
        with place:
            found = _found(opened, batch, name)
            lines = code(f"encoded = {made}\n{_lines(stamp)}")
            _chart(found, f"lens-gates-{key}", title, stamp, lines, drawn)


def there(opened: cache.Opened) -> bool:
    """Whether the model has gates but no selection."""
    return not opened.checkpoint.layers and bool(mixture_layers(opened.checkpoint.model))


def _found(opened: cache.Opened, batch: Batch, name: Any) -> GateWeights:
    return gate_weights(opened.checkpoint.model, batch, pd.Index([name]))


def _lines(stamp: str) -> str:
    """Return the lines that draw the weights of the row in `encoded`."""
    return (
        "from aesm2.plots import mixtures\n"
        "from aesm2.routing.gates import gate_weights\n"
        "layers = gate_weights(checkpoint.model, encoded, row.index).layers\n"
        f"figure = mixtures.bars_figure(layers, 0, {widgets.current_task()}, {stamp!r})"
    )


def _chart(
    found: GateWeights, key: str, title: str, stamp: str, code: str, drawn: cache.Draw
) -> None:
    task = widgets.current_task()
    widgets.chart(
        drawn(code, lambda: mixtures.bars_figure(found.layers, 0, task, stamp)),
        key,
        title,
        WEIGHTS,
        found.to_frame,
        f"{title}: weight of every expert in {len(found.layers)} layers for this row",
        code=code,
    )
