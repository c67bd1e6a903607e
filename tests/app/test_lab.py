"""The Training Lab through AppTest, with real training processes."""

import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from aesm2.errors import InputError
from aesm2.lab import worker
from aesm2.lab.archive import pack
from aesm2.lab.estimate import Estimate
from aesm2.lab.job import Job, Status, Wish
from aesm2.lab.queue import Lab
from aesm2.owner import give, owner_of
from app.lab import actions, estimate, simulate
from app.people import who
from app.people.quotas import MB
from app.people.settings import Quotas, Role
from app.people.who import Person
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
    """Put a finished run there, without training it anew."""
    job = lab.submit(name, small.dataset(), small.config(), "cpu")
    shutil.copytree(small.run(), job.folder, dirs_exist_ok=True)
    assert job.status() is Status.FINISHED


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


def test_all_runs_of_a_sweep_are_queued_or_none(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    at.text_input(key="lab-seeds").set_value("3, 10").run()
    at.text_input(key="lab-name-shop-1").set_value("x" * 58).run()  # and -seed10 is too long
    at = press(at, "Start 2 runs")
    assert "no name for a run" in said(at)
    assert lab.jobs() == []


def test_a_finished_run_is_shown_with_its_curves(start: Start, lab: Lab) -> None:
    finished(lab)
    at = sound(start(PAGE))
    assert set(charts(at)) == {"lab-losses", "lab-validation", "lab-divergences"}
    runs = next(t.value for t in at.dataframe if "best AUC × 100" in t.value.columns)
    position = lab.job("shop-1").position()
    assert runs["status"].tolist() == ["finished"]
    assert runs["best AUC × 100"].tolist() == pytest.approx([100 * position.score])
    assert runs["step"].tolist() == [position.step]
    shown = {m.label: m.value for m in at.metric}
    assert shown["Step"] == f"{position.step:,}"
    assert shown["Memory"].endswith(" MB")
    assert "Left, at most" not in shown  # nothing is left of a run that ended


def test_a_broken_run_says_what_is_broken_and_hides_no_other(start: Start, lab: Lab) -> None:
    finished(lab)
    finished(lab, "torn")
    (lab.job("torn").folder / "state.safetensors").write_bytes(b"torn")
    at = sound_but_for_errors(start(PAGE, run="torn"))
    assert "torn/state.safetensors: not a state" in said(at)
    runs = next(t.value for t in at.dataframe if "best AUC × 100" in t.value.columns)
    assert runs["status"].tolist() == ["broken", "finished"]
    assert charts(at) == {}
    assert "torn" not in charts(sound(start(PAGE, run="shop-1")))
    at = press(at, "Discard")
    assert [job.name for job in lab.jobs()] == ["shop-1"]


@pytest.mark.parametrize("line", ["torn", '{"kind": "note"}'])
def test_a_history_that_tells_no_step_hides_no_other(start: Start, lab: Lab, line: str) -> None:
    finished(lab)
    finished(lab, "torn")
    with (lab.job("torn").folder / "history.jsonl").open("a") as file:
        file.write(f"{line}\n")
    at = sound(start(PAGE, run="shop-1"))
    assert "lab-losses" in charts(at)
    runs = next(t.value for t in at.dataframe if "best AUC × 100" in t.value.columns)
    assert runs["step"].tolist() == [lab.job("shop-1").position().step] * 2


def test_a_run_that_vanishes_meanwhile_hides_no_other(
    start: Start, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(lab)
    finished(lab, "lost")
    read = Job.status

    def late(job: Job) -> Status:
        if job.name == "lost":
            shutil.rmtree(job.folder, ignore_errors=True)
        return read(job)

    monkeypatch.setattr(Job, "status", late)
    at = sound(start(PAGE, run="shop-1"))
    assert "lab-losses" in charts(at)
    runs = next(t.value for t in at.dataframe if "best AUC × 100" in t.value.columns)
    assert runs["run"].tolist() == ["shop-1"]


@pytest.mark.parametrize("name", ["history.jsonl", "utilisation.jsonl"])
def test_a_run_with_broken_records_hides_no_other(start: Start, lab: Lab, name: str) -> None:
    finished(lab)
    finished(lab, "torn")
    (lab.job("torn").folder / name).write_text("torn\n")
    at = sound_but_for_errors(start(PAGE, run="torn", lab__part="experts"))
    assert f"torn/{name}" in said(at)
    assert "lab-losses" in charts(sound(start(PAGE, run="shop-1")))


def test_its_experts_move_flow_and_settle(start: Start, lab: Lab) -> None:
    finished(lab)
    at = with_numbers(sound(start(PAGE, lab__part="experts", lab__layer="task.1")), "lab-")
    drawn = charts(at)
    assert set(drawn) == {"lab-moving", "lab-flows", "lab-roles", "lab-saturation"}
    of_layer, of_all = (t.value for t in at.dataframe if {"role", "shared"} <= set(t.value.columns))
    assert set(of_all["role"]) <= {"specific", "shared", "both", "unselected"}
    assert set(of_layer["layer"]) == {"task.1"}
    measured = [line["step"] for line in small.lines(lab.job("shop-1").folder / "choices.jsonl")]
    frames = drawn["lab-moving"]["frames"]
    assert [int(frame["name"]) for frame in frames] == measured
    settled = table(at, "target")
    last = settled[settled["step"] == max(measured)]
    assert (last["share"] == 1).all()


def test_runs_are_compared(start: Start, lab: Lab) -> None:
    finished(lab)
    other = lab.submit("other", small.dataset(), small.config(seed=1, epochs=2), "cpu")
    small.fit(other.folder, other.config())
    at = sound(start(PAGE, run="shop-1", **{"with": "other"}))
    names = {trace["name"] for trace in charts(at)["lab-losses"]["data"]}
    assert {"ctr · shop-1", "ctr · other"} <= names
    differs = table(at, "setting")
    assert differs["setting"].tolist() == ["training.epochs", "training.seed"]
    final = table(at, "other: difference")
    one, two = (lab.job(name).run.checkpoint / "evaluation.jsonl" for name in ("shop-1", "other"))
    first = next(e for e in small.lines(one) if e["split"] == "test")
    assert final["shop-1"].iloc[0] == pytest.approx(100 * first["auc"], abs=0.005)
    assert two.exists()


def test_a_branch_from_the_page(start: Start, lab: Lab) -> None:
    finished(lab)
    at = sound(start(PAGE))
    at.number_input(key="lab-branch-shop-1-epochs").set_value(5).run()
    at = press(at, "Branch")
    branch = lab.job("shop-1-b1")
    assert branch.config().training.epochs == 5
    assert branch.order().notes.startswith("branched from shop-1")
    assert at.query_params["run"] in ("shop-1-b1", ["shop-1-b1"])


def test_a_full_memory_offers_half_the_batch(start: Start, lab: Lab) -> None:
    job = lab.submit("big", small.dataset(), small.config(epochs=1), "cpu")
    (job.folder / "log.txt").write_text("RuntimeError: out of memory")
    job.end(1)
    at = press(sound_but_for_errors(start(PAGE)), "Go on with batches of 32")
    assert lab.job("big-2").config().training.batch_size == 32
    assert not at.exception


def test_a_sweep_over_values_and_seeds(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE, lab__vary="scenario-experts"))
    at.text_input(key="lab-seeds").set_value("0, 1").run()
    at.text_input(key="lab-values-scenario-experts").set_value("4, 6").run()
    assert any(b.label == "Start 4 runs" for b in at.button)
    at.text_input(key="lab-values-scenario-experts").set_value("99").run()
    assert any("experts n is from 1 to 64, not 99" in e.value for e in at.error)
    at.text_input(key="lab-values-scenario-experts").set_value("").run()
    assert any("Name the values to try" in i.value for i in at.info)
    assert lab.jobs() == []


def test_ablation_switches_and_fields_reach_the_configuration(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    at.toggle(key="lab-default-no-aux").set_value(True)
    at.toggle(key="lab-default-no-noise").set_value(True)
    at.toggle(key="lab-default-own-gate").set_value(True)
    at.number_input(key="lab-default-scenario-specific").set_value(3)
    at.number_input(key="lab-default-evaluate_every").set_value(7)
    at = sound(at.run())
    config = json.loads(at.code[1].value)
    training, model = config["training"], config["model"]
    assert (training["lambda_specific"], training["lambda_shared"]) == (0, 0)
    assert (model["noise_scale"], model["scenario_context"]) == (0, "gate")
    assert (model["scenario"]["specific"], training["evaluate_every"]) == (3, 7)


def test_fitting_into_a_time_sets_the_epochs(start: Start, lab: Lab) -> None:
    at = sound(start(PAGE))
    at = press(at, "Fit into 30 seconds")
    assert "on this machine if it is not stopped early" in texts(at)
    epochs = at.number_input(key="lab-default-epochs").value
    every = at.number_input(key="lab-default-evaluate_every").value
    assert json.loads(at.code[1].value)["training"]["epochs"] == epochs > 1
    assert every >= 1


QUICK = Estimate(rows=364, parameters=1000, epochs=10, steps=60, start=1.0, step=0.01,
                 validation=0.01, validations=10, memory=100)  # fmt: skip


def test_a_time_for_more_epochs_than_the_form_takes_sets_the_most(
    start: Start, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_measured", lambda *_: QUICK)
    at = press(sound(start(PAGE)), "Fit into 3 minutes")
    assert QUICK.within(180)[0] > 1000
    assert json.loads(at.code[1].value)["training"]["epochs"] == 1000


def test_what_went_wrong_with_an_estimate_is_tried_again(
    start: Start, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["no memory left", QUICK])
    monkeypatch.setattr(estimate, "_measured", lambda *_: next(answers))
    at = press(sound(start(PAGE)), "How long will it take?")
    assert said(at) == "no memory left"
    at = press(at, "How long will it take?")
    assert said(at) == ""
    assert "364 rows" in texts(at)


def test_a_branch_is_offered_what_its_run_has(start: Start, lab: Lab) -> None:
    """Even beyond what the form would offer by itself, as a run of the command line may have."""
    finished(lab)
    job = lab.job("shop-1")
    odd = {"epochs": 2000, "batch_size": 8, "learning_rate": 1e-7}
    training = job.config().training.model_copy(update=odd)
    changed = job.config().model_copy(update={"training": training})
    (job.folder / "config.json").write_text(changed.model_dump_json())
    at = sound(start(PAGE, run="shop-1"))
    offered = {name: at.number_input(key=f"lab-branch-shop-1-{name}").value for name in odd}
    assert offered == odd


def test_a_dataset_simulated_on_the_spot_is_chosen(
    start: Start, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_DATA", str(tmp_path / "data"))
    at = sound(start(PAGE))
    at = press(at, "Simulate")
    assert next(s.value for s in at.selectbox if s.label == "Dataset") == "alipay-sim-100k-seed0"
    assert (tmp_path / "data" / "alipay-sim-100k-seed0" / "truth.json").exists()


def test_a_simulation_that_fails_says_why_and_leaves_nothing(
    start: Start, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(simulate, "ROWS", (0, 1))
    at = press(sound(start(PAGE)), "Simulate")
    assert "rows" in at.error[0].value
    assert list((tmp_path / "data").iterdir()) == []


def test_a_simulation_that_cannot_be_written_says_why(
    start: Start, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").touch()
    monkeypatch.setenv("AESM2_DATA", str(tmp_path / "data"))
    assert "data" in said(press(start(PAGE), "Simulate"))


def test_a_simulated_dataset_has_its_owner_before_it_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_DATA", str(tmp_path / "data"))
    ann = Person("ann-has-an-id", "Ann", Role.ANALYST, True, "")
    monkeypatch.setattr(who, "person", lambda: ann)
    seen: list[bool] = []

    def given(folder: Path, owner: str) -> None:
        seen.append((tmp_path / "data" / "alipay-sim-20k-seed0-ann-ha").exists())
        give(folder, owner)

    monkeypatch.setattr(simulate, "_write", lambda folder, *_: folder.mkdir())
    monkeypatch.setattr(simulate, "give", given)
    simulate._simulate("alipay", 20_000, 0)
    assert seen == [False]
    assert owner_of(tmp_path / "data" / "alipay-sim-20k-seed0-ann-ha") == ann.id


@pytest.mark.long  # tests/browser/test_lab.py and tests/lab do the same in parts
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


def said(at: AppTest) -> str:
    return " ".join(error.value for error in at.error).replace("\\", "")


def sound_but_for_errors(at: AppTest) -> AppTest:
    assert not at.exception
    return at


def test_an_import_is_charged_what_it_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setattr(Person, "quotas", Quotas(disk_mb=1))
    monkeypatch.setattr(
        who, "person", lambda: Person("ann-has-an-id", "Ann", Role.ANALYST, False, "")
    )
    made = io.BytesIO(pack(small.run() / "checkpoint"))
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large", bytes(2 * MB))
    assert len(made.getvalue()) < MB / 2
    with pytest.raises(InputError, match="this needs 2 MB more"):
        actions.bring(made.getvalue(), "large")


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
