"""Long computations in the background: one thread for the process, and what became of each.

Nothing here knows Streamlit: a page submits work under an id that determines its result, looks at
it from time to time, and may cancel it. The work calls `tick` with its share done, which raises
`Cancelled` where nobody wants the result any more; between two ticks it should take a fraction of a
second, since other threads share the processor.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from aesm2.errors import InputError
from app import log

KEPT = 16  # finished jobs; the oldest result is forgotten first
Tick = Callable[[float], None]
Work = Callable[[Tick], Any]
BROKEN = "it broke off (error {}); start it again, or ask whoever runs this app, with that id"


class Cancelled(Exception):
    """Raised by `tick` where the job was cancelled."""


class State(StrEnum):
    """How a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether something is still to come of it."""
        return self in (State.WAITING, State.RUNNING)


@dataclass(frozen=True)
class Job:
    """How a job stands at one moment.

    progress: share done, from 0 to 1. result: of a job that is done. error: one line, of one that
    failed. owners: who wants it.
    """

    id: str
    title: str
    state: State = State.WAITING
    progress: float = 0.0
    result: Any = None
    error: str = ""
    owners: frozenset[str] = field(default_factory=frozenset)


@dataclass(eq=False)
class _Entry:
    """A job and what the thread needs of it; a dropped one may run until its next tick."""

    job: Job
    work: Work | None
    dropped: bool = False


class Background:
    """One worker thread and the jobs it knows; every method may be called by any thread.

    kept: how many finished jobs to remember. failed: told where a job broke.
    """

    def __init__(self, kept: int = KEPT, failed: Callable[[str], None] = lambda _: None) -> None:
        self._kept, self.failed = kept, failed
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, id_: str, title: str, work: Work, owner: str) -> Job:
        """Ask for a job and return how it stands; one that is there already is not started again.

        owner: who asks; whatever else they wait for is dropped, unless others want it too.
        A job that failed or was cancelled is started anew.
        """
        with self._changed:
            for entry in list(self._entries.values()):
                if entry.job.id != id_:
                    self._leave(entry, owner)
            there = self._entries.get(id_)
            if there is None or there.job.state in (State.FAILED, State.CANCELLED):
                self._entries.pop(id_, None)
                there = self._entries[id_] = _Entry(Job(id_, title), work)
                self._start()
            there.job = replace(there.job, owners=there.job.owners | {owner})
            return there.job

    def active(self) -> int:
        """Return how many jobs wait or run."""
        with self._changed:
            return sum(entry.job.state.active for entry in self._entries.values())

    def find(self, id_: str) -> Job | None:
        """Return how a job stands; None where there is none, or it is forgotten."""
        with self._changed:
            entry = self._entries.get(id_)
            return None if entry is None else entry.job

    def of(self, owner: str) -> Job | None:
        """Return the job that an owner waits for."""
        with self._changed:
            jobs = [entry.job for entry in self._entries.values()]
            return next((j for j in jobs if j.state.active and owner in j.owners), None)

    def cancel(self, id_: str, owner: str) -> None:
        """Say that an owner no longer wants a job; without owners it stops at its next tick."""
        with self._changed:
            entry = self._entries.get(id_)
            if entry is not None:
                self._leave(entry, owner)

    def wait(self, id_: str, seconds: float) -> Job | None:
        """Return a job once it is over, or as it stands after some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active(id_), seconds)
        return self.find(id_)

    def _active(self, id_: str) -> bool:
        entry = self._entries.get(id_)
        return entry is not None and entry.job.state.active

    def _leave(self, entry: _Entry, owner: str) -> None:
        if not entry.job.state.active or owner not in entry.job.owners:
            return
        entry.job = replace(entry.job, owners=entry.job.owners - {owner})
        if not entry.job.owners:
            entry.dropped = True
            self._over(entry, State.CANCELLED)

    def _over(self, entry: _Entry, state: State, result: Any = None, error: str = "") -> None:
        """Note that a job is finished, as the newest of those, and forget the oldest."""
        progress = 1.0 if state is State.DONE else entry.job.progress
        entry.job = replace(entry.job, state=state, progress=progress, result=result, error=error)
        entry.work = None
        self._entries.move_to_end(entry.job.id)
        finished = [id_ for id_, own in self._entries.items() if not own.job.state.active]
        for id_ in finished[: -self._kept]:
            del self._entries[id_]
        self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="background", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next() is not None)
                entry = self._next()
                if entry is not None:
                    entry.job = replace(entry.job, state=State.RUNNING)
            if entry is not None:
                self._do(entry)
            entry = None  # a result that is forgotten must not live on here

    def _next(self) -> _Entry | None:
        waiting = (e for e in self._entries.values() if e.job.state is State.WAITING)
        return next(waiting, None)

    def _do(self, entry: _Entry) -> None:
        def tick(share: float) -> None:
            with self._changed:
                if entry.dropped:
                    raise Cancelled
                entry.job = replace(entry.job, progress=min(max(share, 0.0), 1.0))

        state, result, error, work = State.DONE, None, "", entry.work
        try:
            result = None if work is None else work(tick)
        except Cancelled:
            state = State.CANCELLED
        except InputError as problem:
            state, error = State.FAILED, str(problem)
        except Exception as broken:
            id_ = log.problem("a background job failed", broken, job=entry.job.id)
            self.failed("background")
            state, error = State.FAILED, BROKEN.format(id_)
        with self._changed:
            if not entry.dropped:
                self._over(entry, state, result, error)
