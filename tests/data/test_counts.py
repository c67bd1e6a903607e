"""Impressions, labels and positives, against loops and closed forms."""

import functools
import operator

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.data.batch import Batch
from aesm2.data.counts import Counts, count, rate_pairs, rates, stored_counts
from aesm2.data.scenarios import OVERALL, PATH, path_index
from aesm2.data.statistics import scenario_statistics
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2), parents=(-1, 0, -1))


def partly_labelled(rows: int, seed: int = 0) -> Batch:
    """Random rows: task 1 has no labels in s0 of the first level, task 2 lacks a third of them."""
    batch, rng = cases.batch(SHAPE, rows, seed), np.random.default_rng(seed)
    assert batch.labels is not None
    labels = batch.labels.numpy().copy()
    labels[batch.scenarios[:, 0].numpy() == 0, 1] = np.nan
    labels[rng.random(rows) < 1 / 3, 2] = np.nan
    return Batch(batch.fields, batch.scenarios, torch.from_numpy(labels))


def by_loop(batch: Batch) -> dict[str, np.ndarray]:
    """Count row by row."""
    assert batch.labels is not None
    found = {"impressions": np.zeros(6, int)} | {
        name: np.zeros((6, 3), int) for name in ("labelled", "given", "positives")
    }
    for (a, b), labels in zip(batch.scenarios.tolist(), batch.labels.tolist(), strict=True):
        path = 2 * a + b
        found["impressions"][path] += 1
        for task, (label, parent) in enumerate(zip(labels, SHAPE.parents, strict=True)):
            if label == label:  # not NaN
                found["labelled"][path, task] += 1
                found["given"][path, task] += parent < 0 or labels[parent] == 1
                found["positives"][path, task] += label == 1
    return found


def same(a: Counts, b: Counts) -> None:
    for name in ("impressions", "labelled", "given", "positives"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_counts_are_those_of_a_loop() -> None:
    batch = partly_labelled(400)
    found, wanted = count(batch, SHAPE), by_loop(batch)
    for name, values in wanted.items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    assert (found.labelled[:2, 1] == 0).all()
    assert (found.given < found.labelled).any()


def test_the_sum_is_that_of_all_rows() -> None:
    batch = partly_labelled(300)
    parts = [count(batch[slice(start, start + 100)], SHAPE) for start in (0, 100, 200)]
    same(functools.reduce(operator.add, parts), count(batch, SHAPE))


def test_rows_without_labels_are_an_error() -> None:
    batch = cases.batch(SHAPE, 3)
    with pytest.raises(ValueError, match="no labels"):
        count(Batch(batch.fields, batch.scenarios), SHAPE)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_what_a_checkpoint_stores_gives_the_counts_back(split: str) -> None:
    train, test = partly_labelled(300), partly_labelled(150, seed=1)
    statistics = scenario_statistics({"train": train, "test": test}, SHAPE)
    text = statistics.to_json(orient="records", lines=True)
    read = pd.read_json(pd.io.common.StringIO(text), lines=True, dtype=False)
    counted = {"train": count(train, SHAPE), "test": count(test, SHAPE)}
    counted["all"] = counted["train"] + counted["test"]
    same(stored_counts(read, SHAPE, split), counted[split])


def test_older_statistics_count_every_impression_of_a_scenario_with_labels() -> None:
    statistics = pd.DataFrame(
        {
            "split": ["train", "train"], "level0": ["s0", "s2"], "level1": ["s0", "s1"],
            "impressions": [10, 20], "task0": [4, 5], "task1": [np.nan, 2], "task2": [1, 0],
        }
    )  # fmt: skip
    found = stored_counts(statistics, SHAPE, "all")
    assert found.labelled[[0, 5]].tolist() == [[10, 0, 10], [20, 20, 20]]
    assert found.given[[0, 5]].tolist() == [[10, 0, 10], [20, 5, 20]]
    assert found.positives.sum(0).tolist() == [9, 2, 1]
    assert stored_counts(statistics, SHAPE, "test").impressions.sum() == 0


def test_rates_by_hand() -> None:
    batch = partly_labelled(500)
    counts, wanted = count(batch, SHAPE), by_loop(batch)
    found = rates(counts, "level0").set_index(["task", "of", "scenario"])
    own = wanted["positives"].reshape(3, 2, 3).sum(1)
    for scenario in range(3):
        for task, name in enumerate(SHAPE.tasks):
            line = found.loc[(name, "impressions", f"s{scenario}")]
            assert line["n"] == wanted["labelled"].reshape(3, 2, 3).sum(1)[scenario, task]
            assert line["positives"] == own[scenario, task]
            assert line["rate"] == pytest.approx(
                own[scenario, task] / line["n"] if line["n"] else np.nan, nan_ok=True
            )
    conditional = found.loc[("task1", "task0", "s2")]
    assert conditional["n"] == wanted["given"].reshape(3, 2, 3).sum(1)[2, 1] < own[2, 0] + 1
    assert conditional["low"] < conditional["rate"] < conditional["high"]


def test_the_interval_is_the_one_whose_ends_a_score_test_just_accepts() -> None:
    line = rates(count(partly_labelled(500), SHAPE), OVERALL).iloc[0]
    for end in (line["low"], line["high"]):
        score = (line["rate"] - end) / np.sqrt(end * (1 - end) / line["n"])
        assert abs(score) == pytest.approx(1.959963984540054)


def test_a_task_without_labels_has_no_rate() -> None:
    found = rates(count(partly_labelled(200), SHAPE), PATH)
    gone = found[(found["task"] == "task1") & found["scenario"].str.startswith("s0")]
    assert len(gone) == 2 * 2  # of impressions and of task 0
    assert gone[["rate", "low", "high"]].isna().all(axis=None)
    assert (gone["n"] == 0).all()


def test_every_task_of_impressions_then_along_the_chain() -> None:
    assert rate_pairs(SHAPE) == [
        ("task0", "impressions"), ("task1", "impressions"), ("task2", "impressions"),
        ("task1", "task0"),
    ]  # fmt: skip


def test_statistics_name_partly_labelled_tasks_only() -> None:
    batch = partly_labelled(200)
    found = scenario_statistics({"train": batch}, SHAPE)
    assert list(found.columns[-2:]) == ["task2:labelled", "task2:given"]
    assert found.loc[found["level0"] == "s0", "task1"].isna().all()
    path = path_index(batch.scenarios.numpy(), SHAPE)
    assert len(found) == len(np.unique(path))
