"""The process that takes the jobs of one device: `python -m aesm2.lab.worker ROOT DEVICE`."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from aesm2.lab.job import LOG, Job, Status
from aesm2.lab.queue import Lab, environment
from aesm2.lock import holding

POLL = 0.2  # seconds
NICE = 10


def work(lab: Lab, device: str) -> None:
    """Take jobs until none is left; return at once where another worker is at it."""
    with holding(lab.worker_lock(device)) as ours:
        while ours and (job := lab.next(device)) is not None:
            if job.status() is Status.QUEUED:
                train(lab, job)
            else:  # a former worker's process, which outlived it
                watch(lab, job)


def train(lab: Lab, job: Job) -> None:
    """Run a job in a process of its own until it ends, and note how it ended."""
    command = [sys.executable, "-m", "aesm2.cli", *job.command()]
    with (job.folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while process.poll() is None:
        lab.enforce(job)
        time.sleep(POLL)
    with contextlib.suppress(OSError):  # the folder may be gone
        job.end(process.returncode)


def watch(lab: Lab, job: Job) -> None:
    """Wait for a job that somebody else started."""
    while job.holder() is not None:
        lab.enforce(job)
        time.sleep(POLL)


if __name__ == "__main__":
    os.nice(NICE)
    work(Lab(Path(sys.argv[1])), sys.argv[2])
