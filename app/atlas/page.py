"""What the Utilisation Atlas is made of: its inputs, its charts, what it says."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL, PATH, existing
from aesm2.plots import distance as distance_plot
from aesm2.plots import utilisation as utilisation_plot
from aesm2.plots.style import Role
from aesm2.routing.distance import Distances, scenario_distances
from aesm2.routing.findings import distance_findings, health_findings, layer_findings
from aesm2.routing.shares import (
    DEAD,
    OVERLOAD,
    ROLES,
    LayerShares,
    RoleName,
    Value,
    effective_number,
    layer_shares,
    own_grouping,
)
from aesm2.routing.trace import LayerSpec
from aesm2.routing.utilisation import Utilisation
from app import cache, state, widgets
from app.atlas import code as atlas_code
from app.recipes import Code
from app.rows import source as row_source

source, stamp = row_source.source, row_source.stamp  # the rows of all pages
OWN = "own"  # each layer by its own level
MOST_LINES = 240  # of the heatmaps of all layers; more take seconds to draw
MEASURES: dict[Value, str] = {
    "share": "share of rows", "weight": "mean mixing weight", "count": "number of rows"
}  # fmt: skip
USE = widgets.Explanation(
    "How many of a scenario's rows take each expert, as specific to the scenario (or task) or as"
    " shared by all.",
    "Each line is a scenario or task, each column an expert; yellow is much, blue little. Over a"
    " line the shares add up to K, the number of experts a row takes in that role; mixing weights"
    " add up to 1. The same expert may be taken in both roles. Click a cell to see its rows.",
    r"u_{sk} = \frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}[k \in E^{(i)}]",
    "Fig. 7, §4.5; Eq. 10 and 12, §3.3",
)
DISTANCE = widgets.Explanation(
    "How differently two scenarios use the experts: 0 is the same use, 1 is no expert in common.",
    "Like scenarios stand side by side; the tree above joins them at their (average) distance. A"
    " number in brackets is within chance: 95 % of pairs that truly use the experts alike would"
    " differ by as much, given their numbers of rows. Chance assumes independent rows; rows of one"
    " user are alike, so a distance just above it proves little. ⚠ marks fewer than 30 rows.",
    r"d = \sqrt{\mathrm{JS}_2(u_a, u_b)},\quad \mathrm{JS}_2 = \tfrac12 \mathrm{KL}_2(u_a, m)"
    r" + \tfrac12 \mathrm{KL}_2(u_b, m),\ m = \tfrac12 (u_a + u_b)\ \text{(bits)}",
)


@dataclass(frozen=True)
class Options:
    """What to show. by: OWN, the name of a level, or "path". over: layers of the distance."""

    by: str
    value: Value
    roles: tuple[RoleName, ...]
    shown: tuple[LayerSpec, ...]

    @property
    def key(self) -> str:
        """Tells one choice of options from another."""
        layers = self.shown[0].name if len(self.shown) == 1 else "all"
        text = f"atlas-{self.by}-{self.value}-{'-'.join(self.roles)}-{layers}"
        return text.replace(".", "-")


def options(opened: cache.Opened) -> Options:
    """Draw the inputs of the chart."""
    layer, names = widgets.current_layer(), groupings(opened)
    widgets.pick("Scenarios", "grouping", list(names), OWN, names.__getitem__, width=190)
    widgets.pick(
        "Measure", "measure", list(MEASURES), "share", lambda m: MEASURES[_value(m)], width=170
    )
    roles = {"both": "both"} | {role: f"{Role(role).glyph} {role}" for role in ROLES}
    widgets.pick("Role", "roles", list(roles), "both", roles.__getitem__, width=120)
    which = {"all": "all", "one": f"only {layer.name}"}
    widgets.pick("Layers", "layers", list(which), "all", which.__getitem__, width=140)
    wanted = state.get("roles", "both")
    return Options(
        by=state.get("grouping", OWN),
        value=_value(state.get("measure", "share")),
        roles=tuple(role for role in ROLES if wanted in ("both", role)),
        shown=(layer,) if state.get("layers") == "one" else opened.checkpoint.layers,
    )


def groupings(opened: cache.Opened) -> dict[str, str]:
    """Return the ways to group rows, by name, with what they are called."""
    levels = opened.checkpoint.description.level
    names = {OWN: "each layer's own level"} | {lv.name: lv.title or lv.name for lv in levels}
    return names | ({PATH: "fine-grained"} if len(levels) > 1 else {})


def filter_note(opened: cache.Opened) -> None:
    """Say which scenarios the bar leaves, and offer to take all."""
    names = [level.name for level in opened.checkpoint.description.level]
    parts = [f"{name} {state.get(f's-{name}')}" for name in names if state.get(f"s-{name}")]
    if parts:
        with st.container(horizontal=True, vertical_alignment="center"):
            said = widgets.escaped(" and ".join(parts))
            st.caption(f":material/filter_alt: Only rows of {said}, as set above.")
            st.button(
                "Show all scenarios", key="atlas-all", type="tertiary", on_click=state.put,
                kwargs=dict.fromkeys((f"s-{name}" for name in names), ""),
            )  # fmt: skip


def shares(found: Utilisation, spec: LayerSpec, by: str) -> LayerShares:
    """Return a layer's shares by `Options.by`; a row counts only for tasks its scenario has."""
    grouping = own_grouping(spec, found.schema) if by == OWN else by
    described = widgets.current().checkpoint.description
    return layer_shares(found, spec.name, grouping, existing(described, found.schema, PATH))


def use_chart(
    found: Utilisation, chosen: Options, stamp: str, code: Code, drawn: cache.Draw
) -> list[Any]:
    """Draw who uses which experts; return the customdata of the cell that was clicked."""
    layers = [shares(found, spec, chosen.by) for spec in chosen.shown]
    panels = utilisation_plot.panels(layers, chosen.roles, chosen.value)
    current = widgets.current_layer().name
    if len(layers) > 1 and sum(len(panel.lines) for panel in panels) > MOST_LINES:
        panels = [panel for panel in panels if panel.shares.spec.name == current]
        layers = [layer for layer in layers if layer.spec.name == current]
        st.caption(f":material/filter_alt: Too many scenarios to draw every layer: only {current},"
                   " the layer of the bar. A scenario chosen in the bar leaves fewer.")  # fmt: skip
    if not panels:
        st.info(f"No layer here takes experts as {' or '.join(chosen.roles)}.")
        return []
    script = code(atlas_code.use(layers, chosen.roles, chosen.value, stamp))
    return widgets.chart(
        drawn(script, lambda: utilisation_plot.utilisation_figure(panels, stamp)),
        chosen.key,
        f"Who uses which experts: {MEASURES[chosen.value]}",
        USE,
        lambda: utilisation_plot.utilisation_table(panels),
        " ".join(sentence for layer in layers for sentence in layer_findings(layer)),
        selectable=True,
        code=script,
    )


@dataclass(frozen=True)
class Compared:
    """Distances, and whose experts they are about, in words."""

    distances: Distances
    what: str
    layers: tuple[str, ...]
    roles: tuple[RoleName, ...]


def compared(found: Utilisation, chosen: Options) -> Compared | None:
    """Measure the distances between scenarios; None where the layer has no such role."""
    layer, by = widgets.current_layer(), chosen.by
    if by == OWN:
        own = own_grouping(layer, found.schema)
        by = found.schema.level_names[0] if own == OVERALL else own
    layers = found_specs(found) if state.get("over") == "all" else (layer,)
    roles = [r for r in chosen.roles if any(spec_k(spec, r) for spec in layers)]
    if not roles:
        return None
    names = tuple(spec.name for spec in layers)
    distances = scenario_distances(found, names, roles, by)
    of = layer.name if len(layers) == 1 else "all layers"
    what = f"the {' and '.join(roles)} experts of {of}"
    return Compared(distances, what, names, tuple(roles))


def says(found: Utilisation, chosen: Options, pair: Compared | None) -> list[str]:
    """Return what the page says about the bar's layer, in two to four sentences."""
    layer = layer_findings(shares(found, widgets.current_layer(), chosen.by))
    return layer + ([] if pair is None else distance_findings(pair.distances, pair.what))


def distance_section(
    chosen: Options, pair: Compared | None, stamp: str, code: Code, drawn: cache.Draw
) -> None:
    """Draw how differently the scenarios use the experts."""
    layer = widgets.current_layer()
    over = {"layer": f"layer {layer.name}", "all": "all layers"}
    widgets.pick("Distance over", "over", list(over), "layer", over.__getitem__, width=200)
    if pair is None:
        st.info(f"{layer.name} takes no experts as {' or '.join(chosen.roles)}.")
        return
    if pair.distances.tree is None:
        said = distance_findings(pair.distances, pair.what)
        st.info(said[0], icon=":material/info:")
        return
    distances = pair.distances
    script = code(atlas_code.distance(pair.layers, pair.roles, distances.by, stamp))
    widgets.chart(
        drawn(script, lambda: distance_plot.distance_figure(distances, stamp)),
        f"atlas-distance-{pair.distances.by}",
        f"How differently the scenarios use {pair.what}",
        DISTANCE,
        lambda: distance_plot.distance_table(distances),
        " ".join(distance_findings(pair.distances, pair.what)),
        code=script,
    )


def health_section(found: Utilisation, stamp: str) -> None:
    """Say which experts are dead or overloaded, and show how evenly each layer spreads."""
    layers = [shares(found, spec, OVERALL) for spec in found_specs(found)]
    bullets(health_findings(layers))
    widgets.table(effective_table(found), "atlas-effective-number", stamp)
    st.caption(
        "Effective number of experts: exp of the entropy of the choices, from 1 (one expert takes"
        " all; a row takes K) to the number of experts (all taken alike). Dead: chosen by fewer"
        f" than {DEAD:.1%} of rows in either role. Overloaded: by more than {OVERLOAD:g} times the"
        " even share, K/n of the rows. All rows count alike here: a scenario that has most of the"
        " rows decides; the chart above tells them apart."
    )


def effective_table(found: Utilisation) -> pd.DataFrame:
    """Return the effective number of experts by layer, task, own scenario and role."""
    lines = []
    for spec in found_specs(found):
        by_own = shares(found, spec, OWN)
        for target, task in enumerate(by_own.targets):
            for scenario, name in enumerate(by_own.scenarios):
                line: dict[str, Any] = {
                    "layer": spec.name, "task": task, "scenario": name,
                    "rows": int(by_own.counted[target, scenario]), "experts": spec.experts,
                }  # fmt: skip
                for role in ROLES:
                    counts = by_own.values(role, "count")[target, scenario]
                    line[f"effective, {role}"] = round(float(effective_number(counts)), 2)
                lines.append(line)
    return pd.DataFrame(lines)


def bullets(sentences: list[str]) -> None:
    """Write sentences as a list."""
    st.markdown("\n".join(f"- {_escaped(sentence)}" for sentence in sentences))


def found_specs(found: Utilisation) -> tuple[LayerSpec, ...]:
    """Return the layers that were counted."""
    return tuple(layer.spec for layer in found.layers)


def spec_k(spec: LayerSpec, role: RoleName) -> int:
    """Return K of a role."""
    return spec.specific if role == "specific" else spec.shared


def _value(name: str) -> Value:
    return next((value for value in MEASURES if value == name), "share")


def _escaped(text: str) -> str:
    """Keep Markdown out of names that come from data."""
    for sign in "\\`*_[]$~":
        text = text.replace(sign, f"\\{sign}")
    return text
