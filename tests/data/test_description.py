"""dataset.toml: what it means, and that each mistake is named with its key."""

import math
from pathlib import Path
from typing import Any

import pytest

from aesm2.config import parse
from aesm2.data.description import Description, read_description
from aesm2.errors import InputError
from tests.data.tables import describe, values


def error(*changes: tuple[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        describe(*changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_it_says_of_itself() -> None:
    described = describe(("features.user.age", {"kind": "numeric", "column": "years"}))
    assert list(described.fields) == ["user", "age", "price"]
    assert described.input_columns == ("user", "years", "price", "tab")
    assert described.parents == (-1, 0)
    assert described.level[0].scenarios == ("0", "1")
    assert described.forbidden == {"click", "buy", "watched"}


def test_other_is_the_last_scenario() -> None:
    assert describe(("level.0.other", "rest")).level[0].scenarios == ("0", "1", "rest")


def test_history_names_its_columns_and_forbids_its_outcomes() -> None:
    block = {"name": "user_past", "keys": ["user"], "outcomes": ["click", "seconds"]}
    described = describe(("history", [block]))
    assert described.history[0].columns == (
        "user_past_count",
        "user_past_recency",
        "user_past_click",
        "user_past_seconds",
    )
    assert "seconds" in described.forbidden


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("titel", "did you mean 'title'?"),
        ("source.tabel", "did you mean 'table'?"),
        ("split.train.frist", "did you mean 'first'?"),
        ("split.colum", "did you mean 'column'?"),
        ("level.0.colunm", "did you mean 'column'?"),
        ("task.1.folows", "did you mean 'follows'?"),
        ("features.user.user.bukets", "did you mean 'buckets'?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(path: str, hint: str) -> None:
    assert error((path, 1)).startswith(f"dataset.toml: {path}: unknown key ({hint})")


def test_an_unknown_key_like_no_other_has_no_hint() -> None:
    assert error(("zzz", 1)) == "dataset.toml: zzz: unknown key"


def test_more_mistakes_are_counted() -> None:
    assert error(("titel", 1), ("source.tabel", 1)).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("name", "a b", ["name", "'a b'"]),
        ("provenance", "mine", ["provenance", "'public'", "'mine'"]),
        ("level.0.name", "1st", ["level.0.name", "'1st'"]),
        ("level.0.values", [], ["level.0.values"]),
        ("level", [], ["level"]),
        ("task", [], ["task"]),
        ("features", {}, ["features"]),
        ("features.user.user.kind", "text", ["features.user.user.kind", "'text'"]),
        ("features.item.price.buckets", 1, ["features.item.price.buckets", "found 1"]),
        ("features.user.user.min_count", 0, ["features.user.user.min_count", "found 0"]),
    ],
)
def test_a_value_that_is_no_good_is_named(path: str, value: object, parts: list[str]) -> None:
    message = error((path, value))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("column", ["click", "buy", "watched"])
def test_what_is_known_only_later_is_no_feature(column: str) -> None:
    for change in (
        (f"features.user.{column}", {"kind": "categorical"}),
        ("features.user.harmless", {"kind": "categorical", "column": column}),
    ):
        message = error(change)
        assert f"reads '{column}', which is known only after the impression" in message


def test_an_outcome_of_history_is_no_feature() -> None:
    block = {"name": "past", "keys": ["user"], "outcomes": ["seconds"]}
    feature = ("features.user.seconds", {"kind": "numeric"})
    assert "reads 'seconds'" in error(("history", [block]), feature)
    past = ("features.user.past_seconds", {"kind": "numeric"})
    assert "past_seconds" in describe(("history", [block]), past).fields


def test_a_task_follows_an_earlier_task() -> None:
    unknown = error(("task.1.follows", "ctrr"))
    assert "task 'ctcvr' follows 'ctrr', which is no earlier task (did you mean 'ctr'?)" in unknown
    assert "task 'ctr' follows 'ctcvr', which is no earlier" in error(("task.0.follows", "ctcvr"))
    assert "task 'ctr' follows 'ctr'" in error(("task.0.follows", "ctr"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("task.1.name", "ctr"), ("task.1.follows", None)], "task 'ctr' is there twice"),
        ([("features.item.user", {"kind": "numeric"})], "feature 'user' is there twice"),
        (
            [("level", [{"name": "tab", "column": c, "values": [0]} for c in "ab"])],
            "level 'tab' is there twice",
        ),
        ([("history", [{"name": "h", "keys": ["a"]}] * 2)], "history 'h' is there twice"),
        ([("level.0.values", [1, 2, 1])], "level 'tab': scenario '1' is there twice"),
        ([("level.0.values", [1, "1"])], "level 'tab': scenario '1' is there twice"),
        ([("level.0.values", [1, 1.0])], "level 'tab': scenario '1' is there twice"),
        ([("level.0.other", "0")], "level 'tab': scenario '0' is there twice"),
    ],
)
def test_a_name_is_there_once(changes: list[tuple[str, Any]], message: str) -> None:
    assert message in error(*changes)


def test_no_level_is_called_task() -> None:
    assert "no level can be called 'task'" in error(("level.0.name", "task"))


@pytest.mark.parametrize("name", ["all", "impressions", "path", "split"])
def test_names_that_tables_of_results_use_are_taken(name: str) -> None:
    expected = f"can be called '{name}': tables of results use it"
    assert f"no level {expected}" in error(("level.0.name", name))
    assert f"no task {expected}" in error(("task.1.name", name))


def test_a_level_and_a_task_have_different_names() -> None:
    assert "'ctr' is the name of a level and of a task" in error(("level.0.name", "ctr"))


def test_the_column_split_is_taken() -> None:
    for path in ("level.0.column", "task.0.label", "features.user.user.column"):
        assert "the column 'split' is replaced" in error((path, "split"))
    assert describe(("split.column", "split")).split.column == "split"


def test_history_needs_a_time() -> None:
    message = error(("history", [{"name": "h", "keys": ["user"]}]), ("source.time", None))
    assert "history needs source.time" in message


def test_only_what_columns_hold_may_be_infinite() -> None:
    assert describe(("source.missing", [math.inf])).source.missing == (math.inf,)
    endless = {"name": "h", "keys": ["user"], "smoothing": math.inf}
    assert "finite number" in error(("history", [endless]), ("source.time", "day"))


def test_a_missing_key_is_named() -> None:
    without = {key: value for key, value in values().items() if key != "split"}
    with pytest.raises(InputError, match=r"^dataset\.toml: split: Field required$"):
        parse(Description, without, "dataset.toml")


def test_reading_a_file_or_its_folder(tmp_path: Path) -> None:
    text = """
name = "shop"
title = "A shop"
provenance = "public"
licence = "CC0"
source = {table = "log.csv"}
split = {column = "day", train = {last = 2}, validation = {first = 3, last = 3}, test = {first = 4}}
level = [{name = "tab", column = "tab", values = [0, 1]}]
task = [{name = "ctr", label = "click"}]
[features.user]
user = {kind = "categorical"}
"""
    file = tmp_path / "dataset.toml"
    file.write_text(text, encoding="utf-8")
    assert read_description(file) == read_description(tmp_path)
    assert read_description(file).split.train.last == 2
    file.write_text(f"citatoin = 'Somebody'\n{text}", encoding="utf-8")
    with pytest.raises(InputError, match="did you mean 'citation'") as caught:
        read_description(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"name = ", b"= 3", b"\xff\xfe\x00", b"[a]\n[a]"])
def test_a_file_that_is_not_toml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_bytes(content)
    with pytest.raises(InputError, match="not valid TOML"):
        read_description(tmp_path)


def test_a_folder_without_a_description_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="aesm2 describe"):
        read_description(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        ("features.user.p", {"kind": "numeric", "column": "truth_ctr"}),
        ("features.user.truth_ctr", {"kind": "numeric"}),
        ("level.0.column", "truth_role"),
        ("task.0.label", "truth_click"),
        ("task.0.value", "truth_value"),
        ("history", [{"name": "h", "keys": ["user"], "outcomes": ["truth_ctr"]}]),
        ("history", [{"name": "h", "keys": ["truth_role"]}]),
        ("source.time", "truth_time"),
        ("source.join", [{"table": "truth.csv", "on": "truth_id"}]),
        ("split.column", "truth_split"),
        ("split", {"random": {"key": "truth_key"}}),
    ],
)
def test_nothing_may_read_the_truth(change: tuple[str, Any]) -> None:
    assert "columns that begin with 'truth_' hold the truth" in error(change)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({}, "needs column, train, validation and test, or random"),
        ({"column": "day", "train": {}, "test": {}}, "needs column, train, validation and test"),
        ({"column": "day", "random": {}}, "random and column exclude each other"),
        ({"random": {"validation": 0.5, "test": 0.5}}, "leave no rows for training"),
    ],
)
def test_a_split_is_by_intervals_or_random(split: dict[str, Any], message: str) -> None:
    assert message in error(("split", split))


def test_several_scenarios_need_a_column() -> None:
    level = {"name": "tab", "values": ["all"]}
    assert describe(("level.0", level)).input_columns == ("user", "price")
    assert "needs a column" in error(("level.0", level | {"values": ["a", "b"]}))
    assert "needs a column" in error(("level.0", level | {"other": "b"}))


def test_where_a_task_exists() -> None:
    described = describe(("task.1.only", {"tab": [1]}))
    click, buy = described.task
    assert described.exists(click, {"tab": "0"})
    assert [described.exists(buy, {"tab": tab}) for tab in ("0", "1")] == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("task.1.only", {"tba": [1]})], "no level 'tba' (did you mean 'tab'?)"),
        ([("task.1.only", {"tab": [1, 7]})], "only.tab: no scenario '7' (known: 0, 1)"),
        ([("task.1.only", {"tab": []})], "only.tab: no scenario is named (known: 0, 1)"),
        ([("task.0.only", {"tab": [1]})], "task 'ctcvr' follows 'ctr', which exists only in some"),
        (
            [("task.0.only", {"tab": [1]}), ("task.1.only", {"tab": [0, 1]})],
            "task 'ctcvr' follows 'ctr', which exists only in some",
        ),
    ],
)
def test_only_names_scenarios_where_all_before_exist(
    changes: list[tuple[str, Any]], message: str
) -> None:
    assert message in error(*changes)


def test_a_task_may_exist_where_the_one_it_follows_does() -> None:
    narrower = describe(("task.0.only", {"tab": [0, 1]}), ("task.1.only", {"tab": [1]}))
    assert narrower.task[1].only == {"tab": (1,)}
