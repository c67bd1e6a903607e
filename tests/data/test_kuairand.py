"""The shipped data and the checkpoints trained on them: what they claim is so.

The numbers are those of the published data set's README, which came with the tables.
"""

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import SPLITS, Dataset, rows_of
from aesm2.data.description import History
from aesm2.data.encoder import Encoder
from aesm2.data.statistics import scenario_statistics
from aesm2.selfcheck import selfcheck

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data_samples" / "kuairand_pure"
CHECKPOINTS = sorted(path.parent for path in ROOT.glob("checkpoints/kuairand*/checkpoint.json"))

# Known only after the impression, or derived from what is.
POST_EXPOSURE = {
    "is_click", "long_view", "ctr", "ctcvr", "is_like", "is_follow", "is_comment", "is_forward",
    "is_hate", "is_profile_enter", "play_time_ms", "profile_stay_time", "comment_stay_time",
    "log_play_seconds", "play_ratio", "visible_status",
}  # fmt: skip
# What the log itself knows at the time of the impression.
CONTEXT = {"user_id", "video_id", "tab", "ui", "date", "hourmin", "time_ms", "duration_ms"}
DERIVED = {"hour", "weekday", "log_play_seconds", "play_ratio", "aspect"}


@pytest.fixture(scope="session")
def kuairand() -> Dataset:
    return Dataset.open(FOLDER)


@pytest.fixture(scope="session")
def frame(kuairand: Dataset) -> pd.DataFrame:
    return kuairand.frame()


@pytest.fixture(scope="session")
def log() -> pd.DataFrame:
    return pd.read_parquet(FOLDER / "log.parquet")


@pytest.fixture(scope="session")
def videos() -> pd.DataFrame:
    return pd.read_parquet(FOLDER / "videos.parquet")


@pytest.fixture(scope="session")
def encoder(kuairand: Dataset, frame: pd.DataFrame) -> Encoder:
    return Encoder.fit(kuairand.description, rows_of(frame, "train"))


# ---- no leaks ---------------------------------------------------------------------------------


def test_every_column_known_only_afterwards_is_on_the_list(log: pd.DataFrame) -> None:
    known = CONTEXT | DERIVED | POST_EXPOSURE
    assert set(log.columns) <= known, "a new column: is it known before the impression?"
    assert {name for name in log.columns if name.startswith("is_")} <= POST_EXPOSURE
    assert set(log.columns) - CONTEXT - POST_EXPOSURE == {"hour", "weekday"}


def test_no_column_known_only_afterwards_is_a_feature(kuairand: Dataset) -> None:
    described = kuairand.description
    assert POST_EXPOSURE <= set(described.never_features) <= described.forbidden
    assert not POST_EXPOSURE & set(described.input_columns)


def test_every_feature_is_known_before_the_impression(
    kuairand: Dataset, log: pd.DataFrame, videos: pd.DataFrame
) -> None:
    """A feature is history, an attribute of the user or video, or context of the log: no more."""
    described = kuairand.description
    history = {column for block in described.history for column in block.columns}
    users = pd.read_parquet(FOLDER / "users.parquet")
    attributes = (set(users.columns) | set(videos.columns)) - {"visible_status"}
    allowed = CONTEXT | {"hour", "weekday"} | history | attributes
    assert set(described.input_columns) <= allowed
    assert not (set(users.columns) | set(videos.columns)) & (POST_EXPOSURE - {"visible_status"})
    assert not history & set(log.columns)


def test_what_is_derived_from_outcomes_goes_through_history_with_a_delay(
    kuairand: Dataset,
) -> None:
    blocks = kuairand.description.history
    assert {outcome for block in blocks for outcome in block.outcomes} <= POST_EXPOSURE
    for block in blocks:
        assert set(block.keys) <= {"user_id", "video_id", "author_id", "tab"}
        assert block.delay >= 600_000  # ten minutes, in which nearly every play has ended


def test_no_feature_of_a_row_changes_with_its_own_or_a_later_outcome(
    kuairand: Dataset, log: pd.DataFrame, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Shuffle every outcome from a moment on: earlier rows stay as they were, and ten minutes on.

    Times, not dates: 584 rows dated 5 May are later than the first one dated 6 May.
    """
    moment = log.loc[log["date"] >= 20220506, "time_ms"].min()
    after, rng = log["time_ms"] >= moment, np.random.default_rng(0)
    drawn = {
        name: np.where(after, rng.permutation(log[name]), log[name]).astype(log[name].dtype)
        for name in POST_EXPOSURE & set(log.columns)
    }
    log.assign(**drawn).to_parquet(tmp_path / "log.parquet", index=False)
    for name in ("users.parquet", "videos.parquet"):
        (tmp_path / name).symlink_to(FOLDER / name)
    other = Dataset(kuairand.description, kuairand.text, tmp_path).frame()
    inputs = list(kuairand.description.input_columns)
    early = frame["time_ms"] <= moment + 600_000
    assert early.sum() > 170_000
    pd.testing.assert_frame_equal(other.loc[early, inputs], frame.loc[early, inputs])
    assert not other.loc[~early, inputs].equals(frame.loc[~early, inputs])


# ---- the rows ---------------------------------------------------------------------------------


def test_the_splits_have_the_sizes_of_the_suggested_table(frame: pd.DataFrame) -> None:
    assert frame["split"].value_counts().to_dict() == {
        "train": 148_033,
        "validation": 29_930,
        "test": 41_897,
    }
    days = frame.groupby("split", observed=True)["date"].agg(["min", "max"])
    assert days.loc["train"].tolist() == [20220425, 20220503]
    assert days.loc["validation"].tolist() == [20220504, 20220505]
    assert days.loc["test"].tolist() == [20220506, 20220508]


@pytest.mark.parametrize(
    ("tab", "rows", "ctr", "ctcvr", "conversions"),
    [
        (1, 173_008, 0.494, 0.348, 60_123),
        (0, 20_240, 0.086, 0.037, 755),
        (4, 13_647, 0.596, 0.456, 6_228),
        (2, 6_909, 0.481, 0.350, 2_417),
        (6, 6_056, 0.150, 0.082, 496),
    ],
)
def test_the_tabs_have_the_published_rates(
    frame: pd.DataFrame, tab: int, rows: int, ctr: float, ctcvr: float, conversions: int
) -> None:
    own = frame[frame["tab"] == tab]
    both = own["is_click"] * own["long_view"]
    assert len(own) == rows
    assert round(own["is_click"].mean(), 3) == ctr
    assert round(both.mean(), 3) == ctcvr
    assert both.sum() == conversions
    assert (own["ctr"] == own["is_click"]).all()
    assert (own["ctcvr"] == both).all()


def test_the_small_tabs_have_few_test_conversions(frame: pd.DataFrame) -> None:
    test = frame[frame["split"] == "test"]
    conversions = test.groupby("tab")["ctcvr"].sum()
    assert (conversions[0], conversions[6]) == (164, 106)
    assert (test["tab"] == 6).sum() == 847


def test_statistics_are_those_of_the_rows(
    kuairand: Dataset, frame: pd.DataFrame, encoder: Encoder
) -> None:
    batches = {split: encoder.encode(rows_of(frame, split), labels=True) for split in SPLITS}
    found = scenario_statistics(batches, encoder.schema)
    tiers = ["full_active", "high_active", "middle_active"]
    tier = frame["user_active_degree"].where(frame["user_active_degree"].isin(tiers), "new_or_low")
    assert set(frame["user_active_degree"]) - set(tiers) == {
        "2_14_day_new", "30day_retention", "day_new", "low_active", "single_low_active", "UNKNOWN",
    }  # fmt: skip
    by = [frame["split"].astype(str), frame["tab"].astype(str).rename("tab"), tier.rename("tier")]
    expected = frame.groupby(by)[["ctr", "ctcvr"]].agg(["size", "sum"])
    lines = found.set_index(["split", "tab", "activity"])
    assert len(lines) == len(expected)
    for key, line in expected.iterrows():
        assert lines.loc[key].tolist() == [
            line["ctr", "size"], line["ctr", "sum"], line["ctcvr", "sum"],
        ]  # fmt: skip


# ---- history and derived columns --------------------------------------------------------------


def slow_history(log: pd.DataFrame, block: History, row: pd.Series) -> dict[str, float]:
    """What a block says of one row, by picking the earlier rows out of the whole raw log."""
    own = np.ones(len(log), bool)
    for key in block.keys:
        own &= log[key].to_numpy() == row[key]
    time = log["time_ms"].to_numpy()
    known = time < row["time_ms"] - block.delay
    seen = own & known
    found = {
        f"{block.name}_count": float(seen.sum()),
        f"{block.name}_recency": row["time_ms"] - time[seen].max() if seen.any() else math.nan,
    }
    for outcome in block.outcomes:
        values = log[outcome].to_numpy(np.float64)
        if not seen.any():
            found[f"{block.name}_{outcome}"] = math.nan
            continue
        prior = values[known].mean()
        mine = values[seen]
        found[f"{block.name}_{outcome}"] = (mine.sum() + block.smoothing * prior) / (
            len(mine) + block.smoothing
        )
    return found


def test_history_against_the_raw_log(
    kuairand: Dataset, log: pd.DataFrame, frame: pd.DataFrame, videos: pd.DataFrame
) -> None:
    authors = log.join(videos.set_index("video_id")["author_id"], on="video_id")
    rng = np.random.default_rng(7)
    some = rng.choice(frame.index, 12, replace=False)
    busiest = frame.loc[frame["user_id"] == frame["user_id"].mode()[0]].index[-1]
    ends = frame["time_ms"].idxmin(), frame["time_ms"].idxmax()
    for index in (*some, busiest, *ends):
        row = frame.loc[index]
        assert row["time_ms"] == log.loc[index, "time_ms"]  # the index is the row of the log
        for block in kuairand.description.history:
            expected = slow_history(authors, block, row)
            assert tuple(expected) == block.columns
            found = row[list(block.columns)].astype(float)
            np.testing.assert_allclose(found, list(expected.values()), rtol=2e-6, atol=1e-9)


def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", FOLDER / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_derived_columns_are_what_they_say(log: pd.DataFrame, videos: pd.DataFrame) -> None:
    some = log.sample(2000, random_state=0)
    for row in some.to_dict("records"):
        day = pd.Timestamp(str(row["date"]))
        assert row["hour"] == int(f"{row['hourmin']:04d}"[:2])
        assert row["weekday"] == day.weekday()
        seconds = row["play_time_ms"] / 1000
        assert row["log_play_seconds"] == pytest.approx(math.log(1 + seconds), rel=1e-6)
        share = min(1.0, row["play_time_ms"] / max(row["duration_ms"], 1))
        assert row["play_ratio"] == pytest.approx(share, rel=1e-6)
    assert log["hour"].between(0, 23).all()
    assert log["weekday"].between(0, 6).all()
    ratio = videos["server_height"] / videos["server_width"]
    np.testing.assert_allclose(videos["aspect"], ratio, rtol=1e-6)


def test_prepare_adds_these_columns_and_changes_nothing_else(
    log: pd.DataFrame, videos: pd.DataFrame, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    users = pd.read_parquet(FOLDER / "users.parquet")
    tables = {"log": log, "users": users, "videos": videos}
    for name, table in tables.items():
        plain = table.drop(columns=list(DERIVED & set(table.columns)))
        plain.to_parquet(source / f"{name}.parquet", index=False)
    prepare().prepare(source, target)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(pd.read_parquet(target / f"{name}.parquet"), table)


# ---- the encoder ------------------------------------------------------------------------------


def test_buckets_and_vocabularies_are_learnt_from_the_training_days_only(
    kuairand: Dataset, frame: pd.DataFrame, encoder: Encoder
) -> None:
    train = frame[frame["date"] <= 20220503]
    for name, feature in kuairand.description.fields.items():
        column = train[feature.column or name]
        if feature.kind == "numeric":
            present = column.dropna().to_numpy(np.float64)
            cuts = np.quantile(present, np.arange(1, feature.buckets) / feature.buckets)
            expected = sorted({float(cut) for cut in cuts if cut > present.min()})
            np.testing.assert_allclose(encoder.edges[name], expected, rtol=1e-12)
        else:
            counts = column.value_counts()
            enough = counts.index[counts >= feature.min_count]
            spelt = {str(int(v)) if isinstance(v, float) else str(v) for v in enough}
            assert set(encoder.categories[name]) == spelt
    later = frame.loc[frame["date"] > 20220503, "video_id"]
    unseen = set(later.astype(str)) - set(train["video_id"].astype(str))
    assert unseen  # there are new videos, and none of them has an index of its own
    assert not unseen & set(encoder.categories["video_id"])


# ---- the shipped checkpoints ------------------------------------------------------------------


def test_there_is_a_checkpoint() -> None:
    assert "kuairand" in {path.name for path in CHECKPOINTS}


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda path: path.name)
def shipped(request: pytest.FixtureRequest) -> Checkpoint:
    return aesm2.load(request.param, "cpu")


def test_a_shipped_checkpoint_describes_the_shipped_data(
    shipped: Checkpoint, encoder: Encoder
) -> None:
    assert (shipped.path / "dataset.toml").read_text(encoding="utf-8") == (
        FOLDER / "dataset.toml"
    ).read_text(encoding="utf-8")
    assert shipped.encoder == encoder


def test_a_shipped_checkpoint_passes_its_selfcheck(shipped: Checkpoint) -> None:
    result = selfcheck(shipped, repeats=1)
    assert result.passed, result


def test_a_shipped_checkpoint_reproduces_its_evaluation(
    shipped: Checkpoint, frame: pd.DataFrame
) -> None:
    stored = shipped.evaluation.query("split == 'test'").drop(columns="split")
    fresh = shipped.evaluate(rows_of(frame, "test"))
    pd.testing.assert_frame_equal(stored.reset_index(drop=True), fresh, rtol=0, atol=1e-6)


def test_a_shipped_checkpoint_has_a_card_with_its_test_metrics(shipped: Checkpoint) -> None:
    card = (shipped.path / "README.md").read_text(encoding="utf-8")
    overall = shipped.evaluation.query("split == 'test' and scope == 'all'")
    for line in overall.to_dict("records"):
        assert f"| all | {line['task']} | 41,897 |" in card
        assert f"{100 * line['auc']:.2f}" in card
    assert "CC BY-SA 4.0" in card
    assert "KuaiRand" in card


def test_a_shipped_checkpoint_is_small_and_holds_no_pickle(shipped: Checkpoint) -> None:
    suffixes = {path.suffix for path in shipped.path.iterdir()}
    assert suffixes == {".json", ".jsonl", ".md", ".safetensors", ".toml"}
    assert sum(path.stat().st_size for path in shipped.path.iterdir()) < 10_000_000
    history = shipped.history()
    assert json.dumps(history)
    assert {line["kind"] for line in history} == {"train", "validation"}
