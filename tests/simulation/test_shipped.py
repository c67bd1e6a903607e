"""The shipped samples come from their command, and the shipped checkpoint was trained on one."""

import json
from pathlib import Path

import pandas as pd
import pytest

import aesm2
from aesm2.config import read_config
from aesm2.data.dataset import Dataset
from aesm2.routing.recovery import recovery
from aesm2.selfcheck import selfcheck
from aesm2.simulation.planted import read_planted
from aesm2.simulation.presets import PRESETS
from aesm2.simulation.write import simulate

ROOT = Path(__file__).parents[2]
SAMPLES, CHECKPOINT = ROOT / "data_samples", ROOT / "checkpoints" / "alipay-sim"


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_sample_is_what_its_command_writes(name: str, tmp_path: Path) -> None:
    shipped, made = SAMPLES / f"{name}_sim", tmp_path / "made"
    simulate(PRESETS[name], 100_000, made, progress=False)
    pd.testing.assert_frame_equal(pd.read_parquet(shipped / "log"), pd.read_parquet(made / "log"))
    for table in ("users", "items", "queries", "truth"):
        file = table if table == "truth" else f"{table}.parquet"
        one, other = (pd.read_parquet(folder / file) for folder in (shipped, made))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6)
    assert (shipped / "dataset.toml").read_text() == (made / "dataset.toml").read_text()
    found, wanted = (json.loads((f / "truth.json").read_text()) for f in (shipped, made))
    assert found["preset"] == wanted["preset"]
    assert found["bayes_auc"]["ctr"] == pytest.approx(wanted["bayes_auc"]["ctr"])


def test_the_checkpoint_is_of_the_sample_and_its_configuration() -> None:
    opened = aesm2.load(CHECKPOINT, "cpu")
    assert opened.description == Dataset.open(SAMPLES / "alipay_sim").description
    assert opened.config == read_config(ROOT / "configs" / "alipay-sim.toml")
    assert selfcheck(opened).passed


def test_the_checkpoint_was_trained_on_800_000_rows_at_the_rates_of_table_1() -> None:
    counted = aesm2.load(CHECKPOINT, "cpu").statistics
    assert counted["impressions"].sum() == 800_000
    summed = counted.groupby(["channel", "domain"])[["impressions", "ctr", "ctcvr"]].sum()
    for line in PRESETS["alipay"].traffic:
        impressions, clicks, conversions = summed.loc[line.path]
        for positives, n, p in (
            (clicks, impressions, line.clicks / line.impressions),
            (conversions, clicks, line.conversions / line.clicks),
        ):
            assert abs(positives / n - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_the_learnt_routing_recovers_the_planted_one() -> None:
    """On the shipped test rows; the best possible AUC is approached, and roles are not chance."""
    opened = aesm2.load(CHECKPOINT, "cpu")
    folder = SAMPLES / "alipay_sim"
    frame = Dataset.open(folder).split("test")
    planted = read_planted(folder, frame.index, ("ctr", "ctcvr"), ("channel", "domain"))
    found = recovery(opened.model, opened.encode(frame), planted, permutations=99)
    by = found.set_index(["measure", "of"]).sort_index()
    for place in (("roles", "channel.1"), ("roles", "domain.1"), ("sensitivity", "channel.1"),
                  ("gap", "ctr, all"), ("gap", "ctcvr, all")):  # fmt: skip
        assert by.loc[place, "p"] == 0.01, place
        assert by.loc[place, "value"] > by.loc[place, "null_95"], place
    assert (by.loc["gap", "value"] > 0.6).all()
