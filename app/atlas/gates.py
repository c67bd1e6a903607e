"""Gates in the Atlas: mean weights of a model without selection, and of two models side by side."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from aesm2.data.scenarios import OVERALL, PATH, existing, paths_within
from aesm2.errors import InputError
from aesm2.plots import mixtures
from aesm2.routing.findings import gate_findings
from aesm2.routing.gates import GATED, GateMeans, GateUsage
from app import cache, locations, recipes, state, widgets
from app.atlas import page as atlas
from app.curves import runs as curves_runs
from app.rows import source as row_source

MOST_LINES = 240  # of the heatmaps of one model; more take seconds to draw
WHAT = (
    "This model selects no experts: its gates weigh them for every row. Averaged over many rows,"
    " the weights show which scenarios and tasks rely on the same experts and which go their own"
    " way."
)
WEIGHTS = widgets.Explanation(
    "How much of a layer's output each expert makes up, on average over the rows of a scenario.",
    "Each line is a scenario or task, each column an expert; a line adds up to 1. “eff.” is the"
    " effective number of experts, exp of the entropy of a row's weights, on average: 1 where a row"
    " hears one expert, n where all count alike. A model that selects gives 0 to what a row did not"
    " choose. ▲ marks experts of one gate, in the order of the gates, ● those of all; white lines"
    " part them. An expert has no meaning across models: compare patterns, not numbers of experts.",
    r"\bar w_{sk} = \frac{1}{|R_s|}\sum_{i \in R_s} w^{(i)}_k",
    "gates of Eq. 3–4 (MMoE and its kind) or Eq. 14 (AESM²)",
)


@dataclass(frozen=True)
class Side:
    """One of the models that are drawn beside each other."""

    name: str
    opened: cache.Opened
    usage: GateUsage
    rows: cache.RowSet

    @property
    def title(self) -> str:
        """Name of the checkpoint, and of the model where the two differ."""
        model = self.opened.checkpoint.config.model.title
        return f"{self.name} · {model}"


def page(opened: cache.Opened) -> None:
    """Draw the Atlas of a model without selection."""
    st.caption(WHAT)
    with st.container(horizontal=True, vertical_alignment="bottom", key="atlas-options"):
        rows = atlas.source(opened)
        if rows is None:
            return
        by, one = _grouping(opened), _only_one()
        beside = _beside_input()
    atlas.filter_note(opened)
    own = Side(_current(), opened, cache.gate_usage(opened, rows), rows)
    shown = _panels(own, by, one)
    if not shown:
        st.info("No row here is in the scenarios chosen above.", icon=":material/filter_alt:")
        return
    with st.container(border=True, key="atlas-says"):
        st.markdown("**What this says**")
        atlas.bullets(_says(own, by))
    sides = [own, *_other(beside, own, rows)]
    _charts(sides, by, one, atlas.stamp(rows))


def beside_section(opened: cache.Opened, rows: cache.RowSet, by: str, only: bool) -> None:
    """Draw a model's mixing weights next to another's gates, where one is chosen."""
    st.subheader("Beside another model", anchor=False)
    st.caption(
        "The mixing weights of this model next to the gates of another one on the same rows."
    )
    beside = _beside_input()
    if beside:
        own = Side(_current(), opened, cache.gate_usage(opened, rows), rows)
        others = _other(beside, own, rows)
        if others:
            _charts([own, *others], by, only, atlas.stamp(rows))


def _charts(sides: list[Side], by: str, one: bool, stamp: str) -> None:
    """Draw one model over the whole width, or two beside each other."""
    for place, side in zip(st.columns(len(sides)), sides, strict=True):
        with place:
            shown = _panels(side, by, one)
            if not shown:
                title = widgets.escaped(side.title)
                st.info(f"{title} has no layer {widgets.current_gates().name}.")
                continue
            widgets.chart(
                mixtures.mixtures_figure(shown, stamp),
                f"atlas-gates-{'own' if side is sides[0] else 'beside'}",
                f"What the gates give: {widgets.escaped(side.title)}",
                WEIGHTS,
                mixtures.mixtures_table(shown),
                " ".join(sentence for panel in shown for sentence in gate_findings(panel.means)),
                code=recipes.script(side.opened, side.rows, _lines(shown, stamp)),
            )


def _lines(shown: list[mixtures.Panel], stamp: str) -> str:
    """Return the lines that average the gates' weights and draw them."""
    by = {panel.spec.name: panel.means.by for panel in shown}
    return (
        "from aesm2.data.scenarios import PATH, existing, paths_within\n"
        "from aesm2.plots import mixtures\n"
        "from aesm2.routing.gates import gate_usage\n"
        "usage = gate_usage(checkpoint.model, batch)\n"
        "kept = existing(checkpoint.description, usage.schema, PATH)\n"
        f"kept &= paths_within(usage.schema, {widgets.current_scenarios()})[:, None]\n"
        f"groupings = {by}\n"
        "panels = [mixtures.Panel(usage.means(name, by, kept)) for name, by in groupings.items()]\n"
        f"figure = mixtures.mixtures_figure(panels, {stamp!r})"
    )


def _panels(side: Side, by: str, one: bool) -> list[mixtures.Panel]:
    """Return a panel a layer; only the bar's where asked for, or where all would be too many."""
    found = [mixtures.Panel(_means(side, layer.spec.name, by)) for layer in side.usage.layers]
    if one or sum(len(panel.lines) for panel in found) > MOST_LINES:
        current = widgets.current_gates().name
        found = [panel for panel in found if panel.spec.name == current]
    return [panel for panel in found if panel.means.rows.any()]


def _means(side: Side, layer: str, by: str) -> GateMeans:
    """Average a layer over the rows of the bar's scenarios whose tasks exist."""
    schema, described = side.usage.schema, side.opened.checkpoint.description
    within = paths_within(schema, widgets.current_scenarios())
    kept = existing(described, schema, PATH) & within[:, np.newaxis]
    level = side.usage.layer(layer).spec.level
    own = OVERALL if level is None else schema.level_names[level]
    return side.usage.means(layer, own if by == atlas.OWN else by, kept)


def _says(own: Side, by: str) -> list[str]:
    names = [layer.spec.name for layer in own.usage.layers]
    return [sentence for name in names for sentence in gate_findings(_means(own, name, by))]


def _grouping(opened: cache.Opened) -> str:
    names = atlas.groupings(opened)
    return widgets.pick(
        "Scenarios", "grouping", list(names), atlas.OWN, names.__getitem__, width=190
    )


def _only_one() -> bool:
    which = {"all": "all", "one": f"only {widgets.current_gates().name}"}
    return (
        widgets.pick("Layers", "layers", list(which), "all", which.__getitem__, width=140) == "one"
    )


def _current() -> str:
    catalogue, path = locations.catalogue(), widgets.current().checkpoint.path
    return next((name for name, folder in catalogue.items() if folder == path), path.name)


def _beside_input() -> str:
    """Draw the choice of another checkpoint with gates on the same dataset; "" for none."""
    entries = curves_runs.entries(locations.catalogue())
    current = _current()
    dataset = widgets.current().checkpoint.description.name
    names = [
        name
        for name, entry in entries.items()
        if name != current and entry.dataset == dataset and isinstance(entry.config.model, GATED)
    ]
    if not names:
        st.caption("No other checkpoint with gates on this dataset to show beside it.")
        return ""
    titles = {"": "none"} | {name: f"{name} · {entries[name].config.model.title}" for name in names}
    return widgets.pick("Beside", "beside", list(titles), "", titles.__getitem__, width=260)


def _other(name: str, own: Side, rows: cache.RowSet) -> list[Side]:
    """Open the other model and let it read the same rows; none, said why, where it cannot."""
    if not name:
        return []
    try:
        other = cache.opened(locations.catalogue()[name], state.get("device", "auto"))
        if other.checkpoint.encoder.schema.levels != own.usage.schema.levels:
            raise InputError("it was trained with other scenarios")
        same = row_source.for_other(other, rows)
    except InputError as error:
        said = widgets.escaped(f"“{name}” is left out: {error}")
        st.warning(said, icon=":material/warning:")
        return []
    return [Side(name, other, cache.gate_usage(other, same), same)]
