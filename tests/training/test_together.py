"""Two real processes that train one model: they end where one ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import safetensors.torch

from aesm2.config import Config
from aesm2.lock import holder
from aesm2.training.launch import Work, train_together
from aesm2.training.ray_engine import train_on_ray
from aesm2.training.run import LOCK, Run
from aesm2.training.train import Interrupted
from tests import small
from tests.training.test_run import toml

# Sums in another order: the largest difference seen is 4e-7 of a tensor's largest value.
TOLERANCE = 1e-5
UNEVEN = {"batch_size": 127}  # 384 rows: the last batch of an epoch has 3
LONG = {"epochs": 8, "evaluate_every": 2, "record_every": 2}


def without_history() -> str:
    """The description of a log that several processes may read a part of each."""
    start, end = small.DESCRIPTION.index("[[history]]"), small.DESCRIPTION.index("[features.user]")
    lines = (small.DESCRIPTION[:start] + small.DESCRIPTION[end:]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("user_past"))


def work(dataset: Path, folder: Path, config: Config | None) -> Work:
    written = None if config is None else config.model_dump_json()
    return Work(str(dataset), str(folder), written, device="cpu", progress=False)


def same_weights(one: Path, other: Path) -> None:
    """The weights of two checkpoints agree up to the order of sums."""
    found, expected = (
        safetensors.torch.load_file(run / "checkpoint" / small.WEIGHTS) for run in (one, other)
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        largest = (found[name].double() - value.double()).abs().max() / value.abs().max()
        assert largest < TOLERANCE, name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs of one process, and of two that read a part of the log each, of three row groups."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = small.write_dataset(folder / "shop", without_history())
    pq.write_table(
        pq.read_table(dataset / "log.parquet"), dataset / "log.parquet", row_group_size=300
    )
    small.fit(folder / "one" / "run", small.config(**UNEVEN), dataset=dataset)
    train_together(work(dataset, folder / "two" / "run", small.config(**UNEVEN)), 2)
    return folder / "one" / "run", folder / "two" / "run"


def test_two_processes_end_in_the_weights_of_one(runs: tuple[Path, Path]) -> None:
    """With noise, auxiliary losses and L2, on batches that do not divide."""
    same_weights(*runs)


def test_two_processes_learn_the_same_encoder_and_count_the_same_rows(
    runs: tuple[Path, Path],
) -> None:
    for name in ("encoder.json", "statistics.jsonl", "README.md"):
        one, two = ((run / "checkpoint" / name).read_bytes() for run in runs)
        assert one == two, name


def test_two_processes_record_what_one_does_once(runs: tuple[Path, Path]) -> None:
    one, two = (small.lines(run / "history.jsonl") for run in runs)
    assert [(line["kind"], line["step"]) for line in one] == [
        (line["kind"], line["step"]) for line in two
    ]
    for a, b in zip(one, two, strict=True):
        if a["kind"] == "train":
            assert a["l2"] == pytest.approx(b["l2"], 1e-5)
            for name in ("loss", "kl_specific", "kl_shared"):
                assert a[name] == pytest.approx(b[name], 1e-4)
        else:
            assert a["score"] == pytest.approx(b["score"], abs=1e-3)
            losses = [[m["log_loss"] for m in line["metrics"]] for line in (a, b)]
            assert losses[0] == pytest.approx(losses[1], 1e-4)
    assert (runs[0] / "utilisation.jsonl").exists()
    assert len(small.lines(runs[1] / "choices.jsonl")) == len(
        small.lines(runs[0] / "choices.jsonl")
    )


def meanwhile(when: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something from another thread, as soon as it is so."""

    def watch() -> None:
        until = time.monotonic() + 120
        while not when() and time.monotonic() < until:
            time.sleep(0.005)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def step(folder: Path) -> int:
    position = Run(folder).position()
    return 0 if position is None else position.step


def kill_the_leader(folder: Path, killed: list[int]) -> None:
    number = holder(folder / LOCK)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    killed.append(number)


def test_killed_and_then_halted_two_processes_leave_a_run_that_one_ends_alike(
    tmp_path: Path,
) -> None:
    """With history: the leader reads the log and deals out its rows."""
    dataset, folder, killed = small.dataset(), tmp_path / "two" / "run", []
    small.fit(tmp_path / "one" / "run", small.config(**LONG))
    kill = meanwhile(lambda: step(folder) >= 4, lambda: kill_the_leader(folder, killed))
    halt = meanwhile(lambda: step(folder) >= 24, Run(folder).ask_to_halt)
    with pytest.raises(Interrupted):
        train_together(work(dataset, folder, small.config(**LONG)), 2)
    kill.join()
    halt.join()
    assert len(killed) == 1
    assert 24 <= step(folder) < 48
    small.fit(folder, None, resume=True)
    same_weights(tmp_path / "one" / "run", folder)
    one, two = (small.lines(tmp_path / n / "run" / "history.jsonl") for n in ("one", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two]


@pytest.mark.long
@pytest.mark.parametrize("kill", range(6))
def test_killed_twice_it_ends_bit_for_bit_as_two_undisturbed_processes(
    tmp_path: Path, kill: int
) -> None:
    dataset = small.dataset()
    for name in ("undisturbed", "killed"):
        folder = tmp_path / name / "run"
        moments = [4 + 3 * kill, 26 + 3 * kill] if name == "killed" else []
        threads = [
            meanwhile(lambda s=s, f=folder: step(f) >= s, lambda f=folder: kill_the_leader(f, []))
            for s in moments
        ]
        train_together(work(dataset, folder, small.config(**LONG)), 2)
        for thread in threads:
            thread.join()
    one, two = (
        (tmp_path / name / "run" / "checkpoint" / small.WEIGHTS).read_bytes()
        for name in ("undisturbed", "killed")
    )
    assert one == two


@pytest.mark.long
def test_what_no_process_can_use_is_one_line_and_no_restart(tmp_path: Path) -> None:
    changed = small.config(learning_rate=1e38, evaluate_every=1)
    (tmp_path / "c.toml").write_text(toml(changed), encoding="utf-8")
    lines = ("training diverged by step 1", "holds a run already")  # then again: it is there
    for said in lines:
        process = small.command(
            "train", small.dataset(), "--config", tmp_path / "c.toml", "--run", tmp_path / "run",
            "--processes", "2", "--device", "cpu",
        )  # fmt: skip
        err = process.communicate()[1]
        assert process.returncode == 2
        assert said in err.splitlines()[-1]
        assert "died" not in err
        assert "Traceback" not in err


@pytest.mark.long
def test_the_command_survives_a_kill_stops_at_ctrl_c_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(toml(small.config(**LONG)), encoding="utf-8")
    folder, options = tmp_path / "run", ["--processes", "2", "--device", "cpu"]
    process = small.command(
        "train", small.dataset(), "--config", tmp_path / "c.toml", "--run", folder, *options
    )
    meanwhile(lambda: step(folder) >= 4, lambda: kill_the_leader(folder, []))
    meanwhile(lambda: step(folder) >= 20, lambda: process.send_signal(signal.SIGINT))
    err = process.communicate()[1]
    assert process.returncode == 130, err
    assert "a process died; all start again (restart 1) from step " in err
    assert f"go on with: aesm2 train {small.dataset()} --run {folder} --resume" in err
    again = small.command("train", small.dataset(), "--run", folder, "--resume", *options)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "AUC" in out or out
    small.fit(tmp_path / "one" / "run", small.config(**LONG))
    same_weights(tmp_path / "one" / "run", folder)


@pytest.mark.long
def test_torchrun_starts_the_same_training(tmp_path: Path) -> None:
    small.fit(tmp_path / "one" / "run", small.config(**UNEVEN))
    written = tmp_path / "c.toml"
    written.write_text(toml(small.config(**UNEVEN)), encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "--", "aesm2", "train", small.dataset(), "--config", written, "--device", "cpu",
        "--run", tmp_path / "two" / "run",
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("checkpoint: ") == 1
    same_weights(tmp_path / "one" / "run", tmp_path / "two" / "run")


@pytest.mark.long
def test_ray_trains_the_same_and_places_a_killed_process_anew(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra: pip install 'aesm2[ray]'")
    folder, killed = tmp_path / "two" / "run", list[int]()
    small.fit(tmp_path / "one" / "run", small.config(**LONG))
    kill = meanwhile(lambda: step(folder) >= 4, lambda: kill_the_leader(folder, killed))
    train_on_ray(work(small.dataset(), folder, small.config(**LONG)), 2, 2)
    kill.join()
    assert len(killed) == 1
    same_weights(tmp_path / "one" / "run", folder)
