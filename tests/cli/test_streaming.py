"""Commands on logs of any size: what they print, what they write, how they end."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aesm2.cli import logs
from aesm2.data.scenarios import PATH
from aesm2.routing.knockout import knockouts
from aesm2.streaming import summary_file
from tests import small
from tests.cli.conftest import Run
from tests.streaming import made


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return made.checkpoint().path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_log(tmp_path_factory.mktemp("logs") / "log")


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text), na_values="undefined", dtype={"scenario": str})


def test_evaluate_reads_a_folder_part_by_part(
    aesm2_command: Run, checkpoint: Path, log: Path
) -> None:
    result = aesm2_command("evaluate", checkpoint, log, "--rows-per-part", "100")
    assert result.status == 0
    assert "9/9 parts" in result.err
    found, exact = table(result.out), made.checkpoint().evaluate(made.frame())
    assert found["n"].tolist() == exact["n"].tolist()
    gap = abs(found["auc"] - 100 * exact["auc"])
    assert (gap <= found["auc_error"] + 1e-3)[exact["auc"].notna()].all()


def test_a_plain_table_keeps_its_exact_auc_unless_an_engine_is_asked_for(
    aesm2_command: Run, checkpoint: Path, log: Path
) -> None:
    plain = aesm2_command("evaluate", checkpoint, log / "day-0.parquet")
    streamed = aesm2_command("evaluate", checkpoint, log / "day-0.parquet", "--engine", "single")
    assert "auc_error" not in plain.out and "auc_error" in streamed.out
    dataset = aesm2_command("evaluate", checkpoint, small.dataset(), "--engine", "single")
    assert table(dataset.out)["n"].iloc[0] == 88


def test_utilisation_prints_shares_or_writes_a_summary(
    aesm2_command: Run, checkpoint: Path, log: Path, tmp_path: Path
) -> None:
    printed = table(aesm2_command("utilisation", checkpoint, log).out)
    line = printed.query("layer == 'country.1' and scenario == 'fr'")
    assert line["specific"].sum() == pytest.approx(2, abs=1e-4)
    assert line["weight"].sum() == pytest.approx(1, abs=1e-4)
    out = tmp_path / "monday.routing"
    result = aesm2_command("utilisation", checkpoint, log, "--out", out, "--cluster", "user")
    assert result.status == 0
    assert f"600 rows counted into {out}; rows of one user stay together" in result.err
    own = summary_file.read(out, made.checkpoint())
    assert own.about.source == str(log)
    assert own.summary.rows.sum() == 600


def test_knockout_prints_what_every_expert_is_worth(
    aesm2_command: Run, checkpoint: Path, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "knockout.csv"
    assert aesm2_command("knockout", checkpoint, log, "--out", out).status == 0
    opened = made.checkpoint()
    exact = knockouts(opened.model, opened.encode(made.frame(), labels=True)).to_frame()
    found = table(out.read_text())
    assert found["expert"].tolist() == exact["expert"].tolist()
    np.testing.assert_allclose(found["log_loss_change"], exact["log_loss_change"], atol=1e-6)
    assert (abs(found["auc_change"] - exact["auc_change"]) <= found["auc_error"] + 1e-3).all()


def test_predict_goes_on_where_it_was_stopped(
    aesm2_command: Run, checkpoint: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ("predict", checkpoint, log, "--out", out, "--keep", "item", "--rows-per-part", "100")
    real = logs.merged

    def interrupted(log_, work, *more):  # type: ignore[no-untyped-def]
        real(type(log_)(log_.source, log_.parts[:2]), work)
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "merged", interrupted)
    result = aesm2_command(*command)
    assert result.status == 130
    assert f"stopped; 2 of 9 parts are in {out}" in result.err
    assert "go on with the same command and --resume" in result.err
    monkeypatch.setattr(logs, "merged", real)
    again = aesm2_command(*command, "--resume")
    assert again.status == 0
    assert f"600 rows in 9 parts in {out}" in again.err
    assert len(pd.read_parquet(out)) == 600
    assert json.loads((out / "_done.json").read_text())["checkpoint"] == made.checkpoint().hash


def test_trace_of_a_folder_is_a_folder(
    aesm2_command: Run, checkpoint: Path, log: Path, tmp_path: Path
) -> None:
    assert aesm2_command("trace", checkpoint, log, "--out", tmp_path / "t").status == 0
    found = pd.read_parquet(tmp_path / "t")
    assert found["row"].nunique() == 600
    assert set(found["layer"].astype(str)) == {"country.1", "page.1", "task.1"}


def test_drift_ends_with_1_where_it_is_found(
    aesm2_command: Run, checkpoint: Path, log: Path, tmp_path: Path
) -> None:
    summaries = {}
    low = made.frame()["price"] < made.frame()["price"].median()
    for name, rows in {"low": low, "high": ~low, "even": made.frame().index % 2 == 0}.items():
        made.frame()[rows].to_parquet(tmp_path / f"{name}.parquet")
        summaries[name] = tmp_path / f"{name}.routing"
        source = tmp_path / f"{name}.parquet"
        assert (
            aesm2_command("utilisation", checkpoint, source, "--out", summaries[name]).status == 0
        )
    out = tmp_path / "drift.json"
    command = ("drift", checkpoint, summaries["low"], summaries["high"], "--out", out)
    result = aesm2_command(*command, "--use", "shared")
    cells = table(result.out)
    assert result.status == (1 if cells["drift"].any() else 0)
    assert cells["drift"].any()  # the experts are chosen by the price, among others
    assert cells["js"].tolist() == sorted(cells["js"], reverse=True)
    assert "Drift in " in result.err
    told = json.loads(out.read_text())
    assert told["found"] == cells["drift"].sum()
    assert told["a"]["source"].endswith("low.parquet")
    same = aesm2_command("drift", checkpoint, summaries["even"], tmp_path / "even.parquet")
    assert same.status == 0 and "No drift" in same.err
    high = aesm2_command(*command, "--use", "shared", "--least", "0.6")
    assert high.status == 0
    split = aesm2_command("drift", checkpoint, f"{small.dataset()}:train", small.dataset())
    assert split.status in (0, 1)
    assert set(table(split.out)["by"]) == {"country", "page"}


def test_drift_of_choices_that_no_layer_makes_is_no_drift(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    """Status 1 would say that it was found."""
    model = small.CONFIG["model"] | {
        "scenario": {"layers": 1, "experts": 3, "specific": 1, "shared": 0, "width": 4},
        "task": {"layers": 1, "experts": 3, "specific": 1, "shared": 0, "width": 4},
    }
    path = small.fit(tmp_path / "run", small.config(model=model, epochs=1))
    said = refused(
        "drift", path, f"{small.dataset()}:train", small.dataset(), "--use", "shared",
        "--replicates", "100",
    )  # fmt: skip
    assert said == "no layer of this model makes shared choices; compare another use"


def test_what_cannot_be_used_is_said_in_one_line(
    refused: Callable[..., str], checkpoint: Path, log: Path, tmp_path: Path
) -> None:
    assert "expected one of single, pool, ray" in refused(
        "utilisation", checkpoint, log, "--engine", "spark"
    )
    assert "--workers needs --engine pool" in refused("evaluate", checkpoint, log, "--workers", "2")
    assert "has a column of this name" in refused(
        "predict", checkpoint, log, "--out", tmp_path / "x", "--keep", "row"
    )
    assert "lacks 'visitor'" in refused("utilisation", checkpoint, log, "--cluster", "visitor")
    assert "--use x: expected one of" in refused("drift", checkpoint, log, log, "--use", "x")
    assert f"no scenario level 'city' (there are: country, page, {PATH}, all)" in refused(
        "drift", checkpoint, log, log, "--by", "city"
    )
    (tmp_path / "bad.routing").write_text("x")
    assert "no routing summary" in refused("drift", checkpoint, tmp_path / "bad.routing", log)
    assert "add --engine single" in refused(
        "trace", checkpoint, log / "day-0.parquet", "--out", tmp_path / "t", "--resume"
    )
    nowhere = tmp_path / "no" / "x.routing"
    assert "there is no folder" in refused("utilisation", checkpoint, log, "--out", nowhere)
    assert "no such file" in refused("knockout", checkpoint, tmp_path / "none")
