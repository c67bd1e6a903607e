"""The steps of the story that look at the checkpoint and its test rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from aesm2.data.counts import stored_counts
from aesm2.data.scenarios import OVERALL, scenario_of_path
from aesm2.plots import distance as distance_plot
from aesm2.plots.doors import doors_figure, doors_words
from aesm2.plots.interventions import importance_figure
from aesm2.plots.rates import panel_figure, panel_table, panel_words, panels
from aesm2.plots.strip import changed_roles, columns, strip
from aesm2.plots.style import provenance
from aesm2.routing.causal_words import importance_findings
from aesm2.routing.counterfactual import Changes, answer, counterfactual, differences, doors
from aesm2.routing.counterfactual import predictions as predicted
from aesm2.routing.distance import scenario_distances
from aesm2.routing.findings import distance_findings
from aesm2.routing.highlights import sample
from aesm2.routing.shares import ROLES
from app import atlas, cache, data_tables, interventions_rows, recipes, story_words
from app.lens_ledger import STRIP, strip_frame
from app.story_parts import Chart, Step, chart
from app.widgets import Explanation

MOST, SEED = 20_000, 0  # rows that are looked at, drawn with this seed
DOORS = Explanation(
    "What the model predicts for this one visit under every scenario, all else as it is.",
    "The diamond is the scenario the visit really came from, the dotted line its prediction. One"
    " prediction of one model: there is no sampling, and so no interval. It says what the model"
    " answers, not what the person would do.",
    r"\hat y_k(x, s'),\quad s' \in \text{scenarios of the level}",
    "Eq. 18, §3.3",
)
NO_SELECTION = (
    "This model has no expert selection, so there is no choice to show: pick an AESM² checkpoint."
    " The doors, the other models and what a ranking is worth are on the steps before and after."
)


@dataclass(frozen=True)
class Source:
    """What the story is about. whole: the test rows, None where they are not here, and why.

    rows: at most MOST of them. task: index.
    """

    opened: cache.Opened
    whole: cache.RowSet | None
    rows: cache.RowSet | None
    why: str
    task: int

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.opened.checkpoint.description.task[self.task].name

    @property
    def stamp(self) -> str:
        """Where the rows come from and how many of them there are, for charts."""
        of = provenance(self.opened.checkpoint.description)
        if self.whole is None or self.rows is None:
            return of
        count, n = len(self.whole.frame), len(self.rows.frame)
        drawn = f"{n:,} of {count:,} rows, drawn with seed {SEED}" if n < count else f"n = {n:,}"
        return f"{of}, test split, {drawn}"

    def code(self, lines: str) -> str:
        """Return the Python that makes a chart of the rows."""
        if self.whole is not self.rows and self.whole is not None:
            drawn = f"kept = sample(len(rows), {MOST}, {SEED})\n"
            drawn += "rows, batch = rows.iloc[kept], batch[kept.tolist()]\n"
            lines = f"from aesm2.routing.highlights import sample\n{drawn}{lines.lstrip()}"
        return recipes.script(self.opened, self.whole, lines)


def source(opened: cache.Opened, whole: cache.RowSet | None, why: str, task: int) -> Source:
    """Take at most MOST of the test rows."""
    rows = whole
    if whole is not None and len(whole.frame) > MOST:
        kept = sample(len(whole.frame), MOST, SEED)
        part = whole.batch[torch.from_numpy(kept)]
        rows = cache.RowSet(
            f"{whole.id}#{MOST}", whole.title, whole.frame.iloc[kept], part, whole.labels
        )
    return Source(opened, whole, rows, why, task)


def doors_step(of: Source) -> Step:
    """Step 1: how different the scenarios are, by what the checkpoint has counted."""
    checkpoint = of.opened.checkpoint
    described, schema = checkpoint.description, checkpoint.encoder.schema
    counts = stored_counts(checkpoint.statistics, schema, "all")
    by, stamp = _level(of, counts.impressions), f"{provenance(described)}, all splits"
    found = panels(counts, None, described, by)
    wanted = [p for p in found if p.key in {f"{t.name}-impressions" for t in described.task}]
    shown = list({p.key: p for p in (wanted[0], wanted[of.task])}.values())
    made = [
        chart(
            panel_figure(p, described, stamp), f"rates-{p.key}", f"{p.title}, %", data_tables.RATES,
            panel_table(p), panel_words(p),
            recipes.script(of.opened, None, RATES_CODE.format(by=by, key=p.key, stamp=stamp)),
        )
        for p in shown
    ]  # fmt: skip
    rates = [story_words.rate_words(panel) for panel in shown]
    return Step([story_words.door_words(described, counts), *rates], tuple(made))


def choice_step(of: Source) -> Step:
    """Step 3: the experts of the row whose choice is the clearest."""
    opened, rows = of.opened, of.rows
    checkpoint = opened.checkpoint
    if not checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    found = cache.highlights(opened, rows, of.task)
    position = found.decisive.position if found.decisive else 0
    batch, index = rows.batch[position : position + 1], rows.frame.index[[position]]
    with opened.lock:
        trace = answer(checkpoint, batch, index)
    titles = _titles(of)
    shown = columns(trace, 0, range(len(titles)), titles)
    layer = found.decisive.layer if found.decisive else checkpoint.layers[0].name
    where = story_words.place_words(checkpoint.description, batch.scenarios[0].tolist())
    said = story_words.choice_words(shown, where, str(index[0]))
    result = predicted(trace, checkpoint).set_index("task")["probability"]
    lines = CHOICE_CODE.format(
        position=position, titles=titles, layer=layer, task=of.task, stamp=of.stamp
    )
    drawn = chart(
        strip(shown, layer, of.task, of.stamp), "strip", "Every expert, and what became of it",
        STRIP, strip_frame(shown), " ".join(said), of.code(lines),
    )  # fmt: skip
    answered = story_words.answer_words(checkpoint.description, result)
    return Step([*said, story_words.clear_words(found), answered], (drawn,))


def through_step(of: Source) -> Step:
    """Step 4: the same row through every door, and through the one that changes most."""
    opened, rows = of.opened, of.rows
    checkpoint = opened.checkpoint
    if rows is None:
        return Step(missing=of.why)
    found = cache.highlights(opened, rows, of.task)
    position = found.decisive.position if found.decisive else 0
    frame = rows.frame.iloc[[position]]
    level = _level(of, None)
    with opened.lock:
        every = doors(checkpoint, frame)
    every = every[every["level"] == level].reset_index(drop=True)
    other = story_words.other_door(every, of.task_name)
    if other is None:
        return Step(missing="There is only one door here, so there is no other to go through.")
    title = _titles(of)[of.task]
    said = [story_words.through_words(every, checkpoint.description, of.task, other)]
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
    checkpoint, titles = of.opened.checkpoint, _titles(of)
    with of.opened.lock:
        both = counterfactual(checkpoint, frame, Changes(to))
    old, new = (columns(t, 0, range(len(titles)), titles) for t in (both.before, both.after))
    said = story_words.moved_words(differences(both.before, both.after))
    layer = next(spec.name for spec in checkpoint.layers)
    (door,) = to.values()
    lines = OTHER_CODE.format(
        position=position, to=to, titles=titles, layer=layer, task=of.task, stamp=of.stamp
    )
    return said, chart(
        strip(new, layer, of.task, of.stamp, changed_roles(old, new)), "other",
        f"The experts through {door}; rings: another role than before", STRIP, strip_frame(new),
        " ".join(said), of.code(lines),
    )  # fmt: skip


def sharing_step(of: Source) -> Step:
    """Step 5: how differently the scenarios of a level use the experts."""
    opened, rows = of.opened, of.rows
    if not opened.checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    used, level = cache.utilisation(opened, rows), _level(of, None)
    number = opened.checkpoint.encoder.schema.level_names.index(level)
    names = [spec.name for spec in opened.checkpoint.layers if spec.level == number]
    found = scenario_distances(used, names, ROLES, level)
    said = distance_findings(found, f"the experts of {' and '.join(names)}")
    if found.tree is None:
        return Step(said, missing="Two doors with rows are needed to compare.")
    lines = SHARING_CODE.format(names=names, level=level, stamp=of.stamp)
    drawn = chart(
        distance_plot.distance_figure(found, of.stamp), "distance",
        "How differently the doors use the experts: 0 alike, 1 nothing in common", atlas.DISTANCE,
        distance_plot.distance_table(found), " ".join(said), of.code(lines),
    )  # fmt: skip
    return Step(said, (drawn,))


def breaking_step(of: Source, told: Callable[[float], None]) -> Step:
    """Step 6: what changes without each expert; drawn: the layer where most is lost."""
    opened, rows = of.opened, of.rows
    if not opened.checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    found = cache.knockouts(opened, rows) or cache.compute_knockouts(opened, rows, told)
    cells = found.to_frame()
    own = cells[cells["task"] == of.task_name]
    said = importance_findings(cells, of.task_name)
    worst = own.loc[own["scope"] == OVERALL, "auc_change"]
    layer = own.loc[worst.idxmin(), "layer"] if worst.notna().any() else own["layer"].iloc[0]
    title = _titles(of)[of.task]
    drawn = chart(
        importance_figure(own[own["layer"] == layer], of.task_name, "auc", of.stamp), "worth",
        f"{title}: points of AUC × 100 gained or lost without each expert of {layer}",
        interventions_rows.IMPORTANCE, own, " ".join(said),
        of.code(BREAKING_CODE.format(layer=layer, task=of.task_name, stamp=of.stamp)),
    )  # fmt: skip
    return Step(said, (drawn,))


def _level(of: Source, impressions: np.ndarray | None) -> str:
    """Return the first level of which two scenarios have rows, or else the first."""
    schema = of.opened.checkpoint.encoder.schema
    if impressions is None:
        counts = stored_counts(of.opened.checkpoint.statistics, schema, "all")
        impressions = counts.impressions
    for name in schema.level_names:
        if len(np.unique(scenario_of_path(schema, name)[impressions > 0])) > 1:
            return name
    return schema.level_names[0]


def _titles(of: Source) -> list[str]:
    return [task.title or task.name for task in of.opened.checkpoint.description.task]


RATES_CODE = """
from aesm2.data.counts import stored_counts
from aesm2.plots.rates import panel_figure, panels
counts = stored_counts(checkpoint.statistics, checkpoint.encoder.schema, "all")
found = panels(counts, None, checkpoint.description, {by!r})
panel = next(panel for panel in found if panel.key == {key!r})
figure = panel_figure(panel, checkpoint.description, {stamp!r})
"""
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
SHARING_CODE = """
from aesm2.plots.distance import distance_figure
from aesm2.routing.distance import scenario_distances
from aesm2.routing.utilisation import utilisation
used = utilisation(checkpoint.model, batch)
found = scenario_distances(used, {names!r}, ("specific", "shared"), {level!r})
figure = distance_figure(found, {stamp!r})
"""
BREAKING_CODE = """
from aesm2.plots.interventions import importance_figure
from aesm2.routing.knockout import knockouts
cells = knockouts(checkpoint.model, batch).to_frame()
cells = cells[cells["layer"] == {layer!r}]
figure = importance_figure(cells, {task!r}, "auc", {stamp!r})
"""
