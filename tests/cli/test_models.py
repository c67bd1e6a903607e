"""Commands on models: what they print when all is well, and their one line when it is not."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import aesm2
from aesm2.cli import models
from aesm2.data.dataset import Dataset, SplitName
from aesm2.data.description import Description
from aesm2.selfcheck import SelfCheck
from tests import small
from tests.cli.conftest import Run
from tests.training.test_run import toml

COMMANDS = ["train", "evaluate", "trace", "info", "selfcheck", "audit", "describe", "prepare",
            "simulate", "recover"]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return small.run() / "checkpoint"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test rows as people have them: a CSV table with the derived columns."""
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    Dataset.open(small.dataset()).split("test").to_csv(file, index=False)
    return file


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(toml(small.config()), encoding="utf-8")
    return file


# ---- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_every_command(aesm2_command: Run, arguments: list[str]) -> None:
    result = aesm2_command(*arguments)
    assert result.status == 0
    assert all(f" {command} " in result.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(aesm2_command: Run, command: str) -> None:
    result = aesm2_command(command, "--help")
    assert result.status == 0
    assert f"Usage: aesm2 {command}" in result.out
    assert ("--device" in result.out) == (
        command not in ("describe", "info", "prepare", "simulate")
    )


def test_what_is_mistyped_is_said_in_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    line = refused("descrbe")
    assert line == "No such command 'descrbe'. Did you mean 'describe'? See: aesm2 --help"
    assert refused("info") == "Missing argument 'checkpoint'. See: aesm2 info --help"
    assert "Missing option '--run'" in refused("train", tmp_path)
    assert "--divice" in refused("selfcheck", tmp_path, "--divice", "cpu")
    assert "unexpected extra argument" in refused("info", tmp_path, "more")
    assert "'--seed'" in refused("train", tmp_path, "--run", tmp_path, "--seed", "x")
    assert "'--seed'" in refused("train", tmp_path, "--run", tmp_path, "--seed", "-1")


# ---- train ------------------------------------------------------------------------------------


def test_train_writes_a_checkpoint_and_prints_its_metrics(
    aesm2_command: Run, tmp_path: Path, config_file: Path
) -> None:
    target = tmp_path / "run"
    result = aesm2_command(
        "train", small.dataset(), "--config", config_file, "--run", target, "--device", "cpu"
    )
    assert result.status == 0
    assert small.result(target) == small.result(small.run())
    test = aesm2.load(target / "checkpoint").evaluation.query("split == 'test' and scope == 'all'")
    expected = [
        f"test {line['task']}: AUC {100 * line['auc']:.2f} ({100 * line['auc_low']:.2f} –"
        f" {100 * line['auc_high']:.2f}, 95 %), log loss {line['log_loss']:.4f}, n = 88"
        for line in test.to_dict("records")
    ]
    assert result.out.splitlines() == expected
    assert result.err.splitlines()[-1] == f"checkpoint: {target / 'checkpoint'}"
    assert "18/18" in result.err  # the progress bar
    assert "rows/s" in result.err


def test_train_takes_a_seed_and_resumes(
    aesm2_command: Run, tmp_path: Path, config_file: Path
) -> None:
    target = tmp_path / "run"
    base = ("train", small.dataset() / "dataset.toml", "--run", target)
    assert aesm2_command(*base, "--config", config_file, "--seed", "3").status == 0
    opened = aesm2.load(target / "checkpoint")
    assert opened.config == small.config(seed=3)
    again = aesm2_command(*base, "--resume")
    assert again.status == 0
    assert aesm2.load(target / "checkpoint").hash == opened.hash


def test_an_undefined_metric_is_called_so(
    aesm2_command: Run, tmp_path: Path, config_file: Path
) -> None:
    dataset = small.write_dataset(tmp_path / "shop")
    log = small.rows()
    log.loc[log["day"] > 8, "buy"] = 0
    log.to_parquet(dataset / "log.parquet", index=False)
    result = aesm2_command("train", dataset, "--config", config_file, "--run", tmp_path / "run")
    assert result.status == 0
    assert "test ctcvr: AUC undefined, log loss" in result.out
    assert "nan" not in result.out
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text(encoding="utf-8")
    assert "nan" not in card


def test_train_refuses_what_it_cannot_use(
    refused: Callable[..., str], tmp_path: Path, config_file: Path
) -> None:
    shop, run = small.dataset(), tmp_path / "run"
    new = ("--run", run, "--config")
    assert refused("train", tmp_path / "no", "--run", run) == (
        f"{tmp_path / 'no'}: no dataset description here; `aesm2 describe TABLE` drafts a"
        " dataset.toml"
    )
    assert refused("train", shop, *new, tmp_path / "no.toml") == (
        f"{tmp_path / 'no.toml'}: no such file"
    )
    bad = tmp_path / "bad.toml"
    bad.write_text("[training]\nlearning_rat = 1\n", encoding="utf-8")
    assert refused("train", shop, *new, bad) == (
        f"{bad}: training.learning_rat: unknown key (did you mean 'learning_rate'?)"
    )
    bad.write_text("[training\n", encoding="utf-8")
    assert refused("train", shop, *new, bad).startswith(f"{bad}: not valid TOML: ")
    assert refused("train", shop, "--run", run, "--resume") == f"{run}: no run to resume here"
    assert refused("train", shop, "--run", run, "--seed", "1") == "--seed needs --config"
    assert "cuda:5" in refused("train", shop, *new, config_file, "--device", "cuda:5")
    assert "none of auto, cpu" in refused("train", shop, *new, config_file, "--device", "tpu")
    assert "holds a run already" in refused("train", shop, "--run", small.run())
    assert "cannot be made" in refused("train", shop, "--run", config_file)
    assert not run.exists()


def test_train_says_what_is_wrong_with_the_data(
    refused: Callable[..., str], tmp_path: Path, config_file: Path
) -> None:
    new = ("--run", tmp_path / "run", "--config", config_file)
    broken = small.write_dataset(
        tmp_path / "a", small.DESCRIPTION.replace('column = "page"', 'colum = "page"')
    )
    line = refused("train", broken, *new)
    assert line.startswith(f"{broken / 'dataset.toml'}: level.1.colum")
    lacking = small.write_dataset(
        tmp_path / "b", small.DESCRIPTION.replace("price = {", "prize = {")
    )
    assert "'prize' (did you mean 'price'?)" in refused("train", lacking, *new)
    (lacking / "items.csv").unlink()
    assert refused("train", lacking, *new) == f"{lacking / 'items.csv'}: no such file"
    wrong = small.write_dataset(tmp_path / "c")
    small.rows().assign(click=2).to_parquet(wrong / "log.parquet")
    assert "label 'click' is 2, not 0 or 1" in refused("train", wrong, *new)
    assert not (tmp_path / "run").exists()


# ---- evaluate ---------------------------------------------------------------------------------


def test_evaluate_prints_the_metrics_of_a_dataset_s_test_rows(
    aesm2_command: Run, checkpoint: Path, tmp_path: Path
) -> None:
    result = aesm2_command("evaluate", checkpoint, small.dataset(), "--device", "cpu")
    assert (result.status, result.err) == (0, "")
    (tmp_path / "out.csv").write_text(result.out, encoding="utf-8")
    printed = pd.read_csv(tmp_path / "out.csv", na_values=["undefined"])
    stored = aesm2.load(checkpoint).evaluation.query("split == 'test'").reset_index(drop=True)
    assert printed.columns.tolist() == stored.columns.drop("split").tolist()
    for column in ("scope", "scenario", "task", "n", "positives"):
        assert printed[column].astype(str).tolist() == stored[column].astype(str).tolist()
    for column in ("auc", "auc_low", "auc_high"):
        np.testing.assert_allclose(printed[column], 100 * stored[column], atol=6e-4)
    np.testing.assert_allclose(printed["log_loss"], stored["log_loss"], rtol=1e-5)
    single = [line for line in result.out.splitlines() if line.startswith("path,fr → 0,ctcvr")]
    assert "undefined,undefined,undefined" in single[0]


def test_evaluate_takes_a_description_or_a_table(
    aesm2_command: Run, checkpoint: Path, rows: Path
) -> None:
    expected = aesm2_command("evaluate", checkpoint, small.dataset()).out
    described = aesm2_command("evaluate", checkpoint, small.dataset() / "dataset.toml")
    assert described.out == expected
    assert aesm2_command("evaluate", checkpoint, rows).out == expected


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_may_be_named(
    aesm2_command: Run, checkpoint: Path, tmp_path: Path, split: SplitName
) -> None:
    own = Dataset.open(small.dataset()).split(split)
    result = aesm2_command("evaluate", checkpoint, f"{small.dataset()}:{split}")
    assert result.status == 0
    assert f"all,all,ctr,{len(own)},{own['click'].sum()}," in result.out
    audited = aesm2_command("audit", checkpoint, f"{small.dataset()}:{split}", "--rows", "5")
    assert audited.status == 0
    out = tmp_path / "trace.parquet"
    traced = aesm2_command("trace", checkpoint, f"{small.dataset()}:{split}", "--out", out)
    assert traced.status == 0
    assert set(pd.read_parquet(out)["row"]) == set(own.index)


def test_evaluate_refuses_what_it_cannot_use(
    refused: Callable[..., str], checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(rows)
    file = tmp_path / "x.csv"
    frame.drop(columns=["click", "buy"]).to_csv(file, index=False)
    assert refused("evaluate", checkpoint, file) == (
        f"{file}: evaluation needs labels; the table lacks the columns 'click', 'buy'"
    )
    frame.drop(columns="price").to_csv(file, index=False)
    assert refused("evaluate", checkpoint, file) == "the table lacks the column 'price'"
    frame.assign(price="cheap").to_csv(file, index=False)
    assert refused("evaluate", checkpoint, file) == "row 0: 'price' is 'cheap', not a number"
    frame.assign(page=7).to_csv(file, index=False)
    assert "'page' is 7, which is no scenario of level 'page'" in refused(
        "evaluate", checkpoint, file
    )
    assert refused("evaluate", checkpoint, tmp_path / "no.csv") == (
        f"{tmp_path / 'no.csv'}: no such file"
    )
    assert "not a table this reads" in refused("evaluate", checkpoint, small.run() / "config.json")
    assert refused("evaluate", tmp_path, rows) == (
        f"{tmp_path}: no checkpoint here: checkpoint.json is missing"
    )
    assert "'cuda:8' is not there" in refused("evaluate", checkpoint, rows, "--device", "cuda:8")


# ---- trace ------------------------------------------------------------------------------------


def test_trace_writes_the_table_of_the_trace(
    aesm2_command: Run,
    checkpoint: Path,
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "CHUNK", 40)  # 88 rows in three chunks
    out = tmp_path / "trace.parquet"
    out.write_text("an older one", encoding="utf-8")
    result = aesm2_command("trace", checkpoint, rows, "--out", out)
    assert result.status == 0
    assert result.out == ""
    assert result.err.splitlines()[-1] == f"88 rows traced into {out}"
    opened = aesm2.load(checkpoint)
    found, expected = pd.read_parquet(out), opened.trace(opened.read(rows)).to_frame()
    by = ["row", "layer", "target", "expert"]
    found, expected = (
        frame.sort_values(by, key=lambda c: c.astype(str)).reset_index(drop=True)
        for frame in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-6)
    metadata = pq.read_metadata(out).metadata
    assert metadata[b"checkpoint"].decode() == opened.hash
    assert metadata[b"data"].decode() == "simulated data: A small shop, CC0"
    assert [path.name for path in tmp_path.iterdir()] == ["trace.parquet"]


def test_trace_of_a_dataset_names_rows_as_its_source_does(
    aesm2_command: Run, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "trace.parquet"
    assert aesm2_command("trace", checkpoint, small.dataset(), "--out", out).status == 0
    expected = Dataset.open(small.dataset()).split("test").index
    assert pd.read_parquet(out)["row"].unique().tolist() == expected.tolist()


def test_trace_refuses_what_it_cannot_use_and_leaves_nothing(
    refused: Callable[..., str], checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "no" / "trace.parquet"
    assert refused("trace", checkpoint, rows, "--out", nowhere) == (
        f"{nowhere}: there is no folder {nowhere.parent}; make it first"
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    assert refused("trace", checkpoint, rows, "--out", folder) == (
        f"{folder}: is a folder; name a file in it"
    )
    none = tmp_path / "none.csv"
    pd.read_csv(rows).iloc[:0].to_csv(none, index=False)
    assert refused("trace", checkpoint, none, "--out", tmp_path / "x") == (
        f"{none}: no rows to trace"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "none.csv"]


def test_a_model_without_selection_cannot_be_traced(
    refused: Callable[..., str], rows: Path, tmp_path: Path
) -> None:
    made = small.fit(tmp_path / "run", small.config(model={"name": "mlp", "hidden": [4]}))
    line = refused("trace", made, rows, "--out", tmp_path / "x")
    assert line == "model 'mlp' has no expert selection to trace"
    assert not (tmp_path / "x").exists()


# ---- describe, info, selfcheck ----------------------------------------------------------------


def test_describe_prints_a_description(aesm2_command: Run, tmp_path: Path) -> None:
    small.rows().rename(columns={"day": "date"}).to_csv(tmp_path / "log.csv", index=False)
    result = aesm2_command("describe", tmp_path / "log.csv")
    assert (result.status, result.err) == (0, "")
    described = Description.model_validate(tomllib.loads(result.out))
    assert [task.label for task in described.task] == ["click", "buy"]
    assert described.split.column == "date"


def test_describe_refuses_what_it_cannot_use(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("describe", tmp_path / "no.csv") == f"{tmp_path / 'no.csv'}: no such file"
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert "no column could be a label" in refused("describe", tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("", encoding="utf-8")
    assert "cannot be read as a table" in refused("describe", tmp_path / "x.csv")


def test_info_says_what_a_checkpoint_is(aesm2_command: Run, checkpoint: Path) -> None:
    result = aesm2_command("info", checkpoint)
    assert (result.status, result.err) == (0, "")
    opened = aesm2.load(checkpoint)
    count = sum(p.numel() for p in opened.model.parameters())
    assert result.out.splitlines()[:7] == [
        f"run  {opened.hash[:12]}  15 steps, {count:,} parameters",
        "data: simulated data: A small shop, CC0",
        "level country: fr, it, elsewhere",
        "level page: 0, 1",
        "layer country.1: 5 experts of width 8, K 2 specific + 2 shared, 3 gates",
        "layer page.1: 5 experts of width 8, K 2 specific + 2 shared, 2 gates",
        "layer task.1: 3 experts of width 6, K 1 specific + 1 shared, 2 gates",
    ]
    assert [line.split(":")[0] for line in result.out.splitlines()[7:]] == [
        "test ctr", "test ctcvr",
    ]  # fmt: skip


def test_an_altered_checkpoint_is_refused_by_every_command(
    refused: Callable[..., str], rows: Path, tmp_path: Path
) -> None:
    copy = small.copy_checkpoint(tmp_path / "copy")
    weights = copy / small.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4])
    expected = f"{weights}: truncated or altered: its content is not what checkpoint.json records"
    for arguments in (
        ["info", copy],
        ["selfcheck", copy],
        ["evaluate", copy, rows],
        ["trace", copy, rows, "--out", tmp_path / "x"],
    ):
        assert refused(*arguments) == expected


def test_selfcheck_reports_and_passes(aesm2_command: Run, checkpoint: Path) -> None:
    result = aesm2_command("selfcheck", checkpoint, "--device", "cpu")
    assert (result.status, result.err) == (0, "")
    first, rows, *rest = result.out.splitlines()
    assert first == "device: cpu (CPU), float32"
    assert rows.startswith("rows: 88, ")
    assert rest == [
        "largest difference in a probability: 0.0e+00", "selections that differ: 0", "passed",
    ]  # fmt: skip


def test_selfcheck_ends_with_1_where_it_fails(
    aesm2_command: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SelfCheck("CPU", "float32", 88, 0.25, 3, 1000.0)
    monkeypatch.setattr(models, "selfcheck", lambda _: failed)
    result = aesm2_command("selfcheck", checkpoint)
    assert result.status == 1
    assert result.out.splitlines()[2:] == [
        "largest difference in a probability: 2.5e-01", "selections that differ: 3", "FAILED",
    ]  # fmt: skip


# ---- as a process -----------------------------------------------------------------------------


def test_as_a_process_bad_input_ends_with_2_and_one_line(tmp_path: Path) -> None:
    process = small.command("info", tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err == f"aesm2: {tmp_path}: no checkpoint here: checkpoint.json is missing\n"


def test_a_reader_that_has_gone_is_no_reason_to_complain(checkpoint: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "aesm2.cli", "info", str(checkpoint)],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert process.stderr == b""
    assert process.returncode in (0, 1)


def test_a_full_disk_is_said_in_one_line(
    refused: Callable[..., str], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "somewhere/model.safetensors")

    monkeypatch.setattr(models, "load", full)
    assert refused("info", checkpoint) == "somewhere/model.safetensors: No space left on device"


def test_ctrl_c_outside_training_ends_with_130(
    aesm2_command: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "load", interrupted)
    result = aesm2_command("info", checkpoint)
    assert (result.status, result.out) == (130, "")
    assert "Traceback" not in result.err
