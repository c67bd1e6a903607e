"""What gates give each expert: mean weights of scenarios as heatmaps, one row's weights as bars.

Axes: a line is one scenario, task, or both; n experts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.plots.style import Role, finish, headed, narrow
from aesm2.plots.utilisation import LINE_PX, PANEL_PX, colour_axis
from aesm2.routing.findings import scenario_label
from aesm2.routing.gates import GateMeans, LayerGates, MixtureSpec, owner_names

MOST_WRITTEN = 12  # experts; more values in a line could not be read
MOST_TICKS = 20
BARS_PX = 110  # height of one layer's bars
FOOT_PX = 88  # below the last panel: its axis, and the stamp in up to three lines
LEAST_WRITTEN = 0.05  # weight; the value of a lower bar is told when hovering
PLAIN = "#8C8C8C"  # experts that belong to nobody have no role


@dataclass(frozen=True)
class Panel:
    """One heatmap: the mean weights of a layer's gates."""

    means: GateMeans

    @property
    def spec(self) -> MixtureSpec:
        """The layer."""
        return self.means.spec

    @property
    def lines(self) -> list[tuple[int, int]]:
        """(target, scenario) of each line, the scenario changing fastest.

        Fine-grained scenarios without rows have no line.
        """
        there = (self.means.rows > 0) | (self.means.by != PATH)
        return [(int(target), int(scenario)) for target, scenario in np.argwhere(there)]

    @property
    def labels(self) -> list[str]:
        """Name of each line."""
        return [self._label(*line) for line in self.lines]

    @property
    def counts(self) -> list[str]:
        """Number of rows of each line, and how many experts their weights amount to."""
        pairs = [(self.means.rows[line], self.means.effective[line]) for line in self.lines]
        return [f"n = {n:,}" + (f", eff. {eff:.1f}" if n else "") for n, eff in pairs]

    @property
    def cells(self) -> np.ndarray:
        """Mean weights, (lines, n); NaN for a line without rows."""
        targets, scenarios = np.array(self.lines, np.int64).reshape(-1, 2).T
        cells: np.ndarray = self.means.weight[targets, scenarios]
        return cells

    def _label(self, target: int, scenario: int) -> str:
        task, by = self.spec.targets[target], self.means.by
        if task and by == OVERALL:
            return task
        label = scenario_label(by, self.means.scenarios[scenario])
        return f"{task} · {label}" if task else label


def ownership(spec: MixtureSpec) -> str:
    """Say in a few words whose a layer's experts are; "" where all belong to all."""
    owned = Counter(owner for owner in spec.owners if owner is not None)
    if not owned:
        return ""
    shared = spec.owners.count(None)
    own = f"{Role.SPECIFIC.glyph} {max(owned.values())} a gate, in order"
    return f"{own}; {Role.SHARED.glyph} {shared} shared" if shared else own


def mixtures_figure(shown: Sequence[Panel], stamp: str) -> go.Figure:
    """Draw the panels below each other on one colour scale from 0 to 1.

    White lines part the experts of one gate from those of the next.
    """
    heights = [LINE_PX * len(panel.lines) for panel in shown]
    total = sum(heights) + PANEL_PX * len(shown)
    titles = [" · ".join(filter(None, (p.spec.name, ownership(p.spec)))) for p in shown]
    figure = make_subplots(
        rows=len(shown), cols=1, row_heights=heights, subplot_titles=titles,
        vertical_spacing=PANEL_PX / total if len(shown) > 1 else 0.0,
    )  # fmt: skip
    for number, panel in enumerate(shown, start=1):
        figure.add_trace(_heatmap(panel), row=number, col=1)
        figure.update_xaxes(**_expert_axis(panel.spec), row=number, col=1)
        lines = range(len(panel.lines))
        names = [f"{a}<br>{n}" for a, n in zip(panel.labels, panel.counts, strict=True)]
        figure.update_yaxes(
            tickvals=list(lines), ticktext=names, range=[len(lines) - 0.5, -0.5], automargin=True,
            row=number, col=1,
        )  # fmt: skip
    figure.update_xaxes(title="expert", title_standoff=2, row=len(shown), col=1)
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    headed(figure, x=0, xanchor="left")
    parting = [line for number, panel in enumerate(shown, 1) for line in _parting(panel, number)]
    figure.update_layout(
        coloraxis=colour_axis(1.0, ".1~f"), dragmode=False, showlegend=False, shapes=parting
    )
    return _finished(figure, stamp, total + 76 + FOOT_PX - PANEL_PX // 2, top=76)


def mixtures_table(shown: Sequence[Panel]) -> pd.DataFrame:
    """Return the numbers behind the figure: one line a cell."""
    lines = []
    for panel in shown:
        owners, cells, means = owner_names(panel.spec), panel.cells, panel.means
        for number, (target, scenario) in enumerate(panel.lines):
            for expert, owner in enumerate(owners):
                lines.append(
                    {
                        "layer": panel.spec.name,
                        "task": panel.spec.targets[target],
                        "scenario": means.scenarios[scenario],
                        "rows": int(means.rows[target, scenario]),
                        "expert": expert,
                        "owner": owner,
                        "mean_weight": cells[number, expert],
                        "effective_experts": means.effective[target, scenario],
                    }
                )
    return pd.DataFrame(lines)


def expert_role(spec: MixtureSpec, expert: int, gate: int) -> Role | None:
    """Role of an expert for a gate: its own, shared, another's; None where nobody owns any."""
    if not any(owner is not None for owner in spec.owners):
        return None
    owner = spec.owners[expert]
    if owner is None:
        return Role.SHARED
    return Role.SPECIFIC if owner == gate else Role.UNSELECTED


def bars_figure(layers: Sequence[LayerGates], row: int, task: int, stamp: str) -> go.Figure:
    """Draw what the gates of one row gave every expert, a line of bars a layer, all from 0 to 1.

    row: its position. task: whose weights are drawn where each task has its own.
    """
    chosen = [(layer, task if len(layer.spec.targets) > 1 else 0) for layer in layers]
    figure = make_subplots(
        rows=len(chosen), cols=1, subplot_titles=[_heading(*pair, row) for pair in chosen],
        vertical_spacing=0.5 / len(chosen),
    )  # fmt: skip
    for number, (layer, target) in enumerate(chosen, start=1):
        figure.add_trace(_bars(layer, target, row), row=number, col=1)
        figure.update_xaxes(**_expert_axis(layer.spec), row=number, col=1)
    figure.update_xaxes(title="expert", title_standoff=2, row=len(chosen), col=1)
    figure.update_xaxes(showgrid=False, fixedrange=True)
    figure.update_yaxes(range=[0, 1.18], tickvals=[0, 0.5, 1], fixedrange=True, zeroline=False)
    headed(figure, x=0, xanchor="left")
    figure.update_layout(dragmode=False, showlegend=False, bargap=0.35)
    return _finished(figure, stamp, BARS_PX * len(chosen) + 36 + FOOT_PX, top=36)


def _finished(figure: go.Figure, stamp: str, height: int, top: int) -> go.Figure:
    return narrow(finish(figure, stamp, height, top, FOOT_PX))


def _heading(layer: LayerGates, target: int, row: int) -> str:
    weights = layer.weights[target, row].double().numpy()
    positive = weights[weights > 0]
    effective = float(np.exp(-(positive * np.log(positive)).sum()))
    spec, gate = layer.spec, layer.spec.gates[int(layer.gate[target, row])]
    task = spec.targets[target]
    whose = (
        f"task {task}" if spec.kind == "task" else f"gate {gate}" + (f", {task}" if task else "")
    )
    return f"{spec.name} · {whose} · {effective:.1f} of {spec.experts} effective"


def _bars(layer: LayerGates, target: int, row: int) -> go.Bar:
    spec, gate = layer.spec, int(layer.gate[target, row])
    weights = layer.weights[target, row].double().numpy()
    roles = [expert_role(spec, expert, gate) for expert in range(spec.experts)]
    text, hover = [], []
    for expert, (role, weight) in enumerate(zip(roles, weights, strict=True)):
        glyph = "" if role is None else role.glyph
        text.append(f"{glyph} {weight:.2f}".strip() if weight >= LEAST_WRITTEN else "")
        hover.append(f"{spec.name}, {_expert(spec, expert)}: weight {weight:.4f}")
    return go.Bar(
        x=np.arange(spec.experts), y=weights, text=text, textposition="outside", textangle=0,
        marker_color=[PLAIN if role is None else role.colour for role in roles],
        hovertext=hover, hoverinfo="text", cliponaxis=False,
    )  # fmt: skip


def _heatmap(panel: Panel) -> go.Heatmap:
    spec, cells = panel.spec, panel.cells
    hover = [
        [
            f"{spec.name}, {label}<br>{_expert(spec, expert)}: {_told(value)}<br>{count}"
            for expert, value in enumerate(line)
        ]
        for label, count, line in zip(panel.labels, panel.counts, cells, strict=True)
    ]
    written = {"text": [[_written(v) for v in line] for line in cells], "texttemplate": "%{text}"}
    return go.Heatmap(
        z=cells, coloraxis="coloraxis", xgap=1, ygap=1, hovertext=hover, hoverinfo="text",
        textfont_size=11, **(written if spec.experts <= MOST_WRITTEN else {}),
    )  # fmt: skip


def _expert_axis(spec: MixtureSpec) -> dict[str, Any]:
    step = -(-spec.experts // MOST_TICKS)
    return {"tickvals": list(range(0, spec.experts, step)), "range": [-0.5, spec.experts - 0.5]}


def _parting(panel: Panel, number: int) -> list[dict[str, Any]]:
    """Lines between the experts of different owners in one panel."""
    owners, axis = panel.spec.owners, "" if number == 1 else str(number)
    return [
        {
            "type": "line", "xref": f"x{axis}", "yref": f"y{axis}", "x0": k - 0.5, "x1": k - 0.5,
            "y0": -0.5, "y1": len(panel.lines) - 0.5, "line": {"color": "white", "width": 3},
        }
        for k in range(1, len(owners))
        if owners[k] != owners[k - 1]
    ]  # fmt: skip


def _expert(spec: MixtureSpec, expert: int) -> str:
    owners = owner_names(spec)
    shared = " (shared)" if any(owners) else ""
    return f"expert {expert} of {owners[expert]}" if owners[expert] else f"expert {expert}{shared}"


def _written(value: float) -> str:
    return "" if np.isnan(value) or value < 0.005 else f"{value:.2f}"


def _told(value: float) -> str:
    return "no rows" if np.isnan(value) else f"mean weight {value:.3f}"
