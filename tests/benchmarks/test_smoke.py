"""Every benchmark runs at a tiny size and prints the table it promises."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from aesm2.inference import probabilities
from aesm2.losses import loss_terms
from benchmarks import (
    harness,
    knockout,
    model,
    references,
    scale,
    streaming,
    subnormals,
    trace,
)
from benchmarks.harness import Timer, Timing
from tests import small

DATA = harness.ROOT / "data_samples/kuairand_pure"
TINY = model.Sizes(width=8, rows=40, fields=5, dim=4, vocabulary=100)


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """KuaiRand-Pure with one row in fifty."""
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    log = pd.read_parquet(DATA / "log.parquet").iloc[::50]
    (folder / "log.parquet").unlink()
    log.to_parquet(folder / "log.parquet", index=False)
    return folder


def test_model_compares_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--sizes", "8", "--rows", "32", "--fields", "4", "--dim", "2", "--no-crossover"]
    model.main([*sizes, "--rounds", "2", "--seconds", "0"])
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert "torch 2." in first and "commit" in first
    assert [line.split(" | ")[1] for line in lines[2:]] == list(model.FORMS)
    assert "1.00 (1.00–1.00)" in lines[2]


def test_the_crossover_has_a_line_for_each_number_of_rows() -> None:
    lines = model.crossover(6, 4, Timer(1, 0), grid=(16, 32)).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 16", "| 32"]
    assert lines[0].count("of 10") == len(model.GRID_CHOSEN)


def test_the_loop_form_computes_the_same_losses_and_selections() -> None:
    batch = model.random_batch(TINY)
    fast, loop = (model.build(TINY, kind, "dense", False).eval() for kind in ("aesm2", "loop"))
    a, b = fast(batch), loop(batch)
    for mine, theirs in zip(a.routings, b.routings, strict=True):
        for name in ("specific", "shared"):
            assert torch.equal(getattr(mine.selection, name), getattr(theirs.selection, name))
        torch.testing.assert_close(mine.output, theirs.output, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(loss_terms(a, batch.labels), loss_terms(b, batch.labels), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_forms_that_differ_are_not_timed() -> None:
    batch = model.random_batch(TINY)
    models = {name: model.build(TINY, *form) for name, form in model.FORMS.items()}
    model.check_equal(models, batch)
    with torch.no_grad():
        models["sparse, fp32"].towers[-1].bias += 0.01
    with pytest.raises(RuntimeError, match="sparse, fp32 differs"):
        model.check_equal(models, batch)


def test_a_training_step_trains() -> None:
    batch = model.random_batch(TINY)
    for form in model.FORMS.values():
        net = model.build(TINY, *form)
        before = probabilities(net, batch)
        model.training_step(net, batch, form)()
        assert abs(probabilities(net, batch) - before).max() > 1e-5


def test_references_measures_every_model(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "references.json"
    tiny = ["--seeds", "2", "--epochs", "1", "--trees", "2", "--data", str(small_data)]
    references.main([*tiny, "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8"))
    models = [references.BOOSTED, references.REFITTED, *references.NEURAL]
    assert {line["model"] for line in result["test_auc"]} == set(models)
    rows = [line["n"] for line in result["test_auc"] if line["scenario"] == "all"]
    assert len(set(rows)) == 1
    overall = [line for line in result["test_auc"] if line["scenario"] == "all"]
    assert [len(line["runs"]) for line in overall] == [1, 1, 1, 1, 2, 2, 2, 2]
    printed = capsys.readouterr().out
    assert all(name in printed for name in models)
    assert "(n = 2)" in printed


def test_an_undefined_auc_is_said_to_be_so() -> None:
    line = {"model": "m", "scenario": "6", "task": "ctr", "n": 3, "runs": [None, None]}
    assert "| undefined |" in references.as_markdown([line])
    certain = line | {"runs": [100.0], "interval": [None, None]}
    assert "| 100.00 |" in references.as_markdown([certain])


def test_trace_prints_time_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    trace.main(["--rows", "50", "--rounds", "1"])
    out = capsys.readouterr().out
    assert "50 rows" in out and "| trace and its to_frame |" in out


def test_knockout_compares_the_sweep_with_whole_predictions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    knockout.main(["--rows", "60", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:3] for line in lines[-2:]] == [
        ["| whole prediction an expert", "60", "20"], ["| one sweep", "60", "20"]
    ]  # fmt: skip


@pytest.mark.long
def test_streaming_measures_and_goes_on_where_it_stopped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CHECKED", 800)
    out = tmp_path / "measured.jsonl"
    few = ["--rows", "3000", "--engines", "single", "--works", "utilisation", "--out", str(out)]
    streaming.main([*few, "--folder", str(tmp_path)])
    first = capsys.readouterr().out
    assert "| utilisation | single | 3,000 | 1 |" in first
    assert "single give the same bytes" in first
    streaming.main([*few, "--folder", str(tmp_path)])
    assert capsys.readouterr().out == first
    assert [path.name for path in tmp_path.iterdir()] == ["measured.jsonl"]


def test_streaming_makes_the_same_log_for_the_same_seed(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK", 40)
    monkeypatch.setattr(streaming, "FILE_ROWS", 80)
    for name in ("a", "b"):
        streaming.write_log(tmp_path / name, harness.ROOT / "checkpoints/kuairand", small_data, 100)
    a, b = (pd.read_parquet(tmp_path / name) for name in ("a", "b"))
    pd.testing.assert_frame_equal(a, b)
    assert len(a) == 100
    assert [f.name for f in sorted((tmp_path / "a").iterdir())] == [
        "log-00000.parquet", "log-00001.parquet",
    ]  # fmt: skip
    assert streaming.tree_megabytes(os.getpid()) > 50


def test_speed_is_compared_within_rounds() -> None:
    slow, fast = Timing([4.0, 8.0, 2.0]), Timing([2.0, 2.0, 2.0])
    assert fast.speedup_over(slow) == [2, 4, 1]
    assert harness.spread(fast.speedup_over(slow)) == "2.00 (1.00–4.00)"


def test_every_call_is_timed_in_every_round() -> None:
    made: list[str] = []
    calls = {name: lambda name=name: made.append(name) for name in "ab"}
    timed = harness.interleaved(calls, Timer(rounds=3, at_least=0))
    assert made == list("ab" + "ab" + "ba" + "ab")  # the first two warm up
    assert {name: len(timing.seconds) for name, timing in timed.items()} == {"a": 3, "b": 3}


def test_scale_computes_what_a_table_needs_and_times_a_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scale.needed(2**26, 16) == 16  # GiB: 4 copies of 4 bytes
    monkeypatch.setattr(scale, "STEPS", 1)
    monkeypatch.setattr(scale, "BATCH", 64)
    scale.main(["--one-table", "1000", "4", "0"])
    assert json.loads(capsys.readouterr().out)["seconds"] > 0
    asked: list[tuple[str, ...]] = []

    def answer(*arguments: str) -> dict[str, float] | None:
        asked.append(arguments)
        return {"seconds": 0.5, "peak": 3.0, "before": 1.0} if len(asked) == 1 else None

    monkeypatch.setattr(scale, "in_own_process", answer)
    monkeypatch.setattr(scale, "free", lambda: 10.0)
    scale.main(["--only", "table", "--sizes", "1e5", "1e6", "1e9", "--dims", "8"])
    *_, one, two, three = capsys.readouterr().out.strip().splitlines()
    assert one == "| 100,000 | 8 | 0.01 | 2.00 | 500 |"
    assert two == "| 1,000,000 | 8 | 0.12 | ended: most likely the memory was full |  |"
    assert three == "| 1,000,000,000 | 8 | 119.21 | not tried: 10 GiB are free |  |"
    assert asked == [("--one-table", "100000", "8", "0"), ("--one-table", "1000000", "8", "0")]


def test_scale_counts_the_time_of_a_step_from_the_records(tmp_path: Path) -> None:
    lines = [{"kind": "train", "step": 2 * i, "seconds": 9 + i / 4} for i in range(6)]
    lines.insert(3, {"kind": "validation", "step": 5, "seconds": 0})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "history.jsonl").write_text(text, encoding="utf-8")
    assert scale.seconds_a_step(tmp_path) == pytest.approx(0.125)


@pytest.mark.long
def test_scale_compares_processes_and_their_memory(capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--only", "processes", "--rows", "60000", "--rounds", "1"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert "1.00 (1.00–1.00)" in lines[-2]
    scale.main(["--only", "memory", "--rows", "60000"])
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("| 2 | 60,000 |")


def test_subnormals_are_timed_apart_and_predict_alike(capsys: pytest.CaptureFixture[str]) -> None:
    folder, data = small.run() / "checkpoint", small.dataset()
    subnormals.main(["--rounds", "1", "--checkpoint", str(folder), "--data", str(data)])
    said = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in said.splitlines()[4:6]] == [
        "| as they are",
        "| taken as 0",
    ]
    assert "largest difference of a probability 0.0e+00" in said
