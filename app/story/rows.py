"""The steps of the story about all scenarios and experts of the checkpoint."""

from dataclasses import replace

import plotly.graph_objects as go

from aesm2.data.counts import stored_counts
from aesm2.data.scenarios import OVERALL
from aesm2.plots import distance as distance_plot
from aesm2.plots.interventions import importance_figure
from aesm2.plots.rates import Panel, panel_figure, panel_table, panel_words, panels
from aesm2.plots.style import provenance
from aesm2.routing.causal_words import importance_findings
from aesm2.routing.distance import scenario_distances
from aesm2.routing.findings import distance_findings
from aesm2.routing.knockout import Progress
from aesm2.routing.shares import ROLES
from app import cache, recipes
from app.atlas import page as atlas
from app.data import tables as data_tables
from app.interventions import rows as interventions_rows
from app.story import words
from app.story.parts import Step, chart
from app.story.source import NO_SELECTION, Source, first_level, titles_of

LINE_PX = 10
IMPORTANCE = replace(
    interventions_rows.IMPORTANCE,
    reading=interventions_rows.IMPORTANCE.reading.removesuffix(
        " Click a cell to knock its expert out above."
    ),
)


def doors_step(of: Source) -> Step:
    """Step 1: how different the scenarios are, by what the checkpoint has counted."""
    checkpoint = of.opened.checkpoint
    described, schema = checkpoint.description, checkpoint.encoder.schema
    counts = stored_counts(checkpoint.statistics, schema, "all")
    by, stamp = first_level(of), f"{provenance(described)}, all splits"
    found = panels(counts, None, described, by)
    wanted = [p for p in found if p.key in {f"{t.name}-impressions" for t in described.task}]
    shown = list({p.key: p for p in (wanted[0], wanted[of.task])}.values())
    made = [
        chart(
            _tall(panel_figure(p, described, stamp), p), f"rates-{p.key}", f"{p.title}, %",
            data_tables.RATES, panel_table(p), panel_words(p),
            recipes.script(of.opened, None, RATES_CODE.format(by=by, key=p.key, stamp=stamp)),
        )
        for p in shown
    ]  # fmt: skip
    rates = [words.rate_words(panel) for panel in shown]
    return Step([words.door_words(described, counts), *rates], tuple(made))


def sharing_step(of: Source) -> Step:
    """Step 5: how differently the scenarios of a level use the experts."""
    opened, rows = of.opened, of.rows
    if not opened.checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    used, level = cache.utilisation(opened, rows), first_level(of)
    number = opened.checkpoint.encoder.schema.level_names.index(level)
    names = [spec.name for spec in opened.checkpoint.layers if spec.level == number]
    found = scenario_distances(used, names, ROLES, level)
    said = distance_findings(found, f"the experts of {' and '.join(names)}")
    said[0] = said[0][:1].upper() + said[0][1:]
    if found.tree is None:
        return Step(said, missing="Two doors with rows are needed to compare.")
    lines = SHARING_CODE.format(names=names, level=level, stamp=of.stamp)
    drawn = chart(
        distance_plot.distance_figure(found, of.stamp), "distance",
        "How differently the doors use the experts: 0 is alike", atlas.DISTANCE,
        distance_plot.distance_table(found), " ".join(said), of.code(lines),
    )  # fmt: skip
    return Step(said, (drawn,))


def breaking_step(of: Source, told: Progress) -> Step:
    """Step 6: what changes without each expert; drawn: the layer where most is lost."""
    opened, rows = of.opened, of.rows
    if not opened.checkpoint.layers or rows is None:
        return Step(missing=NO_SELECTION if rows is not None else of.why)
    found = cache.knockouts(opened, rows) or cache.compute_knockouts(opened, rows, told)
    cells = found.to_frame()
    own = cells[cells["task"] == of.task_name]
    title = titles_of(of)[of.task]
    said = importance_findings(own.assign(task=title), title)
    whole = own[own["scope"] == OVERALL]
    known = whole.dropna(subset=["auc_change"]).sort_values("auc_change", kind="stable")
    layer = next(iter(known["layer"]), own["layer"].iloc[0])
    drawn = chart(
        importance_figure(own[own["layer"] == layer], of.task_name, "auc", of.stamp), "worth",
        f"{title}: points of AUC × 100, without each expert",
        IMPORTANCE, own, " ".join(said),
        of.code(BREAKING_CODE.format(layer=layer, task=of.task_name, stamp=of.stamp)),
    )  # fmt: skip
    return Step(said, (drawn,))


def _tall(figure: go.Figure, panel: Panel) -> go.Figure:
    """Make room for large names of two lines each."""
    return figure.update_layout(height=figure.layout.height + LINE_PX * len(panel.drawn.lines))


RATES_CODE = """
from aesm2.data.counts import stored_counts
from aesm2.plots.rates import Panel, panel_figure, panels
counts = stored_counts(checkpoint.statistics, checkpoint.encoder.schema, "all")
found = panels(counts, None, checkpoint.description, {by!r})
panel = next(panel for panel in found if panel.key == {key!r})
figure = panel_figure(panel, checkpoint.description, {stamp!r})
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
