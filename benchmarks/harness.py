"""What every benchmark needs: where it ran, fair timing, Markdown tables."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from aesm2.machine import place

ROOT = Path(__file__).resolve().parent.parent


class Timing(NamedTuple):
    """Seconds a call, one value a round, in the order of the rounds."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.seconds)

    def speedup_over(self, other: "Timing") -> list[float]:
        """How many times faster than `other`, round by round: what is shared cancels out."""
        return [b / a for a, b in zip(self.seconds, other.seconds, strict=True)]


class Timer(NamedTuple):
    """How to time. Within a round a call repeats until `at_least` seconds have passed.

    clock: "wall", or "cpu" for processor time, which other processes on the machine disturb less;
    it is no measure of speed with more than one thread.
    """

    rounds: int = 15
    at_least: float = 0.2
    clock: str = "wall"

    def seconds_a_call(self, call: Callable[[], object]) -> float:
        """Time one round of one call."""
        now = time.process_time if self.clock == "cpu" else time.perf_counter
        repeats, started = 0, now()
        while repeats == 0 or now() - started < self.at_least:
            call()
            repeats += 1
        return (now() - started) / repeats


def interleaved(calls: Mapping[str, Callable[[], object]], timer: Timer) -> dict[str, Timing]:
    """Time every call once a round, in turn, so that a busy moment hits all of them.

    The order is reversed every other round. Each is called once before, to warm up.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for number in range(timer.rounds):
        for name in sorted(calls, key=list(calls).index, reverse=number % 2 == 1):
            found[name].append(timer.seconds_a_call(calls[name]))
    return {name: Timing(seconds) for name, seconds in found.items()}


def spread(values: Sequence[float]) -> str:
    """Write median (minimum–maximum), e.g. "2.10 (1.95–2.31)"."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def machine() -> dict[str, str]:
    """Name the processor, the versions and the commit, so that a number can be placed."""
    try:
        return place() | {"lightgbm": version("lightgbm")}
    except PackageNotFoundError:  # not needed by the benchmarks of speed
        return place()


def header() -> str:
    """Write `machine` as one line."""
    return "; ".join(f"{name} {value}" for name, value in machine().items())


def report(out: Path | None, text: str) -> None:
    """Print a Markdown report, and write it to a file where one is named."""
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")


def table(columns: Sequence[str], lines: Sequence[Sequence[object]], words: int = 1) -> str:
    """Write a Markdown table; all but the first `words` columns are numbers."""
    rule = ["---"] * words + ["---:"] * (len(columns) - words)
    rows = [columns, rule, *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
