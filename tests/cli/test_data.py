"""Commands on data: what they write, and their one line when they cannot."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from aesm2.data.dataset import Dataset
from aesm2.simulation.presets import read_preset
from aesm2.simulation.write import simulate
from aesm2.training.train import train
from tests import small
from tests.cli.conftest import Run

PRESET = """
name = "shop"
title = "A shop"
source = "invented"
levels = [{ name = "site", title = "Site", scenarios = ["nl", "be", "lu"] }]
traffic = [
  { path = ["nl"], impressions = 5000, clicks = 1500, conversions = 500 },
  { path = ["be"], impressions = 3000, clicks = 600, conversions = 100 },
  { path = ["lu"], impressions = 2000, clicks = 500, conversions = 100 },
]
users = 500
items = 300
queries = 100
days = 8
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


@pytest.fixture(scope="module")
def folder(simulated: Path) -> Path:
    (simulated / "shop.toml").write_text(PRESET)
    simulate(read_preset(str(simulated / "shop.toml")), 6000, simulated / "shop", progress=False)
    return simulated / "shop"


@pytest.fixture(scope="module")
def checkpoint(folder: Path, simulated: Path) -> Path:
    run = simulated / "run"
    return train(Dataset.open(folder), small.config(), run, device="cpu", progress=False)


def test_simulate_writes_a_dataset_and_its_truth(aesm2_command: Run, tmp_path: Path) -> None:
    out = tmp_path / "alipay"
    result = aesm2_command("simulate", "--preset", "alipay", "--rows", 1500, "--out", out,
                           "--conflict", 2, "--seed", 3)  # fmt: skip
    assert result.status == 0
    truth = json.loads((out / "truth.json").read_text())
    assert truth["seed"] == 3
    assert truth["preset"]["dials"]["conflict"] == 2
    assert truth["preset"]["dials"]["shared"] == 1
    best = [100 * truth["bayes_auc"][task][-1] for task in ("ctr", "ctcvr")]
    said = f"best possible AUC: ctr {best[0]:.2f}, ctcvr {best[1]:.2f} (truth.json)"
    assert result.err.splitlines()[-1] == said
    assert len(Dataset.open(out).frame()) == 1500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "alipya", "--rows", 1000], "no preset 'alipya' (did you mean 'alipay'?)"),
        (["--preset", "alipay", "--rows", 10], "rows is 10; expected 1,000 to 100,000,000"),
        (["--preset", "alipay", "--rows", 1000, "--leaf", 9], "'--leaf'"),
        (["--preset", "gone.toml", "--rows", 1000], "gone.toml: no such file"),
    ],
)
def test_simulate_refuses_what_it_cannot_use(
    refused: Callable[..., str], tmp_path: Path, arguments: list[object], message: str
) -> None:
    assert message in refused("simulate", "--out", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_recover_prints_each_measure_beside_its_null(
    aesm2_command: Run, checkpoint: Path, folder: Path
) -> None:
    result = aesm2_command("recover", checkpoint, folder, "--permutations", 19)
    assert (result.status, result.err) == (0, "")
    found = pd.read_csv(StringIO(result.out))
    test = len(Dataset.open(folder).split("test"))
    assert set(found["measure"]) == {
        "roles", "roles within scenarios", "sensitivity", "distance", "gap",
    }  # fmt: skip
    rows = found[found["measure"].isin(["roles", "sensitivity"])]
    assert rows["of"].tolist() == ["site.1"] * 2
    assert (rows["n"] == test).all()
    assert found.set_index(["measure", "of"]).loc[("distance", "site"), "n"].tolist() == 3
    whole = found[found["of"] == "ctr, all"].iloc[0]
    assert whole["value"] > whole["null_95"]  # it learnt something
    again = aesm2_command("recover", checkpoint, folder, "--permutations", 19)
    assert again.out == result.out


def test_recover_refuses_what_it_cannot_use(
    refused: Callable[..., str], checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    real = small.run() / "checkpoint"
    message = f"{real}: was trained on 'shop', and {folder} is 'shop' or described otherwise"
    assert refused("recover", real, folder) == message
    assert "no dataset description here" in refused("recover", checkpoint, tmp_path)
    assert "no truth.json here" in refused("recover", real, small.dataset())
    assert "--permutations" in refused("recover", checkpoint, folder, "--permutations", 3)


def test_prepare_names_what_is_not_there(refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert str(tmp_path) in refused("prepare", "aliexpress", tmp_path, "--out", out)
    assert "aliexpress" in refused("prepare", "taobao", tmp_path, "--out", out)
    assert "--fraction" in refused("prepare", "aliexpress", tmp_path, "--out", out, "--fraction", 2)
    assert not out.exists()
