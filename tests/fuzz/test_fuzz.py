"""A few of the cases of `python -m tests.fuzz`, over all targets, and that a bad one is noticed."""

import faulthandler
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from aesm2.errors import InputError
from tests.fuzz import guard, run, targets
from tests.fuzz.dice import Dice, Wrong

SEED = 1
COUNTS = {
    "descriptions": 25, "csv": 30, "parquet": 8, "drafts": 6, "uploads": 8, "checkpoints": 10,
    "archives": 20, "runs": 2, "configs": 30, "evidence": 2, "presets": 20, "reports": 2,
    "slices": 30,
    "interventions": 30, "commands": 4, "pages": 1, "summaries": 8, "logs": 6,
    "people": 25,
}  # fmt: skip


def test_every_target_has_cases_here() -> None:
    assert set(COUNTS) == set(targets.ALL)
    assert sum(COUNTS.values()) > 180


@pytest.mark.parametrize("target", COUNTS)
def test_hostile_input_is_taken_or_refused_in_one_line(target: str, tmp_path: Path) -> None:
    case, numbers = targets.ALL[target](), range(COUNTS[target])
    bad = [own for own in guard.run(target, case, numbers, SEED, tmp_path) if not own.good]
    assert bad == []


def _accepts(dice: Dice, place: Path) -> None:
    (place / "file").write_text(str(dice.random()))


def _refuses(dice: Dice, place: Path) -> None:
    raise InputError("it is not this")


def _hangs(dice: Dice, place: Path) -> None:
    time.sleep(60)


def _escapes(dice: Dice, place: Path) -> None:
    raise KeyError("x")


def _lies(dice: Dice, place: Path) -> None:
    raise Wrong("2 is 3")


def _dies(dice: Dice, place: Path) -> None:
    faulthandler.disable()  # meant to end so: its traces say nothing
    os.abort()


def _eats(dice: Dice, place: Path) -> None:
    np.ones(5 << 30, np.uint8)


def _grows(dice: Dice, place: Path) -> None:
    np.ones(1600 << 20, np.uint8)


def _half(dice: Dice, place: Path) -> None:
    with guard.unchanged(place):
        (place / "half").touch()
        raise InputError("refused, after something was written")


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (_accepts, "accepted"),
        (_refuses, "refused"),
        (_hangs, "hang"),
        (_escapes, "escaped"),
        (_lies, "wrong"),
        (_dies, "died"),
        (_eats, "memory"),
        (_grows, "memory"),
        (_half, "wrong"),
    ],
)
def test_what_becomes_of_a_case_is_told(case: guard.Case, outcome: str, tmp_path: Path) -> None:
    limit = 0.3 if case is _hangs else 60
    found = list(guard.run("it", case, [3, 1, 2], SEED, tmp_path, limit))
    assert [own.number for own in found] == [3, 1, 2]
    assert {own.outcome for own in found} == {outcome}


def test_a_case_is_the_same_wherever_it_runs() -> None:
    """Its number decides it alone: not the cases before it, nor the process."""
    first, second = Dice(1, "csv", 4711), Dice(1, "csv", 4711)
    assert [first.random() for _ in range(5)] == [second.random() for _ in range(5)]
    assert Dice(1, "csv", 4712).random() != Dice(1, "csv", 4711).random()
    assert round(Dice(1, "csv", 4711).random(), 6) == 0.711807


@pytest.mark.long
def test_several_targets_at_a_time_find_what_one_after_the_other_does() -> None:
    parts = [run.Part(target, 0, 3, SEED, guard.SECONDS) for target in ("presets", "slices")]
    found, alone = (list(run.everything(parts, jobs)) for jobs in (2, 1))
    outcomes = [
        [(name, [own.outcome for own in results]) for name, results in one]
        for one in (found, alone)
    ]
    assert outcomes[0] == outcomes[1]
    assert pickle.loads(pickle.dumps(run.of_target)).__module__ == "tests.fuzz.run"
