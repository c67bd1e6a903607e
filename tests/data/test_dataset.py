"""A dataset on disk: reading, joining, keeping and splitting its rows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aesm2.data.dataset import Dataset, read_table, rows_of
from aesm2.errors import InputError
from tests.data.tables import describe

LOG = pd.DataFrame(
    {
        "user": [1, 2, 1, 3, 2, 1],
        "tab": [0, 1, 0, 1, 5, 1],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "time": [10, 20, 30, 40, 50, 60],
        "day": [1, 2, 2, 3, 4, 5],
        "click": [1, 0, 1, 0, 1, 0],
        "buy": [0, 0, 1, 0, 0, 0],
    }
)


def dataset(folder: Path, *changes: tuple[str, Any], log: pd.DataFrame = LOG) -> Dataset:
    log.to_csv(folder / "log.csv", index=False)
    return Dataset(describe(*changes), "", folder)


def error(of: Dataset) -> str:
    with pytest.raises(InputError) as caught:
        of.frame()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_keep_their_number_and_get_a_split(tmp_path: Path) -> None:
    frame = dataset(tmp_path).frame()
    assert list(frame.index) == [0, 1, 2, 3, 4, 5]
    assert list(frame["split"]) == ["train", "train", "train", "validation", "test", "test"]
    pd.testing.assert_frame_equal(frame.drop(columns="split"), LOG)


def test_rows_outside_every_interval_have_no_split(tmp_path: Path) -> None:
    of = dataset(tmp_path, ("split.train", {"first": 2, "last": 2}), ("split.test.last", 4))
    assert of.frame()["split"].isna().tolist() == [True, False, False, False, False, True]
    assert of.split("train")["day"].tolist() == [2, 2]


def test_a_split_without_rows_is_an_error(tmp_path: Path) -> None:
    frame = dataset(tmp_path, ("split.test.first", 9)).frame()
    with pytest.raises(InputError, match="the test split has no rows"):
        rows_of(frame, "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("split.validation.first", 2), "split.validation overlaps split.train"),
        (("split.test.first", 3), "split.test overlaps split.validation"),
        (("split.test.first", 1), "split.test overlaps split.validation"),
    ],
)
def test_overlapping_splits_are_an_error(
    change: tuple[str, int], message: str, tmp_path: Path
) -> None:
    assert error(dataset(tmp_path, change)) == message


def test_days_written_as_text_split_as_dates_do(tmp_path: Path) -> None:
    log = LOG.assign(day=[f"2022-04-0{day}" for day in LOG["day"]])
    changes = [
        ("split.train.last", "2022-04-02"),
        ("split.validation", {"first": "2022-04-03", "last": "2022-04-03"}),
        ("split.test.first", "2022-04-04"),
    ]
    as_text = dataset(tmp_path, *changes, log=log)
    wanted = ["train", "train", "train", "validation", "test", "test"]
    assert list(as_text.frame()["split"]) == wanted
    log.assign(day=pd.to_datetime(log["day"])).to_parquet(tmp_path / "log.parquet")
    as_dates = Dataset(describe(*changes, ("source.table", "log.parquet")), "", tmp_path)
    assert list(as_dates.frame()["split"]) == wanted


@pytest.mark.parametrize(
    ("bound", "days"), [("2022-04-02", LOG["day"]), (2, [f"2022-04-0{d}" for d in LOG["day"]])]
)
def test_a_bound_of_another_kind_is_an_error(bound: Any, days: Any, tmp_path: Path) -> None:
    message = error(dataset(tmp_path, ("split.train.last", bound), log=LOG.assign(day=days)))
    assert message.startswith("split.train: 'day' holds ")
    assert message.endswith(f"cannot be compared with {bound!r}")


def test_a_join_adds_columns_row_by_row(tmp_path: Path) -> None:
    users = pd.DataFrame({"user": [3, 1], "age": [30, 10], "price": [0, 0]})
    users.to_csv(tmp_path / "users.csv", index=False)
    frame = dataset(tmp_path, ("source.join", [{"table": "users.csv", "on": "user"}])).frame()
    assert frame["age"].fillna(-1).tolist() == [10, -1, 10, 30, -1, 10]
    assert frame["price"].tolist() == LOG["price"].tolist()  # the log's own column wins
    assert list(frame.index) == list(range(6))


def test_a_join_needs_its_key_once_and_in_both_tables(tmp_path: Path) -> None:
    join = ("source.join", [{"table": "users.csv", "on": "user"}])
    pd.DataFrame({"user": [3, 1, 3]}).to_csv(tmp_path / "users.csv", index=False)
    assert error(dataset(tmp_path, join)) == (
        "users.csv: 'user' = 3 is there twice; a join needs it once"
    )
    pd.DataFrame({"users": [3]}).to_csv(tmp_path / "users.csv", index=False)
    assert error(dataset(tmp_path, join)) == (
        "users.csv lacks the column 'user' (did you mean 'users'?)"
    )
    assert "join with users.csv: the table lacks the column 'user'" in error(
        dataset(tmp_path, join, log=LOG.drop(columns="user"))
    )


def test_a_join_of_numbers_with_text_is_an_error(tmp_path: Path) -> None:
    pd.DataFrame({"user": ["a", "b"], "age": [1, 2]}).to_csv(tmp_path / "users.csv", index=False)
    message = error(dataset(tmp_path, ("source.join", [{"table": "users.csv", "on": "user"}])))
    assert message.startswith("users.csv: 'user' holds ")


def test_keep_drops_rows_after_history_has_seen_them(tmp_path: Path) -> None:
    block = {"name": "past", "keys": ["user"], "outcomes": ["click"]}
    frame = dataset(tmp_path, ("source.keep", {"tab": [0, 1]}), ("history", [block])).frame()
    assert list(frame.index) == [0, 1, 2, 3, 5]
    assert frame["past_count"].tolist() == [0, 0, 1, 0, 2]
    everything = dataset(tmp_path, ("history", [block])).frame()
    assert frame["past_click"].equals(everything["past_click"][frame.index])


def test_several_kept_columns_must_all_hold(tmp_path: Path) -> None:
    frame = dataset(tmp_path, ("source.keep", {"tab": [0, 1], "user": [1]})).frame()
    assert list(frame.index) == [0, 2, 5]


def test_nothing_kept_is_an_error(tmp_path: Path) -> None:
    assert "no rows left after source.keep" in error(
        dataset(tmp_path, ("source.keep", {"tab": [99]}))
    )


@pytest.mark.parametrize("history", [[], [{"name": "past", "keys": ["user"]}]])
def test_a_table_without_rows_is_an_error(history: list[Any], tmp_path: Path) -> None:
    message = error(dataset(tmp_path, ("history", history), log=LOG[:0]))
    assert message == f"{tmp_path / 'log.csv'}: no rows"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("source.keep", {"tabs": [0]})], "source.keep: the table lacks the column 'tabs' (did"),
        ([("split.column", "days")], "split: the table lacks the column 'days' (did you mean 'day"),
        (
            [("history", [{"name": "past", "keys": ["usr"], "outcomes": ["clicks"]}])],
            "history 'past': the table lacks the columns 'usr' (did you mean 'user'?), 'clicks' (",
        ),
        (
            [("history", [{"name": "past", "keys": ["user"]}]), ("source.time", "tiem")],
            "history 'past': the table lacks the column 'tiem' (did you mean 'time'?)",
        ),
    ],
)
def test_columns_that_are_not_there_are_named(
    changes: list[tuple[str, Any]], message: str, tmp_path: Path
) -> None:
    assert error(dataset(tmp_path, *changes)).startswith(message)


def test_csv_tsv_and_parquet_are_one_table(tmp_path: Path) -> None:
    LOG.to_csv(tmp_path / "log.csv", index=False)
    LOG.to_csv(tmp_path / "log.TSV", index=False, sep="\t")
    LOG.to_parquet(tmp_path / "log.parquet")
    (tmp_path / "parts").mkdir()
    LOG[:4].to_parquet(tmp_path / "parts" / "0.parquet")
    LOG[4:].to_parquet(tmp_path / "parts" / "1.parquet")
    for name in ("log.csv", "log.TSV", "log.parquet", "parts"):
        found = read_table(tmp_path / name).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, LOG)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("empty.parquet", b""),
        ("broken.parquet", b"PAR1 and then nothing of the kind PAR1"),
        ("binary.csv", bytes(range(128, 256)) * 20),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("quote.csv", b'a,b\n1,"2\n3,4\n'),
        ("text.txt", b"a,b\n1,2\n"),
        ("noextension", b"a,b\n1,2\n"),
    ],
)
def test_a_file_that_is_no_table_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "nothing").mkdir()
    message = error(dataset(tmp_path, ("source.table", "nothing")))
    assert message == f"{tmp_path / 'nothing'}: no rows"


def test_opening_a_folder_or_its_description(tmp_path: Path) -> None:
    text = """
name = "shop"
title = "A shop"
provenance = "public"
licence = "CC0"
source = {table = "log.csv"}
split = {column = "day", train = {last = 2}, validation = {first = 3, last = 3}, test = {first = 4}}
level = [{name = "tab", column = "tab", values = [0, 1]}]
task = [{name = "ctr", label = "click"}]
features = {user = {user = {kind = "categorical"}}}
"""
    (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
    LOG.to_csv(tmp_path / "log.csv", index=False)
    for path in (tmp_path, str(tmp_path), tmp_path / "dataset.toml"):
        opened = Dataset.open(path)
        assert opened.folder == tmp_path
        assert opened.text == text
        assert opened.split("train")["day"].tolist() == [1, 2, 2]


def test_a_split_by_dates_as_parquet_holds_them(tmp_path: Path) -> None:
    days = pd.to_datetime("2022-05-01") + pd.to_timedelta(LOG["day"], unit="D")
    LOG.assign(day=days.dt.date).to_parquet(tmp_path / "log.parquet", index=False)
    split = {
        "column": "day",
        "train": {"last": "2022-05-03"},
        "validation": {"first": "2022-05-04", "last": "2022-05-04"},
        "test": {"first": "2022-05-05"},
    }
    described = describe(("source.table", "log.parquet"), ("split", split))
    frame = Dataset(described, "", tmp_path).frame()
    assert list(frame["split"]) == ["train", "train", "train", "validation", "test", "test"]


@pytest.mark.parametrize("name", [None, "user"])
def test_rows_are_numbered_whatever_index_a_parquet_file_carries(
    tmp_path: Path, name: str | None
) -> None:
    indexed = LOG.set_index("user") if name else LOG.set_axis(list("ababab"))
    indexed.to_parquet(tmp_path / "log.parquet")
    frame = Dataset(describe(("source.table", "log.parquet")), "", tmp_path).frame()
    assert list(frame.index) == [0, 1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(frame.drop(columns="split"), LOG, check_like=True)


def test_columns_that_parquet_names_by_numbers_are_named_by_text(tmp_path: Path) -> None:
    pd.DataFrame({0: [1], 1: [2]}).to_parquet(tmp_path / "x.parquet")
    assert list(read_table(tmp_path / "x.parquet").columns) == ["0", "1"]


RANDOM = {"random": {"validation": 0.2, "test": 0.3, "seed": 4}}


def drawn(rows: int, split: dict[str, Any], log: pd.DataFrame | None = None) -> pd.DataFrame:
    """A long log whose rows are split at random."""
    if log is None:
        log = pd.concat([LOG] * (rows // len(LOG) + 1), ignore_index=True).head(rows)
        log["user"] = [number % 700 for number in range(rows)]
    described = describe(("split", split), ("level.0.values", [0, 1, 5]))
    return Dataset(described, "", Path())._split(log).to_frame("split").join(log)


def test_a_random_split_has_the_shares_asked_for() -> None:
    shares = drawn(20_000, RANDOM)["split"].value_counts(normalize=True)
    for name, wanted in {"train": 0.5, "validation": 0.2, "test": 0.3}.items():
        error = (wanted * (1 - wanted) / 20_000) ** 0.5
        assert abs(shares[name] - wanted) < 4 * error


def test_a_random_split_is_the_rows_own() -> None:
    """The same rows stay where they were when others come, and another seed draws others."""
    few, many = drawn(500, RANDOM)["split"], drawn(5000, RANDOM)["split"]
    assert list(few) == list(many[:500])
    other = drawn(500, {"random": RANDOM["random"] | {"seed": 5}})["split"]
    assert 0.2 < (few == other).mean() < 0.6  # 0.38 where they are independent


def test_rows_of_one_key_stay_together() -> None:
    frame = drawn(5000, {"random": RANDOM["random"] | {"key": "user"}})
    assert frame.groupby("user")["split"].nunique().max() == 1
    assert frame.drop_duplicates("user")["split"].nunique() == 3
    lost = frame.drop(columns="split").assign(user=float("nan"))
    without = drawn(5000, {"random": RANDOM["random"] | {"key": "user"}}, lost)
    assert list(without["split"]) == list(drawn(5000, RANDOM)["split"])  # a missing key is no key


def test_dates_as_text_are_ordered_as_time(tmp_path: Path) -> None:
    """As text, 01.02.2024 comes before 31.01.2024."""
    days = ["30.01.2024", "31.01.2024", "01.02.2024", "02.02.2024", "03.02.2024", "-"]
    split = {
        "column": "day",
        "train": {"last": "2024-01-31"},
        "validation": {"first": "2024-02-01", "last": "2024-02-01"},
        "test": {"first": "2024-02-02"},
    }
    changes = (("split", split), ("source.dates", {"day": "%d.%m.%Y"}), ("source.missing", ["-"]))
    log = LOG.assign(day=days)
    found = dataset(tmp_path, *changes, log=log).frame()["split"]
    assert list(found[:5]) == ["train", "train", "validation", "test", "test"]
    assert found.isna().tolist() == [False] * 5 + [True]
    message = error(dataset(tmp_path, *changes, log=log.assign(day=["2024-01-30", *days[1:]])))
    assert message.startswith("row 0: 'day' is '2024-01-30', no date of the form '%d.%m.%Y'")


def test_dates_as_numbers_are_ordered_as_time(tmp_path: Path) -> None:
    split = {"column": "day", "train": {"last": "2022-05-03"}, "validation": {"first": "2022-05-04",
             "last": "2022-05-04"}, "test": {"first": "2022-05-05"}}  # fmt: skip
    log = LOG.assign(day=[20220502, 20220503, 20220503, 20220504, 20220505, 20220506])
    changes = (("split", split), ("source.dates", {"day": "%Y%m%d"}))
    found = dataset(tmp_path, *changes, log=log).frame()["split"]
    assert list(found) == ["train"] * 3 + ["validation", "test", "test"]


def test_the_last_day_of_timestamps_counts_to_its_end(tmp_path: Path) -> None:
    moments = ["2024-01-01T09:00", "2024-01-02T23:59", "2024-01-03T00:00", "2024-01-03T23:00"]
    moments += ["2024-01-04T00:00", "2024-01-05T12:00"]
    split = {"column": "day", "train": {"last": "2024-01-02"}, "test": {"first": "2024-01-04"},
             "validation": {"first": "2024-01-03", "last": "2024-01-03"}}  # fmt: skip
    changes = (("split", split), ("source.dates", {"day": "%Y-%m-%dT%H:%M"}))
    found = dataset(tmp_path, *changes, log=LOG.assign(day=moments)).frame()["split"]
    assert list(found) == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    split["train"] = {"last": "yesterday evening"}
    message = error(dataset(tmp_path, *changes, log=LOG.assign(day=moments)))
    assert message.startswith("split.train: 'day' holds datetime64")
