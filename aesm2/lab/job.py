"""A job: a run folder, what is wished for it, and how it stands.

Beside what `aesm2 train` writes, the folder of a run holds

    job.json      dataset, device, ticket (its place in the queue), wish, notes, owner, minutes
    plan.json     the configuration to start with
    log.txt       what the last training process printed
    outcome.json  how that process ended
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from aesm2.config import Config, Strict, parse
from aesm2.errors import InputError
from aesm2.files import read_json, write_atomically
from aesm2.lock import holder
from aesm2.training.run import LOCK, Position, Run

JOB, PLAN, LOG, OUTCOME = "job.json", "plan.json", "log.txt", "outcome.json"
STOPPED_BY_US = (0, 130)  # how `aesm2 train` ends when it is done, and after Ctrl-C


class Wish(StrEnum):
    """What is wished for a run."""

    RUN = "run"
    PAUSE = "pause"  # may go on later
    STOP = "stop"  # keeps the best weights so far


class Status(StrEnum):
    """How a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    HALTING = "halting"  # asked to pause or stop, finishing the step in hand
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    BROKEN = "broken"  # a file of it cannot be read, see `Job.problem`

    @property
    def active(self) -> bool:
        """Whether a process is at work."""
        return self in (Status.RUNNING, Status.HALTING)


class Order(Strict):
    """Content of job.json.

    dataset: an absolute path. ticket: first come, first served. owner: "" for everybody. minutes:
    of training, all in all, after which the worker stops it and keeps its best weights.
    """

    dataset: str
    device: str = "auto"
    ticket: int
    wish: Wish = Wish.RUN
    notes: str = ""
    owner: str = ""
    minutes: float | None = Field(None, gt=0)


@dataclass(frozen=True)
class Job:
    """A run folder of the lab."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def run(self) -> Run:
        """What training reads and writes."""
        return Run(self.folder)

    def order(self) -> Order:
        """Read job.json; InputError where it is missing or broken."""
        return parse(Order, read_json(self.folder / JOB), str(self.folder / JOB))

    def put(self, order: Order) -> None:
        """Write job.json."""
        write_atomically(self.folder / JOB, order.model_dump_json(indent=1))

    def config(self) -> Config:
        """Return the configuration of the run, or the one it will start with."""
        file = self.folder / ("config.json" if self.run.exists else PLAN)
        return parse(Config, read_json(file), str(file))

    def position(self) -> Position:
        """Return where the run stands; the start where nothing was saved yet."""
        return self.run.position() or Position()

    def seconds(self) -> float:
        """Return how long it had trained when it was last saved."""
        return self.position().seconds

    def outcome(self) -> Mapping[str, Any]:
        """Return the code the last process ended with and its last words; empty if none ended."""
        file = self.folder / OUTCOME
        found: Any = read_json(file) if file.exists() else {}
        code = found.get("code", 0) if isinstance(found, dict) else None
        if not isinstance(code, int) or not isinstance(found.get("said", ""), str):
            raise InputError(f"{file}: not what a worker noted; delete it and resume")
        return dict(found)

    def end(self, code: int) -> None:
        """Note how a process ended: its exit code, negative for a signal."""
        log = self.folder / LOG
        words = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = [line.strip() for line in words.replace("\r", "\n").split("\n") if line.strip()]
        said = lines[-1] if lines and code not in STOPPED_BY_US else ""
        self.note(code, said)

    def note(self, code: int, said: str) -> None:
        """Note how it ended and why."""
        write_atomically(self.folder / OUTCOME, json.dumps({"code": code, "said": said}))

    def holder(self) -> int | None:
        """Return the number of the process that trains here now."""
        return holder(self.folder / LOCK)

    @property
    def gone(self) -> bool:
        """Whether its folder was taken away, or most of it."""
        return not (self.folder / JOB).exists()

    def problem(self) -> str:
        """Say which of its files cannot be read, and why; "" where all can."""
        try:
            self._status()
        except (InputError, OSError) as error:
            return str(error)
        return ""

    def status(self) -> Status:
        """Say how the run stands, from its files and the lock alone."""
        try:
            return self._status()
        except (InputError, OSError):  # also where it vanishes just now
            return Status.BROKEN

    def _status(self) -> Status:
        wish, working = self.order().wish, self.holder() is not None
        if working:
            return Status.RUNNING if wish is Wish.RUN else Status.HALTING
        self.config()
        position, outcome = self.position(), self.outcome()
        if position.finished and self.run.checkpoint.exists():
            return Status.FINISHED
        if wish is not Wish.RUN:
            return Status.PAUSED if wish is Wish.PAUSE else Status.STOPPED
        failed = outcome.get("code", 0) not in STOPPED_BY_US
        return Status.FAILED if failed else Status.QUEUED

    def command(self) -> list[str]:
        """Return the arguments of `aesm2` that start the run or go on with it."""
        order = self.order()
        more = ["--resume"] if self.run.exists else ["--config", str(self.folder / PLAN)]
        run = ["--run", str(self.folder), "--device", order.device]
        return ["train", order.dataset, *run, *more]


class Trouble(StrEnum):
    """What ended a process that should not have ended."""

    MEMORY = "memory"
    DIVERGED = "diverged"
    SIGNAL = "signal"
    OTHER = "other"


def diagnose(outcome: Mapping[str, Any]) -> Trouble | None:
    """Tell what went wrong; None where nothing did."""
    code, said = outcome.get("code", 0), str(outcome.get("said", ""))
    if code in STOPPED_BY_US:
        return None
    if code == -9 or "out of memory" in said.lower() or "MemoryError" in said:
        return Trouble.MEMORY
    if code < 0:
        return Trouble.SIGNAL
    return Trouble.DIVERGED if "training diverged" in said else Trouble.OTHER


def trouble(outcome: Mapping[str, Any]) -> str:
    """Say in words what ended a process, and what to do; "" where nothing went wrong."""
    found, code = diagnose(outcome), outcome.get("code", 0)
    said = str(outcome.get("said", "")).removeprefix("aesm2: ")
    if found is None:
        return ""
    if found is Trouble.MEMORY:
        return (
            "The process was killed, most likely because the memory was full. Go on with a smaller"
            " batch, or free memory and resume: it goes on from its last measurement."
        )
    if found is Trouble.SIGNAL:
        return f"The process was ended by signal {-code}. Resume: nothing measured is lost."
    if found is Trouble.DIVERGED:
        return f"{said}. The run stands at its last measurement, where all was finite."
    return said or f"The process ended with code {code} and said nothing."


def remedied(config: Config, found: Trouble | None) -> Config | None:
    """Return a configuration that may do better: half the batch, a tenth of the learning rate.

    None where there is no such remedy.
    """
    training = config.training
    if found is Trouble.MEMORY and training.batch_size > 1:
        changed: dict[str, Any] = {"batch_size": training.batch_size // 2}
    elif found is Trouble.DIVERGED:
        changed = {"learning_rate": float(f"{training.learning_rate / 10:.6g}")}
    else:
        return None
    return config.model_copy(update={"training": training.model_copy(update=changed)})
