"""The Training Lab: a run that goes on from another, trained differently."""

import streamlit as st

from aesm2.config import Config, parse
from aesm2.errors import InputError
from aesm2.lab.job import Job, Status
from app import state, widgets
from app.lab import actions, form
from app.lab import page as lab

FROM = {"last": "where it was last saved", "best": "its best measurement"}


def section(job: Job) -> None:
    """Draw the form of a branch, where the run is not at work and has saved something."""
    status = job.status()
    if status.active or status is Status.BROKEN or job.run.position() is None:
        return
    with st.expander("Branch: go on from here, trained differently", icon=":material/call_split:"):
        position, config = job.position(), job.config()
        free = _free(job)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name of the branch", free, key=f"lab-branch-{free}", width=220)
            start = st.selectbox("Go on from", list(FROM), format_func=FROM.__getitem__, width=220,
                                 key=f"lab-branch-from-{job.name}")  # fmt: skip
        step = position.best_step if start == "best" else position.step
        changed = _changed(job, config)
        if changed is None:
            return
        fresh = " The optimizer starts anew." if start == "best" else ""
        st.caption(f"It starts at step {step:,} with the model as it is; its first run stays as it"
                   f" is.{fresh}")  # fmt: skip
        st.button("Branch", icon=":material/call_split:", key="lab-branch-go", on_click=lab.attempt,
                  args=(lambda: _branch(job, name, changed, start == "best"),))  # fmt: skip


def _changed(job: Job, config: Config) -> Config | None:
    values = config.model_dump(mode="json")
    with st.container(horizontal=True):
        for field in (*form.TRAINING, *form.LOSS[:3]):
            field.write(values, form.number(f"branch-{job.name}", field, field.read(values)))
    try:
        return parse(Config, values, "the form")
    except InputError as error:
        st.error(f"{widgets.escaped(str(error))}.", icon=":material/error:")
        return None


def _branch(job: Job, name: str, config: Config, best: bool) -> None:
    state.put(run=actions.branch(job, name, config, best).name)


def _free(job: Job) -> str:
    taken = {path.name for path in lab.lab().root.iterdir()}
    names = (f"{job.name[:58]}-b{i}" for i in range(1, 10_000))
    return next(name for name in names if name not in taken)
