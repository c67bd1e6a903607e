"""Heatmap and dots by their values."""

import numpy as np
import pytest

from aesm2.data.drift import FEW, Drift
from aesm2.errors import InputError
from aesm2.plots.distribution import (
    MOST_SETS,
    MOST_VALUES,
    OTHERS,
    SYMBOLS,
    distribution,
    distribution_figure,
    distribution_table,
)
from aesm2.plots.drift import MOST, compared, drift_figure, drift_table, drift_words, ranked
from aesm2.plots.style import scenario_colour

NAN = np.nan
FEATURES, SETS = ["age", "brand", "city"], ["tab 0", "tab 1", "tab 2"]
FOUND = Drift(  # brand differs most, age hardly; tab 1 has no rows
    np.array([[100, 0, FEW - 1], [500, 600, 571]]),
    np.array([[0.010, NAN, 0.02], [0.5, NAN, 0.4], [0.2, NAN, 0.1]]),
    np.array([[0.010, NAN, 0.01], [0.1, NAN, 0.2], [0.0, NAN, 0.05]]),
    np.array([[0.020, NAN, 0.03], [0.2, NAN, 0.3], [0.01, NAN, 0.2]]),
)


def test_features_that_differ_most_come_first() -> None:
    assert ranked(FOUND) == [1, 2, 0]
    assert compared(FOUND) == [0, 2]


def test_cells_are_beyond_chance_and_brackets_within() -> None:
    heat, targets = drift_figure(FOUND, FEATURES, SETS, 2, 9, "stamp").data
    np.testing.assert_allclose(
        np.array(heat.z), [[0.4 / 0.9, 0.25], [0.2, 0.05 / 0.95], [0, 0.01 / 0.99]]
    )
    assert np.array(heat.text).tolist() == [["0.44", "0.25"], ["0.20", "(0.05)"],
                                            ["(0.00)", "(0.01)"]]  # fmt: skip
    assert list(targets.customdata) == [1, 1, 2, 2, 0, 0]
    assert list(zip(targets.x, targets.y, strict=True))[3] == (1, 1)
    assert "tab 2: 29 and 571 rows" in targets.hovertext[1]


def test_one_scale_from_0_to_1_and_the_chosen_feature_is_framed() -> None:
    figure = drift_figure(FOUND, FEATURES, SETS, 2, 9, "stamp")
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    (frame,) = figure.layout.shapes
    assert (frame.y0, frame.y1) == (0.5, 1.5)
    assert list(figure.layout.yaxis.ticktext) == ["brand", "city", "age"]


def test_the_most_different_alone() -> None:
    figure = drift_figure(FOUND, FEATURES, SETS, 0, 2, "stamp")
    assert list(figure.layout.yaxis.ticktext) == ["brand", "city"]
    assert not figure.layout.shapes  # the chosen one is not among them


def test_few_rows_are_flagged_and_n_is_shown() -> None:
    ticks = drift_figure(FOUND, FEATURES, SETS, 0, 9, "stamp").layout.xaxis.ticktext
    assert list(ticks) == ["tab 0 (n = 100)", "⚠ tab 2 (n = 29)"]


def test_of_many_comparisons_those_with_most_rows_are_drawn() -> None:
    count = MOST + 6
    rows = np.stack([np.arange(count) + 40, np.full(count, 500)])
    drift = Drift(rows, *(np.full((1, count), v) for v in (0.4, 0.1, 0.2)))
    names = [f"scenario {s}" for s in range(count)]
    figure = drift_figure(drift, ["age"], names, 0, 9, "stamp")
    drawn = [tick.split(" (")[0] for tick in figure.layout.xaxis.ticktext]
    assert drawn == names[6:]
    assert len(drift_table(drift, ["age"], names)) == count


def test_nothing_to_compare() -> None:
    alone = Drift(np.array([[10], [0]]), *(np.full((3, 1), NAN) for _ in range(3)))
    with pytest.raises(InputError, match="nothing to compare"):
        drift_figure(alone, FEATURES, ["all"], 0, 9, "stamp")
    assert drift_table(alone, FEATURES, ["all"]).empty


def test_the_table_has_what_the_cells_are_made_of() -> None:
    table = drift_table(FOUND, FEATURES, SETS)
    assert table["feature"].tolist() == ["brand", "brand", "city", "city", "age", "age"]
    line = table.iloc[1]
    assert (line["set"], line["rows"], line["rows of other"]) == ("tab 2", 29, 571)
    assert line["divergence (bits)"] == 0.4
    assert line["beyond chance"] == pytest.approx((0.4 - 0.2) / 0.8)
    assert table["clear"].tolist() == [True, True, True, False, False, False]


def test_words_name_the_most_and_the_least_different() -> None:
    assert drift_words(FOUND, FEATURES, SETS) == "brand differs most, 0.44 in tab 0; age least"


def test_shares_of_each_set() -> None:
    counts = np.array([[2, 0, 6, 2], [0, 0, 0, 0], [5, 0, 0, 15]])
    shown = distribution("age", ["missing", "unseen", "< 3", "≥ 3"], True, SETS, counts)
    assert shown.sets == ("tab 0", "tab 2")
    assert shown.rows.tolist() == [10, 20]
    assert shown.names == ("missing", "< 3", "≥ 3")  # nobody is unseen
    assert shown.share.tolist() == [[0.2, 0.6, 0.2], [0.25, 0, 0.75]]
    table = distribution_table(shown)
    assert table["tab 2 (n = 20) %"].tolist() == [25, 0, 75]


def test_a_set_keeps_its_colour_and_shape_where_others_are_left_out() -> None:
    counts = np.diag([50 - s for s in range(MOST_SETS + 3)])
    counts[0] = 0
    names = [f"s{s}" for s in range(len(counts))]
    shown = distribution("age", names, True, names, counts)
    assert shown.sets == tuple(names[1 : MOST_SETS + 1])
    dots = distribution_figure(shown, "stamp").data[1:]
    assert [d.marker.symbol for d in dots][:5] == list(SYMBOLS[1:])
    assert [d.marker.color for d in dots] == [scenario_colour(s) for s in range(1, MOST_SETS + 1)]


def test_of_many_values_those_that_tell_the_sets_apart_come_first() -> None:
    count = MOST_VALUES + 5
    counts = np.full((2, count), 10)
    counts[1, 7], counts[0, 3] = 90, 50
    names = [f"v{i}" for i in range(count)]
    shown = distribution("item", names, False, ["a", "b"], counts)
    assert shown.names[:2] == ("v7", "v3")
    assert shown.names[-1] == OTHERS
    assert len(shown.names) == MOST_VALUES + 1
    assert shown.share.sum(1).tolist() == pytest.approx([1, 1])
    figure = distribution_figure(shown, "stamp")  # one dot would dwarf all others
    assert list(figure.layout.yaxis.ticktext) == list(shown.names[:-1])
    rest = 100 * shown.share[:, -1]
    assert f"{OTHERS}: {rest[1]:.3g} to {rest[0]:.3g} %" in figure.layout.xaxis.title.text
    in_order = distribution("age", names, True, ["a", "b"], counts)
    assert in_order.names == tuple(names)


def test_a_dot_a_set_and_a_line_that_spans_them() -> None:
    shown = distribution("age", ["a", "b"], True, ["train", "test"], np.array([[1, 3], [5, 5]]))
    span, train, test = distribution_figure(shown, "stamp").data
    assert list(train.x) == [25, 75]
    assert list(test.x) == [50, 50]
    assert (train.name, test.name) == ("train (n = 4)", "test (n = 10)")
    assert list(span.x) == [25, 50, None, 50, 75, None]
    assert list(span.y) == [0, 0, None, 1, 1, None]
    assert train.marker.symbol != test.marker.symbol
    assert train.marker.color != test.marker.color
