"""Metrics per scenario and task, against the rows picked by hand."""

import dataclasses
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index, path_names
from aesm2.data.schema import Schema
from aesm2.evaluation import evaluate, measure, overall_score
from aesm2.inference import probabilities
from tests import small
from tests.models import cases

SHAPE = Schema(
    fields=(3,),
    levels=(("a", "b", "c"), ("x", "y")),
    level_names=("country", "page"),
    tasks=("ctr", "ctcvr"),
    parents=(-1, 0),
)


def case(rows: int = 200, seed: int = 0) -> tuple[np.ndarray, Batch]:
    """Predictions and rows; no row is in scenario c, and none of b → y has a second task."""
    rng = np.random.default_rng(seed)
    scenarios = np.stack([rng.integers(0, 2, rows), rng.integers(0, 2, rows)], 1)
    labels = rng.integers(0, 2, (rows, 2)).astype(np.float32)
    labels[:, 1] *= labels[:, 0]
    labels[(scenarios == [1, 1]).all(1), 1] = 0
    predicted = np.round(rng.random((rows, 2)), 1).astype(np.float32)  # with ties
    fields = np.zeros((rows, 1), np.int32)
    return predicted, Batch(*map(torch.from_numpy, (fields, scenarios, labels)))


def slow_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


def test_every_scope_scenario_and_task_has_a_line_in_order() -> None:
    metrics = measure(*case(), SHAPE)
    scopes = [
        ("all", "all"),
        ("country", "a"),
        ("country", "b"),
        ("country", "c"),
        ("page", "x"),
        ("page", "y"),
        *(("path", f"{country} → {page}") for country in "abc" for page in "xy"),
    ]
    expected = [(*scope, task) for scope in scopes for task in ("ctr", "ctcvr")]
    assert list(zip(metrics["scope"], metrics["scenario"], metrics["task"], strict=True)) == (
        expected
    )
    assert list(metrics.columns) == [
        "scope", "scenario", "task", "n", "positives", "rate", "mean_prediction", "auc",
        "auc_low", "auc_high", "log_loss",
    ]  # fmt: skip


def test_every_number_is_that_of_the_rows_of_its_scenario() -> None:
    predicted, batch = case()
    labels, scenarios = batch.labels.numpy(), batch.scenarios.numpy()
    country, page = np.array(list("abc"))[scenarios[:, 0]], np.array(list("xy"))[scenarios[:, 1]]
    for line in measure(predicted, batch, SHAPE).to_dict("records"):
        match line["scope"]:
            case "all":
                rows = np.ones(len(labels), bool)
            case "country":
                rows = country == line["scenario"]
            case "page":
                rows = page == line["scenario"]
            case _:
                rows = np.char.add(np.char.add(country, " → "), page) == line["scenario"]
        task = ["ctr", "ctcvr"].index(line["task"])
        y, p = labels[rows, task], predicted[rows, task].astype(float)
        assert line["n"] == rows.sum()
        assert line["positives"] == y.sum()
        if rows.any():
            assert line["rate"] == pytest.approx(y.mean())
            assert line["mean_prediction"] == pytest.approx(p.mean(), rel=1e-6)
            q = np.clip(p, 1e-7, 1 - 1e-7)
            entropy = -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))
            assert line["log_loss"] == pytest.approx(entropy)
        assert line["auc"] == pytest.approx(slow_auc(y, p), nan_ok=True)
        if not math.isnan(line["auc"]):
            assert 0 <= line["auc_low"] < line["auc"] < line["auc_high"] <= 1


def test_where_a_class_is_missing_the_auc_is_undefined_not_a_half() -> None:
    metrics = measure(*case(), SHAPE).set_index(["scope", "scenario", "task"])
    single = metrics.loc[("path", "b → y", "ctcvr")]
    assert single["n"] > 0
    assert single["positives"] == 0
    assert single[["auc", "auc_low", "auc_high"]].isna().all()
    assert math.isfinite(single["log_loss"])
    empty = metrics.loc[("country", "c", "ctr")]
    assert empty["n"] == empty["positives"] == 0
    assert empty.drop(["n", "positives"]).isna().all()


def test_levels_and_paths_add_up_to_all() -> None:
    metrics = measure(*case(), SHAPE)
    for _, of_task in metrics.groupby("task"):
        totals = of_task.groupby("scope")[["n", "positives"]].sum()
        assert (totals == totals.loc["all"]).all(axis=None)


def test_paths_are_left_out_on_request_and_with_a_single_level() -> None:
    predicted, batch = case()
    assert "path" not in set(measure(predicted, batch, SHAPE, paths=False)["scope"])
    one = dataclasses.replace(SHAPE, levels=SHAPE.levels[:1], level_names=("country",))
    single = Batch(batch.fields, batch.scenarios[:, :1], batch.labels)
    assert set(measure(predicted, single, one)["scope"]) == {"all", "country"}


def test_the_score_is_the_mean_of_the_tasks_over_all_rows() -> None:
    metrics = measure(*case(), SHAPE)
    overall = metrics[metrics["scope"] == "all"]["auc"]
    assert overall_score(metrics) == pytest.approx(overall.sum() / 2)
    without = metrics.assign(auc=metrics["auc"].where(metrics["task"] == "ctr"))
    assert overall_score(without) == overall.iloc[0]  # an undefined task does not count
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        undefined = overall_score(metrics.assign(auc=math.nan))
    losses = metrics[metrics["scope"] == "all"]["log_loss"]
    assert undefined == pytest.approx(-losses.mean())


def test_rows_without_a_label_do_not_count() -> None:
    predicted, batch = case()
    assert batch.labels is not None
    masked = batch.labels.clone()
    masked[::3, 1] = math.nan
    found = measure(predicted, Batch(batch.fields, batch.scenarios, masked), SHAPE)
    kept = torch.arange(len(batch)) % 3 != 0
    wanted = measure(predicted[kept.numpy()], batch[kept], SHAPE)
    every = measure(predicted, batch, SHAPE)
    of = {name: frame[frame["task"] == SHAPE.tasks[1]] for name, frame in
          {"found": found, "wanted": wanted}.items()}  # fmt: skip
    pd.testing.assert_frame_equal(of["found"], of["wanted"])
    first = SHAPE.tasks[0]
    pd.testing.assert_frame_equal(found[found["task"] == first], every[every["task"] == first])


def test_labels_are_needed() -> None:
    predicted, batch = case()
    with pytest.raises(ValueError, match="evaluation needs labels"):
        measure(predicted, Batch(batch.fields, batch.scenarios), SHAPE)


def test_a_model_is_measured_by_its_probabilities() -> None:
    import aesm2
    from aesm2.data.dataset import Dataset

    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    batch = opened.encode(Dataset.open(small.dataset()).split("test"), labels=True)
    found = evaluate(opened.model, batch)
    expected = measure(probabilities(opened.model, batch), batch, opened.model.schema)
    pd.testing.assert_frame_equal(found, expected)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 100))
def test_a_path_has_the_index_of_its_name(levels: list[int], seed: int) -> None:
    shape = cases.schema(tuple(levels))
    names = path_names(shape)
    assert len(set(names)) == len(names) == math.prod(levels)
    scenarios = cases.batch(shape, 20, seed).scenarios.numpy()
    for row, index in zip(scenarios, path_index(scenarios, shape), strict=True):
        assert names[index] == " → ".join(f"s{i}" for i in row)
