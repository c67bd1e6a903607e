"""Whether the app stays as it is over hours: memory, handles and threads of the server over time.

python -m benchmarks.soak [--minutes 120] [--sessions 4] [--out soak.jsonl] [--read soak.jsonl]

Visitors (see `benchmarks.sessions`) come, use some pages, leave, and others come. Every sample is
written to --out at once, so what was measured survives an interruption; --read judges such a file.
The verdict is of the second half of the samples, after the caches have filled: a line is fitted to
the means of at most BLOCKS stretches, since samples that follow each other are much alike,
and something grows where the 95 % interval of its slope is above zero and the line rises by more
than 5 % over that half.
"""

import argparse
import itertools
import json
import math
import random
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.client import Visitor
from benchmarks.harness import header, table
from benchmarks.served import Served, served
from benchmarks.sessions import LINGER, PAGES, Found, visit

WATCHED = {"memory": "memory, MB", "handles": "open handles", "threads": "threads"}
SAMPLES = 240
BLOCKS = 12  # five minutes each, of two hours
RISE = 0.05
STAY = 4  # pages that a visitor looks at


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--think", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pages", type=int, default=len(PAGES), help="of those there are")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    asked = parser.parse_args(arguments)
    if asked.read:
        lines = asked.read.read_text(encoding="utf-8").splitlines()
        print(judged([json.loads(line) for line in lines]))
        return
    told = {"AESM2_LOG": "debug", "AESM2_LOG_FORMAT": "text"}  # for `Served.problems`, with words
    with served("--server.disconnectedSessionTTL", str(LINGER), more=told) as server:
        samples, found = soak(server, 60 * asked.minutes, asked.sessions, asked.think, asked.seed,
                              PAGES[: asked.pages], asked.out)  # fmt: skip
        problems = server.problems()
    runs = sum(map(len, found.seconds.values()))
    print(f"{asked.minutes:g} minutes, {asked.sessions} sessions at a time, {runs:,} runs of pages,"
          f" {len(found.errors)} errors; {header()}\n")  # fmt: skip
    print(judged(samples))
    for error in dict.fromkeys(found.errors):
        print(f"- {error[:200]}")
    for problem in problems:
        print(f"- the server: {problem}")


def soak(
    server: Served, seconds: float, sessions: int, think: float, seed: int, pages: Sequence[str],
    out: Path | None,
) -> tuple[list[dict[str, float]], Found]:  # fmt: skip
    """Let visitors come and go; return the samples."""
    found, began = Found(), time.monotonic()
    seeds = itertools.count(seed)
    work = (server.url, began + seconds, think, pages, found, seeds)
    threads = [threading.Thread(target=_come_and_go, args=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    samples: list[dict[str, float]] = []
    while any(thread.is_alive() for thread in threads):
        usage = server.usage()._asdict()
        samples.append({"seconds": time.monotonic() - began, **usage})
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(samples[-1]) + "\n")
        time.sleep(max(0.25, seconds / SAMPLES))
    return samples, found


def _come_and_go(
    url: str, until: float, think: float, pages: Sequence[str], found: Found, seeds: Iterable[int]
) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        try:
            with Visitor(url) as visitor:
                for _ in range(STAY):
                    if time.monotonic() >= until:
                        return
                    visit(visitor, chance.choice(pages), found, chance, think, until)
        except Exception as error:
            found.broke(error)
            time.sleep(1)
        if time.monotonic() >= until:
            return


def trend(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float, bool]:
    """Return slope an hour, half the width of its 95 % interval, and whether that is growth."""
    hours = np.asarray(seconds) / 3600
    x, y = _means(hours), _means(np.asarray(values))
    if len(x) < 3 or np.ptp(y) == 0:
        return 0.0, 0.0, False
    line = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)
    rise = line.slope * np.ptp(hours) / max(abs(float(y.mean())), math.ulp(1))
    return float(line.slope), half, bool(line.slope > half and rise > RISE)


def _means(samples: np.ndarray) -> np.ndarray:
    """Return the means of at most BLOCKS stretches, of as many samples each as can be."""
    stretches = np.array_split(samples, min(BLOCKS, len(samples)))
    return np.array([own.mean() for own in stretches])


def judged(samples: Sequence[dict[str, float]]) -> str:
    """Return the table of trends, and the verdict."""
    half = samples[len(samples) // 2 :]
    lines, growing = [], []
    for name, title in WATCHED.items():
        slope, width, grows = trend([s["seconds"] for s in half], [s[name] for s in half])
        values = [s[name] for s in samples]
        shown = [values[0], half[0][name], values[-1]]
        lines.append([title, *(f"{v:,.0f}" for v in shown), f"{slope:+,.1f} ± {width:,.1f}"])
        growing += [title] * grows
    verdict = f"grows: {', '.join(growing)}" if growing else "steady"
    columns = ["", "first", "half-way", "last", "an hour, in the second half"]
    return f"{table(columns, lines)}\n\nVerdict: {verdict}"


if __name__ == "__main__":
    main()
