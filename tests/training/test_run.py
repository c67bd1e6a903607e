"""The run folder: what it holds, and that no interruption at any moment changes the end."""

import contextlib
import json
import math
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import aesm2
from aesm2.config import Config
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.selfcheck import selfcheck
from aesm2.training import loop, train
from aesm2.training import run as run_module
from aesm2.training.interrupt import interrupts
from aesm2.training.run import Position, Run
from aesm2.training.step import RecordedSteps, Steps
from aesm2.training.train import Interrupted
from tests import small

SECONDS = 60  # nothing here is waited for longer
LONG = {"epochs": 40, "evaluate_every": 40, "record_every": 5}  # 240 steps, about a second


class Crash(BaseException):
    """The process ends here; nothing may catch this."""


@pytest.fixture(scope="module")
def long_result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    small.fit(folder, small.config(**LONG))
    return small.result(folder)


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make Ctrl-C arrive while the n-th step from now is computed; 0 for before the first."""

    def arm(number: int) -> None:
        received: list[int] = [] if number else [signal.SIGINT]
        taken = 0

        @contextlib.contextmanager
        def stops() -> Iterator[list[int]]:
            yield received

        def watched(*arguments: Any) -> Steps | RecordedSteps:
            made = original(*arguments)
            take = made.take

            def taking(*arguments: Any) -> Any:
                nonlocal taken
                taken += 1
                if taken == number:
                    received.append(signal.SIGINT)
                return take(*arguments)

            made.take = taking  # type: ignore[method-assign]
            return made

        monkeypatch.setattr(train, "interrupts", stops)
        monkeypatch.setattr(loop, "steps", watched)

    original = loop.steps
    return arm


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def error(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- interrupted and resumed ------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(0, 1), (5,), (7, 3, 4), (17,), (18,)])
def test_interrupted_and_resumed_it_ends_the_same(
    tmp_path: Path, interrupt_at: Callable[[int], None], stops: tuple[int, ...]
) -> None:
    configured: Config | None = small.config()
    for count, steps in enumerate(stops):
        interrupt_at(steps)
        if sum(stops[: count + 1]) == 18:  # it came too late to stop anything
            small.fit(tmp_path / "run", configured)
            continue
        with pytest.raises(Interrupted):
            small.fit(tmp_path / "run", configured, resume=count > 0)
        state = Run(tmp_path / "run").load_state()
        assert state is not None
        assert state[1].step == sum(stops[: count + 1])
        best = {True: 5, False: 15}[state[1].step < 15] if state[1].step >= 5 else state[1].step
        opened = aesm2.load(tmp_path / "run" / "checkpoint")
        assert opened.steps == best
        assert selfcheck(opened, repeats=1).passed
        configured = None  # a resumed run knows its configuration
    interrupt_at(-1)
    small.fit(tmp_path / "run", None, resume=True)
    assert small.result(tmp_path / "run") == small.result(small.run())


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    target = small.copy_run(tmp_path / "run")
    small.fit(target, small.config(), resume=True)
    assert small.result(target) == small.result(small.run())
    assert (target / "history.jsonl").read_bytes() == (small.run() / "history.jsonl").read_bytes()


def test_killed_at_any_write_it_resumes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of the run folder in turn fails, some halfway; the process is gone at once."""
    write, append = run_module.write_atomically, run_module.append_line
    left = 0

    def count_down(path: Path, half: bytes) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            with path.open("ab") as file:
                file.write(half)
            raise Crash

    def write_or_crash(path: Path, content: bytes | str) -> None:
        data = content.encode() if isinstance(content, str) else content
        count_down(path.with_name(f".{path.name}.1.part"), data[: len(data) // 2])
        write(path, content)

    def append_or_crash(path: Path, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        count_down(path, text[: len(text) // 2] if left % 2 else text)  # torn, or only "\n" lost
        append(path, value)

    configured = small.config(epochs=2)  # 12 steps: 3 records, 3 measurements
    small.fit(tmp_path / "whole", configured)
    expected = small.result(tmp_path / "whole")
    scores = [line["score"] for line in expected["records"][0] if line["kind"] == "validation"]
    bests = sum(score > max(scores[:i], default=-math.inf) for i, score in enumerate(scores))
    monkeypatch.setattr(run_module, "write_atomically", write_or_crash)
    monkeypatch.setattr(run_module, "append_line", append_or_crash)
    for crash_at in range(1, 100):
        left = crash_at
        target = tmp_path / str(crash_at) / "whole"  # the name of a run goes into its checkpoint
        try:
            small.fit(target, configured)
        except Crash:
            left = -1
            small.fit(target, configured, resume=Run(target).exists)
            assert small.result(target) == expected, f"after a crash at write {crash_at}"
            shutil.rmtree(target)
        else:
            break
    assert crash_at - 1 == 2 + 3 + 3 * 4 + bests  # start; records; measurements


def test_a_crash_while_the_records_are_cut_back_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt_at: Callable[[int], None]
) -> None:
    interrupt_at(12)
    with pytest.raises(Interrupted):
        small.fit(tmp_path / "run", small.config())
    interrupt_at(-1)

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(run_module, "write_lines", crash)
        small.fit(tmp_path / "run", None, resume=True)
    small.fit(tmp_path / "run", None, resume=True)
    assert small.result(tmp_path / "run") == small.result(small.run())


def started(tmp_path: Path, records: int) -> "subprocess.Popen[str]":
    """Train in another process; return it once it has made that many records."""
    (tmp_path / "config.toml").write_text(toml(small.config(**LONG)), encoding="utf-8")
    process = small.command(
        "train", small.dataset(), "--config", tmp_path / "config.toml", "--run", tmp_path / "run",
        "--device", "cpu",
    )  # fmt: skip
    history, until = tmp_path / "run" / "history.jsonl", time.monotonic() + SECONDS
    while not (history.exists() and len(history.read_bytes().split(b"\n")) > records):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "it did not start"
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.03))  # any moment is as good
    return process


def toml(configured: Config) -> str:
    """[model] and [training] as TOML, whose values here are spelt as in JSON but for tables."""

    def table(values: dict[str, Any]) -> str:
        return "{ " + ", ".join(f"{k} = {spelt(v)}" for k, v in values.items()) + " }"

    def spelt(value: Any) -> str:
        return table(value) if isinstance(value, dict) else json.dumps(value)

    written = configured.model_dump(mode="json", exclude_none=True)
    return "".join(
        f"[{part}]\n" + "".join(f"{k} = {spelt(v)}\n" for k, v in written[part].items())
        for part in ("model", "training")
    )


def test_ctrl_c_leaves_a_checkpoint_and_resume_ends_the_same(
    tmp_path: Path, long_result: dict[str, Any]
) -> None:
    process = started(tmp_path, 4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    *_, stopped, again = said.splitlines()
    assert stopped == f"stopped; the best weights so far are in {tmp_path / 'run' / 'checkpoint'}"
    assert again == f"go on with: aesm2 train {small.dataset()} --run {tmp_path / 'run'} --resume"
    opened = aesm2.load(tmp_path / "run" / "checkpoint")
    assert selfcheck(opened, repeats=1).passed
    assert 0 < opened.steps < 240
    assert opened.history()[-1]["step"] < 240
    small.fit(tmp_path / "run", None, resume=True)
    assert small.result(tmp_path / "run") == long_result


def test_killed_outright_it_resumes_to_the_same_end(
    tmp_path: Path, long_result: dict[str, Any]
) -> None:
    process = started(tmp_path, 12)
    process.kill()
    process.communicate(timeout=SECONDS)
    reached = small.lines(tmp_path / "run" / "history.jsonl")[-1]["step"]
    assert 0 < reached < 240
    small.fit(tmp_path / "run", None, resume=True)
    assert small.result(tmp_path / "run") == long_result


def test_a_second_ctrl_c_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_there_is_nothing_to_collect() -> None:
    found: list[list[int]] = []

    def look() -> None:
        with interrupts() as received:
            found.append(received)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(SECONDS)
    assert found == [[]]


# ---- refused ----------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    target = small.copy_run(tmp_path / "run")
    before = contents(target)
    for configured in (small.config(), small.config(seed=5), None):
        message = error(lambda c=configured: small.fit(target, c))
        assert message == (
            f"{target}: holds a run already; add --resume to go on, or name another folder"
        )
    assert contents(target) == before


@pytest.mark.parametrize("name", ["checkpoint", "history.jsonl", "state.safetensors"])
def test_a_folder_that_holds_something_a_run_would_overwrite_is_refused(
    tmp_path: Path, name: str
) -> None:
    kept = tmp_path / name / "kept" if name == "checkpoint" else tmp_path / name
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine", encoding="utf-8")
    message = error(lambda: small.fit(tmp_path, small.config(epochs=1)))
    assert message == f"{tmp_path}: holds a '{name}' already; name another folder"
    assert kept.read_text(encoding="utf-8") == "mine"


def test_a_folder_with_other_things_in_it_is_fine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    small.fit(tmp_path, small.config(epochs=1))
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_file_cannot_be_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for target in (tmp_path / "file", tmp_path / "file" / "run"):
        message = error(lambda t=target: small.fit(t, small.config()))
        assert message.startswith(f"{target}: cannot be made: ")


def test_resuming_with_another_configuration_is_refused(tmp_path: Path) -> None:
    target = small.copy_run(tmp_path / "run")
    before = contents(target)
    message = error(lambda: small.fit(target, small.config(learning_rate=0.5), resume=True))
    assert message == (
        f"{target}: was started with another configuration; resume it without --config"
    )
    assert contents(target) == before


def test_resuming_on_another_dataset_is_refused(tmp_path: Path) -> None:
    target = small.copy_run(tmp_path / "run")
    before = contents(target)
    other = small.write_dataset(tmp_path / "other", small.DESCRIPTION.replace("last = 6", "last=5"))
    message = error(lambda: small.fit(target, None, resume=True, dataset=other))
    assert message == f"{target}: was started with another dataset.toml; train into a new folder"
    assert contents(target) == before


def test_resuming_where_no_run_is_is_refused(tmp_path: Path) -> None:
    message = error(lambda: small.fit(tmp_path / "none", None, resume=True))
    assert message == f"{tmp_path / 'none'}: no run to resume here"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_a_state_that_is_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    target = small.copy_run(tmp_path / "run")
    state = target / "state.safetensors"
    content = state.read_bytes()
    state.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
    message = error(lambda: small.fit(target, None, resume=True))
    assert message.startswith(f"{state}: not a state of this version: ")


@pytest.mark.parametrize("name", ["best.safetensors", "config.json", "history.jsonl"])
def test_other_files_that_are_damaged_are_named(tmp_path: Path, name: str) -> None:
    target = small.copy_run(tmp_path / "run")
    content = (target / name).read_bytes()
    (target / name).write_bytes(content[:20] + b"\0" + content[60:])
    message = error(lambda: small.fit(target, None, resume=True))
    assert message.startswith(f"{target / name}: ")


# ---- the parts --------------------------------------------------------------------------------


def test_a_run_whose_records_tell_no_time_goes_back_to_its_best(tmp_path: Path) -> None:
    run = Run(small.copy_run(tmp_path / "run"))
    for told, seconds in (({"seconds": 7.5}, 7.5), ({"seconds": "long"}, 0.0), ({}, 0.0)):
        lines = small.lines(run.folder / "history.jsonl")
        bare = [{key: line[key] for key in line if key != "seconds"} | told for line in lines]
        run_module.write_lines(run.folder / "history.jsonl", bare)
        run.rewind()
        position = run.position()
        assert position is not None
        assert position.step == position.best_step
        assert position.seconds == seconds


def test_a_run_keeps_its_configuration_and_description() -> None:
    run = Run(small.run())
    assert run.exists
    assert run.config() == small.config()
    text = Dataset.open(small.dataset()).text
    run.check_same_data(text)
    assert (small.run() / "dataset.toml").read_text(encoding="utf-8") == text


def test_a_run_leaves_these_files_and_no_other() -> None:
    assert sorted(path.name for path in small.run().iterdir()) == [
        ".lock",
        "best.safetensors",
        "checkpoint",
        "choices.jsonl",
        "config.json",
        "dataset.toml",
        "history.jsonl",
        "state.safetensors",
        "utilisation.jsonl",
    ]


def test_the_state_is_read_back_as_written_and_the_records_are_cut_to_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.load_state() is None
    for step in (2, 4, 6):
        run.record("train", step, loss=step / 2)
        run.record_utilisation(step, {"rows": [step]})
    tensors = {"model.a": torch.arange(6.0).view(2, 3).t(), "step": torch.tensor(4)}
    position = Position(4, 1.5, -math.inf, 2, 1, False)
    run.save_state(tensors, position)
    with (tmp_path / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "train", "st')
    state = run.load_state()
    assert state is not None
    assert state[1] == position
    assert state[0].keys() == tensors.keys()
    assert all(torch.equal(state[0][key], tensors[key]) for key in tensors)
    assert [line["step"] for line in small.lines(tmp_path / "history.jsonl")] == [2, 4]
    assert [line["step"] for line in small.lines(tmp_path / "utilisation.jsonl")] == [2, 4]


def test_without_a_state_every_record_goes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.record("train", 1, loss=1.0)
    assert run.load_state() is None
    assert (tmp_path / "history.jsonl").read_bytes() == b""


def test_without_best_weights_the_model_stays_as_it_is(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    before = model.weight.detach().clone()
    run = Run(tmp_path)
    run.load_best(model)
    assert torch.equal(model.weight, before)
    run.save_best(model)
    torch.nn.init.zeros_(model.weight)
    run.load_best(model)
    assert torch.equal(model.weight, before)
