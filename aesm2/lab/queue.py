"""The lab: a folder of runs that wait for their turn, one at a time on each device.

Turns go by ticket, not by clock. A worker, a process of its own, takes the jobs of one device one
after the other; it ends when none is left, and whoever looks at the lab starts another if there is
need. Worker and training process may be killed at any moment: what was wished stands in the files.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aesm2.config import Config
from aesm2.device import resolve_device
from aesm2.errors import InputError
from aesm2.files import copy_folder, from_trash, replaced, to_trash, write_atomically
from aesm2.lab.job import JOB, OUTCOME, PLAN, Job, Order, Status, Wish
from aesm2.lock import giving, holding

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
QUEUE_LOCK = ".queue.lock"


@dataclass(frozen=True)
class Lab:
    """A folder of runs."""

    root: Path

    def jobs(self) -> list[Job]:
        """Return the runs in the order of their tickets."""
        return [job for job, _ in self.orders()]

    def orders(self) -> list[tuple[Job, Order]]:
        """Return the runs whose order can be read, and what it says, by their tickets."""
        found = []
        for file in self.root.glob(f"*/{JOB}"):
            if not NAME.fullmatch(file.parent.name):  # hidden: one in the making
                continue
            with contextlib.suppress(InputError):  # one that vanishes just now, or is broken
                job = Job(file.parent)
                found.append((job, job.order()))
        return sorted(found, key=lambda line: (line[1].ticket, line[0].name))

    def job(self, name: str) -> Job:
        """Return a run by name; InputError where there is none."""
        job = Job(self.root / name)
        if not (job.folder / JOB).exists():
            raise InputError(f"{self.root}: no run '{name}'")
        return job

    def submit(
        self,
        name: str,
        dataset: Path,
        config: Config,
        device: str = "auto",
        notes: str = "",
        owner: str = "",
        minutes: float | None = None,
    ) -> Job:
        """Queue a new run; InputError where its name is taken or no name of a folder.

        owner: whose it is, "" for everybody. minutes: that it may train, all in all.
        """
        job = Job(self.root / name)
        with holding(self.root / QUEUE_LOCK, wait=True):
            self.require_free(name)
            place = resolve_device(device).type if device == "auto" else device  # one queue each
            order = Order(dataset=str(dataset.resolve()), device=place, ticket=self._ticket(),
                          notes=notes, owner=owner, minutes=minutes)  # fmt: skip
            with replaced(job.folder) as part:  # seen by the others with its order, or not at all
                write_atomically(part / PLAN, config.model_dump_json(indent=2))
                Job(part).put(order)
        return job

    def require_free(self, name: str) -> None:
        """Raise InputError where a new run cannot have this name."""
        if not NAME.fullmatch(name):
            raise InputError(
                f"'{name}' is no name for a run: up to 64 letters, digits, dots, dashes and"
                " underscores, the first a letter or digit"
            )
        if (self.root / name).exists():
            raise InputError(f"there is a run '{name}' already; choose another name")

    def wish(self, job: Job, wish: Wish) -> None:
        """Ask a run to pause, to stop, or to go on, which puts it at the end of the queue."""
        with holding(self.root / QUEUE_LOCK, wait=True):
            order, update = job.order(), dict[str, Any](wish=wish)
            if wish is Wish.RUN and not job.status().active:
                update |= {"ticket": self._ticket()}
                (job.folder / OUTCOME).unlink(missing_ok=True)
                job.run.go_on()
            job.put(order.model_copy(update=update))
        self.enforce(job)

    def extend(self, job: Job, epochs: int) -> None:
        """Let a run that is not at work train so many epochs more."""
        self._require_idle(job)
        config = job.config()
        longer = config.training.epochs + epochs
        training = config.training.model_copy(update={"epochs": longer})
        updated = Config.model_validate(config.model_copy(update={"training": training}))
        job.run.extend(updated) if job.run.exists else write_atomically(
            job.folder / PLAN, updated.model_dump_json(indent=2)
        )
        self.wish(job, Wish.RUN)

    def branch(
        self,
        job: Job,
        name: str,
        config: Config,
        best: bool = False,
        owner: str | None = None,
        minutes: float | None = None,
    ) -> Job:
        """Queue a new run that goes on from where another was last saved, configured differently.

        The model must be the same; how it is trained may differ. best: from the weights of its best
        measurement instead, with a fresh optimizer. owner: whose it is, by default the same.
        """
        self._require_idle(job)
        if job.run.position() is None:
            raise InputError(f"'{job.name}' has saved nothing yet; branch it after a measurement")
        if config.model != job.config().model:
            raise InputError("a branch keeps its model; start a new run for another")
        order = job.order()
        with holding(self.root / QUEUE_LOCK, wait=True):
            self.require_free(name)
            with replaced(self.root / name) as part:
                copy_folder(job.folder, part, ("checkpoint", "halt", "tensorboard", ".*"))
                branched = Job(part)
                if best:
                    branched.run.rewind()
                branched.run.extend(config)
                (part / OUTCOME).unlink(missing_ok=True)
                notes = f"branched from {job.name} at step {branched.position().step:,}"
                branched.put(Order(dataset=order.dataset, device=order.device,
                                   ticket=self._ticket(), notes=notes,
                                   owner=order.owner if owner is None else owner,
                                   minutes=minutes))  # fmt: skip
        return Job(self.root / name)

    def retry(
        self, job: Job, config: Config, owner: str | None = None, minutes: float | None = None
    ) -> Job:
        """Queue a failed run again, configured differently.

        It goes on from the last measurement, where there was one. The new run is named after the
        first, with a number. owner: whose it is, by default the same.
        """
        taken = {path.name for path in self.root.iterdir()}
        name = next(n for i in range(2, 10_000) if (n := f"{job.name[:58]}-{i}") not in taken)
        if job.run.position() is not None:
            return self.branch(job, name, config, owner=owner, minutes=minutes)
        order = job.order()
        notes = f"{job.name} once more"
        whose = order.owner if owner is None else owner
        dataset = Path(order.dataset)
        return self.submit(name, dataset, config, order.device, notes, whose, minutes)

    def discard(self, job: Job) -> Path:
        """Move a run that is not at work to the trash; return where it is, for `restore`."""
        self._require_idle(job)
        return to_trash(job.folder)

    def restore(self, place: Path) -> Job:
        """Take a run back from the trash; InputError where its name is taken by now."""
        with holding(self.root / QUEUE_LOCK, wait=True):  # `submit` may be making one of its name
            return Job(from_trash(place))

    def ahead(self, job: Job) -> list[Job]:
        """Return the runs that a queued run waits for, in order."""
        own = job.order()
        same = [line for line in self.orders() if line[1].device == own.device]
        return [
            other
            for other, order in same
            if other.folder != job.folder
            and (
                (status := other.status()).active
                or (status is Status.QUEUED and order.ticket < own.ticket)
            )
        ]

    def next(self, device: str) -> Job | None:
        """Return whose turn it is on a device: one at work, else the lowest ticket that waits."""
        statuses = {job: job.status() for job, own in self.orders() if own.device == device}
        for job, status in statuses.items():
            if status.active:
                return job
        return next((job for job, status in statuses.items() if status is Status.QUEUED), None)

    def enforce(self, job: Job) -> None:
        """Ask a run to halt, again if need be, where it is wished to pause or to stop."""
        with contextlib.suppress(OSError, InputError):  # its folder may be gone
            if job.order().wish is not Wish.RUN:
                job.run.ask_to_halt()

    def tend(self) -> None:
        """Start a worker for every device that has work and no worker."""
        for device in {order.device for _, order in self.orders()}:
            if self.next(device) is None:
                continue
            with giving(self.worker_lock(device)) as lock:
                if lock is not None:
                    self._start_worker(device, lock)

    def _start_worker(self, device: str, lock: int) -> None:
        """Start a worker, which holds its lock at once: it takes seconds to import."""
        command = [sys.executable, "-m", "aesm2.lab.worker", str(self.root), device, str(lock)]
        subprocess.run(  # by way of a shell, so that the worker is no child of ours
            ["sh", "-c", '"$@" &', "sh", *command],
            check=True,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock],
        )

    def worker_lock(self, device: str) -> Path:
        """Return the lock that a device's worker holds."""
        return self.root / f".worker-{re.sub('[^a-z0-9]', '-', device)}.lock"

    def _ticket(self) -> int:
        return 1 + max((order.ticket for _, order in self.orders()), default=0)

    def _require_idle(self, job: Job) -> None:
        if job.status().active:
            raise InputError(f"'{job.name}' is at work; pause or stop it first")


def environment() -> Mapping[str, str]:
    """Return the environment of a training process: one thread, so that the pages stay quick."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
