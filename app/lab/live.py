"""The Training Lab: runs as they learn, one or several laid over each other."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL
from aesm2.lab.job import Job, Status
from aesm2.lab.records import read_described, read_history
from aesm2.plots import training as training_plot
from aesm2.plots.style import provenance
from aesm2.training import history
from app import widgets
from app.curves import page as curves
from app.lab import code

Records = list[dict[str, Any]]


def stamp(job: Job) -> str:
    """Return where the data of a run come from, and its name, for charts."""
    return f"{provenance(read_described(job))}; run {job.name}"


def nothing_yet(job: Job) -> None:
    """Say that there is nothing to see, and why."""
    waiting = job.status() in (Status.QUEUED, Status.RUNNING)
    st.info("The data are being read; the first records come in a moment." if waiting
            else "This run has recorded nothing.", icon=":material/info:")  # fmt: skip


def numbers(job: Job) -> None:
    """Draw where a run is: step, score, time, what is left of it, speed, memory."""
    told, position, config = history.facts(read_history(job)), job.position(), job.config()
    working = job.status().active
    with st.container(horizontal=True, key="lab-facts"):
        st.metric("Step", f"{told.steps:,}", border=True, width=120)
        best = f"{100 * position.score:.2f}" if position.score > 0 else "not measured"
        st.metric("Best AUC × 100", best, border=True, width=165, help=BEST)
        st.metric("Time", curves.duration(told.seconds), border=True, width=180)
        if working and not math.isnan(told.left):
            st.metric(
                "Left, at most", curves.duration(told.left), border=True, width=230, help=LEFT
            )
        st.metric("Rows/s", f"{told.rows_per_second:,.0f}", border=True, width=140)
        if not math.isnan(told.peak_mb):
            st.metric("Memory", f"{told.peak_mb:,.0f} MB", border=True, width=165,
                      help="peak of the process that trains")  # fmt: skip
        st.caption(f"seed {config.training.seed}, at most {config.training.epochs} epochs",
                   width=180)  # fmt: skip


def learning(jobs: list[Job]) -> None:
    """Draw the curves of a run, and of those it is compared with."""
    widgets.about(study=jobs[0].name, slice=jobs[0].name)
    found = {job.name: (job, read_history(job)) for job in jobs}
    first = jobs[0]
    marked = stamp(first) + "".join(f", {job.name}" for job in jobs[1:])

    def frames(
        read: Callable[[Job, Records], pd.DataFrame], by: list[str]
    ) -> dict[str, pd.DataFrame]:
        parts = {name: read(job, lines) for name, (job, lines) in found.items()}
        return {n: history.smoothed(frame, 0.0, by) for n, frame in parts.items() if len(frame)}

    losses = frames(lambda j, r: history.loss_frame(r, j.config().training), ["term"])
    if losses:
        widgets.chart(
            training_plot.losses_figure(losses, "step", marked), "lab-losses",
            "Loss by term, as it enters the sum", curves.LOSSES,
            training_plot.curves_table(losses), "Terms of the loss over training",
            code=code.curves(
                jobs, "history.loss_frame(read_history(job), job.config().training)", ["term"],
                f"training.losses_figure(frames, 'step', {marked!r})",
            ),
        )  # fmt: skip
    measured = frames(
        lambda _, r: _overall(history.validation_frame(r), len(jobs)), ["task", "scope", "scenario"]
    )
    if measured:
        best = {job.name: job.position().best_step for job in jobs}
        widgets.chart(
            training_plot.validation_figure(measured, best, read_described(first), "step", marked),
            "lab-validation", "Validation AUC × 100", curves.VALIDATION,
            training_plot.curves_table(measured), "Validation AUC over training",
            code=code.curves(
                jobs,
                "history.validation_frame(read_history(job))"
                + ("" if len(jobs) == 1 else ".query(\"scope == 'all'\")"),
                ["task", "scope", "scenario"],
                f"training.validation_figure(\n    frames, {best}, read_described(jobs[0]), 'step',"
                f"\n    {marked!r},\n)",
            ),
        )  # fmt: skip
    sharp = frames(lambda _, r: history.divergence_frame(r), ["layer", "role"])
    if sharp:
        widgets.chart(
            training_plot.divergence_figure(sharp, "step", marked), "lab-divergences",
            "How sharp the selection is: Σ KL over the chosen experts", curves.DIVERGENCE,
            training_plot.curves_table(sharp), "Sums of KL by layer and role over training",
            code=code.curves(
                jobs, "history.divergence_frame(read_history(job))", ["layer", "role"],
                f"training.divergence_figure(frames, 'step', {marked!r})",
            ),
        )  # fmt: skip


def _overall(frame: pd.DataFrame, runs: int) -> pd.DataFrame:
    """Keep AUC over all rows only where several runs are laid over each other."""
    return frame if runs == 1 else frame[frame["scope"] == OVERALL]


BEST = "on validation, mean over the tasks; the weights of that step are kept"
LEFT = "at the pace of the last records; early stopping may end it sooner"
