"""Training Lab: train, watch, stop, resume, without leaving the app."""

import streamlit as st

from aesm2.lab.job import Job, Status
from aesm2.lab.records import read_history
from app import failures, state, widgets
from app.lab import branch as lab_branch
from app.lab import compare as lab_compare
from app.lab import experts as lab_experts
from app.lab import live as lab_live
from app.lab import page as lab
from app.lab import result as lab_result
from app.lab import setup as lab_setup
from app.people import who

PARTS = {"learning": "Learning", "experts": "Experts"}


def page() -> None:
    """Draw the page: what to train, the runs, and the one that is watched."""
    st.header("Training Lab: how does expert selection come into being?", anchor=False)
    who.require(who.Right.TRAIN)
    st.caption(
        "Runs go on in processes of their own, one at a time on a device, whatever becomes of this"
        " page; come back to find them."
    )
    lab.acted()  # this run shows what came of it
    lab.lab().tend()
    jobs = lab.jobs()
    with st.expander("Set up a run", icon=":material/tune:", expanded=not jobs):
        lab_setup.section()
    lab.told()
    lab_result.importing()
    lab_result.removing()
    if not jobs:
        st.info("No run yet. Set one up above: the defaults are sound for a first look.",
                icon=":material/info:")  # fmt: skip
        return
    st.subheader("Runs", anchor=False)
    names = [job.name for job in reversed(jobs)]
    widgets.pick("Watch", "run", names, names[0], str, width=320)
    active = any(job.status().active or job.status() is Status.QUEUED for job in jobs)
    st.fragment(live, run_every=lab.POLL if active else None)(active)
    chosen = lab.chosen(lab.jobs())
    if chosen is not None:
        lab_branch.section(chosen)
        lab_result.promotion(chosen)


def live(was_active: bool) -> None:
    """Draw what changes by itself; the whole page again once nothing is at work any more."""
    if lab.acted():  # a button in here, whose consequences the whole page shows
        st.rerun()
    with failures.told():
        lab.lab().tend()
        jobs = lab.jobs()
        lab.runs(jobs)
        job = lab.chosen(jobs)
        if job is None:
            return
        st.subheader(f"{job.name}: {job.status()}", anchor=False)
        lab.steer(job)
        if job.status() is not Status.BROKEN:
            watched(job, jobs)
        if was_active and not any(
            job.status().active or job.status() is Status.QUEUED for job in jobs
        ):
            state.publish()
            st.rerun()


def watched(job: Job, jobs: list[Job]) -> None:
    """Draw what a run has recorded, beside others."""
    if not read_history(job):
        lab_live.nothing_yet(job)
        return
    lab_live.numbers(job)
    lab_experts.warnings(job)
    with st.container(horizontal=True, vertical_alignment="bottom", key="lab-look"):
        part = widgets.pick("Look at", "lab-part", list(PARTS), "learning", PARTS.__getitem__,
                            width=160)  # fmt: skip
        beside = lab_compare.others(jobs, job) if part == "learning" else []
    if part == "experts":
        lab_experts.section(job)
        return
    lab_live.learning([job, *beside])
    lab_compare.section([job, *beside])


page()
