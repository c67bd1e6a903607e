"""The tables by hand-made numbers and by the paper's own; rates and values by what is drawn."""

import math

import numpy as np
import pandas as pd
import pytest

from aesm2.data.counts import Counts, stored_counts
from aesm2.data.description import Description
from aesm2.data.scenarios import PATH
from aesm2.data.schema import Schema
from aesm2.data.worth import Worth
from aesm2.metrics import wilson
from aesm2.plots.data import WIDE, statistics_table, written_statistics
from aesm2.plots.rates import MOST, Panel, panel_figure, panel_table, panel_words, panels
from aesm2.plots.style import scenario_colour
from tests.data.tables import describe

LEVELS = [{"name": "tab", "column": "tab", "values": [0, 1]},
          {"name": "page", "column": "page", "values": ["a", "b"]}]  # fmt: skip
TITLED = (("task.0.title", "Click"), ("task.1.title", "Sale"), ("level", LEVELS))
DESCRIBED = describe(*TITLED)
# 10 + 30 + 60 impressions in training, 100 in test.
COUNTS = pd.DataFrame(
    [
        ("train", "0", "a", 10, 4, 1), ("train", "0", "b", 30, 6, 0),
        ("train", "1", "a", 60, 10, 5), ("test", "0", "a", 100, 0, 0),
    ],
    columns=["split", "tab", "page", "impressions", "ctr", "ctcvr"],
)  # fmt: skip


def schema_of(described: Description) -> Schema:
    return Schema(
        (), tuple(level.scenarios for level in described.level),
        tuple(level.name for level in described.level),
        tuple(task.name for task in described.task), described.parents,
    )  # fmt: skip


def counts_of(stored: pd.DataFrame, described: Description, split: str) -> Counts:
    return stored_counts(stored, schema_of(described), split)


def table_of(stored: pd.DataFrame, described: Description, by: str, split: str) -> pd.DataFrame:
    return statistics_table(counts_of(stored, described, split), described, by)


def test_the_papers_table_by_hand() -> None:
    table = table_of(COUNTS, DESCRIBED, "tab", "train")
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
    text = written_statistics(table_of(counts, described, "path", "all"))
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
    table = table_of(COUNTS, DESCRIBED, "path", "train")
    assert list(table.columns) == ["ALL", "0 → a", "0 → b", "1 → a", "1 → b"]
    assert table.loc["#impressions"].tolist() == [100, 10, 30, 60, 0]
    assert math.isnan(table.loc["#Click / #impressions", "1 → b"])
    assert table.loc["#Click %", "1 → b"] == 0
    text = written_statistics(table).set_index("measure")
    assert text.loc["#Click / #impressions", "1 → b"] == "–"
    assert text.loc["#impressions", "1 → b"] == "0"


def test_a_split_or_all_of_them() -> None:
    def impressions(split: str) -> float:
        return float(table_of(COUNTS, DESCRIBED, "page", split).loc["#impressions", "ALL"])

    assert [impressions(s) for s in ("train", "test", "all", "validation")] == [100, 100, 200, 0]


def test_no_positives_leave_rates_over_them_undefined() -> None:
    table = table_of(COUNTS, DESCRIBED, "tab", "test")
    assert table.loc["#Click / #impressions", "0"] == 0
    assert math.isnan(table.loc["#Sale / #Click", "ALL"])
    assert math.isnan(table.loc["#Sale %", "0"])


def test_tasks_of_the_same_title_go_by_their_names() -> None:
    described = describe(("level", LEVELS), ("task.0.title", "Same"), ("task.1.title", "Same"))
    table = table_of(COUNTS, described, "tab", "train")
    assert list(table.index[:3]) == ["#impressions", "#ctr", "#ctcvr"]


def test_independent_tasks_have_no_conditional_rate() -> None:
    described = describe(
        ("level", LEVELS), ("task", [{"name": n, "label": n} for n in ("ctr", "ctcvr")])
    )
    measures = list(table_of(COUNTS, described, "tab", "all").index)
    assert "#ctcvr / #impressions" in measures
    assert "#ctcvr / #ctr" not in measures


def test_a_task_that_does_not_exist_is_a_dash() -> None:
    described = describe(*TITLED, ("task.1.only", {"tab": [1]}))
    stored = COUNTS.assign(ctcvr=[np.nan, np.nan, 5, np.nan])
    table = table_of(stored, described, "path", "train")
    text = written_statistics(table).set_index("measure")
    assert text.loc["#Sale"].tolist() == ["5", "–", "–", "5", "0"]  # 1 → b has no rows
    assert text.loc["#Sale / #impressions"].tolist() == ["8.33%", "–", "–", "8.33%", "–"]
    assert text.loc["#Sale / #Click"].tolist() == ["50.00%", "–", "–", "50.00%", "–"]
    assert text.loc["#Sale %"].tolist() == ["100.00%", "–", "–", "100.00%", "0.00%"]


def test_a_rate_is_over_the_rows_that_have_the_label() -> None:
    shape = schema_of(DESCRIBED)
    none = np.zeros((4, 2), int)
    labelled, given, positives = none.copy(), none.copy(), none.copy()
    labelled[0], given[0], positives[0] = (10, 5), (10, 3), (4, 2)
    counts = Counts(shape, np.array([20, 0, 0, 0]), labelled, given, positives)
    table = statistics_table(counts, DESCRIBED, "tab")
    assert table.loc["#Click / #impressions", "0"] == 0.4
    assert table.loc["#Sale / #Click", "0"] == pytest.approx(2 / 3)


def test_many_scenarios_are_lines_and_empty_ones_left_out() -> None:
    values = list(range(WIDE + 3))
    described = describe(("level", [{"name": "tab", "column": "tab", "values": values}]))
    stored = pd.DataFrame(
        {"split": "train", "tab": list(map(str, values[2:])), "impressions": 10, "ctr": 4,
         "ctcvr": 1}
    )  # fmt: skip
    text = written_statistics(table_of(stored, described, "tab", "all"))
    assert text["scenario"].tolist() == ["ALL", *map(str, values[2:])]
    assert text["#ctr / #impressions"].tolist() == ["40.00%"] * (len(values) - 1)


def test_a_scenario_called_all_does_not_hide_the_total() -> None:
    described = describe(("level", [{"name": "tab", "column": "tab", "values": ["ALL", "x"]}]))
    stored = pd.DataFrame(
        {"split": ["train"] * 2, "tab": ["ALL", "x"], "impressions": [10, 5], "ctr": [4, 1],
         "ctcvr": [1, 0]}
    )  # fmt: skip
    table = table_of(stored, described, "tab", "all")
    assert table.loc["#impressions"].to_dict() == {"ALL ROWS": 15, "ALL": 10, "x": 5}
    assert list(written_statistics(table).columns) == ["measure", "ALL ROWS", "ALL", "x"]


def test_no_rows_at_all() -> None:
    table = table_of(COUNTS, DESCRIBED, "tab", "validation")
    text = written_statistics(table).set_index("measure")
    assert text.loc["#impressions"].tolist() == ["0", "0", "0"]
    assert text.loc["#impressions %"].tolist() == ["–", "–", "–"]


def panel(number: int = 0, by: str = "tab", split: str = "all") -> Panel:
    return panels(counts_of(COUNTS, DESCRIBED, split), None, DESCRIBED, by)[number]


def test_a_panel_a_rate_all_rows_first_and_no_scenario_without_rows() -> None:
    found = panels(counts_of(COUNTS, DESCRIBED, "train"), None, DESCRIBED, PATH)
    assert [p.title for p in found] == [
        "Click / impressions", "Sale / impressions", "Sale / Click",
    ]  # fmt: skip
    assert found[0].lines["scenario"].tolist() == ["all", "0 → a", "0 → b", "1 → a"]
    assert found[2].lines["n"].tolist() == [20, 4, 6, 10]
    assert found[2].lines["value"].tolist() == pytest.approx([30, 25, 0, 50])
    assert found[0].lines["told"].iloc[0] == "20 of 100"


def test_dots_stand_at_the_rates_with_wilsons_interval() -> None:
    figure = panel_figure(panel(), DESCRIBED, "stamp")
    (dots,) = figure.data
    assert list(dots.x) == pytest.approx([10, 100 * 10 / 140, 100 * 10 / 60])
    low, high = wilson(np.array([20, 10, 10]), np.array([200, 140, 60]))
    np.testing.assert_allclose(dots.error_x.array, 100 * high - dots.x)
    np.testing.assert_allclose(dots.error_x.arrayminus, dots.x - 100 * low)
    assert list(figure.layout.yaxis.ticktext) == [
        "all rows<br>n = 200", "tab 0<br>n = 140", "tab 1<br>n = 60",
    ]  # fmt: skip
    assert list(dots.marker.color)[1:] == [scenario_colour(0), scenario_colour(1)]
    assert dots.marker.symbol[0] == "diamond"
    (line,) = figure.layout.shapes
    assert line.x0 == 10
    assert "10 of 60" in dots.hovertext[2]
    assert (figure.layout.xaxis.type, figure.layout.xaxis.rangemode) == (None, "tozero")


def test_fine_grained_scenarios_have_the_colour_of_their_first_level() -> None:
    (dots,) = panel_figure(panel(by=PATH), DESCRIBED, "stamp").data
    assert list(dots.marker.color)[1:] == [scenario_colour(i) for i in (0, 0, 1)]


def test_rates_far_apart_stand_on_a_logarithmic_axis_and_0_is_an_arrow() -> None:
    stored = COUNTS.assign(impressions=1000, ctr=[500, 5, 20, 0], ctcvr=0)
    (found, *_) = panels(counts_of(stored, DESCRIBED, "train"), None, DESCRIBED, PATH)
    (whole, *_) = panels(counts_of(stored, DESCRIBED, "all"), None, DESCRIBED, "tab")
    assert found.logarithmic
    assert not whole.logarithmic
    lines = found.lines.assign(value=[17.5, 50, 0, 2])
    lines.loc[2, ["low", "high"]] = 0, 0.4
    figure = panel_figure(
        Panel(found.key, found.by, found.title, found.axis, lines), DESCRIBED, "stamp"
    )
    (dots,) = figure.data
    assert figure.layout.xaxis.type == "log"
    assert dots.x[2] == 0.4
    assert dots.marker.symbol[2] == "triangle-left-open"
    start, end = figure.layout.xaxis.range
    ends = found.lines[["low", "high"]].drop(2).to_numpy()
    assert 10**start < ends.min() < ends.max() < 10**end
    assert {0.5, 1, 2, 5, 10, 20} <= set(figure.layout.xaxis.tickvals)
    assert "logarithmic" in figure.layout.xaxis.title.text


def test_a_task_without_labels_has_nothing_to_measure() -> None:
    stored = COUNTS.assign(ctcvr=np.nan)
    for found in panels(counts_of(stored, DESCRIBED, "all"), None, DESCRIBED, "tab")[1:]:
        figure = panel_figure(found, DESCRIBED, "stamp")
        (dots,) = figure.data
        assert all("nothing to measure" in text for text in dots.text)
        assert list(dots.marker.size) == [0, 0, 0]
        assert np.isfinite(np.asarray(dots.x, float)).all()
        assert not figure.layout.shapes
        assert "nothing to measure" in panel_words(found)


def test_values_per_thousand_impressions_have_a_panel() -> None:
    shape = schema_of(DESCRIBED)
    n = np.array([[10.0], [30], [60], [0]])
    total = np.array([[50.0], [0], [300], [0]])
    worth = Worth(shape, ("ctcvr",), n, np.array([[1.0], [0], [5], [0]]), 0 * n, total, 60 * total)
    found = panels(counts_of(COUNTS, DESCRIBED, "train"), worth, DESCRIBED, "tab")[-1]
    assert (found.title, found.key) == ("Value of Sale", "ctcvr-value")
    assert found.lines["value"].tolist() == [3500, 1250, 5000]
    assert found.lines["told"].tolist()[2] == "5 positives, worth 300"
    assert panel_figure(found, DESCRIBED, "stamp").layout.xaxis.title.text == (
        "value per 1,000 impressions"
    )


def test_the_numbers_behind_a_panel_and_its_words() -> None:
    found = panel(by=PATH, split="train")
    table = panel_table(found)
    assert list(table.columns) == ["scenario", "n", "positives", "%", "95 % low", "95 % high"]
    assert table["scenario"].tolist() == ["all rows", "0 → a", "0 → b", "1 → a"]
    assert table["%"].tolist() == pytest.approx([20, 40, 20, 100 / 6])
    assert panel_words(found) == "Click / impressions, %: from 16.7 (1 → a) to 40 (0 → a)"


def test_of_many_scenarios_those_with_most_impressions_are_drawn() -> None:
    values = list(range(MOST + 5))
    described = describe(("level", [{"name": "tab", "column": "tab", "values": values}]))
    stored = pd.DataFrame(
        {"split": "train", "tab": list(map(str, values)), "impressions": [10 + v for v in values],
         "ctr": 4, "ctcvr": 1}
    )  # fmt: skip
    (found, *_) = panels(counts_of(stored, described, "all"), None, described, "tab")
    figure = panel_figure(found, described, "stamp")
    drawn = [tick.split("<br>")[0] for tick in figure.layout.yaxis.ticktext]
    assert drawn == ["all rows", *(f"tab {v}" for v in values[5:])]
    assert len(panel_table(found)) == len(values) + 1


def test_a_count_is_a_count_whatever_its_task_is_called() -> None:
    described = describe(("task.0.title", "Like/Share"), ("task.1.title", "Over 50 %"), TITLED[-1])
    counts = stored_counts(COUNTS, schema_of(described), "all")
    written = written_statistics(statistics_table(counts, described, "tab")).set_index("measure")
    assert written.loc[["#Like/Share", "#Over 50 %"], "ALL"].tolist() == ["20", "6"]
    assert written.loc["#Like/Share / #impressions", "ALL"] == "10.00%"
