"""The Training Lab: what the experts of a run are for, and how that came about."""

import streamlit as st

from aesm2.lab.alarms import alarms, roles_over_time
from aesm2.lab.job import Job
from aesm2.lab.records import read_saturation, read_shape, read_shares, read_snapshots
from aesm2.plots import moving
from aesm2.plots import roles as roles_plot
from aesm2.plots.training import curves_table
from aesm2.plots.utilisation import panels, utilisation_table
from aesm2.routing.shares import ROLES
from app import widgets
from app.curves import page as curves
from app.lab import code, live


def warnings(job: Job) -> None:
    """Say what is wrong with the experts."""
    for said in alarms(read_snapshots(job)):
        st.warning(widgets.escaped(said), icon=":material/warning:")


def section(job: Job) -> None:
    """Draw the roles of experts over time: heatmaps that move, flows, and how settled they are."""
    _, layers = read_shape(job)
    found = read_snapshots(job)
    if not found:
        st.info("The first measurement is still to come." if layers
                else "This model selects no experts.", icon=":material/info:")  # fmt: skip
        return
    stamp = f"{live.stamp(job)}, validation rows"
    names = [layer.name for layer in layers]
    layer = widgets.pick("Layer", "lab-layer", names, names[0], str, width=180)
    _moving(job, layer, stamp)
    roles = roles_over_time(found)
    own, of_layer = roles[roles["layer"] == layer], f'{READ}.query("layer == {layer!r}")'
    widgets.chart(
        roles_plot.alluvial_figure(own, stamp), "lab-flows",
        f"How experts of {layer} moved between roles", FLOWS, own,
        f"Streams of experts of {layer} between roles over training",
        code=_code(job, f"roles.alluvial_figure({of_layer}, {stamp!r})"),
    )  # fmt: skip
    widgets.chart(
        roles_plot.roles_figure(roles, stamp), "lab-roles", "What each expert is for", ROLES_HELP,
        roles, "Role of every expert at every measurement",
        code=_code(job, f"roles.roles_figure({READ}, {stamp!r})"),
    )  # fmt: skip
    settled = read_saturation(job)
    if len(settled):
        widgets.chart(
            roles_plot.saturation_figure(settled, stamp), "lab-saturation",
            "How settled the choice is", SATURATION, settled,
            "Share of rows that choose as at the last measurement",
            code=code.experts(
                job,
                "from aesm2.lab.records import read_saturation\nfrom aesm2.plots import roles",
                f"roles.saturation_figure(read_saturation(job), {stamp!r})",
            ),
        )  # fmt: skip


def _code(job: Job, figure: str) -> str:
    imports = (
        "from aesm2.lab.alarms import roles_over_time\n"
        "from aesm2.lab.records import read_snapshots\n"
        "from aesm2.plots import roles"
    )
    return code.experts(job, imports, figure)


def _moving(job: Job, layer: str, stamp: str) -> None:
    shares = read_shares(job, layer)
    table = curves_table({
        str(step): utilisation_table(panels([own], ROLES, "share")) for step, own in shares
    }).rename(columns={"run": "step"})  # fmt: skip
    widgets.chart(
        moving.moving_figure(shares, stamp), "lab-moving",
        f"Who uses which experts of {layer}, from measurement to measurement", MOVING, table,
        f"Share of rows that took each expert of {layer}; press play to see it move",
        code=code.experts(
            job,
            "from aesm2.lab.records import read_shares\nfrom aesm2.plots import moving",
            f"moving.moving_figure(read_shares(job, {layer!r}), {stamp!r})",
        ),
    )  # fmt: skip


READ = "roles_over_time(read_snapshots(job))"
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
