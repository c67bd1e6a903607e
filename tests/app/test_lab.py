"""The Training Lab through AppTest, with real training processes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from aesm2.lab import worker
from aesm2.lab.job import Status, Wish
from aesm2.lab.queue import Lab
from tests import small
from tests.app.conftest import first_small_root, with_numbers
from tests.app.test_data import charts, sound, table, texts

PAGE = "views/lab.py"
Start = Callable[..., AppTest]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The lab that the app finds; no run of it outlives the test."""
    monkeypatch.setenv("AESM2_LAB", str(tmp_path / "lab"))
    own = Lab(tmp_path / "lab")
    yield own
    for job in own.jobs():
        own.wish(job, Wish.STOP)
    until(lambda: not any(job.status().active for job in own.jobs()))


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def press(at: AppTest, label: str) -> AppTest:
    button = next(b for b in at.button if b.label == label)
    return sound_but_for_errors(button.click().run())


def finished(lab: Lab, name: str = "shop-1") -> None:
    lab.submit(name, small.dataset(), small.config(), "cpu")
    worker.work(lab, "cpu")


def test_without_a_run_the_form_is_open_and_says_what_it_amounts_to(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    assert "No run yet" in texts(at)
    assert next(t.value for t in at.text_input if t.label == "Name") == "shop-1"
    assert next(s.value for s in at.selectbox if s.label == "Dataset") == "shop"
    shown = [code.value for code in at.code]
    assert shown[0].startswith("aesm2 train ")
    assert '"learning_rate"' in shown[1]


def test_a_form_that_cannot_be_says_why(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    at.text_input(key="lab-seeds").set_value("one").run()
    assert "Seeds are whole numbers" in texts(at) + " ".join(e.value for e in at.error)
    at.text_input(key="lab-seeds").set_value("0").run()
    at.text_input(key="lab-name-shop-1").set_value("../out").run()
    at = press(at, "Start")
    assert any("no name for a run" in e.value for e in at.error)
    assert lab.jobs() == []


def test_runs_are_queued_and_one_starts(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    at.text_input(key="lab-seeds").set_value("3, 4").run()
    at.number_input(key="lab-default-epochs").set_value(1).run()
    at = press(at, "Start 2 runs")
    assert [job.name for job in lab.jobs()] == ["shop-1-seed3", "shop-1-seed4"]
    assert [job.config().training.seed for job in lab.jobs()] == [3, 4]
    assert [job.config().training.epochs for job in lab.jobs()] == [1, 1]
    until(lambda: lab.jobs()[0].status() is not Status.QUEUED)
    assert lab.jobs()[1].status() is Status.QUEUED or lab.jobs()[0].status() is Status.FINISHED


def test_a_finished_run_is_shown_with_its_curves(start: Start, lab: Lab) -> None:
    finished(lab)
    at = with_numbers(sound(start(PAGE)), "lab-roles")
    assert set(charts(at)) == {"lab-losses", "lab-validation", "lab-divergences", "lab-roles"}
    roles = table(at, "role")
    assert set(roles["role"]) <= {"specific", "shared", "both", "unselected"}
    runs = next(t.value for t in at.dataframe if "best AUC × 100" in t.value.columns)
    position = lab.job("shop-1").position()
    assert runs["status"].tolist() == ["finished"]
    assert runs["best AUC × 100"].tolist() == pytest.approx([100 * position.score])
    assert runs["step"].tolist() == [position.step]
    steps = next(m.value for m in at.metric if m.label == "Step")
    assert steps == f"{position.step:,}"


def test_pause_resume_stop_and_more_epochs(start: Start, lab: Lab) -> None:
    job = lab.submit("long", small.dataset(), small.config(epochs=2000, patience=9999), "cpu")
    at = sound(start(PAGE))  # the page starts the worker
    until(lambda: job.position().step > 0)
    at = press(sound(at.run()), "Pause")
    until(lambda: job.status() is Status.PAUSED)
    at = sound(at.run())
    assert "long: paused" in texts(at) + " ".join(s.value for s in at.subheader)
    step = job.position().step
    at = press(at, "Resume")
    until(lambda: job.position().step > step)
    at = press(sound(at.run()), "Stop and keep")
    until(lambda: job.status() is Status.STOPPED)
    at = press(sound(at.run()), "5 epochs more")
    assert job.config().training.epochs == 2005


def test_discard_and_undo(start: Start, lab: Lab) -> None:
    finished(lab)
    at = press(sound(start(PAGE)), "Discard")
    assert lab.jobs() == []
    assert "“shop-1” was discarded." in [i.value.replace("\\", "") for i in at.info]
    at = press(at, "Undo")
    assert lab.job("shop-1").status() is Status.FINISHED


def test_a_failed_run_says_what_happened(start: Start, lab: Lab) -> None:
    lab.submit("off", small.dataset(), small.config(task_weights={"nothing": 1.0}), "cpu")
    worker.work(lab, "cpu")
    at = sound_but_for_errors(start(PAGE))
    assert any("is no task" in e.value for e in at.error)


def sound_but_for_errors(at: AppTest) -> AppTest:
    assert not at.exception
    return at


def test_promote_puts_it_into_the_bar(start: Start, lab: Lab, tmp_path: Path) -> None:
    root = first_small_root(tmp_path / "own")
    finished(lab)
    at = sound(start(PAGE, root=root))
    at.text_input(key="lab-promote-name").set_value("spring")
    at.text_input(key="lab-promote-notes").set_value("For the review.")
    at = press(at, "Promote")
    assert (root / "checkpoints" / "spring" / "model.safetensors").exists()
    assert "For the review." in (root / "checkpoints" / "spring" / "README.md").read_text()
    assert at.query_params["checkpoint"] in ("spring", ["spring"])
