"""The Training Lab: what the experts of a run are for, and how that came about."""

import streamlit as st

from aesm2.data.scenarios import PATH, existing
from aesm2.data.schema import Schema
from aesm2.files import read_lines
from aesm2.lab.alarms import Snapshots, alarms, roles_over_time
from aesm2.lab.job import Job
from aesm2.models import build
from aesm2.plots import moving
from aesm2.plots import roles as roles_plot
from aesm2.plots.training import curves_table
from aesm2.plots.utilisation import panels, utilisation_table
from aesm2.routing.saturation import saturation
from aesm2.routing.shares import ROLES, layer_shares, own_grouping
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.training import history
from app import curves, lab_live, widgets


def specs(job: Job) -> tuple[Schema, tuple[LayerSpec, ...]]:
    """Return the shape of a run's data and its layers that select."""
    about = lab_live.described(job)
    schema = Schema(
        fields=(2,) * len(about.fields),  # the layers do not depend on them
        levels=tuple(level.scenarios for level in about.level),
        level_names=tuple(level.name for level in about.level),
        tasks=tuple(task.name for task in about.task),
        parents=about.parents,
    )
    return schema, layer_specs(build(job.config().model, schema))


def snapshots(job: Job) -> Snapshots:
    """Return the counts of choices at every measurement."""
    lines = read_lines(job.folder / "utilisation.jsonl")
    return history.snapshots(lines, *specs(job))


def warnings(job: Job) -> None:
    """Say what is wrong with the experts."""
    for said in alarms(snapshots(job)):
        st.warning(widgets.escaped(said), icon=":material/warning:")


def section(job: Job) -> None:
    """Draw the roles of experts over time: heatmaps that move, flows, and how settled they are."""
    found, (schema, layers) = snapshots(job), specs(job)
    if not found:
        st.info("Nothing was measured yet, or this model selects no experts."
                if not layers else "The first measurement is still to come.",
                icon=":material/info:")  # fmt: skip
        return
    stamp = f"{lab_live.stamp(job)}, validation rows"
    names = [layer.name for layer in layers]
    layer = widgets.pick("Layer", "lab-layer", names, names[0], str, width=180)
    _moving(job, found, schema, layer, stamp)
    roles = roles_over_time(found)
    own = roles[roles["layer"] == layer]
    widgets.chart(
        roles_plot.alluvial_figure(own, stamp), "lab-flows",
        f"How experts of {layer} moved between roles", FLOWS, own,
        f"Streams of experts of {layer} between roles over training",
    )  # fmt: skip
    widgets.chart(
        roles_plot.roles_figure(roles, stamp), "lab-roles", "What each expert is for", ROLES_HELP,
        roles, "Role of every expert at every measurement",
    )  # fmt: skip
    settled = saturation(read_lines(job.folder / "choices.jsonl"), layers)
    if len(settled):
        widgets.chart(
            roles_plot.saturation_figure(settled, stamp), "lab-saturation",
            "How settled the choice is", SATURATION, settled,
            "Share of rows that choose as at the last measurement",
        )  # fmt: skip


def _moving(job: Job, found: Snapshots, schema: Schema, layer: str, stamp: str) -> None:
    spec = found[-1][1].layer(layer).spec
    exists = existing(lab_live.described(job), schema, PATH)
    by = own_grouping(spec, schema)
    shares = [(step, layer_shares(used, layer, by, exists)) for step, used in found]
    table = curves_table({
        str(step): utilisation_table(panels([own], ROLES, "share")) for step, own in shares
    }).rename(columns={"run": "step"})  # fmt: skip
    widgets.chart(
        moving.moving_figure(shares, stamp), "lab-moving",
        f"Who uses which experts of {layer}, from measurement to measurement", MOVING, table,
        f"Share of rows that took each expert of {layer}; press play to see it move",
    )  # fmt: skip


MOVING = widgets.Explanation(
    "Which experts the validation rows take, at every measurement so far.",
    "It opens on the last measurement. ▶ plays them from the first on; the slider goes to any."
    " Each line is a scenario or task, each column an expert, always on the scale from 0 to 1.",
    curves.USE.formula,
    curves.USE.source,
)
FLOWS = widgets.Explanation(
    "Each stream is experts that went from one role to another between two measurements.",
    "▲ specific, ● shared, ◆ both, ○ unselected: the role an expert was chosen in more often. The"
    " number is how many experts have it; a stream is as wide as it has experts. Streams that run"
    " straight say that the roles are settled.",
    "",
    "Eq. 10 and 12, §3.3",
)
ROLES_HELP = widgets.Explanation(
    "What each expert was for, from measurement to measurement: the rows are experts, time goes to"
    " the right.",
    "The role an expert was chosen in more often; “both” where the two are within a tenth of each"
    " other, “unselected” where less than 1 % of the choices took it. Shares are over all"
    " validation rows and, in a task layer, over its tasks.",
    "",
    "Eq. 10 and 12, §3.3",
)
SATURATION = widgets.Explanation(
    "The share of rows whose chosen experts, specific and shared, are already those of the last"
    " measurement.",
    "A line that reaches 100 % early belongs to a layer that stopped changing its mind early; what"
    " is learnt after that is learnt inside the experts. Up to 1,000 validation rows, evenly"
    " spaced, the same at every measurement; the last point is 100 % by construction.",
    r"\frac{1}{|R|}\sum_{i \in R}\mathbf{1}[E_{sp}^{(i)}(t) = E_{sp}^{(i)}(T)"
    r" \wedge E_{sh}^{(i)}(t) = E_{sh}^{(i)}(T)]",
    "Eq. 10 and 12, §3.3",
)
