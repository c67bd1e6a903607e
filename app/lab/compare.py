"""The Training Lab: what several runs were configured differently in, and how they ended."""

import pandas as pd
import streamlit as st

from aesm2.checkpoint import MANIFEST, load_evaluation
from aesm2.errors import InputError
from aesm2.lab.job import Job, Status
from aesm2.plots import metrics as metrics_plot
from aesm2.training.history import config_differences
from app import state, widgets

MOST = 5


def others(jobs: list[Job], watched: Job) -> list[Job]:
    """Draw the choice of runs to lay over the watched one; return those that have records."""
    beside = (job for job in jobs if job.folder != watched.folder and job.run.exists)
    names = {job.name: job for job in beside if job.status() is not Status.BROKEN}
    if not names:
        return []
    wanted = [name for name in state.get("with").split(",") if name in names][:MOST]
    st.multiselect(
        "Compare with", list(names), max_selections=MOST, width=420, placeholder="other runs",
        **state.bind("with", wanted),
    )  # fmt: skip
    return [names[name] for name in wanted]


def section(jobs: list[Job]) -> None:
    """Draw the differences of configurations and the final test metrics."""
    if len(jobs) < 2:
        return
    st.subheader("What differs between the runs", anchor=False)
    data = {job.order().dataset for job in jobs}
    if len(data) > 1:
        st.warning("These runs are of different datasets: their numbers do not compare.",
                   icon=":material/warning:")  # fmt: skip
    table = config_differences({job.name: job.config() for job in jobs})
    if table.empty:
        st.caption("Their configurations are the same.")
    else:
        widgets.table(table, "lab-settings", "configurations of runs")
    evaluations = {job.name: found for job in jobs if (found := _evaluation(job)) is not None}
    if len(evaluations) < 2:
        st.caption("Final test AUC stands here once two of them have a checkpoint.")
        return
    st.markdown("**Final test AUC × 100**")
    compared = metrics_plot.comparison_table(evaluations, "test")
    numbers = {name: "%+.2f" if name.endswith("difference") else "%.2f"
               for name in compared.columns[4:]}  # fmt: skip
    widgets.table(compared, "lab-metrics", "test rows", column_config={
        name: st.column_config.NumberColumn(format=form) for name, form in numbers.items()
    })  # fmt: skip
    st.caption(
        f"Differences are in points, to {next(iter(evaluations))}. They are of single runs: another"
        " seed moves them as well, so a small one may be chance."
    )


def _evaluation(job: Job) -> pd.DataFrame | None:
    if not (job.run.checkpoint / MANIFEST).exists():
        return None
    try:
        return load_evaluation(job.run.checkpoint)
    except InputError:
        return None
