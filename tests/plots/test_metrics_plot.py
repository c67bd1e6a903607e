"""Tables by hand-made numbers, and the dot plot by its values."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aesm2.plots.metrics import (
    UNDEFINED,
    comparison_table,
    measured,
    metrics_figure,
    metrics_table,
    statistics_table,
    written_statistics,
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
# 10 + 30 + 60 impressions in training, 100 in test.
COUNTS = pd.DataFrame(
    [
        ("train", "0", "a", 10, 4, 1), ("train", "0", "b", 30, 6, 0),
        ("train", "1", "a", 60, 10, 5), ("test", "0", "a", 100, 0, 0),
    ],
    columns=["split", "tab", "page", "impressions", "ctr", "ctcvr"],
)  # fmt: skip


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


def test_the_papers_table_by_hand() -> None:
    table = statistics_table(COUNTS, DESCRIBED, "tab", "train")
    assert list(table.columns) == ["ALL", "0", "1"]
    expected = {
        "#impressions": [100, 40, 60],
        "#Click": [20, 10, 10],
        "#Sale": [6, 1, 5],
        "#Click / #impressions": [0.2, 0.25, 1 / 6],
        "#Sale / #impressions": [0.06, 0.025, 5 / 60],
        "#Sale / #Click": [0.3, 0.1, 0.5],
        "#impressions %": [1, 0.4, 0.6],
        "#Click %": [1, 0.5, 0.5],
        "#Sale %": [1, 1 / 6, 5 / 6],
    }
    assert list(table.index) == list(expected)
    for measure, values in expected.items():
        assert table.loc[measure].to_list() == pytest.approx(values), measure


def test_the_numbers_of_the_papers_table_1() -> None:
    """Table 1 of the paper; it prints 6.00 % where its own counts give 6.0065 %."""
    paths = [("HP", "RI"), ("HP", "BS"), ("VP", "RI"), ("VP", "BS")]
    impressions = [12_543_990, 27_930_226, 49_919_544, 6_218_734]
    clicks, sales = [3_554_662, 650_338, 21_833_316, 481_028], [310_917, 25_495, 1_311_422, 16_806]
    counts = pd.DataFrame(paths, columns=["tab", "page"]).assign(
        split="train", impressions=impressions, ctr=clicks, ctcvr=sales
    )
    levels = [{"name": "tab", "column": "tab", "values": ["HP", "VP"]},
              {"name": "page", "column": "page", "values": ["RI", "BS"]}]  # fmt: skip
    described = describe(*TITLED[:2], ("level", levels))
    text = written_statistics(statistics_table(counts, described, "path", "all"))
    written = text.set_index("measure").to_dict(orient="index")
    assert list(text.columns) == ["measure", "ALL", "HP → RI", "HP → BS", "VP → RI", "VP → BS"]

    def numbers(measure: str) -> list[str]:
        return list(written[measure].values())

    assert numbers("#impressions")[0] == "96,612,494"
    assert numbers("#Click / #impressions") == ["27.45%", "28.34%", "2.33%", "43.74%", "7.74%"]
    assert numbers("#Sale / #Click") == ["6.28%", "8.75%", "3.92%", "6.01%", "3.49%"]
    assert numbers("#impressions %") == ["100.00%", "12.98%", "28.91%", "51.67%", "6.44%"]
    assert numbers("#Click %")[3] == "82.33%"


def test_fine_grained_scenarios_without_rows_are_there_with_zeros() -> None:
    table = statistics_table(COUNTS, DESCRIBED, "path", "train")
    assert list(table.columns) == ["ALL", "0 → a", "0 → b", "1 → a", "1 → b"]
    assert table.loc["#impressions"].tolist() == [100, 10, 30, 60, 0]
    assert math.isnan(table.loc["#Click / #impressions", "1 → b"])
    assert table.loc["#Click %", "1 → b"] == 0
    text = written_statistics(table).set_index("measure")
    assert text.loc["#Click / #impressions", "1 → b"] == "–"
    assert text.loc["#impressions", "1 → b"] == "0"


def test_a_split_or_all_of_them() -> None:
    def impressions(split: str) -> float:
        return float(statistics_table(COUNTS, DESCRIBED, "page", split).loc["#impressions", "ALL"])

    assert [impressions(s) for s in ("train", "test", "all", "validation")] == [100, 100, 200, 0]


def test_no_positives_leave_rates_over_them_undefined() -> None:
    table = statistics_table(COUNTS, DESCRIBED, "tab", "test")
    assert table.loc["#Click / #impressions", "0"] == 0
    assert math.isnan(table.loc["#Sale / #Click", "ALL"])
    assert math.isnan(table.loc["#Sale %", "0"])


def test_tasks_of_the_same_title_go_by_their_names() -> None:
    described = describe(("level", LEVELS), ("task.0.title", "Same"), ("task.1.title", "Same"))
    table = statistics_table(COUNTS, described, "tab", "train")
    assert list(table.index[:3]) == ["#impressions", "#ctr", "#ctcvr"]


def test_independent_tasks_have_no_conditional_rate() -> None:
    described = describe(
        ("level", LEVELS), ("task", [{"name": n, "label": n} for n in ("ctr", "ctcvr")])
    )
    measures = list(statistics_table(COUNTS, described, "tab", "all").index)
    assert "#ctcvr / #impressions" in measures
    assert "#ctcvr / #ctr" not in measures


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
