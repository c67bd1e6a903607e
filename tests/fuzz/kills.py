"""`python -m tests.fuzz.kills --kills 200 --seed 1`: whatever writes, killed as it writes.

After each kill what was there before is whole or the new is, nothing half-written is taken for
finished, and the command, run again, ends as if nobody had killed it. `--full` fills the disk, or
forbids to write, instead: one line is said, and the old stands.
"""

import argparse
import collections
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aesm2.errors import InputError
from tests.fuzz.disturb import Disturbance, disturbed
from tests.fuzz.writers import ALL, Writer

LONGEST = 300  # milliseconds until a kill by the clock
LEFT = (".part", ".old", ".aside")  # ends of names that no finished command leaves


@dataclass(frozen=True)
class Course:
    """A writer undisturbed: what is there before and after, its changes, the largest it wrote."""

    before: Any
    after: Any
    changes: int
    largest: int
    milliseconds: int


@dataclass(frozen=True)
class Found:
    """One disturbance. outcome: "old", "new", "not reached", or what is wrong."""

    what: Disturbance
    outcome: str
    good: bool = True


def undisturbed(writer: Writer, root: Path) -> Course:
    """Run a writer without disturbance."""
    folder = fresh(writer, root)
    before, there = seen(writer, folder), set(_files(folder))
    started = time.monotonic()
    status, said, changes = disturbed(lambda: writer.run(folder), folder, Disturbance("count"))
    spent = int(1000 * (time.monotonic() - started))
    if status != 0:
        raise RuntimeError(f"{writer.name}: {status}: {said}")
    largest = max((size for size, *_ in set(_files(folder)) - there), default=1)
    return Course(before, seen(writer, folder), changes, largest, spent)


def _files(folder: Path) -> Iterator[tuple[int, int, int]]:
    """Yield size, number and time of every file: what tells the written from what was there."""
    found = (own.stat() for own in folder.rglob("*") if own.is_file())
    yield from ((own.st_size, own.st_ino, own.st_mtime_ns) for own in found)


def fresh(writer: Writer, root: Path) -> Path:
    """Return a new folder with what the writer finds."""
    folder = Path(tempfile.mkdtemp(dir=root))
    writer.prepare(folder)
    return folder


def seen(writer: Writer, folder: Path) -> Any:
    """Tell what is in a folder; what cannot be read is told too."""
    try:
        return writer.look(folder)
    except (InputError, OSError, ValueError) as error:
        return f"unreadable: {error}"


def strike(writer: Writer, course: Course, what: Disturbance, root: Path) -> Found:
    """Kill a writer once, look at what is there, and run it again."""
    folder = fresh(writer, root)
    try:
        status, said, _ = disturbed(lambda: writer.run(folder), folder, what)
        found = seen(writer, folder)
        if status == 0:
            outcome = "not reached" if found == course.after else f"finished with {found}"
            return Found(what, outcome, found == course.after)
        if status not in (-9, -25):
            return Found(what, f"ended with {status}: {said[-300:]}", False)
        if found not in (course.before, course.after):
            return Found(what, f"half-written: {str(found)[:300]}", False)
        return _again(writer, course, what, folder, "new" if found == course.after else "old")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _again(writer: Writer, course: Course, what: Disturbance, folder: Path, outcome: str) -> Found:
    status, said, _ = disturbed(lambda: writer.run(folder), folder, Disturbance("count"))
    finished = outcome == "new" and writer.again and writer.again in said
    if status != 0 and not finished:
        return Found(what, f"run again after {outcome}: {status}: {said[-300:]}", False)
    found = seen(writer, folder)
    if found != course.after:
        return Found(what, f"run again it leaves {str(found)[:300]}", False)
    left = sorted(own.name for own in folder.rglob(".*") if own.name.endswith(LEFT))
    return (
        Found(what, f"left behind: {left}", False) if left and status == 0 else Found(what, outcome)
    )


def starve(writer: Writer, course: Course, what: Disturbance, root: Path) -> Found:
    """Give a writer no room, or no right to write; it must say so in one line, the old standing."""
    folder = fresh(writer, root)
    try:
        status, said, _ = disturbed(lambda: writer.run(folder), folder, what)
        found = seen(writer, folder)
        if status == 0:
            return Found(what, "not reached", found == course.after)
        if found not in (course.before, course.after):
            return Found(what, f"half-written: {str(found)[:300]}", False)
        wrong = _not_one_line(writer, status, said)
        if wrong:
            return Found(what, wrong, False)
        return _again(writer, course, what, folder, "new" if found == course.after else "old")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _not_one_line(writer: Writer, status: int, said: str) -> str:
    """Return what is wrong with how a failure is told, "" where nothing is."""
    lines = [line.rsplit("\r", 1)[-1].strip() for line in said.split("\n")]
    lines = [line for line in lines if line and "%|" not in line]
    if not writer.command:  # the app shows InputError and OSError as a message
        fine = len(lines) == 1 and lines[0].startswith(("escaped InputError", "escaped OSError"))
        return "" if fine else f"{status}: {lines[-3:]}"
    fine = status == 2 and len(lines) == 1 and lines[0].startswith("aesm2: ")
    return "" if fine else f"{status}: {lines[-3:]}"


def kills(writer: Writer, course: Course, count: int, seed: int) -> Iterator[Disturbance]:
    """Yield where to kill: at changes, within writes, and by the clock, in turn."""
    dice = random.Random(f"{seed}:{writer.name}")
    changes = list(range(course.changes))
    dice.shuffle(changes)
    for number in range(count):
        kind = ("kill", "cut", "kill", "time")[number % 4]
        if kind == "kill" and changes:
            yield Disturbance("kill", changes[(number // 2) % len(changes)])
        elif kind == "time":
            yield Disturbance("time", dice.randrange(max(2, min(5_000, course.milliseconds))))
        else:
            yield Disturbance("cut", int(course.largest * dice.random() ** 2))


def shortages(writer: Writer, course: Course, count: int, seed: int) -> Iterator[Disturbance]:
    """Yield shortages: no change allowed, no space from some change on, files cut short."""
    dice = random.Random(f"{seed}:{writer.name}:full")
    yield Disturbance("readonly")
    for number in range(count - 1):
        if number % 2 == 0:
            yield Disturbance("full", dice.randrange(max(1, course.changes)))
        else:
            yield Disturbance("small", int(course.largest * dice.random() ** 2))


Strike = Callable[[Writer, Course, Disturbance, Path], Found]


def of_writer(writer: Writer, count: int, seed: int, full: bool, root: Path) -> list[Found]:
    """Disturb one writer so many times."""
    course = undisturbed(writer, root)
    strike_: Strike = starve if full else strike
    planned = (shortages if full else kills)(writer, course, count, seed)
    return [strike_(writer, course, what, root) for what in planned]


def main() -> int:
    """Run what the arguments ask for; 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in all, spread over the commands")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="a full or read-only disk instead")
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(ALL)}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["COLUMNS"] = "200"
    names = [name for name in given.only.split(",") if name] or list(ALL)
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        parser.error(f"no writer {unknown[0]!r}; there are {', '.join(ALL)}")
    each, bad, started = -(-given.kills // len(names)), 0, time.monotonic()
    print(f"{'command':<14} {'strikes':>7} {'old whole':>9} {'new whole':>9} {'not reached':>11}"
          f" {'failed':>6}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="aesm2-kills-") as root:
        for name in names:
            results = of_writer(ALL[name], each, given.seed, given.full, Path(root))
            counts = collections.Counter(own.outcome for own in results if own.good)
            failed = [own for own in results if not own.good]
            bad += len(failed)
            print(f"{name:<14} {len(results):>7} {counts['old']:>9} {counts['new']:>9}"
                  f" {counts['not reached']:>11} {len(failed):>6}", flush=True)  # fmt: skip
            for own in failed[:4]:
                print(f"  {own.what.kind} at {own.what.at}: {own.outcome}")
    print(f"{each * len(names)} strikes, seed {given.seed}, {time.monotonic() - started:.0f} s:"
          f" {bad} failed")  # fmt: skip
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
