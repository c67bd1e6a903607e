"""Descriptions in words."""

from typing import Any

import aesm2
from aesm2.data import words
from aesm2.data.description import Split
from tests import small
from tests.data.tables import describe


def test_listed() -> None:
    assert words.listed(["1"]) == "1"
    assert words.listed(["1", "2"]) == "1 and 2"
    assert words.listed(["1", "2", "3"]) == "1, 2 and 3"


def test_where_the_rows_come_from() -> None:
    described = describe(
        ("source", {
            "table": "log.csv", "join": [{"table": "items.csv", "on": "item"}], "time": "at",
            "keep": {"tab": [0, 1, 2]}, "missing": ["-", -999], "dates": {"at": "%d/%m/%Y"},
        }),
    )  # fmt: skip
    assert words.source_words(described) == [
        "Rows are those of log.csv.",
        "items.csv is joined to them on item.",
        "Only rows whose tab is 0, 1 or 2 are kept.",
        "'-' or -999 means that a value is missing.",
        "at holds dates such as %d/%m/%Y.",
        "at orders the rows in time.",
    ]


def split(**values: Any) -> str:
    return words.split_words(Split.model_validate(values))


def test_how_rows_are_divided() -> None:
    intervals = {"train": {"last": 2}, "validation": {"first": 3, "last": 3}, "test": {"first": 4}}
    assert (
        split(column="day", **intervals) == "By day: train up to 2, validation 3 and test from 4."
    )
    drawn = split(random={"validation": 0.1, "test": 0.25, "key": "user", "seed": 7})
    assert drawn.startswith(
        "At random (seed 7): 65% train, 10% validation and 25% test; rows with the same user stay"
        " together. "
    )
    assert "stay together" not in split(random={})


def test_scenarios() -> None:
    levels = [
        {"name": "tab", "title": "Tab", "column": "t", "values": [0, 1, 2], "other": "rest"},
        {"name": "all_of_it", "values": ["shop"]},
    ]
    tab, one = describe(("level", levels)).level
    assert words.level_words(tab) == "Tab, from t: 0, 1 and 2; any other value is rest."
    assert words.level_words(one) == "all_of_it: one scenario, shop, that of every row."


def test_tasks() -> None:
    described = describe(
        ("task.0.positive", ["yes", "sure"]), ("task.1.only", {"tab": [1]}),
        ("task.1.may_be_missing", True), ("task.1.value", "paid"), ("task.1.title", "Sale"),
    )  # fmt: skip
    click, sale = map(words.task_words, described.task)
    assert click == "ctr: click is yes or sure."
    assert sale == (
        "Sale: buy is 1, and ctr is positive too; only where tab is 1; some rows have no label; a"
        " positive is worth its paid."
    )


def test_history_and_refused_columns() -> None:
    described = aesm2.load(small.run() / "checkpoint", "cpu").description
    (block,) = described.history
    assert words.history_words(block) == (
        "user_past: for rows with the same user, how many there were before and how long ago the"
        " last one was, and their mean click, pulled towards the overall mean by 5 pseudo-rows."
        " Rows less than 2 units of time ago do not count."
    )
    assert words.refused(described) == ("buy", "click", "watched")


def test_the_table_of_features() -> None:
    encoder = aesm2.load(small.run() / "checkpoint", "cpu").encoder
    table = words.feature_table(encoder).set_index("feature")
    assert list(table.index) == list(encoder.description.fields)
    assert table.loc["brand"].to_dict() == {
        "group": "item", "column": "brand", "kind": "categorical", "values": 4,
        "encoding": "values seen in training; others are “unseen”",
    }  # fmt: skip
    assert table.loc["user", "encoding"].startswith("values seen 3 times or more")
    assert table.loc["price", "encoding"] == "at most 8 quantile buckets of the training rows"
    for name, size in zip(table.index, encoder.schema.fields, strict=True):
        assert table.loc[name, "values"] == len(encoder.value_names(name)) - 2 == size - 2
