"""Training killed outright at random moments: whatever was written, it resumes to the same end."""

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from aesm2.training.run import Run
from tests import small

LONG = {"epochs": 4, "evaluate_every": 2, "record_every": 2}  # 24 steps, 12 times saved
KILLS = 25
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.small"])  # a process of the test starts in no time


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The result of a run that nobody kills, and how long it takes in a process of its own."""
    folder = tmp_path_factory.mktemp("undisturbed")
    small.dataset()
    train(folder / "first")  # which also starts the server
    began = time.monotonic()
    train(folder / "run")
    return small.result(folder / "run"), time.monotonic() - began


def train(folder: Path, until: float | None = None) -> int | None:
    """Train, or go on, in another process; kill it after so many seconds. Returns its exit code."""
    dataset, resume = small.dataset(), Run(folder).exists
    process = context.Process(target=fit, args=(dataset, folder, resume))
    process.start()
    process.join(until)
    if until is not None:
        process.kill()
        process.join()
    return process.exitcode


def fit(dataset: Path, folder: Path, resume: bool) -> None:
    configured = None if resume else small.config(**LONG)
    small.fit(folder, configured, dataset=dataset, resume=resume)


@pytest.mark.parametrize(
    "kill",
    [pytest.param(kill, marks=[pytest.mark.long] * (kill % 16 > 0)) for kill in range(KILLS)],
)
def test_killed_at_any_moment_it_resumes_to_the_same_end(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], float], kill: int
) -> None:
    expected, seconds = undisturbed
    moment = random.Random(kill).uniform(0, 1)  # spread over the whole run
    folder = tmp_path / "run"
    train(folder, until=moment * seconds)
    assert train(folder) == 0
    assert small.result(folder) == expected
