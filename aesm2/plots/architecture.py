"""The architecture as it was configured: embedding, levels, task layers, towers, chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.config import (
    ExpertGroup,
    GatedGroup,
    Group,
    HardSharingConfig,
    LayerGroup,
    MixtureGroup,
    ModelConfig,
    SplitGroup,
    StackedConfig,
    per_level,
)
from aesm2.data.description import Description, Task
from aesm2.plots.style import Role, finish, restamp

StageKind = Literal["embedding", "scenario", "task", "hidden", "towers", "chain"]
LINE_PX = 58
NAME_X, FIRST_X, LAST_X, NOTE_X = 0.01, 0.4, 0.7, 0.99  # columns; notes end at theirs
SHORT = 24  # characters of a detail that a narrow page has room for
HIGHLIGHT = "#EE3377"


@dataclass(frozen=True)
class Stage:
    """One step of the computation, a line of the drawing.

    name: e.g. "tab.1", the layer's name where it has experts. detail, note: words below the name
    and at the right. experts: 0 where there are none. specific, shared: K, 0 where all experts
    work for every row. gates: names. selects: whether each row chooses among the experts.
    """

    kind: StageKind
    name: str
    detail: str
    note: str
    experts: int = 0
    specific: int = 0
    shared: int = 0
    gates: tuple[str, ...] = ()
    selects: bool = False


def stages(model: ModelConfig, description: Description) -> list[Stage]:
    """Return the steps of a model on a dataset, in order of computation."""
    fields, tasks = len(description.fields), description.task
    scaled = sum(feature.scale is not None for feature in description.fields.values())
    embedded = fields - scaled
    said = f"{embedded} × {model.embedding_dim} = {embedded * model.embedding_dim} numbers a row"
    if scaled:
        said += f", and {scaled} taken as numbers"
    found = [Stage("embedding", "embedding", f"{fields} features", said)]
    found += [
        Stage("hidden", f"hidden.{position}", "fully connected", f"width {size}")
        for position, size in enumerate(getattr(model, "hidden", ()), start=1)
    ]
    if isinstance(model, StackedConfig):
        found += _layers(model, description)
    if isinstance(model, StackedConfig | HardSharingConfig):
        sizes = " → ".join(map(str, (*model.tower, 1)))
        found.append(Stage("towers", "towers", f"one for each of {len(tasks)} tasks"
                           if len(tasks) > 1 else "for the task", f"widths {sizes}"))  # fmt: skip
    return [*found, Stage("chain", "prediction", chain_words(tasks), "")]


def chain_words(tasks: Sequence[Task]) -> str:
    """Write how the tasks' probabilities multiply, e.g. "pCTR × pCVR = pCTCVR"."""
    followed = {task.follows for task in tasks}
    parts = []
    for task in tasks:
        name = f"p{task.name.upper()}"
        if task.follows is not None:
            given = task.conditional or f"{task.name}|{task.follows}"
            parts.append(f"p{task.follows.upper()} × p{given.upper()} = {name}")
        elif task.name not in followed:
            parts.append(name)
    return ";  ".join(parts)


def architecture_table(shown: Sequence[Stage]) -> pd.DataFrame:
    """Return the numbers behind the drawing, one line a stage."""
    return pd.DataFrame(
        {
            "stage": [stage.name for stage in shown],
            "kind": [stage.kind for stage in shown],
            "experts": [stage.experts for stage in shown],
            "K specific": [stage.specific for stage in shown],
            "K shared": [stage.shared for stage in shown],
            "gates": [", ".join(stage.gates) for stage in shown],
            "detail": [" · ".join(filter(None, (s.detail, *_lines(s)))) for s in shown],
        }
    )


def architecture_figure(shown: Sequence[Stage], current: str, stamp: str) -> go.Figure:
    """Draw the stages from top to bottom, a dot an expert; `current` names the layer to mark.

    The points of a layer that selects experts carry its name as customdata, for clicks.
    """
    figure = go.Figure()
    boxes: list[dict[str, Any]] = []
    for line, stage in enumerate(shown):
        mine = stage.selects and stage.name == current
        box = {"type": "rect", "x0": 0, "x1": 1, "y0": line - 0.4, "y1": line + 0.4}
        boxes.append({
            **box, "layer": "below", "fillcolor": HIGHLIGHT if mine else "#888888",
            "opacity": 0.16 if mine else 0.07, "line": {"width": 0},
        })  # fmt: skip
        if mine:
            boxes.append({**box, "name": "current", "line": {"color": HIGHLIGHT, "width": 2}})
    figure.layout.shapes = boxes
    figure.layout.annotations = [
        {"x": 0.5, "y": line - 0.5, "text": "▼", "showarrow": False, "opacity": 0.5}
        for line in range(1, len(shown))
    ]
    for line, stage in enumerate(shown):
        for trace in _traces(line, stage):
            figure.add_trace(trace)
    figure.update_xaxes(range=[0, 1], visible=False, fixedrange=True)
    figure.update_yaxes(range=[len(shown) - 0.5, -0.5], visible=False, fixedrange=True)
    figure.update_layout(showlegend=False, dragmode=False, hovermode="closest")
    drawn = finish(figure, stamp, 70 + LINE_PX * len(shown))
    return restamp(drawn, yshift=-14).update_layout(margin={"t": 8, "l": 0, "r": 0})


def _layers(model: StackedConfig, description: Description) -> list[Stage]:
    found: list[Stage] = []
    levels = description.level
    for level, group in zip(levels, per_level(model.scenario, len(levels)), strict=True):
        found += [
            _layer("scenario", f"{level.name}.{position + 1}", group, level.scenarios)
            for position in range(group.layers)
        ]
    tasks = tuple(task.name for task in description.task)
    return found + [
        _layer("task", f"task.{position + 1}", model.task, tasks)
        for position in range(model.task.layers)
    ]


def _layer(kind: StageKind, name: str, group: Group, gates: tuple[str, ...]) -> Stage:
    several = "s" if len(gates) > 1 else ""
    detail = f"{len(gates)} gate{several}: {', '.join(gates)}"
    k, how = (0, 0), "every expert works for every row"
    match group:
        case ExpertGroup():
            experts, k = group.experts, (group.specific, group.shared)
            signs = zip((Role.SPECIFIC, Role.SHARED), k, strict=True)
            how = "K = " + "<br>+ ".join(f"{k} {role.glyph} {role.value}" for role, k in signs)
        case SplitGroup():
            experts = len(gates) * group.specific + group.shared
            how = f"{group.specific} of its own a gate, {group.shared} for all"
        case GatedGroup():
            experts, how = group.experts, f"each gate uses at most {group.selected}"
        case MixtureGroup():
            experts = group.experts
        case LayerGroup():
            detail = detail.replace("gate", "network", 1)
            return Stage(kind, name, detail, f"width {group.width}", gates=gates)
    many = f"{experts} expert{'s' if experts > 1 else ''}, width {group.width}"
    selects = isinstance(group, ExpertGroup)
    return Stage(kind, name, detail, f"{many}<br>{how}", experts, *k, gates, selects)


def _traces(line: int, stage: Stage) -> list[go.Scatter]:
    """Return the words and the dots of one line."""
    custom = [stage.name] if stage.selects else None
    hover = f"{stage.name}: {stage.detail}<br>{stage.note}".removesuffix("<br>")
    if stage.selects:
        hover += "<br>click to make it the current layer"
    words = [(NAME_X, f"<b>{stage.name}</b><br>{_short(stage.detail)}", "middle right")]
    if stage.note:
        words.append((NOTE_X, stage.note, "middle left"))
    at, told, sides = zip(*words, strict=True)
    traces = [
        go.Scatter(
            x=at, y=[line] * len(words), text=told, mode="markers+text", textposition=sides,
            textfont={"size": 11},
            marker={"size": 14, "opacity": 0}, name=stage.name, hovertext=hover, hoverinfo="text",
            customdata=[custom] * len(words) if custom else None, cliponaxis=False,
        )
    ]  # fmt: skip
    if stage.experts:
        size = float(np.clip(0.8 * 420 / stage.experts, 4, 16))
        traces.append(
            go.Scatter(
                x=_spaced(stage.experts), y=[line] * stage.experts, mode="markers",
                marker={
                    "size": size, "color": Role.UNSELECTED.colour,
                    "symbol": Role.UNSELECTED.symbol if stage.selects else "circle",
                    "line": {"width": 2, "color": Role.UNSELECTED.colour},
                },
                name=f"{stage.name} experts",
                customdata=[custom] * stage.experts if custom else None,
                hovertext=[f"expert {k}<br>{hover}" for k in range(stage.experts)],
                hoverinfo="text", selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 1}},
            )
        )  # fmt: skip
    return traces


def _lines(stage: Stage) -> list[str]:
    """The note of a stage in words: what it holds, and how much of it a row takes."""
    first, _, rest = stage.note.partition("<br>")
    return [first, rest.replace("<br>", " ")]


def _spaced(count: int) -> np.ndarray:
    """Places of `count` dots in their column: packed for a few, filling it for many."""
    step = min((LAST_X - FIRST_X) / max(count - 1, 1), 0.032)
    return FIRST_X + step * np.arange(count)


def _short(text: str, most: int = SHORT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
