"""The Training Lab: one run as it learns."""

from typing import Any

import pandas as pd
import streamlit as st

from aesm2.data.description import DESCRIPTION, read_description
from aesm2.files import read_lines
from aesm2.lab.alarms import alarms, roles_over_time
from aesm2.lab.job import Job, Status
from aesm2.lab.records import read_snapshots
from aesm2.plots import roles as roles_plot
from aesm2.plots import training as training_plot
from aesm2.plots.style import provenance
from aesm2.training import history
from app import curves, recipes, widgets

ROLES = widgets.Explanation(
    "What each expert was for, from measurement to measurement: the rows are experts, time goes to"
    " the right.",
    "The role an expert was chosen in more often; “both” where the two are within a tenth of each"
    " other, “unselected” where less than 1 % of the choices took it. Shares are over all"
    " validation rows and, in a task layer, over its tasks.",
    "",
    "Eq. 10 and 12, §3.3",
)


def section(job: Job) -> None:
    """Draw the numbers, alarms and curves of a run."""
    records = read_lines(job.folder / "history.jsonl")
    if not records:
        waiting = job.status() in (Status.QUEUED, Status.RUNNING)
        st.info("The data are being read; the first records come in a moment." if waiting
                else "This run has recorded nothing.", icon=":material/info:")  # fmt: skip
        return
    config, described = job.config(), read_description(job.folder / DESCRIPTION)
    stamp = f"{provenance(described)}; run {job.name}"
    widgets.about(study=job.name, slice=job.name)
    _numbers(job, records)
    frames = _unsmoothed(job, history.loss_frame(records, config.training), ["term"])
    widgets.chart(
        training_plot.losses_figure(frames, "step", stamp), "lab-losses",
        "Loss by term, as it enters the sum", curves.LOSSES, training_plot.curves_table(frames),
        "Terms of the loss over training",
        code=_code(
            job, "history.loss_frame(records, job.config().training)", ["term"],
            f"training.losses_figure(frames, 'step', {stamp!r})",
        ),
    )  # fmt: skip
    measured = _unsmoothed(job, history.validation_frame(records), ["task", "scope", "scenario"])
    if len(measured[job.name]):
        best = {job.name: job.position().best_step}
        widgets.chart(
            training_plot.validation_figure(measured, best, described, "step", stamp),
            "lab-validation", "Validation AUC × 100", curves.VALIDATION,
            training_plot.curves_table(measured), "Validation AUC over training",
            code=_code(
                job, "history.validation_frame(records)", ["task", "scope", "scenario"],
                "training.validation_figure(\n    frames, {job.name: job.position().best_step},"
                f" read_description(job.folder / 'dataset.toml'), 'step',\n    {stamp!r},\n)",
            ),
        )  # fmt: skip
    sharp = _unsmoothed(job, history.divergence_frame(records), ["layer", "role"])
    if len(sharp[job.name]):
        widgets.chart(
            training_plot.divergence_figure(sharp, "step", stamp), "lab-divergences",
            "How sharp the selection is: Σ KL over the chosen experts", curves.DIVERGENCE,
            training_plot.curves_table(sharp), "Sums of KL by layer and role over training",
            code=_code(
                job, "history.divergence_frame(records)", ["layer", "role"],
                f"training.divergence_figure(frames, 'step', {stamp!r})",
            ),
        )  # fmt: skip
    _experts(job, stamp)


def _unsmoothed(job: Job, frame: pd.DataFrame, by: list[str]) -> dict[str, pd.DataFrame]:
    return {job.name: history.smoothed(frame, 0.0, by)}


def _code(job: Job, read: str, by: list[str], figure: str) -> str:
    """Return the script that reads a frame of `records` and draws it."""
    described = "from aesm2.data.description import read_description\n"
    return recipes.of_folder(
        (described if "read_description" in figure else "") + "from aesm2.files import read_lines\n"
        "from aesm2.lab.job import Job\n"
        "from aesm2.plots import training\n"
        "from aesm2.training import history\n"
        f"job = Job(Path({recipes.place(job.folder)!r}))\n"
        'records = read_lines(job.folder / "history.jsonl")\n'
        f"frames = {{job.name: history.smoothed({read}, 0.0, {by})}}\n"
        f"figure = {figure}"
    )


def _numbers(job: Job, records: list[dict[str, Any]]) -> None:
    told, position, config = history.facts(records), job.position(), job.config()
    with st.container(horizontal=True, key="lab-facts"):
        st.metric("Step", f"{told.steps:,}", border=True, width=120)
        best = f"{100 * position.score:.2f}" if position.score > 0 else "not measured"
        st.metric(
            "Best AUC × 100",
            best,
            border=True,
            width=160,
            help="on validation, mean over the tasks; the weights of that step are kept",
        )
        st.metric("Time", curves.duration(told.seconds), border=True, width=140)
        st.metric("Rows/s", f"{told.rows_per_second:,.0f}", border=True, width=140)
        st.caption(f"seed {config.training.seed}, at most {config.training.epochs} epochs",
                   width=180)  # fmt: skip


def _experts(job: Job, stamp: str) -> None:
    found = read_snapshots(job)
    for said in alarms(found):
        st.warning(widgets.escaped(said), icon=":material/warning:")
    roles = roles_over_time(found)
    if len(roles):
        widgets.chart(
            roles_plot.roles_figure(roles, stamp), "lab-roles", "What each expert is for", ROLES,
            roles, "Role of every expert at every measurement",
            code=recipes.of_folder(
                "from aesm2.lab.alarms import roles_over_time\n"
                "from aesm2.lab.job import Job\n"
                "from aesm2.lab.records import read_snapshots\n"
                "from aesm2.plots import roles\n"
                f"job = Job(Path({recipes.place(job.folder)!r}))\n"
                f"figure = roles.roles_figure(roles_over_time(read_snapshots(job)), {stamp!r})"
            ),
        )  # fmt: skip
