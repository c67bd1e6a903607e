"""The steps of one layer for one row: the numbers, the words, and a figure a step.

Every figure has the experts as rows, expert 0 on top, so that the eye can go across; every marker
of an expert carries its number as `customdata`, so that a click can select it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType

from aesm2.plots.style import Role, finish, roles
from aesm2.routing.trace import LayerSpec, LayerTrace

CHOOSING = ("specific", "shared")


@dataclass(frozen=True)
class Ledger:
    """One layer, one row, one task; n experts, m gates.

    target: j. gate_logits, row_softmax: G and G̃, (n, m). kl_specific, kl_shared, mixing_weights:
    (n,). specific, shared: masks, (n,). output: (width,).
    """

    spec: LayerSpec
    target: int
    gate_logits: np.ndarray
    row_softmax: np.ndarray
    kl_specific: np.ndarray
    kl_shared: np.ndarray
    specific: np.ndarray
    shared: np.ndarray
    mixing_weights: np.ndarray
    output: np.ndarray

    @property
    def gate(self) -> str:
        """Name of the target gate."""
        return self.spec.gates[self.target]

    @property
    def gate_words(self) -> str:
        """The target gate in words, e.g. "tab 1" or "task ctr"."""
        return f"{self.spec.name.rpartition('.')[0]} {self.gate}"

    @property
    def own_logits(self) -> np.ndarray:
        """g_j, the column of G that mixing looks at, (n,)."""
        return self.gate_logits[:, self.target]

    @property
    def roles(self) -> list[Role]:
        """Role of each expert."""
        return roles(self.specific, self.shared)

    def score(self, choosing: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Return (KL, mask of the chosen, K) of the "specific" or the "shared" choice."""
        if choosing == "specific":
            return self.kl_specific, self.specific, self.spec.specific
        return self.kl_shared, self.shared, self.spec.shared

    def ranks(self, choosing: str) -> np.ndarray:
        """Place of each expert in a choice, 1 the best, (n,).

        Where rounding makes two divergences equal, the one that was chosen goes first.
        """
        score, mask, _ = self.score(choosing)
        order = np.lexsort((np.arange(len(score)), score, ~mask))
        ranks = np.empty(len(score), int)
        ranks[order] = np.arange(1, len(score) + 1)
        return ranks

    def frame(self) -> pd.DataFrame:
        """One line an expert: all its numbers."""
        return pd.DataFrame(
            {
                "expert": np.arange(self.spec.experts),
                "role": [role.value for role in self.roles],
                "gate_logit": self.own_logits,
                "row_softmax": self.row_softmax[:, self.target],
                "kl_specific": self.kl_specific,
                "rank_specific": self.ranks("specific"),
                "kl_shared": self.kl_shared,
                "rank_shared": self.ranks("shared"),
                "mixing_weight": self.mixing_weights,
            }
        )

    def matrix(self, values: np.ndarray) -> pd.DataFrame:
        """Return an (n, m) array as a table: one line an expert, one column a gate."""
        table = pd.DataFrame(values, columns=list(self.spec.gates))
        table.insert(0, "expert", np.arange(self.spec.experts))
        return table


def ledger(layer: LayerTrace, row: int, task: int) -> Ledger:
    """Take one row out of a layer's trace, as task `task` sees it."""
    own = layer.of_task(task)
    return Ledger(
        spec=layer.spec,
        target=int(own.target[row]),
        gate_logits=own.gate_logits[row].double().numpy(),
        row_softmax=own.gate_logits[row].double().softmax(-1).numpy(),
        kl_specific=own.kl_specific[row].double().numpy(),
        kl_shared=own.kl_shared[row].double().numpy(),
        specific=own.specific[row].numpy(),
        shared=own.shared[row].numpy(),
        mixing_weights=own.mixing_weights[row].double().numpy(),
        output=own.output[row].double().numpy(),
    )


def gap_sentence(of: Ledger, choosing: str) -> str:
    """Say how close the choice was: the distance from the last one taken to the first one left."""
    score, _, k = of.score(choosing)
    if k == 0:
        return f"K = 0: this layer chooses no expert as {choosing}."
    if k == len(score):
        return f"K = {k} takes every expert: there is nothing to choose."
    if len(of.spec.gates) == 1:
        return f"One gate: every divergence is 0, and the first {k} experts are taken."
    ranks = of.ranks(choosing)
    last, first = int(np.flatnonzero(ranks == k)[0]), int(np.flatnonzero(ranks == k + 1)[0])
    gap = max(0.0, float(score[first] - score[last]))
    return (
        f"K = {k}: expert {last} is the last one taken ({number(score[last])} nats), expert {first}"
        f" the first one left ({number(score[first])}); the gap is {number(gap)} nats."
    )


def expert_sentences(of: Ledger, expert: int) -> list[str]:
    """Say in words and numbers what became of an expert: specific, shared, weight."""
    softmax = float(of.row_softmax[expert, of.target])
    if len(of.spec.gates) == 1:
        return [
            f"This layer has one gate, so expert {expert} gives it its whole row and both"
            " divergences are 0 for every expert.",
            _weight_sentence(of, expert),
        ]
    n = of.spec.experts
    place = {what: int(of.ranks(what)[expert]) for what in CHOOSING}
    mean_log = float(_log_softmax(of.gate_logits[expert]).mean())
    m = len(of.spec.gates)
    return [
        f"Expert {expert} gives {of.gate_words} {number(softmax)} of its row: its divergence"
        f" from “specific to {of.gate_words}” is −ln {number(softmax)} ="
        f" {number(of.kl_specific[expert])} nats, rank {place['specific']} of {n} →"
        f" {_verdict(of, expert, 'specific')}.",
        f"Over all {m} gates its row is {_evenness(of, expert)}: its divergence from “shared by"
        f" all” is −ln {m} − ({number(mean_log)}) = {number(of.kl_shared[expert])} nats, rank"
        f" {place['shared']} of {n} → {_verdict(of, expert, 'shared')}.",
        _weight_sentence(of, expert),
    ]


def expert_formula(of: Ledger, expert: int) -> str:
    """Return the specific score of an expert as LaTeX with its numbers."""
    softmax = float(of.row_softmax[expert, of.target])
    return (
        rf"\mathrm{{KL}}(p_j, \tilde G[{expert},:]) = -\ln \tilde G[{expert}, j]"
        rf" = -\ln {number(softmax)} = {number(of.kl_specific[expert])}"
    )


def set_words(of: Ledger, choosing: str) -> str:
    """Return the chosen set in words with glyphs, e.g. "▲ expert 3 · ◆ expert 5"."""
    _, mask, _ = of.score(choosing)
    every = of.roles
    chosen = [f"{every[k].glyph} expert {k}" for k in np.flatnonzero(mask)]
    return " · ".join(chosen) or "none"


def output_sentence(of: Ledger) -> str:
    """Say how large the layer's output is."""
    norm = float(np.linalg.norm(of.output))
    silent = int((of.output == 0).sum())
    quiet = f"; {silent} of them are 0" if silent else ""
    return f"{len(of.output)} units, Euclidean norm {number(norm)}{quiet}."


def number(value: float) -> str:
    """Write a number with three significant digits, without an exponent where it can be read."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return f"{value:.1e}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f}".replace("-", "−")


def divergence_figure(of: Ledger, choosing: str, expert: int | None, stamp: str) -> go.Figure:
    """One choice (Eq. 10–13): each expert's divergence and the line up to which they are taken."""
    score, mask, k = of.score(choosing)
    taken = Role.SPECIFIC if choosing == "specific" else Role.SHARED
    shown = [taken if chosen else Role.UNSELECTED for chosen in mask]
    ranks = of.ranks(choosing)
    hover = [f"expert {i}: {v:.5g} nats, rank {ranks[i]}" for i, v in enumerate(score)]
    traces = _lollipops(score, shown, [f" {number(v)}" for v in score], hover)
    shapes, annotations = [], []
    if 0 < k < len(score):
        line = float(score[mask].max())
        stroke = {"dash": "dash", "color": taken.colour, "width": 1}
        shapes.append({"type": "line", "x0": line, "x1": line, "y0": 0, "y1": 1, "yref": "paper",
                       "line": stroke, "name": "topk"})  # fmt: skip
        annotations.append({"text": f"K = {k}", "x": line, "y": 1, "yref": "paper", "name": "topk",
                            "yanchor": "bottom", "showarrow": False,
                            "font": {"color": taken.colour, "size": 11}})  # fmt: skip
    top = float(score.max()) or 1.0
    axis = {"title": {"text": "nats, lower is better"}, "range": [-0.03 * top, 1.22 * top]}
    return by_expert(traces, of.spec.experts, expert, stamp, axis, shapes, annotations)


def masked_gate_figure(of: Ledger, expert: int | None, stamp: str) -> go.Figure:
    """ĝ_j (Eq. 14): the raw gate column; an expert that was not chosen is masked with −∞."""
    raw, every = of.own_logits, of.roles
    pairs = list(zip(every, raw, strict=True))
    text = ["  −∞  " if role is Role.UNSELECTED else f" {number(v)} " for role, v in pairs]
    hover = [f"expert {i}: {v:.5g}, {role.value}" for i, (role, v) in enumerate(pairs)]
    low, high = min(0.0, float(raw.min())), max(0.0, float(raw.max()))
    room = 0.3 * ((high - low) or 1.0)
    axis = {"title": {"text": "gate logit g_j"}, "range": [low - room, high + room]}
    return by_expert(_lollipops(raw, every, text, hover), of.spec.experts, expert, stamp, axis)


def weight_figure(of: Ledger, expert: int | None, stamp: str) -> go.Figure:
    """Mixing weights softmax(ĝ_j) (Eq. 14): they sum to 1 over the chosen experts."""
    every = of.roles
    text = [
        f"{role.glyph} {weight:.2f}" if role is not Role.UNSELECTED else role.glyph
        for role, weight in zip(every, of.mixing_weights, strict=True)
    ]
    bars = go.Bar(
        x=of.mixing_weights,
        y=np.arange(of.spec.experts),
        orientation="h",
        marker={"color": [role.colour for role in every]},
        text=text,
        textposition="outside",
        cliponaxis=False,
        customdata=np.arange(of.spec.experts),
        hovertemplate="expert %{y}: %{x:.4f}<extra></extra>",
        name="mixing weight",
    )
    axis = {"title": {"text": "mixing weight"}, "range": [0, 1.2], "tickvals": [0, 0.5, 1]}
    return by_expert([bars], of.spec.experts, expert, stamp, axis)


def output_figure(of: Ledger, stamp: str) -> go.Figure:
    """Draw the layer's output (Eq. 15, 17): the mixture's value in each of its units."""
    bars = go.Bar(
        x=np.arange(len(of.output)), y=of.output, marker={"color": "#777777"},
        hovertemplate="unit %{x}: %{y:.4f}<extra></extra>", name="output",
    )  # fmt: skip
    axes = {
        "xaxis": {"title": {"text": "unit of the output", "standoff": 4}},
        "yaxis": {"title": {"text": "value"}},
    }
    return _settled(go.Figure(bars, {"showlegend": False, **axes}), stamp, of.spec.experts)


def by_expert(
    traces: Sequence[BaseTraceType],
    experts: int,
    expert: int | None,
    stamp: str,
    xaxis: dict[str, Any],
    shapes: Sequence[dict[str, Any]] = (),
    annotations: Sequence[dict[str, Any]] = (),
) -> go.Figure:
    """Return a figure with the experts as rows, expert 0 on top, the selected one marked.

    The whole layout is given at once: plotly checks every change of one, which takes longer than
    the model does.
    """
    names = [f"<b>▶ {k}</b>" if k == expert else str(k) for k in range(experts)]
    yaxis = {
        "title": {"text": "expert"}, "tickvals": list(range(experts)), "ticktext": names,
        "range": [experts - 0.5, -0.5], "zeroline": False, "showgrid": False,
    }  # fmt: skip
    marked = [] if expert is None else [_band(expert)]
    layout = {
        "xaxis": {"zeroline": True, **xaxis, "title": {"standoff": 4, **xaxis.get("title", {})}},
        "yaxis": yaxis,
        "shapes": [*marked, *shapes],
        "annotations": list(annotations),
        "showlegend": False,
    }
    return _settled(go.Figure(list(traces), layout), stamp, experts)


def _settled(figure: go.Figure, stamp: str, experts: int) -> go.Figure:
    """Finish a figure; the provenance stamp goes below the title of the horizontal axis."""
    return finish(figure, stamp, 104 + 24 * max(experts, 5), top=30, bottom=62)


def _band(expert: int) -> dict[str, Any]:
    return {
        "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": expert - 0.5, "y1": expert + 0.5,
        "name": "selected", "fillcolor": "#F0E442", "opacity": 0.25, "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip


def _lollipops(
    values: np.ndarray, shown: list[Role], text: list[str], hover: list[str]
) -> list[BaseTraceType]:
    """Draw one marker an expert, on a stem from 0."""
    experts, colours = np.arange(len(values)), [role.colour for role in shown]
    stems = go.Bar(
        x=values, y=experts, orientation="h", width=0.08, marker={"color": colours},
        hoverinfo="skip", name="stems",
    )  # fmt: skip
    markers = go.Scatter(
        x=values,
        y=experts,
        mode="markers+text",
        marker={"symbol": [role.symbol for role in shown], "color": colours, "size": 12},
        text=text,
        textposition=["middle left" if value < 0 else "middle right" for value in values],
        cliponaxis=False,
        customdata=experts,
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        name="experts",
    )
    return [stems, markers]


def _verdict(of: Ledger, expert: int, choosing: str) -> str:
    _, mask, k = of.score(choosing)
    if mask[expert]:
        return f"chosen as {choosing}"
    return f"not chosen as {choosing}" if k else f"this layer chooses none as {choosing} (K = 0)"


def _weight_sentence(of: Ledger, expert: int) -> str:
    raw = number(of.own_logits[expert])
    if of.roles[expert] is Role.UNSELECTED:
        return f"In neither set, so its gate logit {raw} is masked with −∞ and its weight is 0."
    return (
        f"Its weight looks at the raw gate column, not at the row: logit {raw} among the chosen →"
        f" {of.mixing_weights[expert]:.3f} of the mixture."
    )


def _evenness(of: Ledger, expert: int) -> str:
    row = of.row_softmax[expert]
    top = int(row.argmax())
    return f"largest at {of.spec.gates[top]} ({number(row[top])})"


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max()
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum())
    return result
