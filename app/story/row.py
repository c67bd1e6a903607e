"""The steps of the story about one row: how it is routed, and how it would be elsewhere."""

from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.doors import doors_figure, doors_words
from aesm2.plots.strip import changed_roles, columns, strip
from aesm2.routing.counterfactual import Changes, answer, counterfactual, differences, doors
from aesm2.routing.counterfactual import predictions as predicted
from aesm2.routing.findings import scenario_label
from app import cache
from app.lens import ledger as lens_ledger
from app.lens.ledger import strip_frame
from app.story import words
from app.story.parts import Chart, Step, chart
from app.story.source import NO_SELECTION, Source, first_level, titles_of
from app.widgets import Explanation

STAMP_PX = 30
DOORS = Explanation(
    "What the model predicts for this one visit under every scenario, all else as it is.",
    "The diamond is the scenario the visit really came from, the dotted line its prediction. One"
    " prediction of one model: there is no sampling, and so no interval. It says what the model"
    " answers, not what the person would do.",
    r"\hat y_k(x, s'),\quad s' \in \text{scenarios of the level}",
    "Eq. 18, §3.3",
)
STRIP = replace(
    lens_ledger.STRIP, reading=lens_ledger.STRIP.reading.removesuffix(" Click a column to open it.")
)


def choice_step(of: Source) -> Step:
    """Step 3: the experts of the row whose choice is the clearest."""
    opened, rows = of.opened, of.rows
    checkpoint = opened.checkpoint
    if not checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    found = cache.highlights(opened, rows, of.task)
    position = found.decisive.position if found.decisive else 0
    batch, index = rows.batch[position : position + 1], rows.frame.index[[position]]
    trace = answer(checkpoint, batch, index)
    titles = titles_of(of)
    shown = columns(trace, 0, range(len(titles)), titles)
    layer = found.decisive.layer if found.decisive else checkpoint.layers[0].name
    where = words.place_words(checkpoint.description, batch.scenarios[0].tolist())
    said = words.choice_words(shown, where, str(index[0]))
    result = predicted(trace, checkpoint).set_index("task")["probability"]
    lines = CHOICE_CODE.format(
        position=position, titles=titles, layer=layer, task=of.task, stamp=of.stamp
    )
    drawn = chart(
        _roomy(strip(shown, layer, of.task, of.stamp)), "strip",
        "Every expert, and what became of it", STRIP, strip_frame(shown), " ".join(said),
        of.code(lines),
    )  # fmt: skip
    answered = words.answer_words(checkpoint.description, result)
    return Step([*said, words.clear_words(found), answered], (drawn,))


def through_step(of: Source) -> Step:
    """Step 4: the same row through every door, and through the one that changes most."""
    opened, rows = of.opened, of.rows
    checkpoint = opened.checkpoint
    if rows is None:
        return Step(missing=of.why)
    found = cache.highlights(opened, rows, of.task)
    position = found.decisive.position if found.decisive else 0
    frame = rows.frame.iloc[[position]]
    level = first_level(of)
    every = doors(checkpoint, frame)
    every = every[every["level"] == level].reset_index(drop=True)
    other = words.other_door(every, of.task_name)
    if other is None:
        return Step(missing="There is only one door here, so there is no other to go through.")
    title = titles_of(of)[of.task]
    said = [words.through_words(every, checkpoint.description, of.task, other)]
    lines = DOORS_CODE.format(
        position=position, level=level, task=of.task_name, title=title, stamp=of.stamp
    )
    charts = [
        chart(
            doors_figure(every, of.task_name, title, of.stamp), "doors",
            f"{title} through every door", DOORS, every, doors_words(every, of.task_name),
            of.code(lines),
        )
    ]  # fmt: skip
    if checkpoint.layers:
        moved, drawn = _other(of, frame, position, {level: other})
        return Step([*said, *moved], (*charts, drawn))
    return Step([*said, NO_SELECTION], tuple(charts))


def _other(
    of: Source, frame: pd.DataFrame, position: int, to: dict[str, str]
) -> tuple[list[str], Chart]:
    """Draw the experts of a row through another door; the words say which enter and leave."""
    checkpoint, titles = of.opened.checkpoint, titles_of(of)
    both = counterfactual(checkpoint, frame, Changes(to))
    old, new = (columns(t, 0, range(len(titles)), titles) for t in (both.before, both.after))
    said = words.moved_words(differences(both.before, both.after))
    layer = next(spec.name for spec in checkpoint.layers)
    ((level, door),) = to.items()
    lines = OTHER_CODE.format(
        position=position, to=to, titles=titles, layer=layer, task=of.task, stamp=of.stamp
    )
    return said, chart(
        _roomy(strip(new, layer, of.task, of.stamp, changed_roles(old, new))), "other",
        f"Its experts through {scenario_label(level, door)} (rings: a new role)", STRIP,
        strip_frame(new),
        " ".join(said), of.code(lines),
    )  # fmt: skip


def _roomy(figure: go.Figure) -> go.Figure:
    """Make room below a strip for a stamp of several lines."""
    return figure.update_layout(
        height=figure.layout.height + STAMP_PX, margin={"b": figure.layout.margin.b + STAMP_PX}
    )


CHOICE_CODE = """
from aesm2.plots.strip import columns, strip
position, titles = {position}, {titles}
trace = checkpoint.trace(rows.iloc[[position]])
figure = strip(columns(trace, 0, range(len(titles)), titles), {layer!r}, {task}, {stamp!r})
"""
DOORS_CODE = """
from aesm2.plots.doors import doors_figure
from aesm2.routing.counterfactual import doors
every = doors(checkpoint, rows.iloc[[{position}]])
every = every[every["level"] == {level!r}].reset_index(drop=True)
figure = doors_figure(every, {task!r}, {title!r}, {stamp!r})
"""
OTHER_CODE = """
from aesm2.plots.strip import changed_roles, columns, strip
from aesm2.routing.counterfactual import Changes, counterfactual
both, titles = counterfactual(checkpoint, rows.iloc[[{position}]], Changes({to!r})), {titles}
old, new = (columns(of, 0, range(len(titles)), titles) for of in (both.before, both.after))
figure = strip(new, {layer!r}, {task}, {stamp!r}, changed_roles(old, new))
"""
