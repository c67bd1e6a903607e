"""A full disk, a folder that vanishes, two apps at once, a clock set back: the run stays whole."""

import ast
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aesm2.errors import InputError
from aesm2.files import replaced
from aesm2.lab import worker
from aesm2.lab.job import Job, Status, Wish, trouble
from aesm2.lab.queue import Lab
from aesm2.lock import holder
from aesm2.training import train as training
from aesm2.training.run import Run
from tests import small
from tests.lab.test_queue import LONG, lab, submit, until, weights  # noqa: F401

FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from aesm2.cli import main
sys.argv = ["aesm2", *sys.argv[2:]]
main()
"""


@pytest.mark.parametrize("room", [pytest.param(300, marks=pytest.mark.long), 9_000])
def test_a_full_disk_is_one_line_and_the_run_resumes_to_the_same_end(
    tmp_path: Path, room: int
) -> None:
    """A file that may not grow beyond `room` bytes fails like one on a full disk, anywhere."""
    config = tmp_path / "config.json"
    config.write_text(small.config().model_dump_json())
    arguments = ["train", str(small.dataset()), "--run", str(tmp_path / "run"), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room), *arguments, "--config", str(config)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("aesm2: ")
    assert "File too large" in said
    assert "Traceback" not in done.stderr
    started = Run(tmp_path / "run").exists
    small.fit(tmp_path / "run", None if started else small.config(), resume=started)
    assert small.result(tmp_path / "run") == small.result(small.run())


@pytest.mark.parametrize("most", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_folder_that_vanishes_ends_its_run_and_the_next_one_starts(
    lab: Lab,  # noqa: F811
    most: bool,
) -> None:
    """Most of it: what training writes just then stays, as where a removal and a write cross."""
    lost = submit(lab, "lost", **LONG)
    kept = submit(lab, "kept", epochs=1)
    lab.tend()
    until(lambda: (lost.folder / "history.jsonl").exists())
    if most:
        (lost.folder / "job.json").unlink()
    else:
        shutil.move(lost.folder, lab.root.parent)
    until(lambda: kept.status() is Status.FINISHED)
    assert [job.name for job in lab.jobs()] == ["kept"]
    assert lost.holder() is None


def test_a_folder_that_vanishes_while_it_is_looked_at_ends_nothing(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost, kept = submit(lab, "lost"), submit(lab, "kept", epochs=1)
    read = Job.status

    def late(job: Job) -> Status:
        if job == lost:
            shutil.rmtree(job.folder, ignore_errors=True)
        return read(job)

    monkeypatch.setattr(Job, "status", late)
    worker.work(lab, "cpu")
    assert kept.status() is Status.FINISHED


def test_a_folder_that_vanishes_before_its_turn_ends_nothing(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost, kept = submit(lab, "lost"), submit(lab, "kept", epochs=1)
    train = worker.train

    def late(own: Lab, job: Job) -> None:
        if job == lost:
            shutil.rmtree(job.folder)
        train(own, job)

    monkeypatch.setattr(worker, "train", late)
    worker.work(lab, "cpu")
    assert kept.status() is Status.FINISHED


def test_a_run_that_cannot_start_says_why_and_the_next_one_goes_on(lab: Lab) -> None:  # noqa: F811
    one, two = submit(lab, "one"), submit(lab, "two", epochs=1)
    (one.folder / "log.txt").mkdir()  # so that it cannot be written
    worker.work(lab, "cpu")
    assert one.status() is Status.FAILED
    assert "log.txt" in trouble(one.outcome())
    assert two.status() is Status.FINISHED


def test_while_its_data_are_read_a_run_is_at_work(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading may take minutes: what is asked meanwhile must not be accepted and lost."""
    job = submit(lab, "one", epochs=1)
    small.fit(job.folder, job.config())
    lab.extend(job, 1)
    read, seen = training.read_rows, []

    def slow(*given: Any) -> Any:
        seen.append(job.status())
        with pytest.raises(InputError, match="at work"):
            lab.extend(job, 5)
        return read(*given)

    monkeypatch.setattr(training, "read_rows", slow)
    small.fit(job.folder, None, resume=True)
    assert seen == [Status.RUNNING]
    assert job.status() is Status.FINISHED


def test_a_folder_in_the_making_that_another_took_away_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(FileNotFoundError), replaced(folder) as part:
        (part / "new").touch()
        with pytest.raises(ValueError, match="second"), replaced(folder):  # takes the part away
            raise ValueError("second")
    assert [file.name for file in folder.iterdir()] == ["old"]


@pytest.mark.long
def test_two_apps_on_one_folder_do_each_run_once(lab: Lab) -> None:  # noqa: F811
    job = submit(lab, "one", epochs=2)
    other = Lab(lab.root)
    both = [threading.Thread(target=own.tend) for own in (lab, other) for _ in range(3)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    until(lambda: other.job("one").status() is Status.FINISHED)
    until(lambda: holder(lab.worker_lock("cpu")) is None)
    alone = submit(lab, "alone", epochs=2)
    worker.work(lab, "cpu")
    assert weights(job).keys() == weights(alone).keys()
    assert all((weights(job)[key] == value).all() for key, value in weights(alone).items())


def test_turns_go_by_ticket_whatever_the_clock_says(lab: Lab) -> None:  # noqa: F811
    first, second = submit(lab, "first"), submit(lab, "second")
    for file in second.folder.iterdir():
        os.utime(file, (0, 0))  # as if it were of 1970
    assert lab.next("cpu") == first
    lab.wish(first, Wish.STOP)
    assert lab.next("cpu") == second
    assert trouble(first.outcome()) == ""


def test_neither_training_nor_the_lab_reads_the_clock_of_the_day() -> None:
    """Durations come from a clock that only goes forward; order comes from tickets."""
    root = Path(__file__).parents[2] / "aesm2"
    for file in [*root.glob("training/*.py"), *root.glob("lab/*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not used & {"time.time", "datetime.now", "time.time_ns", "datetime.datetime.now"}
