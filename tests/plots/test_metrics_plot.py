"""Tables by hand-made numbers, and the dot plot by its values."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aesm2.plots.metrics import (
    UNDEFINED,
    UNLABELLED,
    comparison_table,
    measured,
    metrics_figure,
    metrics_table,
)
from aesm2.plots.style import scenario_colour
from tests.data.tables import describe

LEVELS = [{"name": "tab", "column": "tab", "values": [0, 1]},
          {"name": "page", "column": "page", "values": ["a", "b"]}]  # fmt: skip
TITLED = (
    ("task.0.title", "Click"),
    ("task.1.title", "Sale"),
    ("level", LEVELS),
)
DESCRIBED = describe(*TITLED)


def line(scope: str, scenario: str, task: str, auc: float, **more: Any) -> dict[str, Any]:
    defaults = {
        "n": 100, "positives": 20, "rate": 0.2, "mean_prediction": 0.25, "auc_low": auc - 0.1,
        "auc_high": auc + 0.05, "log_loss": 0.5, "split": "test",
    }  # fmt: skip
    return {"scope": scope, "scenario": scenario, "task": task, "auc": auc} | defaults | more


NAN = math.nan
EVALUATION = pd.DataFrame(
    [
        line("all", "all", "ctr", 0.7), line("all", "all", "ctcvr", 0.8),
        line("tab", "0", "ctr", 0.6), line("tab", "0", "ctcvr", NAN, positives=0, rate=0.0),
        line("tab", "1", "ctr", 0.9, auc_low=NAN, auc_high=NAN), line("tab", "1", "ctcvr", 0.75),
        line("path", "1 → b", "ctr", 0.5), line("all", "all", "ctr", 0.65, split="validation"),
    ]
)  # fmt: skip


def test_lines_of_a_split_and_scope() -> None:
    assert len(measured(EVALUATION, "test", paths=False)) == 6
    assert measured(EVALUATION, "test", paths=True)["scenario"].tolist() == ["1 → b"]
    assert measured(EVALUATION, "validation", paths=False)["auc"].tolist() == [0.65]
    assert measured(EVALUATION, "train", paths=False).empty


def test_the_metrics_table() -> None:
    table = metrics_table(measured(EVALUATION, "test", paths=False))
    assert table["AUC × 100"].tolist() == ["70.00", "80.00", "60.00", UNDEFINED, "90.00", "75.00"]
    first, undefined = table.iloc[0], table.iloc[3]
    assert (first["95 % low"], first["95 % high"]) == (60, 75)
    assert (first["rate %"], first["mean prediction %"]) == (20, 25)
    assert first["predicted / actual"] == 1.25
    assert math.isnan(undefined["predicted / actual"])


def test_dots_intervals_and_what_is_undefined() -> None:
    figure = metrics_figure(measured(EVALUATION, "test", paths=False), DESCRIBED, "stamp")
    ctr, ctcvr = figure.data
    assert list(ctr.x) == pytest.approx([70, 60, 90])
    assert list(ctr.error_x.array) == pytest.approx([5, 5, 0])
    assert list(ctr.error_x.arrayminus) == pytest.approx([10, 10, 0])
    assert list(ctr.marker.color)[1:] == [scenario_colour(0), scenario_colour(1)]
    assert ctr.marker.symbol[0] == "diamond"
    assert "no interval" in ctr.hovertext[2]
    assert [text.strip() for text in ctcvr.text] == ["", UNDEFINED, ""]
    assert ctcvr.marker.size[1] == 0
    assert UNDEFINED in ctcvr.hovertext[1]
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    low, high = figure.layout.xaxis.range
    assert low <= 50 < 90 <= high <= 100.5
    lines = sorted(shape.x0 for shape in figure.layout.shapes)
    assert lines == pytest.approx([70, 80])
    assert figure.layout.yaxis.ticktext[0] == "all rows (n = 100)"
    titles = [a.text for a in figure.layout.annotations]
    assert {"Click", "Sale", "stamp"} <= set(titles)


def test_paths_have_the_colour_of_their_first_level() -> None:
    figure = metrics_figure(measured(EVALUATION, "test", paths=True), DESCRIBED, "stamp")
    (ctr,) = figure.data
    assert list(ctr.marker.color) == [scenario_colour(1)]
    assert len(figure.layout.shapes) == 0


def test_nothing_defined_is_drawn_all_the_same() -> None:
    lines = pd.DataFrame([line("all", "all", "ctr", NAN), line("tab", "0", "ctr", NAN)])
    figure = metrics_figure(lines.astype({"auc": object}), DESCRIBED, "stamp")
    assert figure.layout.xaxis.range == (0, 100)
    assert np.isfinite(np.asarray(figure.data[0].x, float)).all()


def test_runs_side_by_side() -> None:
    other = EVALUATION.assign(auc=EVALUATION["auc"] + 0.01)
    other.loc[2, "n"] = 99
    table = comparison_table({"a": EVALUATION, "b": other}, "test")
    assert list(table.columns) == ["scope", "scenario", "task", "n", "a", "b", "b: difference"]
    assert table["a"].tolist()[:2] == [70, 80]
    assert table["b: difference"].tolist()[:2] == pytest.approx([1, 1])
    assert math.isnan(table.loc[2, "b: difference"])  # other rows
    assert math.isnan(table.loc[3, "b: difference"])  # undefined
    assert "path" not in set(table["scope"])


def test_a_run_of_other_data_has_no_values_to_compare() -> None:
    other = EVALUATION.assign(scenario=EVALUATION["scenario"] + "?")
    table = comparison_table({"a": EVALUATION, "b": other}, "test")
    assert table["b"].isna().all()
    assert table["b: difference"].isna().all()
    assert len(table) == 6


def test_a_task_without_labels_somewhere_says_so_and_n_is_that_of_any_task() -> None:
    gone = {"n": 0, "positives": 0, "rate": NAN, "mean_prediction": NAN, "log_loss": NAN}
    lines = pd.DataFrame(
        [line("tab", "0", "ctr", NAN, **gone), line("tab", "0", "ctcvr", 0.7, n=40)]
    )
    assert metrics_table(lines)["AUC × 100"].tolist() == [UNLABELLED, "70.00"]
    figure = metrics_figure(lines, DESCRIBED, "stamp")
    assert figure.layout.yaxis.ticktext[0] == "tab 0 (n = 40)"
    assert figure.data[0].text[0].strip() == UNLABELLED
    assert UNLABELLED in figure.data[0].hovertext[0]
    assert "(n = 40)" in figure.data[1].hovertext[0]
