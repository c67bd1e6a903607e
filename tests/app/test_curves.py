"""Training curves through AppTest."""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.config import AESM2Config, Config, MLPConfig, TrainingConfig
from app.curves import page as curves
from app.curves.runs import Entry, default_comparison
from tests import small
from tests.app.conftest import each_gets_its_own, with_numbers

PAGE = "views/curves.py"
Start = Callable[..., AppTest]
QUIET = TrainingConfig(lambda_specific=0, lambda_shared=0)


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def charts(at: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info])


def pick(at: AppTest, label: str, value: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return box.select(value).run()


def names(chart: dict[str, Any]) -> list[str]:
    return [trace["name"] for trace in chart["data"]]


def rewritten(folder: Path, file: str, content: str) -> None:
    """Change a file of a checkpoint and make its hashes fit, as an older version wrote it."""
    (folder / file).write_text(content, encoding="utf-8")
    manifest = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    manifest["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    kept = {key: value for key, value in manifest.items() if key != "hash"}
    own = json.dumps(kept, sort_keys=True).encode()
    manifest["hash"] = hashlib.sha256(own).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture(scope="session")
def compared_root(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small root with one more run: shop-noaux, without auxiliary loss."""
    where = tmp_path_factory.mktemp("compared") / "repository"
    shutil.copytree(small_root, where)
    run = tmp_path_factory.mktemp("noaux") / "run"
    small.fit(run, small.config(lambda_specific=0.0, lambda_shared=0.0))
    shutil.copytree(run / "checkpoint", where / "checkpoints" / "shop-noaux")
    return where


def test_it_draws_losses_validation_divergences_and_use(start: Start) -> None:
    at = sound(start(PAGE))
    losses, validation, divergences, use = charts(at)
    assert names(losses) == ["ctr", "ctcvr", "λ_sp L_sp", "λ_sh L_sh", "γ‖Θ‖²", "total"]
    assert "all rows" in names(validation)
    assert len(divergences["data"]) == 6
    assert sum(trace["type"] == "heatmap" for trace in use["data"]) == 2
    found = {metric.label: metric.value for metric in at.metric}
    assert found["Steps"] == "18"
    steps = aesm2.load(small.run() / "checkpoint", "cpu").steps
    assert found["Best step"] == str(steps)
    assert "Not compared" in texts(at)


def test_the_run_without_auxiliary_loss_is_overlaid_by_default(
    start: Start, compared_root: Path
) -> None:
    at = sound(start(PAGE, root=compared_root))
    assert at.multiselect[0].value == ["shop-noaux"]
    assert "Compared by default with shop-noaux" in texts(at)
    losses, _, divergences, _ = charts(at)
    assert "λ_sp L_sp · shop" in names(losses)
    assert "λ_sp L_sp · shop-noaux" not in names(losses)  # its λ is 0
    assert len(divergences["data"]) == 12
    settings, metrics = (t.value for t in at.dataframe[-2:])
    assert set(settings["setting"]) == {"training.lambda_specific", "training.lambda_shared"}
    assert "shop-noaux: difference" in metrics.columns


def test_a_choice_of_runs_is_in_the_address(start: Start, compared_root: Path) -> None:
    at = start(PAGE, root=compared_root)
    at = sound(at.multiselect[0].select("plain").run())
    assert dict(at.query_params)["compare"] == "shop-noaux,plain"
    assert len(names(charts(at)[2])) == 12  # a perceptron has no divergences
    at = sound(at.multiselect[0].set_value([]).run())
    assert dict(at.query_params)["compare"] == "none"
    assert names(charts(at)[0])[0] == "ctr"
    assert "What differs" not in [s.value for s in at.subheader]


def test_a_run_of_the_address_that_is_not_there_is_said(start: Start, compared_root: Path) -> None:
    at = sound(start(PAGE, root=compared_root, compare="gone,plain"))
    assert at.multiselect[0].value == ["plain"]
    assert any("gone" in toast.value for toast in at.toast)


def test_a_broken_run_is_left_out(start: Start, compared_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(compared_root, root)
    (root / "checkpoints" / "shop-noaux" / "history.jsonl").write_text("x", encoding="utf-8")
    at = sound(start(PAGE, root=root))
    assert "left out" in at.warning[0].value
    assert len(charts(at)) == 4


def test_axis_smoothing_and_scope(start: Start) -> None:
    at = start(PAGE, x="seconds", smooth="0.8", curve__by="page")
    losses, validation, _, _ = charts(sound(at))
    assert losses["layout"]["xaxis"]["title"]["text"].startswith("time")
    assert names(losses)[:2] == ["ctr", "ctr"]  # raw and smoothed
    assert {"page 0", "page 1", "all rows"} <= set(names(validation))
    at = sound(pick(at, "Validation AUC", "all"))
    assert set(names(charts(at)[1])) == {"all rows", "best step"}


def test_the_slider_goes_to_the_nearest_snapshot(start: Start) -> None:
    at = sound(start(PAGE, at="7"))
    assert "Snapshot at step 5" in texts(at)
    at = sound(at.slider[0].set_value(16).run())
    assert dict(at.query_params)["at"] == "16"
    assert "Snapshot at step 15" in texts(at)
    assert "Snapshot at step 18" in texts(sound(start(PAGE, at="9999")))
    assert "Snapshot at step 18" in texts(sound(start(PAGE, at="soon")))


def test_use_is_that_of_the_snapshot(start: Start) -> None:
    at = with_numbers(start(PAGE, at="5", layer="task.1"), "curves-use")
    step, used = aesm2.load(small.run() / "checkpoint", "cpu").utilisation_history()[0]
    assert step == 5
    table = at.dataframe[-1].value
    own = used.layer("task.1")
    assert table["step"].unique().tolist() == [5]
    expected = own.specific.sum(1) / used.rows.sum()  # (T, n)
    assert table[table["role"] == "specific"]["share"].to_numpy() == pytest.approx(expected.ravel())


def test_a_model_without_selection(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain"))
    said = texts(at)
    assert "there are no divergences" in said
    assert "selects no experts" in said
    assert "Not compared" not in said
    assert len(charts(at)) == 2


@pytest.mark.parametrize("history", ["", '{"kind": "of the future", "step": 3}\n'])
def test_no_history(start: Start, small_root: Path, tmp_path: Path, history: str) -> None:
    root = tmp_path / "repository"
    shutil.copytree(small_root, root)
    for file, content in (("history.jsonl", history), ("utilisation.jsonl", "")):
        rewritten(root / "checkpoints" / "shop", file, content)
    at = sound(start(PAGE, root=root))
    assert charts(at) == []
    assert "no history" in texts(at) or "No losses were recorded" in texts(at)


def test_one_record_and_missing_layers(start: Start, small_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(small_root, root)
    folder = root / "checkpoints" / "shop"
    line = '{"kind": "train", "step": 4, "loss": {"ctr": 0.7}, "kl_specific": {"country.1": 1.0}}'
    rewritten(folder, "history.jsonl", line + "\n")
    used = json.loads((folder / "utilisation.jsonl").read_text(encoding="utf-8").split("\n")[0])
    del used["layers"]["country.1"]
    rewritten(folder, "utilisation.jsonl", json.dumps(used) + "\n")
    at = sound(start(PAGE, root=root, layer="country.1"))
    said = texts(at)
    assert "One record only" in said
    assert "No snapshot of country.1" in said
    assert "Nothing was measured on the validation rows" in said
    at = sound(start(PAGE, root=root, layer="page.1"))  # which the snapshot has
    assert "Snapshot at step 5, the nearest of 1" in texts(at)
    assert len(at.slider) == 0


def entry(config: Config, dataset: str = "shop") -> Entry:
    return Entry(dataset, config)


def test_the_default_comparison() -> None:
    aux, none = entry(Config()), entry(Config(training=QUIET))
    plain = entry(Config(model=MLPConfig(), training=QUIET))
    assert default_comparison({"a": aux, "x": none, "a-noaux": none}, "a") == "a-noaux"
    assert default_comparison({"a": aux, "y": none, "x": none}, "a") == "x"
    wide = entry(Config(model=AESM2Config(embedding_dim=9), training=QUIET))
    assert default_comparison({"a": aux, "b": wide, "c": none}, "a") == "c"
    assert default_comparison({"a": aux, "m": plain}, "a") == ""
    assert default_comparison({"a": aux, "b": entry(none.config, "other")}, "a") == ""
    assert default_comparison({"a": none, "b": none}, "a") == ""
    assert default_comparison({"m": plain, "b": none}, "m") == ""
    assert default_comparison({"b": none}, "a") == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3599.9, "1 h 0 min"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert curves.duration(seconds) == text


def test_each_choice_has_its_own_figures(start: Start, compared_root: Path) -> None:
    each_gets_its_own(
        functools.partial(start, root=compared_root), PAGE,
        {}, {"smooth": "0.95"}, {"at": "1", "compare": "none"},
        {"layer": "task.1"},
    )  # fmt: skip


def test_a_step_of_too_many_digits_is_the_last(start: Start) -> None:
    shown = [sound(start(PAGE, **view)).slider[0].value for view in ({"at": "9" * 5000}, {})]
    assert shown[0] == shown[1]
