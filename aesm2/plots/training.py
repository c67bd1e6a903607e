"""Training curves: losses by term, validation AUC, divergences (Fig. 6).

Frames are those of `training.history` with a column `smooth`; each run has one. The run is told by
the dash of its lines, the first being solid; raw values lie faint behind smoothed ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.data.description import Description
from aesm2.data.scenarios import OVERALL
from aesm2.plots.style import Role, finish, folded, headed, restamp, scenario_colour

Axis = Literal["step", "seconds"]
Frames = Mapping[str, pd.DataFrame]

AXES: dict[Axis, str] = {"step": "optimizer step", "seconds": "time in s"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
TASK_COLOURS = ("#009E73", "#E69F00", "#56B4E9", "#882255", "#999933", "#332288")
NEUTRAL, L2_COLOUR, BEST = "#777777", "#AAAA00", "#EE3377"
COLUMNS = 4  # panels beside each other


def losses_figure(runs: Frames, x: Axis, stamp: str) -> go.Figure:
    """Draw every term as it enters the loss, on one logarithmic scale.

    A term that is 0 throughout (a λ or γ of 0) is not drawn.
    """
    figure, tasks = go.Figure(), _ordered(runs, "term", lambda f: f[f["kind"] == "task"])
    for number, (run, frame) in enumerate(runs.items()):
        for (term, kind), own in frame.groupby(["term", "kind"], sort=False):
            if (own["value"] > 0).any():
                colour = _term_colour(str(kind), tasks.index(term) if term in tasks else 0)
                for line in _lines(own, x, _name(str(term), run, runs), colour, number):
                    figure.add_trace(line)
    figure.update_xaxes(title=AXES[x])
    figure.update_yaxes(title="part of the loss (nats)", type="log", dtick=1, tickformat="~g")
    return _finished(figure, stamp, 420)


def validation_figure(
    runs: Frames, best: Mapping[str, int], description: Description, x: Axis, stamp: str
) -> go.Figure:
    """Draw validation AUC × 100 by scenario, a column a task, on one scale.

    runs: lines of one scope, or of it and of all rows. best: step of the weights that each run
    kept, marked by a star on the curve over all rows, else on every curve, and a line for the
    first run.
    """
    tasks = _ordered(runs, "task", lambda f: f)
    titles = {task.name: folded(task.title or task.name) for task in description.task}
    figure = make_subplots(
        rows=1, cols=max(len(tasks), 1), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[titles.get(task, task) for task in tasks],
    )  # fmt: skip
    headed(figure)
    shown: set[str] = set()
    for number, (run, frame) in enumerate(runs.items()):
        for (task, scope, scenario), own in frame.groupby(
            ["task", "scope", "scenario"], sort=False
        ):
            if own["value"].notna().any():
                colour = _scenario_colour(description, str(scope), str(scenario))
                label = "all rows" if scope == OVERALL else f"{scope} {scenario}"
                name, column = _name(label, run, runs), tasks.index(task) + 1
                for line in _lines(own, x, name, colour, number, name not in shown):
                    figure.add_trace(line, row=1, col=column)
                shown.add(name)
                if scope == OVERALL or not (frame["scope"] == OVERALL).any():
                    star = _star(own, best.get(run), x, colour)
                    if star is not None:
                        figure.add_trace(star, row=1, col=column)
    _mark_best(figure, runs, best, x)
    figure.update_xaxes(title=AXES[x])
    figure.update_yaxes(title="AUC × 100", row=1, col=1)
    heads = 1 + max((title.count("<br>") for title in titles.values()), default=0)
    return _finished(figure, stamp, 424 + 16 * heads, heads)


def divergence_figure(runs: Frames, x: Axis, stamp: str) -> go.Figure:
    """Draw Σ KL over the chosen experts by layer (Fig. 6), one scale for each role.

    Above the specific experts' divergences, below them the shared ones'; more than COLUMNS layers
    go on below.
    """
    layers = _ordered(runs, "layer", lambda f: f)
    columns = max(min(len(layers), COLUMNS), 1)
    bands = max(-(-len(layers) // columns), 1)
    roles = (Role.SPECIFIC, Role.SHARED)
    titles = [
        f"{layers[i]}<br>{role.glyph} KL {role.value}" if i < len(layers) else ""
        for band in range(bands)
        for role in roles
        for i in range(band * columns, (band + 1) * columns)
    ]
    rows = 2 * bands
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=titles, horizontal_spacing=0.05,
        vertical_spacing=min(0.2, 0.5 / rows),
    )  # fmt: skip
    shown: set[str] = set()
    for number, (run, frame) in enumerate(runs.items()):
        for (layer, role), own in frame.groupby(["layer", "role"], sort=False):
            place, kind = layers.index(layer), Role(role)
            row, column = 2 * (place // columns) + 1 + roles.index(kind), place % columns + 1
            name = _name(f"{kind.glyph} {kind.value}", run, runs)
            for line in _lines(own, x, name, kind.colour, number, name not in shown, kind.symbol):
                figure.add_trace(line, row=row, col=column)
            shown.add(name)
    for offset, role in enumerate(roles):
        top = _top(runs, role)
        for row in range(1 + offset, rows + 1, 2):
            figure.update_yaxes(range=[0, top], row=row)
            figure.update_yaxes(title="nats", row=row, col=1)
    figure.update_xaxes(title=AXES[x], row=rows)
    headed(figure, size=11)
    return _finished(figure, stamp, 130 + 200 * rows, heads=2)


def curves_table(runs: Frames) -> pd.DataFrame:
    """Return the numbers behind a figure, one line a point, with a column `run`."""
    parts = [frame.assign(run=run) for run, frame in runs.items()]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run"])
    if "smooth" in whole and whole["smooth"].equals(whole["value"]):
        whole = whole.drop(columns="smooth")
    return whole[["run", *(column for column in whole.columns if column != "run")]]


def _lines(
    own: pd.DataFrame, x: Axis, name: str, colour: str, run: int, legend: bool = True,
    symbol: str = "circle",
) -> list[go.Scatter]:  # fmt: skip
    """Return one series: the smoothed line, and the raw values faint behind it."""
    smooth = not own["smooth"].equals(own["value"])
    shared: dict[str, Any] = {"x": own[x], "legendgroup": name, "mode": "lines+markers"}
    marker = {"symbol": symbol, "size": 4 if len(own) > 1 else 8, "color": colour}
    line = {"color": colour, "dash": DASHES[run % len(DASHES)], "width": 2}
    traces = []
    if smooth:
        faint = shared | {"mode": "lines"}
        traces.append(
            go.Scatter(
                y=own["value"], name=name, line=line | {"width": 1, "dash": "solid"}, opacity=0.3,
                showlegend=False, hoverinfo="skip", **faint,
            )
        )  # fmt: skip
    hover = "%{y:.4~g}<br>" + ("step %{x}" if x == "step" else "%{x:.1f} s")
    traces.append(
        go.Scatter(
            y=own["smooth"], name=name, line=line, marker=marker, showlegend=legend,
            hovertemplate=f"{name}<br>{hover}<extra></extra>", **shared,
        )
    )  # fmt: skip
    return traces


def _star(own: pd.DataFrame, step: int | None, x: Axis, colour: str) -> go.Scatter | None:
    """Mark the step of the weights that were kept, where it was measured."""
    at = own[(own["step"] == step) & own["smooth"].notna()]
    if at.empty:
        return None
    return go.Scatter(
        x=at[x], y=at["smooth"], mode="markers", showlegend=False, name="best step",
        marker={"symbol": "star", "size": 13, "color": colour, "line": {"color": BEST, "width": 1}},
        hovertemplate=f"best step, {step}<br>%{{y:.2f}}<extra></extra>",
    )  # fmt: skip


def _mark_best(figure: go.Figure, runs: Frames, best: Mapping[str, int], x: Axis) -> None:
    """Draw a line at the first run's best step in every panel, where it was measured."""
    run = next(iter(runs), None)
    if run is None or run not in best:
        return
    at = runs[run].loc[runs[run]["step"] == best[run], x].dropna()
    if not at.empty:
        line = {"dash": "dot", "width": 1, "color": BEST}
        figure.add_vline(float(at.iloc[0]), line=line, annotation_text="best step",
                         annotation_position="bottom right", annotation_font_size=10)  # fmt: skip


def _ordered(runs: Frames, column: str, part: Any) -> list[Any]:
    """Return the values of a column over all runs, in order of appearance."""
    return list(dict.fromkeys(v for frame in runs.values() for v in part(frame)[column]))


def _top(runs: Frames, role: Role) -> float:
    """Upper end of a role's scale."""
    values = [f.loc[f["role"] == role.value, "value"].to_numpy(np.float64) for f in runs.values()]
    finite = np.concatenate([v[np.isfinite(v)] for v in values] or [np.zeros(0)])
    return 1.05 * float(finite.max()) if len(finite) and finite.max() > 0 else 1.0


def _name(label: str, run: str, runs: Sequence[str] | Frames) -> str:
    return label if len(runs) == 1 else f"{label} · {run}"


def _term_colour(kind: str, task: int) -> str:
    fixed = {
        "specific": Role.SPECIFIC.colour, "shared": Role.SHARED.colour, "l2": L2_COLOUR,
        "total": NEUTRAL,
    }  # fmt: skip
    return fixed.get(kind) or TASK_COLOURS[task % len(TASK_COLOURS)]


def _scenario_colour(description: Description, scope: str, scenario: str) -> str:
    names = next((lv.scenarios for lv in description.level if lv.name == scope), ())
    return scenario_colour(names.index(scenario)) if scenario in names else NEUTRAL


def _finished(figure: go.Figure, stamp: str, height: int, heads: int = 1) -> go.Figure:
    """Finish a figure with its legend at its foot, which takes the room that it needs there.

    heads: lines of the panels' headings.
    """
    drawn = finish(figure, stamp, height, top=32 + 16 * heads, bottom=100)
    restamp(drawn, y=1, yshift=4 + 16 * heads, yanchor="bottom")
    return drawn.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 0, "yref": "container", "x": 0}
    )
