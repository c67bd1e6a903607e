"""A bounded look at large tables: which rows, how many there are, how much is read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aesm2.data import room
from aesm2.data.dataset import Dataset
from aesm2.data.draft import draft_description, sample
from aesm2.data.draft.sample import read_sample, sample_of, spread
from aesm2.errors import InputError


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LOOKED", 100)
    monkeypatch.setattr(sample, "WHOLE", 2000)
    monkeypatch.setattr(sample, "BLOCK", 120)


def rows(count: int, start: int = 0) -> pd.DataFrame:
    number = np.arange(start, start + count)
    return pd.DataFrame({"number": number, "text": [f"t{i:05d}" for i in number]})


@pytest.mark.parametrize("count", [1, 99, 100])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_small_table_is_looked_at_whole(tmp_path: Path, count: int, suffix: str) -> None:
    file = tmp_path / f"t.{suffix}"
    rows(count).to_parquet(file) if suffix == "parquet" else rows(count).to_csv(file, index=False)
    found = read_sample(file)
    pd.testing.assert_frame_equal(found.frame, rows(count), check_dtype=False)
    assert (found.table, found.rows, found.exact, found.whole) == (file.name, count, True, True)


def test_of_a_table_in_memory_rows_are_spread() -> None:
    found = sample_of(rows(1001), "t")
    assert found.rows == 1001
    assert not found.whole
    assert len(found.frame) == 100
    assert found.frame["number"].iloc[[0, -1]].tolist() == [0, 1000]
    steps = found.frame["number"].diff().dropna()
    assert steps.between(10, 11).all()


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (7, 3), (1000, 10)])
def test_spread_positions(count: int, most: int) -> None:
    found = spread(count, most)
    assert len(found) == min(count, most)
    assert found[0] == 0
    assert found[-1] == count - 1
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("group", [50, 400, 5000])
def test_of_large_parquet_the_first_rows_of_spread_groups(tmp_path: Path, group: int) -> None:
    file = tmp_path / "t.parquet"
    rows(5000).to_parquet(file, row_group_size=group)
    found = read_sample(file)
    number = found.frame["number"]
    assert found.rows == 5000
    assert number.is_monotonic_increasing
    assert number.iloc[0] == 0
    groups = -(-5000 // group)
    assert (number % group == 0).sum() == min(groups, 10)  # ten places, or all there are
    assert len(number) == 100
    if group < 5000:
        assert number.iloc[-1] >= 5000 - group  # the last group is among them
    assert found.frame["text"].tolist() == [f"t{i:05d}" for i in number]


def test_a_large_folder_has_its_folders_as_columns(tmp_path: Path) -> None:
    for i, site in enumerate(["app", "web", "sub"]):
        part = tmp_path / "log" / f"site={site}"
        part.mkdir(parents=True)
        rows(1000, 1000 * i).to_parquet(part / "0.parquet", row_group_size=100)
    found = read_sample(tmp_path / "log")
    assert found.rows == 3000
    assert set(found.frame["site"]) == {"app", "web", "sub"}
    own = found.frame["number"] // 1000
    assert found.frame["site"].tolist() == own.map({0: "app", 1: "web", 2: "sub"}).tolist()


def test_a_file_without_rows_is_no_place_to_look(tmp_path: Path) -> None:
    for i, count in enumerate((1000, 0, 500)):
        rows(count, 1000 * i).to_parquet(tmp_path / f"{i}.parquet", row_group_size=100)
    found = read_sample(tmp_path)
    assert (found.rows, len(found.frame)) == (1500, 100)
    assert found.frame["number"].iloc[[0, -1]].between([0, 2400], [0, 2499]).all()


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("count", [90, 1000])
def test_texts_are_what_the_table_holds(tmp_path: Path, kind: pa.DataType, count: int) -> None:
    texts = [None if i % 3 == 0 else f"t{i % 7}" for i in range(count)]
    table = pa.table({"number": range(count), "text": pa.array(texts).cast(kind)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=50)
    found = read_sample(tmp_path / "t.parquet").frame
    assert [None if pd.isna(text) else text for text in found["text"]] == [
        texts[number] for number in found["number"]
    ]


@pytest.mark.parametrize("count", [90, 1000])
def test_what_would_not_fit_is_refused_before_it_is_unpacked(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array(["x" * 10_000]))
    file = tmp_path / "t.parquet"
    table = pa.table({"number": range(count), "text": long})
    pq.write_table(table, file, row_group_size=100, store_schema=False)
    assert len(read_sample(file).frame) == min(count, 100)
    monkeypatch.setattr(room, "memory", lambda: 3 * 500_000)
    with pytest.raises(InputError, match=r"t\.parquet: .*the table unpacks to"):
        read_sample(file)
    monkeypatch.setattr(room, "MOST_COLUMNS", 1)
    with pytest.raises(InputError, match=r"t\.parquet: .*2 columns; at most 1 are read"):
        read_sample(file)


def test_an_index_of_pandas_is_no_column_unless_it_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    rows(1000).sample(frac=1, random_state=0).to_parquet(file, row_group_size=50)
    assert list(read_sample(file).frame.columns) == ["number", "text"]
    rows(1000).set_index("text").to_parquet(file, row_group_size=50)
    assert set(read_sample(file).frame.columns) == {"number", "text"}


def test_of_a_large_csv_pieces_cut_at_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows(2000).to_csv(file, index=False, sep=";")
    found = read_sample(file)
    assert not found.exact
    assert not found.whole
    assert found.rows == pytest.approx(2000, rel=0.1)
    number = found.frame["number"]
    assert number.iloc[0] == 0
    assert number.iloc[-1] > 1800
    assert number.is_unique
    assert found.frame["text"].tolist() == [f"t{i:05d}" for i in number]


def test_of_a_table_that_is_sampled_a_users_id_is_kept(tmp_path: Path) -> None:
    """That its values do not repeat in the sample says little."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(5000)],
            "uuid": [f"x{i}" for i in range(5000)],
            "price": rng.random(5000),
            "click": rng.integers(0, 2, 5000),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=500)
    text = draft_description(tmp_path / "t.parquet")
    assert (
        '\nuser_id = { kind = "categorical", min_count = 5 }    # its values may come again' in text
    )
    assert '\n# uuid = { kind = "categorical", min_count = 5 }    # left out: nearly every' in text


def test_bounds_of_a_sample_leave_no_gap(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "ts": 1_770_000_000 + np.arange(5000),
            "price": rng.random(5000),
            "click": rng.integers(0, 2, 5000),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=500)
    (tmp_path / "dataset.toml").write_text(draft_description(tmp_path / "t.parquet"))
    splits = Dataset.open(tmp_path).frame()["split"]
    assert splits.notna().all()
    assert splits.value_counts(normalize=True)["test"] == pytest.approx(0.1, abs=0.05)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"part: cannot be read as a table: "):
        read_sample(tmp_path / "part")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=r"nothing: no rows to describe"):
        read_sample(tmp_path / "nothing")
