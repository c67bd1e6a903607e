"""How the app answers when many people use it at once, and what they cost.

python -m benchmarks.sessions [--sessions 30] [--seconds 60] [--think 2] [--seed 0] [--servers 1]

Each session is a visitor over a real web socket (`benchmarks.client`): it opens pages and changes
select boxes, and between two of these waits about `think` seconds, as somebody does who reads. A
time is from the message to the end of the script's run, without the browser's drawing. One visitor
opens every page before, to fill the caches. With several servers the visitors go to them in turns,
as behind a proxy that keeps each at one (deploy/nginx.conf). Memory is that of the servers'
processes together: before they came, at its most, each session's share, and after all have left and
their sessions have ended.
"""

import argparse
import contextlib
import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.client import Visitor
from benchmarks.harness import header, table
from benchmarks.served import Served, Usage, served

PAGES = ("", "lens", "atlas", "curves", "data", "geometry", "slices", "interventions", "bench",
         "relations", "impact", "compare", "experts", "paper")  # fmt: skip
LINGER = 5  # seconds that a session outlives its visitor here; the app's default is 120
CHANGES = 3  # of select boxes, on each page


@dataclass
class Found:
    """What the visitors met; any thread may add."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, seconds: float, errors: Sequence[str]) -> None:
        """Note how long something took and what was wrong on the page."""
        with self.lock:
            self.seconds[what].append(seconds)
            self.errors += errors

    def broke(self, error: Exception) -> None:
        """Note that a visitor had to leave."""
        with self.lock:
            self.errors.append(f"{type(error).__name__}: {error}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pages", type=int, default=len(PAGES), help="of those there are")
    parser.add_argument("--servers", type=int, default=1, help="processes of the app")
    asked = parser.parse_args(arguments)
    if not 0 < asked.sessions <= 300 or not 0 < asked.seconds <= 3600:
        parser.error("at most 300 sessions and 3600 seconds")
    if not 0 < asked.servers <= 16:
        parser.error("at most 16 servers")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(served("--server.disconnectedSessionTTL", str(LINGER)))
                   for _ in range(asked.servers)]  # fmt: skip
        measured = measure(servers, asked.sessions, asked.seconds, asked.think, asked.seed,
                           PAGES[: asked.pages])  # fmt: skip
    print(
        f"{asked.sessions} sessions at {asked.servers} server(s) for {asked.seconds:g} s, about"
        f" {asked.think:g} s between two steps of each, seed {asked.seed}; {header()}\n"
    )
    print(measured)


def measure(
    servers: Sequence[Served], sessions: int, seconds: float, think: float, seed: int,
    pages: Sequence[str],
) -> str:  # fmt: skip
    """Let visitors use servers in turns; return the tables."""
    found = Found()
    for server in servers:
        with Visitor(server.url) as first:
            for page in [*pages, *pages]:
                visit(first, page, Found(), random.Random(seed), 0)
    time.sleep(LINGER + 1)
    before, began, most = _used(servers), time.monotonic(), 0.0
    work = (began + seconds, think, pages, found)
    threads = [
        threading.Thread(target=_stay, args=(server.url, seed + i, *work))
        for i, server in zip(range(sessions), itertools.cycle(servers), strict=False)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, _used(servers).memory)
        time.sleep(0.25)
    passed, after = time.monotonic() - began, _used(servers)
    time.sleep(2 * LINGER + 3)
    left = _used(servers)
    lines = [[what, len(s), *(f"{v:.2f}" for v in (_at(s, 0.5), _at(s, 0.95), max(s)))]
             for what, s in sorted(found.seconds.items())]  # fmt: skip
    facts: list[Sequence[object]] = [
        ["errors", len(found.errors)],
        ["runs a second", f"{sum(map(len, found.seconds.values())) / passed:.1f}"],
        ["processor, of one core", f"{(after.cpu - before.cpu) / passed:.0%}"],
        ["memory before, MB", f"{before.memory:,.0f}"],
        ["memory at its most, MB", f"{most:,.0f}"],
        ["memory a session, MB", f"{(most - before.memory) / sessions:.1f}"],
        ["memory after all left, MB", f"{left.memory:,.0f}"],
    ]
    said = [f"- {error[:200]}" for error in dict.fromkeys(found.errors)]
    return "\n\n".join([
        table(["step", "n", "p50, s", "p95, s", "max, s"], lines), table(["", "value"], facts),
        "\n".join(said),
    ]).rstrip()  # fmt: skip


def _used(servers: Sequence[Served]) -> Usage:
    return Usage(*map(sum, zip(*(server.usage() for server in servers), strict=True)))


def _stay(
    url: str, seed: int, until: float, think: float, pages: Sequence[str], found: Found
) -> None:
    chance = random.Random(seed)
    time.sleep(chance.random() * min(think, 5))  # not all at once
    try:
        with Visitor(url) as visitor:
            while time.monotonic() < until:
                visit(visitor, chance.choice(pages), found, chance, think, until)
    except Exception as error:
        found.broke(error)


def visit(
    visitor: Visitor, page: str, found: Found, chance: random.Random, think: float,
    until: float = float("inf"),
) -> None:  # fmt: skip
    """Open a page and change some of its select boxes."""
    found.add("page opened", visitor.open(page), visitor.shown.errors)
    for _ in range(CHANGES):
        time.sleep(think * (0.5 + chance.random()))
        if time.monotonic() >= until:
            return
        seconds = visitor.change(chance)
        if seconds is not None:
            found.add("select box changed", seconds, visitor.shown.errors)


def _at(seconds: Sequence[float], share: float) -> float:
    """Return the value that a share of them is at most."""
    ordered = sorted(seconds)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


if __name__ == "__main__":
    main()
