"""A simulated folder: its rows, its truth, and that the truth reaches no model."""

import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.simulation.describe import describe
from aesm2.simulation.presets import PRESETS, Preset
from aesm2.simulation.world import BLOCK, World
from aesm2.simulation.write import simulate

ALIPAY = PRESETS["alipay"].model_copy(update={"users": 3000, "items": 2000, "queries": 500})
COUNTRIES = PRESETS["aliexpress"].model_copy(update={"users": 3000, "items": 2000, "queries": 500})
ROWS = 200_000


def written(folder: Path, rows: int, preset: Preset = ALIPAY, **options: int) -> Path:
    simulate(preset, rows, folder, progress=False, **options)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sim") / "alipay", ROWS)


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    rows = Dataset.open(folder).frame()
    return rows.join(pd.read_parquet(folder / "truth"))


def within(found: float, wanted: float, n: float) -> bool:
    """Whether a share lies within four standard errors of the truth."""
    return abs(found - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / n)


def test_shares_and_rates_are_those_of_table_1_within_sampling_error(frame: pd.DataFrame) -> None:
    for line in ALIPAY.traffic:
        rows = frame[(frame["channel"] == line.path[0]) & (frame["domain"] == line.path[1])]
        total = sum(other.impressions for other in ALIPAY.traffic)
        assert within(len(rows) / ROWS, line.impressions / total, ROWS)
        assert within(rows["click"].mean(), line.clicks / line.impressions, len(rows))
        clicks = rows[rows["click"] == 1]
        rate = line.conversions / line.clicks
        assert within(clicks["conversion"].mean(), rate, len(clicks))
    assert not (frame["conversion"] > frame["click"]).any()


def test_labels_are_drawn_from_the_truth(frame: pd.DataFrame) -> None:
    """In each tenth of the true probability, as many positives as it says."""
    for label, truth in (("click", "truth_ctr"), ("conversion", "truth_ctcvr")):
        groups = frame.groupby(pd.qcut(frame[truth], 10, labels=False))
        p = frame[truth].astype(float)
        variance = groups.apply(lambda rows, p=p: (p[rows.index] * (1 - p[rows.index])).sum())
        excess = groups[label].sum() - groups[truth].sum()
        assert (excess.abs() < 4 * np.sqrt(variance)).all()


def test_the_truth_of_a_row_is_that_of_its_cell(folder: Path, frame: pd.DataFrame) -> None:
    world = World.make(ALIPAY, 0)
    users, items, queries = world.entities
    paths = [line.path for line in ALIPAY.traffic]
    for number in (0, 1, 77_777, BLOCK, ROWS - 1):
        row = frame.loc[number]
        path = paths.index((row["channel"], row["domain"]))
        cells = (users.cell[row["user_id"]], items.cell[row["item_id"]],
                 queries.cell[row["query_id"]])  # fmt: skip
        at = np.ravel_multi_index(cells, world.truth.factors[0].effect.shape)
        p = world.truth.probability[:, path, at]
        assert row["truth_ctr"] == pytest.approx(p[0], rel=1e-6)
        assert row["truth_ctcvr"] == pytest.approx(p[0] * p[1], rel=1e-6)
        for level in (0, 1):
            name = ALIPAY.levels[level].name
            wanted = world.truth.sensitivity(level)[path, at]
            assert row[f"truth_sensitivity_{name}"] == pytest.approx(wanted, rel=1e-6)
            regime = world.truth.regime(level)[path, row["topic"]]
            assert row[f"truth_regime_{name}"] == regime


def test_a_source_may_hold_quotes() -> None:
    source = 'the "spring" log of C:\\shop'
    told = tomllib.loads(describe(ALIPAY.model_copy(update={"source": source})))
    assert told["citation"] == f"Rates: {source}"
    assert f"are those of {source};" in told["notes"][0]


def test_rows_are_the_same_however_they_are_cut(tmp_path: Path, folder: Path) -> None:
    some = written(tmp_path / "some", 70_001, per_file=30_000)
    assert len(list((some / "log").iterdir())) == 3
    for kind in ("log", "truth"):
        found = pd.read_parquet(some / kind)
        pd.testing.assert_frame_equal(found, pd.read_parquet(folder / kind).head(70_001))
    for table in ("users", "items", "queries"):
        one, other = (pd.read_parquet(f / f"{table}.parquet") for f in (some, folder))
        pd.testing.assert_frame_equal(one, other)
    assert (some / "dataset.toml").read_text() == (folder / "dataset.toml").read_text()


def test_another_seed_draws_other_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    other = pd.read_parquet(written(tmp_path / "other", 2000, seed=1) / "log")
    same = (other["user_id"].to_numpy() == frame["user_id"].to_numpy()[:2000]).mean()
    assert same < 0.1


def test_the_split_is_by_day_as_in_the_paper(frame: pd.DataFrame) -> None:
    """§4.1: 15 to 28 November 2021 for training, the 29th for validation, the 30th for test."""
    days = frame.groupby("split", observed=True)["day"].agg(["min", "max"])
    assert days.loc["train"].tolist() == [20211115, 20211128]
    assert days.loc["validation"].tolist() == [20211129, 20211129]
    assert days.loc["test"].tolist() == [20211130, 20211130]
    assert within((frame["split"] == "test").mean(), 1 / 16, ROWS)


def test_countries_are_split_at_random_and_have_their_own_users(tmp_path: Path) -> None:
    rows = Dataset.open(written(tmp_path / "countries", 20_000, COUNTRIES)).frame()
    assert rows.groupby("user_id")["country"].nunique().max() == 1
    assert within((rows["split"] == "test").mean(), 0.15, 20_000)
    assert "day" not in rows


def test_the_structure_is_written_beside_the_rows(folder: Path) -> None:
    found = json.loads((folder / "truth.json").read_text())
    world = World.make(ALIPAY, 0)
    assert found["rows"] == ROWS
    assert found["paths"] == [["HP", "RI"], ["HP", "BS"], ["VP", "RI"], ["VP", "BS"]]
    bayes = world.truth.bayes()
    assert found["bayes_auc"] == {"ctr": bayes[0].tolist(), "ctcvr": bayes[1].tolist()}
    assert found["distance"] == world.truth.distance().tolist()
    assert [f["name"] for f in found["factors"]] == [f.name for f in world.truth.factors]
    assert Preset.model_validate(found["preset"]) == ALIPAY


def test_the_truth_cannot_be_made_a_feature(folder: Path, tmp_path: Path) -> None:
    """Neither by its name nor through a join; and what is read by default has none of it."""
    described = Dataset.open(folder)
    assert not [c for c in described.frame().columns if c.startswith("truth_")]
    text = (folder / "dataset.toml").read_text()
    joined = text.replace(
        'table = "log"\n', 'table = "truth"\n'
    )  # a log that holds the truth as columns
    for line in ('truth_ctr = { kind = "numeric" }',
                 'hint = { kind = "numeric", column = "truth_ctcvr" }'):  # fmt: skip
        file = tmp_path / "dataset.toml"
        file.write_text(f"{joined}{line}\n")
        with pytest.raises(InputError, match="hold the truth of a simulation"):
            Dataset.open(file)


def test_the_number_of_rows_has_bounds(tmp_path: Path) -> None:
    for rows in (999, 100_000_001):
        with pytest.raises(InputError, match="expected 1,000 to 100,000,000"):
            written(tmp_path / "out", rows)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="exists already"):
        written(tmp_path / "mine", 1000)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: World, number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "half", 5000)
    assert list(tmp_path.iterdir()) == []
