"""The process that takes the jobs of one device: `python -m aesm2.lab.worker ROOT DEVICE [LOCK]`.

What it does stands in worker.log of the lab's folder, one JSON value a line.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aesm2.errors import InputError
from aesm2.files import append_line
from aesm2.lab.job import LOG, Job, Wish
from aesm2.lab.queue import Lab, environment
from aesm2.lock import holding

POLL = 0.2  # seconds
NICE = 10
DIARY = "worker.log"  # of the lab; the older part is kept as worker.log.1
LARGEST = 2**20  # bytes


def work(lab: Lab, device: str, lock: int | None = None) -> None:
    """Take jobs until none is left; return at once where another worker is at it.

    lock: the device's lock, where whoever started us took it for us.
    """
    with holding(lab.worker_lock(device), given=lock) as ours:
        while ours and (job := lab.next(device)) is not None:
            try:
                if job.holder() is None:
                    train(lab, job)
                else:  # a former worker's process, which outlived it
                    watch(lab, job)
            except (OSError, InputError) as error:
                if not job.gone:
                    job.note(1, str(error))  # it failed; those behind it go on


def train(lab: Lab, job: Job) -> None:
    """Run a job in a process of its own until it ends, and note how it ended.

    A run whose folder was taken away is ended: nobody could ask it to stop any more.
    """
    command, before = [sys.executable, "-m", "aesm2.cli", *job.command()], job.seconds()
    with (job.folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note(lab, "run started", job, process=process.pid)
    began = time.monotonic()
    while process.poll() is None:
        if job.gone:
            process.kill()
        limit(lab, job, before + time.monotonic() - began)
        lab.enforce(job)
        time.sleep(POLL)
    if not job.gone:
        job.end(process.returncode)
    note(lab, "run ended", job, code=process.returncode)


def limit(lab: Lab, job: Job, seconds: float) -> None:
    """Stop a run that has trained for as long as it may; its best weights stay a checkpoint."""
    with contextlib.suppress(OSError, InputError):  # its folder may be gone
        order = job.order()
        if order.wish is Wish.RUN and order.minutes is not None and seconds > 60 * order.minutes:
            lab.wish(job, Wish.STOP)
            note(lab, "run stopped at its limit", job, minutes=order.minutes)


def note(lab: Lab, event: str, job: Job | None = None, **facts: object) -> None:
    """Write a line into the lab's diary; a full disk is no reason to end a run."""
    diary = lab.root / DIARY
    with contextlib.suppress(OSError):
        if diary.exists() and diary.stat().st_size > LARGEST:
            diary.replace(diary.with_name(f"{DIARY}.1"))
        told = {"run": job.name} if job is not None else {}
        append_line(diary, {"time": time.strftime("%FT%TZ", time.gmtime()), "event": event}
                    | told | facts)  # fmt: skip


def watch(lab: Lab, job: Job) -> None:
    """Wait for a job that somebody else started."""
    while (process := job.holder()) is not None:
        if job.gone and process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(OSError, InputError):
            limit(lab, job, job.seconds())
        lab.enforce(job)
        time.sleep(POLL)


if __name__ == "__main__":
    os.nice(NICE)
    here = Lab(Path(sys.argv[1]))
    try:
        work(here, sys.argv[2], *map(int, sys.argv[3:]))
    except BaseException as problem:  # nobody reads the output of this process
        note(here, "worker failed", error=type(problem).__name__, said=str(problem))
        raise
