"""The steps of the current layer, a panel each, and the strip of all layers."""

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.plots import gates, ledger, strip
from aesm2.plots.ledger import Ledger
from aesm2.plots.style import Role
from aesm2.routing.trace import RoutingTrace
from app import cache, state, widgets
from app.lens import page as lens
from app.recipes import Code
from app.widgets import Explanation


def strip_panel(
    checkpoint: Checkpoint, trace: RoutingTrace, stamp: str, code: Code, drawn: cache.Draw
) -> None:
    """Draw all layers at a glance; a click makes its layer, and task, the current one."""
    titles = [task.title or task.name for task in checkpoint.description.task]
    shown = strip.columns(trace, 0, range(len(titles)), titles)
    layer, task = widgets.current_layer().name, widgets.current_task()
    script = code(
        f"{STRIP_CODE}\ntrace = checkpoint.trace(row)\n"
        "columns = strip.columns(trace, 0, range(len(titles)), titles)"
        f"\nfigure = strip.strip(columns, {layer!r}, {task}, {stamp!r})"
    )
    clicked = widgets.chart(
        drawn(script, lambda: strip.strip(shown, layer, task, stamp)),
        "lens-strip",
        "All layers at a glance",
        STRIP,
        lambda: strip_frame(shown),
        f"Role and weight of every expert in each layer; the current layer is {layer}",
        selectable=True,
        code=script,
    )
    if lens.fresh("strip", clicked):
        name, own, expert = clicked
        changed = {"layer": str(name), "expert": str(expert)}
        if int(own) >= 0:
            changed["task"] = checkpoint.description.task[int(own)].name
        state.put(**changed)
        st.rerun()


def strip_frame(shown: list[strip.Column]) -> pd.DataFrame:
    """Return the numbers behind a strip: one line a column and expert."""
    frames = [
        column.of.frame().assign(layer=column.title.replace("<br>", " "), target=column.of.gate)
        for column in shown
    ]
    return pd.concat(frames)[["layer", "target", "expert", "role", "mixing_weight"]]


def panels(of: Ledger, stamp: str, code: Code, drawn: cache.Draw) -> None:
    """Draw the ledger: three lines of panels, from the gates to the layer's output."""
    expert = _expert(of)
    first, second, third = (
        st.columns(3, gap="medium"),
        st.columns(3, gap="medium"),
        st.columns(3, gap="medium"),
    )
    draw = functools.partial(_panel, of, expert, code, stamp, drawn)
    draw(first[0], "a", lambda: of.matrix(of.gate_logits))
    draw(first[1], "b", lambda: of.matrix(of.row_softmax))
    with first[2]:
        _words(of, expert)
    for place, (letter, choosing) in zip(second[:2], CHOOSING.items(), strict=True):
        draw(place, letter, of.frame)
        with place:
            st.caption(ledger.gap_sentence(of, choosing))
    with second[2]:
        _sets(of)
    draw(third[0], "e", of.frame)
    draw(third[1], "f", of.frame)
    outputs = {"unit": range(len(of.output)), "value": of.output}
    draw(third[2], "g", lambda: pd.DataFrame(outputs), selectable=False)
    with third[2]:
        st.caption(ledger.output_sentence(of))


def _panel(
    of: Ledger, expert: int, code: Code, stamp: str, drawn: cache.Draw, place: Any, letter: str,
    data: Callable[[], pd.DataFrame], selectable: bool = True,
) -> None:  # fmt: skip
    title, explanation = STEPS[letter]
    script = code(_step_code(of, letter, expert, stamp))
    figure = drawn(script, lambda: _step(of, letter, expert, stamp))
    with place:
        clicked = widgets.chart(
            figure, f"lens-{NAMES[letter]}", f"{letter} · {title}", explanation, data,
            f"{title} of layer {of.spec.name}, target {of.gate}; expert {expert} is marked",
            selectable=selectable, code=script,
        )  # fmt: skip
        st.caption(f"${explanation.formula}$ · {explanation.source}")
    if selectable and lens.fresh(letter, [of.spec.name, *clicked] if clicked else []):
        state.put(expert=str(clicked[0]))
        st.rerun()


def _step_code(of: Ledger, letter: str, expert: int, stamp: str) -> str:
    """Return the lines that draw a step of the ledger."""
    return (
        "from aesm2.plots import gates, ledger\n"
        f"layer = checkpoint.trace(row).layer({of.spec.name!r})\n"
        f"of = ledger.ledger(layer, 0, {widgets.current_task()})\n"
        f"expert, stamp = {expert}, {stamp!r}\n"
        f"figure = {DRAWING[letter]}"
    )


def _step(of: Ledger, letter: str, expert: int, stamp: str) -> go.Figure:
    """Draw a step of the ledger, as DRAWING says."""
    if letter in CHOOSING:
        return ledger.divergence_figure(of, CHOOSING[letter], expert, stamp)
    if letter == "g":
        return ledger.output_figure(of, stamp)
    draw = {
        "a": gates.gate_matrix, "b": gates.row_softmax,
        "e": ledger.masked_gate_figure, "f": ledger.weight_figure,
    }  # fmt: skip
    return draw[letter](of, expert, stamp)


def _words(of: Ledger, expert: int) -> None:
    """Say what became of the selected expert."""
    options = [str(k) for k in range(of.spec.experts)]
    st.selectbox(
        "Expert", options, format_func=lambda k: f"{of.roles[int(k)].glyph} expert {k}",
        help="Or click a cell or a marker.", **state.bind("expert", str(expert)),
    )  # fmt: skip
    role = of.roles[expert]
    st.markdown(f":material/arrow_right: **{role.glyph} {role.value}**")
    for sentence in ledger.expert_sentences(of, expert):
        st.markdown(widgets.escaped(sentence))
    if len(of.spec.gates) > 1:
        st.caption(f"${ledger.expert_formula(of, expert)}$")
    st.caption(CHOSEN_AND_WEIGHTED)


def _sets(of: Ledger) -> None:
    """Name the chosen sets (d)."""
    st.markdown("**d · The chosen sets**")
    gate = widgets.escaped(of.gate_words)
    st.markdown(f"$E_{{sp}}$, specific to **{gate}**: {ledger.set_words(of, 'specific')}")
    st.markdown(f"$E_{{sh}}$, shared by all gates: {ledger.set_words(of, 'shared')}")
    both = [k for k, role in enumerate(of.roles) if role is Role.BOTH]
    union = int((of.specific | of.shared).sum())
    if both:
        words = " and ".join(f"expert {k}" for k in both)
        verb = "is" if len(both) == 1 else "are"
        st.markdown(f"◆ {words} {verb} in both sets, so {union} experts are mixed, not "
                    f"{of.spec.specific + of.spec.shared}.")  # fmt: skip
    else:
        st.markdown(f"No expert is in both sets: {union} experts are mixed.")
    st.caption(
        r"$E_{sp}, E_{sh} = \mathrm{TopK}$ of the smallest divergences · Eq. 10 and 12, §3.3"
    )
    st.caption("  ".join(f"{role.glyph} {role.value}" for role in Role))


def _expert(of: Ledger) -> int:
    """Return the expert of the view; by default the one with the largest weight."""
    wanted = state.get("expert")
    known = [str(k) for k in range(of.spec.experts)]
    return known.index(wanted) if wanted in known else int(of.mixing_weights.argmax())


CHOSEN_AND_WEIGHTED = (
    "**Chosen and weighted are two things.** Choosing reads an expert's *row* of G̃: whom is it for?"
    " Mixing reads the raw *column* g_j: how much of it does this row want? An expert can be chosen"
    " first and weigh little."
)
STRIP = Explanation(
    "Every layer the row passes, left to right, and what became of each expert in it.",
    "▲ specific, ● shared, ◆ both, ○ not chosen. The larger and denser a marker, the more of the"
    " layer's output comes from that expert; the number is its mixing weight. Below a layer's name"
    " stands the gate of this row. Task layers have one column a task. Click a column to open it.",
    r"\mathrm{softmax}(\hat g_j)",
    "Eq. 10, 12 and 14, §3.3",
)
STRIP_CODE = (
    "from aesm2.plots import strip\n"
    "titles = [task.title or task.name for task in checkpoint.description.task]"
)
CHOOSING = {"c₁": "specific", "c₂": "shared"}  # by step
DRAWING = {  # of a step: how `figure` is made of `of`, `expert` and `stamp`
    "a": "gates.gate_matrix(of, expert, stamp)",
    "b": "gates.row_softmax(of, expert, stamp)",
    "c₁": 'ledger.divergence_figure(of, "specific", expert, stamp)',
    "c₂": 'ledger.divergence_figure(of, "shared", expert, stamp)',
    "e": "ledger.masked_gate_figure(of, expert, stamp)",
    "f": "ledger.weight_figure(of, expert, stamp)",
    "g": "ledger.output_figure(of, stamp)",
}
NAMES = {  # of the charts' keys and files
    "a": "gates", "b": "softmax", "c₁": "specific", "c₂": "shared", "e": "masked", "f": "weights",
    "g": "output",
}  # fmt: skip
STEPS = {
    "a": (
        "Gate matrix G",
        Explanation(
            "The raw score of each expert (line) at each gate (column), for this row.",
            "Blue is high and red is low, white is 0. The green frame is the row's own gate j.",
            r"G = [g_1, \dots, g_m],\; g_j = W_j [x, s]",
            "Eq. 7–8, §3.3",
        ),
    ),
    "b": (
        "Row softmax G̃",
        Explanation(
            "Each expert's own distribution over the gates: whom is this expert for?",
            "Every line sums to 1. A line with all its mass in the framed column is an expert for"
            " this row's gate alone; an even line is an expert for everybody.",
            r"\tilde G[k,:] = \mathrm{softmax}(G[k,:])",
            "Eq. 9, §3.3",
        ),
    ),
    "c₁": (
        "Distance from “specific to the row's gate”",
        Explanation(
            "How far each expert's line is from having all its mass on the row's own gate.",
            "Lower is better. The dashed line is the K-th best: at or left of it, chosen.",
            r"\mathrm{KL}(p_j, \tilde G[k,:]) = -\ln \tilde G[k,j]",
            "Eq. 10–11, §3.3",
        ),
    ),
    "c₂": (
        "Distance from “shared by all gates”",
        Explanation(
            "How far each expert's line is from being even over all gates.",
            "Lower is better. It does not depend on the row's own gate.",
            r"\mathrm{KL}(q, \tilde G[k,:]) = -\ln m - \frac1m \sum_j \ln \tilde G[k,j]",
            "Eq. 12–13, §3.3",
        ),
    ),
    "e": (
        "Masked gate column ĝ_j",
        Explanation(
            "The raw scores at the row's own gate: the framed column of a, not of b.",
            "Experts in neither set are masked with −∞, whatever their score.",
            r"\hat g_j[k] = g_j[k] \text{ if } k \in E_{sp} \cup E_{sh} \text{, else } -\infty",
            "Eq. 14, §3.3",
        ),
    ),
    "f": (
        "Mixing weights",
        Explanation(
            "How much of the layer's output comes from each expert.",
            "They sum to 1 over the chosen experts and are 0 for the rest.",
            r"w = \mathrm{softmax}(\hat g_j)",
            "Eq. 14 and 1, §3.3",
        ),
    ),
    "g": (
        "Output of the layer",
        Explanation(
            "The weighted sum of the chosen experts' outputs: what the next layer sees.",
            "One bar a unit. Units have no meaning of their own; compare rows and layers by it.",
            r"\textstyle\sum_k w_k\, f_k(x)",
            "Eq. 15 and 17, §3.3",
        ),
    ),
}
