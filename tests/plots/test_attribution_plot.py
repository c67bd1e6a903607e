"""Attribution figures by their values."""

import numpy as np
import pytest

from aesm2.attribution import means
from aesm2.plots.attribution import (
    LOWERS,
    RAISES,
    attribution_figure,
    attribution_table,
    attribution_words,
    means_alt,
    means_figure,
    ranked,
)
from aesm2.plots.style import PLAIN, scenario_colour, stamp_of
from tests.attribution.test_summary import made

STAMP = "simulated data: a shop, CC0"


def test_bars_are_sorted_by_size_and_add_up() -> None:
    own = made([[0.1, -3.0, 2.0, 0.0, -0.4]])
    figure = attribution_figure(own, ["1", "x", "", "4", "5"], STAMP, most=3)
    (bar,) = figure.data
    np.testing.assert_allclose(bar.x, [-3.0, 2.0, -0.4, 0.1])
    assert sum(bar.x) == pytest.approx(own.contributions.sum())
    assert bar.marker.color == (LOWERS, RAISES, LOWERS, PLAIN)
    assert figure.layout.yaxis.ticktext == ("b = x", "c", "e = 5", "2 others")
    assert bar.text[0] == "−3"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1], "the largest on top"
    low, high = figure.layout.xaxis.range
    assert low < -3
    assert high > 2
    assert stamp_of(figure) == f"integrated gradients, choice held; {STAMP}"


def test_another_row_and_all_features() -> None:
    own = made([[1.0, 2.0], [5.0, -6.0]], "shapley")
    figure = attribution_figure(own, ["", ""], STAMP, row=1)
    assert figure.data[0].x == (-6.0, 5.0)
    assert figure.layout.yaxis.ticktext == ("b", "a")
    table = attribution_table(own, ["p", "q"], 1)
    assert table.to_dict("list") == {
        "feature": ["b", "a"], "value": ["q", "p"], "attribution": [-6.0, 5.0],
    }  # fmt: skip
    assert attribution_words(own, 1) == "Shapley values: the largest are b −6, a +5 (KL, nats)"


def test_nothing_at_all_and_names_from_data_are_harmless() -> None:
    figure = attribution_figure(made([[0.0, 0.0]]), ["<b>x</b>", "y" * 90], STAMP)
    first, second = figure.layout.yaxis.ticktext
    assert first == "a = &lt;b&gt;x&lt;/b&gt;"
    assert len(second) < 40
    assert second.endswith("…")
    low, high = figure.layout.xaxis.range
    assert low <= 0 < high


def test_means_have_a_mark_a_scenario_and_its_interval() -> None:
    own = made([[1.0, -9.0], [3.0, 5.0], [5.0, 1.0], [2.0, 2.0]])
    table = means(own, np.array([0, 0, 2, 2]), ["fr", "it", "xx"])
    assert ranked(table) == ["b", "a"]
    figure = means_figure(table, "mean", "nats", ["fr", "it", "xx"], STAMP)
    every, fr, xx = figure.data
    np.testing.assert_allclose(every.x, [-0.25, 2.75])
    np.testing.assert_allclose(fr.x, [-2.0, 2.0])
    np.testing.assert_allclose(xx.x, [1.5, 3.5])
    assert [every.name, fr.name, xx.name] == ["all rows (n = 4)", "fr (n = 2)", "xx (n = 2)"]
    assert [fr.marker.color, xx.marker.color] == [scenario_colour(0), scenario_colour(2)]
    line = table[(table["scenario"] == "fr") & (table["feature"] == "b")].iloc[0]
    assert fr.error_x.array[0] == pytest.approx(line["high"] - line["mean"])
    assert fr.error_x.arrayminus[0] == pytest.approx(line["mean"] - line["low"])
    assert "KL, nats" in figure.layout.xaxis.title.text
    assert means_alt(table, "nats") == (
        "Over 4 rows the largest mean sizes are b 4.2, a 2.8 (KL, nats)"
    )


def test_mean_sizes_and_a_single_row() -> None:
    table = means(made([[1.0, -9.0], [3.0, 5.0], [5.0, 1.0]]), np.array([0, 0, 1]), ["fr", "it"])
    figure = means_figure(table, "absolute", "nats", ["fr", "it"], STAMP, most=1)
    np.testing.assert_allclose(figure.data[0].x, [5.0])
    alone = figure.data[2]
    assert alone.error_x.array == (0.0,)
    assert "no interval: one row" in alone.hovertext[0]


def test_a_scenario_may_be_called_all() -> None:
    table = means(made([[1.0, -9.0], [3.0, 5.0]]), np.array([0, 1]), ["all", "it"])
    figure = means_figure(table, "mean", "nats", ["all", "it"], STAMP)
    assert [trace.name for trace in figure.data] == [
        "all rows (n = 2)", "all (n = 1)", "it (n = 1)",
    ]  # fmt: skip
    np.testing.assert_allclose(figure.data[1].x, [-9.0, 1.0])
