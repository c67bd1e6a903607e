"""Cases in forked children: none can hang, eat the memory, or take the others along."""

import contextlib
import faulthandler
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aesm2.data import room
from aesm2.errors import InputError
from tests.fuzz.dice import Dice, Wrong

SECONDS = 20.0  # a case may take
GROWTH = 4 << 30  # bytes of address space a case may add
RESIDENT = 3 << 29  # bytes of memory a case may add before it counts as unbounded
LONGEST = 2_000  # characters of what a refusal says
Case = Callable[[Dice, Path], None]
GOOD = ("accepted", "refused")


@dataclass(frozen=True)
class Result:
    """What became of a case.

    outcome: "accepted", "refused", "wrong", "escaped", "hang", "memory" or "died"; only the first
    two are as they should be. said: the refusal, or what went wrong. notes: what was done to it.
    """

    target: str
    number: int
    outcome: str
    said: str
    notes: list[str]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it went as it should."""
        return self.outcome in GOOD


def run(
    target: str, case: Case, numbers: Sequence[int], seed: int, folder: Path, limit: float = SECONDS
) -> Iterator[Result]:
    """Run cases one after the other in forked children and yield what became of each."""
    waiting = list(numbers)
    while waiting:
        for result in _batch(target, case, list(waiting), seed, folder, limit):
            waiting.remove(result.number)
            yield result


def _batch(
    target: str, case: Case, numbers: Sequence[int], seed: int, folder: Path, limit: float
) -> Iterator[Result]:
    """Run cases in one child until it ends, however it ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _child(target, case, numbers, seed, folder, writing, limit)
        finally:
            os._exit(0)
    os.close(writing)
    done, cut_short = 0, False  # a child that took much memory ends there of itself
    try:
        for line in _lines(reading, limit):
            result = Result(**json.loads(line))
            done, cut_short = done + 1, result.outcome == "memory"
            yield result
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        stack = (folder / "stacks").read_text()
        said = f"{stack}\nmore than {limit:.0f} s"
        yield Result(target, numbers[done], "hang", said, [], limit)
        done = len(numbers)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if done < len(numbers) and not cut_short:
        why = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
        yield Result(target, numbers[done], "died", why, [], 0.0)


def _lines(reading: int, limit: float) -> Iterator[bytes]:
    """Yield whole lines of a pipe; TimeoutError where the next takes too long."""
    rest = b""
    while True:
        ready, _, _ = select.select([reading], [], [], limit)
        if not ready:
            raise TimeoutError
        read = os.read(reading, 1 << 16)
        if not read:
            return
        *whole, rest = (rest + read).split(b"\n")
        yield from whole


def _child(
    target: str,
    case: Case,
    numbers: Sequence[int],
    seed: int,
    folder: Path,
    writing: int,
    limit: float,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    if not os.environ.get("FUZZ_SHOW"):
        os.dup2(sink, 2)
    room.memory = lambda: RESIDENT  # so that bounds of memory are met by small files
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    stacks = (folder / "stacks").open("w")
    for number in numbers:
        faulthandler.dump_traceback_later(0.9 * limit, file=stacks)
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + GROWTH, hard))
        result = one(target, case, number, seed, folder)
        os.write(writing, json.dumps(asdict(result)).encode() + b"\n")
        if result.outcome == "memory":
            return  # the next one begins with a clean child


def one(target: str, case: Case, number: int, seed: int, folder: Path) -> Result:
    """Run one case in this process."""
    dice = Dice(seed, target, number)
    place = folder / f"{target}-{number}-{os.getpid()}"
    place.mkdir(parents=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
    before, started = _status("VmRSS"), time.monotonic()
    outcome, said = "accepted", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case(dice, place)
    except InputError as error:
        outcome, said = _refusal(str(error))
    except Wrong as error:
        outcome, said = "wrong", str(error)
    except MemoryError:
        outcome, said = "memory", traceback.format_exc(limit=-4)
    except BaseException:
        outcome, said = "escaped", traceback.format_exc(limit=-8)
    seconds = time.monotonic() - started
    grown = _status("VmHWM") - before
    if outcome in GOOD and grown > RESIDENT:
        outcome, said = "memory", f"{grown >> 20:,} MB more"
    shutil.rmtree(place, ignore_errors=True)
    said = said if outcome in GOOD else said[-1500:]
    clean = [note.encode("utf-8", "replace").decode() for note in dice.notes]
    return Result(target, number, outcome, said, clean, round(seconds, 3))


def _refusal(said: str) -> tuple[str, str]:
    """Judge what a refusal says: one line that can be printed, not a page."""
    if not said.strip():
        return "wrong", "refused without a word"
    odd = next((sign for sign in said if not sign.isprintable()), None)
    if odd is not None:
        return "wrong", f"refused with {odd!r} in its line: {said[:300]!r}"
    if len(said) > LONGEST:
        return "wrong", f"refused in {len(said):,} characters: {said[:300]}"
    if "allocate" in said or "MemoryError" in said:
        return "memory", said
    return "refused", said


def _status(key: str) -> int:
    """Read a size from the kernel's account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def tree(folder: Path) -> dict[str, Any]:
    """Return every file below a folder with its content, and every folder; locks are nobody's."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock" and path.name != ".lock"
    }


@contextlib.contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Whoever refuses inside this block must leave a folder as it was."""
    before = tree(folder)
    try:
        yield
    except InputError as error:
        after = tree(folder)
        if after != before:
            odd = sorted(k for k in {*before, *after} if before.get(k, 0) != after.get(k, 0))
            raise Wrong(f"refused ({error}), yet {odd[:3]} changed") from None
        raise
