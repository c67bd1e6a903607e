"""The Training Lab: its runs, what each is called to a person, and how they are steered."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import streamlit as st

from aesm2.config import Config
from aesm2.errors import InputError
from aesm2.lab.job import Job, Status, Wish, diagnose, remedied, trouble
from aesm2.lab.records import read_history
from aesm2.training.history import facts
from app import failures, state, widgets
from app.lab import actions
from app.lab.folder import jobs as jobs
from app.lab.folder import lab as lab
from app.lab.folder import mine
from app.people import who
from app.people.who import Right

POLL = "2s"
COLUMNS = ["run", "status", "step", "best AUC × 100", "dataset", "device", "seed", "notes"]
_DISCARDED, _PROBLEM, _ACTED = "lab-discarded", "lab-problem", "lab-acted"


def chosen(jobs: list[Job]) -> Job | None:
    """Return the run the view is about: the one chosen, else the newest."""
    names = {job.name: job for job in jobs}
    return names.get(state.get("run")) or (jobs[-1] if jobs else None)


def table(jobs: list[Job]) -> pd.DataFrame:
    """Return one line a run, the newest first."""
    lines = []
    for job in reversed(jobs):
        with contextlib.suppress(InputError):  # it vanishes just now
            lines.append(_line(job))
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(job: Job) -> dict[str, object]:
    status, order = job.status(), job.order()
    own: dict[str, object] = {
        "run": job.name, "dataset": Path(order.dataset).name, "device": order.device,
        "notes": order.notes,
    }  # fmt: skip
    if status is Status.BROKEN:
        return own | {"status": str(status)}
    position = job.position()
    waits = _waits(job) if status is Status.QUEUED else ""
    score = 100 * position.score if position.score > 0 else None
    return own | {
        "status": f"{status}{waits}", "step": _reached(job), "best AUC × 100": score,
        "seed": job.config().training.seed,
    }  # fmt: skip


def _waits(job: Job) -> str:
    """Say whose turn it is."""
    ahead = lab().ahead(job)
    if not ahead:
        return ", it is next"
    own = who.person()
    names = [other.name for other in ahead if mine(other, own)]
    if len(names) < len(ahead):
        names.append(f"{len(ahead) - len(names)} of others")
    return f", {len(ahead)} ahead: {', '.join(names[:3])}{'…' if len(names) > 3 else ''}"


def _reached(job: Job) -> int:
    """Return the last recorded step: the saved state is older while a run is at work."""
    steps = 0
    with contextlib.suppress(InputError):  # told where the run itself is shown
        steps = facts(read_history(job)).steps
    return steps or job.position().step


def runs(jobs: list[Job]) -> None:
    """Draw the table of runs."""
    found = table(jobs)
    st.dataframe(
        found, hide_index=True, height="content",
        column_config={"best AUC × 100": st.column_config.NumberColumn(format="%.2f")},
    )  # fmt: skip


def steer(job: Job) -> None:
    """Draw what can be asked of a run in its present state."""
    status = job.status()
    with st.container(horizontal=True, key="lab-steer"):
        if status in (Status.QUEUED, Status.RUNNING):
            _button("Pause", "pause", lambda: actions.wish(job, Wish.PAUSE))
            _button("Stop and keep", "stop", lambda: actions.wish(job, Wish.STOP),
                    "ends the run; its best weights so far stay a checkpoint")  # fmt: skip
        if status in (Status.PAUSED, Status.STOPPED, Status.FAILED):
            _button("Resume", "play_arrow", lambda: actions.wish(job, Wish.RUN))
        if status in (Status.FINISHED, Status.STOPPED, Status.PAUSED):
            _button("5 epochs more", "add", lambda: actions.extend(job, 5),
                    "early stopping starts to count anew")  # fmt: skip
        if not status.active:
            _button("Discard", "delete", lambda: _discard(job), "it can be undone")
    if status is Status.FAILED:
        _failed(job)
    if status is Status.BROKEN:
        st.error(f"{widgets.escaped(job.problem())}. Mend that file, or discard the run.",
                 icon=":material/error:")  # fmt: skip


def _failed(job: Job) -> None:
    """Say what ended a run, and offer what may help."""
    outcome = job.outcome()
    said = trouble(outcome)
    if said:
        st.error(widgets.escaped(said), icon=":material/error:")
    remedy = remedied(job.config(), diagnose(outcome))
    if remedy is None:
        return
    training = remedy.training
    label = (
        f"Go on with batches of {training.batch_size:,}"
        if training.batch_size != job.config().training.batch_size
        else f"Go on with learning rate {training.learning_rate:g}"
    )
    _button(label, "healing", lambda: _retry(job, remedy), "as a new run; this one stays")


def _retry(job: Job, config: Config) -> None:
    state.put(run=actions.retry(job, config).name)


def told() -> None:
    """Say what went wrong with the last wish, and offer to undo the last discard."""
    problem = state.recall(_PROBLEM)
    if problem:
        st.error(f"{widgets.escaped(problem)}. Nothing was changed.", icon=":material/error:")
    place: Path | None = state.recall(_DISCARDED)
    if place is not None and place.exists():
        name = place.name.rpartition("~")[0]
        with st.container(horizontal=True, vertical_alignment="center", key="lab-discarded"):
            st.info(f"“{widgets.escaped(name)}” was discarded.", icon=":material/delete:")
            _button("Undo", "undo", lambda: _restore(place))


@failures.callback
def attempt(act: Callable[[], object]) -> None:
    """Do what a button asks; what cannot be is told on the page."""
    state.remember(_PROBLEM, None)
    state.remember(_ACTED, True)
    try:
        who.require(Right.TRAIN)
        act()
    except (InputError, OSError) as error:
        state.remember(_PROBLEM, str(error).rstrip("."))
    if who.may(Right.TRAIN):
        lab().tend()


def acted() -> bool:
    """Whether something was asked since the last call."""
    asked = bool(state.recall(_ACTED))
    state.remember(_ACTED, None)
    return asked


def _button(label: str, icon: str, act: Callable[[], object], about: str = "") -> None:
    key = f"lab-{label.lower().replace(' ', '-')}"
    st.button(label, icon=f":material/{icon}:", key=key, help=about or None,
              on_click=attempt, args=(act,))  # fmt: skip


def _discard(job: Job) -> None:
    state.remember(_DISCARDED, actions.discard(job))
    if state.get("run") == job.name:
        state.put(run="")


def _restore(place: Path) -> None:
    job = actions.restore(place)
    state.remember(_DISCARDED, None)
    state.put(run=job.name)
