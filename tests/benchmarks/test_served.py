"""The benchmarks of a served app, in their shortest form, on one real server; and their sums."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from benchmarks import bare, sessions, soak  # noqa: F401  bare: it imports without a server
from benchmarks.served import Served, served

PAGE = ("curves",)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = str(tmp_path_factory.mktemp("home"))
    with served("--server.disconnectedSessionTTL", "1", more={"HOME": home}) as own:
        yield own


@pytest.mark.long
@pytest.mark.timeout(600)  # a server of its own
def test_visitors_come_and_go(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LINGER", 0)
    said = sessions.measure([server], 2, 2.0, 0.1, 0, PAGE)
    assert "| errors | 0 |" in said
    assert re.search(r"\| page opened \| \d+ \| \d+\.\d\d \|", said)
    out = tmp_path / "soak.jsonl"
    samples, found = soak.soak(server, 2.0, 1, 0.1, 0, PAGE, out)
    assert found.errors == []
    assert len(samples) == len(out.read_text(encoding="utf-8").splitlines()) >= 3
    assert soak.judged(samples).count("\n") >= 5


def test_a_leak_is_told_from_noise() -> None:
    chance, seconds = np.random.default_rng(0), np.arange(200) * 30.0
    noise = chance.normal(0, 5, 200)
    slope, width, grows = soak.trend(seconds, 500 + 100 * seconds / 3600 + noise)
    assert grows
    assert abs(slope - 100) < width < 10
    assert not soak.trend(seconds, 500 + noise)[2]
    assert not soak.trend(seconds, 500 + 1.0 * seconds / 3600)[2], "sure, but too little to matter"
    assert soak.trend(seconds, np.full(200, 7.0)) == (0.0, 0.0, False)
    lines = [{"seconds": float(s), "memory": 500.0, "handles": 10.0 + i, "threads": 9.0}
             for i, s in enumerate(seconds)]  # fmt: skip
    assert soak.judged(lines).endswith("Verdict: grows: open handles")


def test_samples_that_follow_each_other_are_much_alike() -> None:
    chance, seconds = np.random.default_rng(0), np.arange(120) * 30.0
    told = 0
    for _ in range(300):
        steps = chance.normal(0, 1, 320)
        drifting = signal.lfilter([1], [1, -0.8], steps)[200:]  # each is 0.8 of the one before
        slope, width, _ = soak.trend(seconds, 100 + drifting)
        told += abs(slope) > width
    assert told / 300 < 0.2, "a line through every sample errs in half of them"


def test_percentiles_are_of_the_sorted_values() -> None:
    seconds = [float(n) for n in random.Random(0).sample(range(1, 101), 100)]
    assert [sessions._at(seconds, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert sessions._at([3.0], 0.5) == 3


def test_several_servers_are_added_up() -> None:
    alone = Served("", os.getpid())
    one, two = alone.usage(), sessions._used([alone, alone])
    assert two.memory == pytest.approx(2 * one.memory, rel=0.05)
    assert two.threads == pytest.approx(2 * one.threads, abs=2)


@pytest.mark.parametrize(
    "wrong", [["--sessions", "0"], ["--sessions", "9999"], ["--seconds", "0"], ["--servers", "0"]]
)
def test_the_load_is_bounded(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        sessions.main(wrong)


def test_what_the_app_logs_as_an_error_is_told(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    line = "2026-11-27T12:00:00.000+00:00 ERROR a page failed error=1f905e4b"
    log.write_text(f"Uvicorn server started\n{line}\n2026 INFO rows uploaded\n", encoding="utf-8")
    assert Served("", 0, log).problems() == [line]
    assert Served("", 0).problems() == []
