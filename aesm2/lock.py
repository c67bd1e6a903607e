"""Locks that the operating system releases when their holder ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def holding(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; yields whether it is ours.

    wait: until whoever holds it lets go. The file then has the number of our process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


def holder(path: Path) -> int | None:
    """Return the number of the process that holds a lock; None where nobody does."""
    try:
        with path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
                return int(text) if text.isdigit() else 0
    except FileNotFoundError:
        pass
    return None
