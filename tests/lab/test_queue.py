"""The lab with real processes on a small dataset: queue, pause, stop, extend, branch, crashes."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from aesm2.device import resolve_device
from aesm2.errors import InputError
from aesm2.lab import worker
from aesm2.lab.job import Job, Status, Wish, diagnose, remedied, trouble
from aesm2.lab.queue import QUEUE_LOCK, Lab
from aesm2.lock import holder, holding
from aesm2.training.run import LOCK
from aesm2.training.train import Interrupted
from tests import small

LONG = {"epochs": 2_000, "patience": 10_000}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def submit(lab: Lab, name: str, **training: object) -> Job:
    return lab.submit(name, small.dataset(), small.config(**training), "cpu")


def workers(lab: Lab) -> list[int]:
    """Processes that are workers of a lab, by their command lines."""
    own = f"aesm2.lab.worker\0{lab.root}\0".encode()
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if own in line.read_bytes() and b"\0sh\0" not in line.read_bytes():
                found.append(int(line.parent.name))
    return found


def weights(job: Job) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(job.run.checkpoint / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_first_come_first_served_and_each_knows_whom_it_waits_for(lab: Lab) -> None:
    jobs = [submit(lab, name) for name in ("zebra", "ape", "mole")]
    assert [job.name for job in lab.jobs()] == ["zebra", "ape", "mole"]
    assert [job.status() for job in jobs] == [Status.QUEUED] * 3
    assert [job.name for job in lab.ahead(jobs[2])] == ["zebra", "ape"]
    assert lab.next("cpu") == jobs[0]
    lab.wish(jobs[0], Wish.PAUSE)
    assert lab.next("cpu") == jobs[1]
    lab.wish(jobs[0], Wish.RUN)  # at the end
    assert [job.name for job in lab.jobs()] == ["ape", "mole", "zebra"]
    assert lab.next("cuda") is None


def test_a_broken_run_does_not_hide_the_others(lab: Lab) -> None:
    one, two = submit(lab, "one"), submit(lab, "two")
    (one.folder / "job.json").write_text("{")
    assert lab.jobs() == [two]


def test_a_lock_that_cannot_be_opened_is_a_broken_run(lab: Lab) -> None:
    one, two = submit(lab, "one"), submit(lab, "two")
    (one.folder / LOCK).mkdir()
    assert one.status() is Status.BROKEN
    assert LOCK in one.problem()
    assert lab.next("cpu") == two


def test_auto_is_no_queue_of_its_own(lab: Lab) -> None:
    job = lab.submit("one", small.dataset(), small.config(), "auto")
    assert job.order().device == resolve_device("auto").type


def test_who_looks_at_a_lock_does_not_keep_others_from_it(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with holding(path) as ours:
            assert ours
            with holding(path) as again:
                assert not again


def test_a_run_comes_back_when_nobody_is_making_one_of_its_name(lab: Lab) -> None:
    place = lab.discard(submit(lab, "one"))
    back = threading.Thread(target=lab.restore, args=(place,))
    with holding(lab.root / QUEUE_LOCK):  # as `submit` does
        back.start()
        back.join(0.2)
        assert back.is_alive()
        assert lab.jobs() == []
    back.join()
    assert [job.name for job in lab.jobs()] == ["one"]


def test_a_branch_that_cannot_be_leaves_nothing(lab: Lab) -> None:
    job = submit(lab, "one", evaluate_every=100)
    job.run.ask_to_halt()  # before its first measurement
    with pytest.raises(Interrupted):
        small.fit(job.folder, job.config())
    before = sorted(lab.root.iterdir())
    with pytest.raises(InputError, match="nothing was measured yet"):
        lab.branch(job, "two", job.config(), best=True)
    assert sorted(lab.root.iterdir()) == before


@pytest.mark.parametrize("name", ["plan.json", "state.safetensors", "outcome.json"])
def test_a_run_of_which_a_file_is_broken_says_so_and_does_not_wait(lab: Lab, name: str) -> None:
    one, two = submit(lab, "one"), submit(lab, "two")
    (one.folder / name).write_text("{")
    assert one.status() is Status.BROKEN
    assert str(one.folder / name) in one.problem()
    assert lab.next("cpu") == two
    assert lab.ahead(two) == []
    assert not lab.discard(one).is_relative_to(one.folder)
    assert lab.jobs() == [two]


def test_a_worker_takes_all_and_the_result_is_that_of_the_command_line(lab: Lab) -> None:
    one, two = submit(lab, "one"), submit(lab, "two", seed=5)
    worker.work(lab, "cpu")
    assert [job.status() for job in (one, two)] == [Status.FINISHED] * 2
    undisturbed = safetensors.torch.load_file(small.run() / "checkpoint" / "model.safetensors")
    assert same(weights(one), undisturbed)
    assert not same(weights(two), undisturbed)
    assert holder(lab.worker_lock("cpu")) is None
    assert lab.next("cpu") is None


@pytest.mark.long  # tests/browser/test_lab.py does the same by hand
def test_pause_resume_and_stop_through_files_alone(lab: Lab) -> None:
    job = submit(lab, "long", **LONG)
    lab.tend()
    until(lambda: job.position().step > 0)
    assert job.status() is Status.RUNNING
    lab.wish(job, Wish.PAUSE)
    until(lambda: job.status() is Status.PAUSED)
    step = job.position().step
    assert (job.run.checkpoint / "checkpoint.json").exists()
    until(lambda: holder(lab.worker_lock("cpu")) is None)
    lab.tend()  # nothing to do
    assert job.status() is Status.PAUSED
    lab.wish(job, Wish.RUN)
    lab.tend()
    until(lambda: job.position().step > step)
    lab.wish(job, Wish.STOP)
    until(lambda: job.status() is Status.STOPPED)
    assert trouble(job.outcome()) == ""


def test_however_often_it_is_tended_a_device_has_one_worker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = lab._start_worker
    monkeypatch.setattr(
        Lab, "_start_worker", lambda _, *given: (started.append(given), start(*given))
    )
    job = submit(lab, "long", **LONG)
    for _ in range(4):  # faster than a worker imports
        lab.tend()
    assert holder(lab.worker_lock("cpu")) is not None
    assert len(started) == 1
    until(lambda: job.position().step > 0)
    assert workers(lab) == [holder(lab.worker_lock("cpu"))]
    lab.wish(job, Wish.STOP)
    until(lambda: holder(lab.worker_lock("cpu")) is None)


@pytest.mark.long
def test_a_worker_killed_leaves_its_run_at_work_and_another_watches_it(lab: Lab) -> None:
    job = submit(lab, "long", **LONG)
    lab.tend()
    until(lambda: job.position().step > 0)
    process = holder(lab.worker_lock("cpu"))
    assert process
    os.kill(process, signal.SIGKILL)
    until(lambda: holder(lab.worker_lock("cpu")) is None)
    assert job.status() is Status.RUNNING
    lab.tend()
    until(lambda: holder(lab.worker_lock("cpu")) is not None)
    lab.wish(job, Wish.STOP)
    until(lambda: job.status() is Status.STOPPED)


def test_a_killed_run_says_so_and_resumes_where_it_was(lab: Lab) -> None:
    job = submit(lab, "long", **LONG)
    lab.tend()
    until(lambda: job.position().step > 0 and bool(job.holder()))
    process = job.holder()
    assert process
    os.kill(process, signal.SIGKILL)
    until(lambda: job.status() is Status.FAILED)
    step = job.position().step
    assert "smaller batch" in trouble(job.outcome())
    lab.wish(job, Wish.RUN)
    assert job.status() is Status.QUEUED
    lab.tend()
    until(lambda: job.position().step > step)
    lab.wish(job, Wish.STOP)
    until(lambda: job.status() is Status.STOPPED)


def test_what_training_says_reaches_the_reader(lab: Lab) -> None:
    job = submit(lab, "off", task_weights={"nothing": 1.0})
    worker.work(lab, "cpu")
    assert job.status() is Status.FAILED
    assert "'nothing' is no task" in trouble(job.outcome())
    lost = submit(lab, "lost")
    lost.put(lost.order().model_copy(update={"dataset": "/nowhere"}))
    worker.work(lab, "cpu")
    assert "/nowhere" in trouble(lost.outcome())


@pytest.mark.long
def test_an_extended_run_ends_like_one_that_was_longer_from_the_start(lab: Lab) -> None:
    short, long = submit(lab, "short", epochs=2), submit(lab, "long", epochs=3)
    worker.work(lab, "cpu")
    lab.extend(short, 1)
    assert short.status() is Status.QUEUED
    worker.work(lab, "cpu")
    assert short.position().step == long.position().step
    assert same(weights(short), weights(long))
    assert short.config() == long.config()


@pytest.mark.long
def test_a_branch_goes_on_from_there_and_leaves_the_first_alone(lab: Lab) -> None:
    first = submit(lab, "first", epochs=2)
    worker.work(lab, "cpu")
    before = weights(first)
    config = small.config(epochs=3, learning_rate=0.05)
    branch = lab.branch(first, "second", config)
    step = branch.position().step
    assert step == first.position().step
    assert branch.order().notes == f"branched from first at step {step:,}"
    worker.work(lab, "cpu")
    assert branch.status() is Status.FINISHED
    assert branch.position().step == step * 3 // 2
    assert same(weights(first), before)
    with pytest.raises(InputError, match="keeps its model"):
        lab.branch(first, "third", small.config(model={"name": "mlp"}))
    with pytest.raises(InputError, match="there is a run 'second' already"):
        lab.branch(first, "second", config)


@pytest.mark.long
def test_a_branch_that_is_past_its_end_takes_one_step_and_ends(lab: Lab) -> None:
    first = submit(lab, "first", epochs=2)
    worker.work(lab, "cpu")
    branch = lab.branch(first, "coarse", small.config(epochs=1, batch_size=364))
    worker.work(lab, "cpu")
    assert branch.status() is Status.FINISHED
    assert branch.position().step == first.position().step + 1


@pytest.mark.long
def test_a_branch_from_the_best_measurement_has_its_weights_and_its_history(lab: Lab) -> None:
    first = submit(lab, "first", epochs=6, learning_rate=1.0)  # it gets worse before it ends
    worker.work(lab, "cpu")
    position = first.position()
    assert position.best_step < position.step
    branch = lab.branch(first, "second", small.config(epochs=6, learning_rate=1e-3), best=True)
    assert branch.position().step == position.best_step
    state = safetensors.torch.load_file(branch.folder / "state.safetensors")
    best = safetensors.torch.load_file(first.folder / "best.safetensors")
    assert same({key.removeprefix("model."): value for key, value in state.items()}, best)
    assert max(line["step"] for line in small.lines(branch.folder / "history.jsonl")) == (
        position.best_step
    )
    worker.work(lab, "cpu")
    assert branch.status() is Status.FINISHED
    assert branch.position().step == position.step


def test_a_run_that_ran_out_of_memory_goes_on_with_half_the_batch(lab: Lab) -> None:
    job = submit(lab, "big", epochs=1)
    (job.folder / "log.txt").write_text("MemoryError")
    job.end(1)
    assert job.status() is Status.FAILED
    config = remedied(job.config(), diagnose(job.outcome()))
    assert config is not None
    assert config.training.batch_size == job.config().training.batch_size // 2
    again = lab.retry(job, config)
    assert again.name == "big-2"
    worker.work(lab, "cpu")
    assert again.status() is Status.FINISHED
    assert again.position().step == -(-364 // 32)


@pytest.mark.long
def test_a_diverged_run_goes_on_from_where_all_was_finite(lab: Lab) -> None:
    job = submit(lab, "wild", epochs=2)
    worker.work(lab, "cpu")
    lab.extend(job, 1)
    config = job.config()
    wild = config.training.model_copy(update={"learning_rate": 1e30})
    job.run.extend(config.model_copy(update={"training": wild}))
    step = job.position().step
    worker.work(lab, "cpu")
    assert job.status() is Status.FAILED
    assert "loss of" in trouble(job.outcome())
    assert job.position().step == step
    calmer = remedied(job.config(), diagnose(job.outcome()))
    assert calmer is not None
    assert calmer.training.learning_rate == 1e29
    calm = calmer.model_copy(update={"training": config.training})
    again = lab.retry(job, calm)
    assert again.position().step == step
    worker.work(lab, "cpu")
    assert again.status() is Status.FINISHED


def test_what_cannot_be_says_why_and_loses_nothing(lab: Lab) -> None:
    job = submit(lab, "one")
    for name in ("one", "", "../out", ".hidden", "a/b", "x" * 65):
        with pytest.raises(InputError):
            submit(lab, name)
    with pytest.raises(InputError, match="saved nothing yet"):
        lab.branch(job, "two", job.config())
    with pytest.raises(InputError, match="no run 'nobody'"):
        lab.job("nobody")
    with holding(job.folder / LOCK):
        refusals = (
            lambda: lab.discard(job),
            lambda: lab.extend(job, 1),
            lambda: lab.branch(job, "two", job.config()),
        )
        for refused in refusals:
            with pytest.raises(InputError, match="is at work"):
                refused()
    assert [own.name for own in lab.jobs()] == ["one"]


def test_discarding_can_be_undone(lab: Lab) -> None:
    job = submit(lab, "one")
    place = lab.discard(job)
    assert lab.jobs() == []
    again = submit(lab, "one")
    with pytest.raises(InputError, match="again"):
        lab.restore(place)
    other = lab.discard(again)
    assert other != place
    assert lab.restore(place) == job
    assert job.status() is Status.QUEUED


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    with holding(tmp_path / "run" / LOCK), pytest.raises(InputError, match="another process"):
        small.fit(tmp_path / "run", small.config())


def test_a_lock_is_held_by_one_and_ends_with_its_holder(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert holder(file) is None
    with holding(file) as ours:
        assert ours
        assert holder(file) == os.getpid()
        with holding(file) as again:
            assert not again
    assert holder(file) is None
    hold = "import sys, time; from pathlib import Path; from aesm2.lock import holding\n"
    hold += "with holding(Path(sys.argv[1])): time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(file)]) as child:
        until(lambda: holder(file) == child.pid)
        child.kill()
    assert holder(file) is None


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({}, ""),
        ({"code": 0, "said": ""}, ""),
        ({"code": 130, "said": ""}, ""),
        ({"code": -15, "said": ""}, "signal 15"),
        ({"code": 2, "said": "aesm2: x.csv: no such file"}, "x.csv: no such file"),
        ({"code": 1, "said": "RuntimeError: CUDA out of memory."}, "smaller batch"),
        ({"code": 1, "said": ""}, "said nothing"),
    ],
)
def test_troubles_in_words(outcome: dict[str, object], said: str) -> None:
    told = trouble(outcome)
    assert (said in told) if said else told == ""


def test_the_outcome_is_the_last_words(lab: Lab) -> None:
    job = submit(lab, "one")
    (job.folder / "log.txt").write_text("step 1\rstep 2\nValueError: so\n\n")
    job.end(1)
    assert job.outcome() == {"code": 1, "said": "ValueError: so"}
    assert json.loads((job.folder / "outcome.json").read_text())["code"] == 1
