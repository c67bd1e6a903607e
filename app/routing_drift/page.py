"""What Routing drift is made of: its inputs, its charts, what it says."""

from dataclasses import dataclass

import streamlit as st

from aesm2.data.scenarios import OVERALL, PATH, existing
from aesm2.plots import routing_drift as plot
from aesm2.routing.drift import (
    OWN,
    USES,
    LayerDrift,
    RoutingDrift,
    Use,
    drift_words,
    per_row,
    routing_drift,
)
from aesm2.routing.findings import scenario_label
from app import cache, state, summaries, widgets
from app.lens import page as lens
from app.people import who
from app.people.who import Right
from app.routing_drift import code, sources
from app.routing_drift.sources import Side

CELL_NAME = "drift-cell"  # of the view
LEVELS = ("0.01", "0.05", "0.1")
USE_TITLES: dict[str, str] = {
    "weight": "mixing weights", "specific": "▲ specific choices", "shared": "● shared choices"
}  # fmt: skip
DRIFT = widgets.Explanation(
    "How differently two logs spread the rows of a scenario, or of a task in it, over the experts.",
    "0 is the same spread, log 2 = 0.693 no expert in common; yellow is much, blue little. ◆ marks"
    " cells that differ beyond chance: q, the p adjusted for all cells (Benjamini and Hochberg,"
    " 1995), is at most the level chosen above. In brackets: within chance. Chance is what drawing"
    " each log's groups of rows anew makes of it, so a group's rows may be alike; groups must not."
    " A dash marks cells with fewer than 30 rows, or 8 groups of them, in a log: they are not"
    " tested. Of many rows even a tiny divergence is certain: look at its size. Click a cell.",
    r"\mathrm{JS} = \tfrac12 \mathrm{KL}(u_A, m) + \tfrac12 \mathrm{KL}(u_B, m),\quad"
    r" m = \tfrac12 (u_A + u_B)\ \text{(nats)}",
)
CELL = widgets.Explanation(
    "How the rows of one cell spread over the experts in either log.",
    "Bars of one log add up to 1: of the mixing weights, or of the choices in the role. Experts"
    " whose bars differ are where the routing moved to or from. It does not say why: the rows may"
    " have changed, not the model, which is the same in both.",
    r"u_k = \sum_i w^{(i)}_k \Big/ \sum_i \sum_l w^{(i)}_l", "mixing weights of Eq. 14, §3.3",
)  # fmt: skip
MIX = widgets.Explanation(
    "How the rows of either log divide among the scenarios.",
    "A change here is of the traffic, not of the routing: a cell of the chart above is within one"
    " scenario. Where all scenarios are one cell, the two come together.",
)


@dataclass(frozen=True)
class Options:
    """What is compared, and how."""

    sides: tuple[Side, Side]
    use: Use
    by: str
    level: float

    @property
    def arguments(self) -> str:
        """The arguments of `routing_drift`, as code."""
        return f"use={self.use!r}, by={self.by!r}, level={self.level}"

    @property
    def names(self) -> tuple[str, str]:
        """Titles of the two logs."""
        a, b = self.sides
        return a.title, b.title

    @property
    def stamp(self) -> str:
        """Where the counts come from."""
        told = [f"{s.title} ({s.file.about.rows:,} rows)" for s in self.sides]
        return f"{widgets.stamp()}; {told[0]} → {told[1]}"


def options(opened: cache.Opened) -> Options | None:
    """Draw the inputs; None, with how to make summaries, where there is nothing to compare."""
    checkpoint = opened.checkpoint
    found = sources.titles(checkpoint)
    with st.container(horizontal=True, vertical_alignment="bottom", key="drift-options"):
        if found:
            sides = sources.picked(opened, found)
            uses = [u for u in USES if any(per_row(spec, u) for spec in checkpoint.layers)]
            use = widgets.pick("Compare", "use", uses, "weight", USE_TITLES.__getitem__, width=170)
            levels = [level.name for level in checkpoint.description.level]
            names = {OWN: "each layer's own level"} | {n: n for n in levels}
            names |= ({PATH: "fine-grained"} if len(levels) > 1 else {}) | {OVERALL: "all rows"}
            by = widgets.pick("Scenarios", "grouping", list(names), OWN, names.__getitem__,
                              width=190)  # fmt: skip
            level = widgets.pick("Level of q", "fdr", LEVELS, "0.05", width=100)
        summaries.panel(checkpoint, "b")
    if not found or sides[0].id == sides[1].id:
        _nothing(bool(found))
        return None
    return Options(sides, next(u for u in USES if u == use), by, float(level))


def compared(opened: cache.Opened, chosen: Options) -> RoutingDrift:
    """Compare the two logs, once."""
    a, b = chosen.sides
    schema, described = opened.checkpoint.encoder.schema, opened.checkpoint.description
    key = ("routing drift", opened.checkpoint.hash, a.id, b.id, chosen.arguments)
    return cache.kept(
        key,
        "Drawing the groups of rows anew, a second or two…",
        lambda: routing_drift(
            a.file.summary, b.file.summary, chosen.use, chosen.by,
            existing(described, schema, PATH), chosen.level,
        ),
    )  # fmt: skip


def says(found: RoutingDrift, chosen: Options) -> None:
    """Write what the page says, and how rows were grouped."""
    with st.container(border=True, key="drift-says"):
        st.markdown("**What this says**")
        st.markdown("\n".join(f"- {widgets.escaped(line)}" for line in drift_words(found)))
    told = dict.fromkeys(f"{s.title}: {s.file.about.grouping}" for s in chosen.sides)
    st.caption(f":material/groups: {widgets.escaped('; '.join(told))}.")


def heatmap(opened: cache.Opened, found: RoutingDrift, chosen: Options) -> None:
    """Draw the divergence of every cell; a click on one chooses it."""
    cell = current_cell(found)
    own = None if cell is None else (cell[0].spec.name, cell[1], cell[2])
    clicked = widgets.chart(
        plot.drift_figure(found, chosen.stamp, own),
        f"routing-drift-{chosen.use}-{chosen.by}",
        f"Drift of the {USE_TITLES[chosen.use]}, from {widgets.escaped(chosen.names[0])} to"
        f" {widgets.escaped(chosen.names[1])}",
        DRIFT,
        plot.drift_table(found),
        " ".join(drift_words(found)),
        selectable=True,
        code=code.script(
            opened, chosen.sides, chosen.arguments,
            f"figure = plot.drift_figure(found, {chosen.stamp!r}, {own!r})",
        ),
    )  # fmt: skip
    if lens.fresh("routing-drift", [chosen.arguments, *clicked] if clicked else []):
        state.put(**{CELL_NAME: "/".join(map(str, clicked))})
        st.rerun()


def current_cell(found: RoutingDrift) -> tuple[LayerDrift, int, int] | None:
    """Return the cell of the view, or the one that differs most; None where there is none."""
    cells = {
        f"{own.spec.name}/{t}/{s}": (own, t, s)
        for own in found.layers
        for t in range(len(own.targets))
        for s in range(len(own.scenarios))
        if own.rows[:, t, s].all()
    }
    most = max(cells, key=lambda name: _divergence(cells[name]), default="")
    return cells.get(state.choice(CELL_NAME, list(cells), most)) if cells else None


def cell_section(opened: cache.Opened, found: RoutingDrift, chosen: Options) -> None:
    """Draw the shares of the cell that is chosen."""
    cell = current_cell(found)
    if cell is None:
        st.info("No scenario has rows in both logs.", icon=":material/info:")
        return
    own, target, scenario = cell
    name = scenario_label(own.by, own.scenarios[scenario])
    words = ", ".join(part for part in (own.spec.name, own.targets[target], name) if part)
    figure = f"cell_figure(layer, {target}, {scenario}, {chosen.names!r}, {chosen.stamp!r})"
    widgets.chart(
        plot.cell_figure(own, target, scenario, chosen.names, chosen.stamp),
        "routing-drift-cell",
        f"Experts of {widgets.escaped(words)}",
        CELL,
        plot.cell_table(own, target, scenario, chosen.names),
        f"Shares of the experts of {words} in both logs",
        code=code.script(
            opened, chosen.sides, chosen.arguments,
            f"layer = next(own for own in found.layers if own.spec.name == {own.spec.name!r})\n"
            f"figure = plot.{figure}",
        ),
    )  # fmt: skip


def mix_section(opened: cache.Opened, found: RoutingDrift, chosen: Options) -> None:
    """Draw how the traffic divides among the scenarios."""
    if len(found.mix.scenarios) < 2:
        st.info("There is one scenario: no mix of traffic that could change.")
        return
    widgets.chart(
        plot.mix_figure(found, chosen.names, chosen.stamp),
        "routing-drift-mix",
        "Traffic of the scenarios",
        MIX,
        plot.mix_table(found),
        "Share of the rows of each scenario in both logs",
        code=code.script(
            opened, chosen.sides, chosen.arguments,
            f"figure = plot.mix_figure(found, {chosen.names!r}, {chosen.stamp!r})",
        ),
    )  # fmt: skip


def cells_table(found: RoutingDrift, chosen: Options) -> None:
    """Show every cell with its p and q."""
    widgets.table(plot.drift_table(found), "routing-drift-cells", chosen.stamp, height=280)


def _nothing(some: bool) -> None:
    what = (
        "A and B are the same rows: choose two logs above"
        if some
        else "Neither the checkpoint's dataset nor routing summaries are here"
    )
    st.info(
        f"{what}. Two commands make summaries of two logs of any size; put them into `summaries/`"
        + (", or open them above:" if who.may(Right.UPLOAD) else ":"),
        icon=":material/compare_arrows:",
    )
    st.code(summaries.HOW, language="bash")


def _divergence(cell: tuple[LayerDrift, int, int]) -> float:
    own, target, scenario = cell
    return float(own.divergence[target, scenario])
