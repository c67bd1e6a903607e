"""Locks that the operating system releases when their holder ends, however it ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def holding(path: Path, wait: bool = False, given: int | None = None) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; yields whether it is ours.

    wait: until whoever holds it lets go. given: the lock of a `giving`, which is ours already.
    The file then has the number of our process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") if given is None else os.fdopen(given, "a+") as file:
        if wait:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not _taken(file.fileno()):
            yield False
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


@contextlib.contextmanager
def giving(path: Path) -> Iterator[int | None]:
    """Take the lock of a file for a process that the block starts with this descriptor.

    It holds the lock from then on, before it has run a line. Yields None where the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        taken = _taken(file)
        if taken:
            os.ftruncate(file, 0)
        yield file if taken else None
    finally:
        os.close(file)


def _taken(file: int) -> bool:
    """Take a lock unless somebody holds it; who only looks, see `holder`, has it for a moment."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(0.001)


def holder(path: Path) -> int | None:
    """Return the number of the process that holds a lock; None where nobody does.

    0 where it was given to a process that is still starting.
    """
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
