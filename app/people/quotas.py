"""What one person may use, checked before it is used: a refusal names quota, use and a way on."""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aesm2.errors import InputError
from aesm2.files import TRASH
from aesm2.lab.job import Job, Status
from app.people.who import Person

MB = 2**20


class Ledger:
    """Uploads of the day, by person; any thread may count. It starts anew with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._day = ""
        self._counts: Counter[str] = Counter()

    def count(self, person: str, most: int) -> None:
        """Count an upload of today; InputError where it is one too many."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        with self._lock:
            if today != self._day:
                self._day, self._counts = today, Counter()
            if self._counts[person] >= most:
                raise InputError(
                    f"you have uploaded {most:,} files today, as many as one person may; go on"
                    " tomorrow (UTC), or ask whoever runs this app for more"
                )
            self._counts[person] += 1


def require_upload(own: Person, ledger: Ledger, size: int, kept: int) -> None:
    """Check a file of so many bytes, where so many are kept in the session already; count it."""
    quotas = own.quotas
    if quotas is None:
        return
    if size > quotas.upload_mb * MB:
        raise InputError(
            f"{size / MB:,.1f} MB; one file may have {quotas.upload_mb:,g} MB here. Upload fewer"
            " rows or columns"
        )
    if kept + size > quotas.session_mb * MB:
        raise InputError(
            f"{size / MB:,.1f} MB more: this session keeps {kept / MB:,.1f} of the"
            f" {quotas.session_mb:,g} MB of uploads that it may. Forget an upload first"
        )
    ledger.count(own.id, quotas.uploads)


def require_runs(own: Person, jobs: Iterable[Job], more: int) -> None:
    """Check that so many runs more may wait or train; `jobs`: those of this person."""
    quotas = own.quotas
    if quotas is None:
        return
    waiting = [job for job in jobs if job.status() is Status.QUEUED or job.status().active]
    if len(waiting) + more > quotas.runs:
        raise InputError(
            f"{more} more would make {len(waiting) + more} runs of yours that wait or train;"
            f" {quotas.runs} may. Wait for one to end, or pause or stop one"
        )


def require_minutes(own: Person, job: Job) -> None:
    """Check that a run may go on."""
    quotas = own.quotas
    spent = job.seconds() / 60
    if quotas is not None and spent >= quotas.minutes:
        raise InputError(
            f"'{job.name}' has trained for {spent:,.0f} of the {quotas.minutes:,g} minutes that one"
            " run may. Promote what it has, or start a smaller one"
        )


def require_disk(own: Person, folders: Sequence[Path], more: int = 0) -> None:
    """Check that there is room for so many bytes more.

    folders: theirs. What they removed counts too, until the room is needed: then it is deleted.
    """
    quotas = own.quotas
    if quotas is None:
        return
    used = sum(map(size_of, folders))
    for gone in [folder for folder in folders if folder.parent.name == TRASH]:
        if used + more >= quotas.disk_mb * MB:
            used -= size_of(gone)
            shutil.rmtree(gone, ignore_errors=True)
    if used + more >= quotas.disk_mb * MB:
        raise InputError(
            f"your runs, datasets and checkpoints take {used / MB:,.0f} of {quotas.disk_mb:,g} MB"
            + (f", and this needs {more / MB:,.0f} MB more" if more else "")
            + ". Discard a run or remove a checkpoint, or ask whoever runs this app for more"
        )


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; one that vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total
