"""Disturbing a process as it writes: killed, or told that the disk is full or read-only.

Two places to strike, both repeatable: before the n-th change of the file system (Python's audit
hooks tell of each), and within a write, at a number of bytes that no file may grow beyond (the
kernel's limit of a file's size, which cuts the write in two).
"""

import errno
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
Kind = Literal["count", "kill", "cut", "time", "full", "small", "readonly"]


@dataclass(frozen=True)
class Disturbance:
    """What happens, and when.

    "count": nothing, changes are counted. "kill": SIGKILL before change number `at`. "cut": the
    kernel ends the process where a file would grow beyond `at` bytes. "time": SIGKILL after `at`
    milliseconds. "full": from change `at` on, no space is left. "small": no file grows beyond `at`
    bytes, which is told as an error. "readonly": no change is allowed.
    """

    kind: Kind
    at: int = 0


def disturbed(run: Callable[[], Any], folder: Path, what: Disturbance) -> tuple[int, str, int]:
    """Run in a forked child that is disturbed as it changes files of a folder.

    Returns its exit status (negative for a signal), what it said on stderr, and the changes made.
    """
    count = folder.with_name(f"{folder.name}.count")
    reading, writing = os.pipe()  # a file would be cut as well
    child = os.fork()
    if child == 0:
        status = 70
        try:
            _quiet(writing)
            tqdm.set_lock(threading.RLock())  # forks share tqdm's, which a killed one keeps
            _hook(folder, what, count)
            status = _run(run)
        except BaseException as error:
            os.write(2, f"\nescaped {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)
    os.close(writing)
    if what.kind == "time":
        time.sleep(what.at / 1000)
        os.kill(child, signal.SIGKILL)  # who has ended by then is not disturbed by it
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    changes = count.stat().st_size if count.exists() else 0
    count.unlink(missing_ok=True)
    return code, text, changes


def _run(run: Callable[[], Any]) -> int:
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _quiet(writing: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(writing, 2)
    os.close(writing)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)


def _hook(folder: Path, what: Disturbance, count: Path) -> None:
    if what.kind in ("cut", "small"):
        ignored = signal.SIG_IGN if what.kind == "small" else signal.SIG_DFL
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, (what.at, resource.RLIM_INFINITY))
    counted = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    inside, seen = f"{folder}{os.sep}", 0

    def heard(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        if not _changes(event, given, inside):
            return
        if what.kind == "kill" and seen == what.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if what.kind == "full" and seen >= what.at and event in ("open", "os.mkdir", "os.rename"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), _path(given[0]))
        if what.kind == "readonly":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), _path(given[0]))
        seen += 1
        if what.kind not in ("cut", "small"):
            os.write(counted, b".")

    sys.addaudithook(heard)


def _changes(event: str, given: tuple[Any, ...], inside: str) -> bool:
    """Whether an event changes a file in the folder."""
    if event == "open":
        path, _, flags = given
        writes = isinstance(flags, int) and flags & WRITING
        return bool(writes) and _path(path).startswith(inside)
    return event in CHANGES and _path(given[0]).startswith(inside)


def _path(value: Any) -> str:
    return (
        os.path.abspath(os.fsdecode(value))  # noqa: PTH100 if isinstance(value, (str, bytes, os.PathLike)) else ""
    )
