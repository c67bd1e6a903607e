"""Figures of two models side by side and of the masking rule, by their values."""

import numpy as np
import pandas as pd
import pytest

from aesm2.plots import alignment as plot
from aesm2.plots.audit import case_figure, moved_figure
from aesm2.plots.grid import grid_figure
from aesm2.routing.alignment import NONE, align, use_difference
from aesm2.routing.audit import LayerAudit
from aesm2.routing.trace import LayerSpec
from tests.routing.test_alignment import SHAPE, choices

STAMP = "simulated data: cases, CC0"
A = choices([[0], [1], [2]], [[0], [1], [2]])
B = choices([[1], [0], [0]], [[1], [0], [0]])


def test_counterparts_stand_on_the_diagonal() -> None:
    found = align(A, B)
    figure = plot.similarity_figure(found, ("a", "b"), STAMP)
    order = plot.column_order(found)
    np.testing.assert_allclose(figure.data[0].z, found.similarity[:, order])
    assert len(figure.layout.shapes) == 2
    assert [figure.data[0].z[int(s.y0 + 0.5)][int(s.x0 + 0.5)] for s in figure.layout.shapes] == [
        pytest.approx(found.similarity[k, found.expert[k]]) for k in found.pairs[0]
    ]
    assert "overlap by" in plot.similarity_words(found)


def test_differences_of_use_are_points_around_zero() -> None:
    found = align(A, B)
    values = use_difference(A, B, found, 0, np.zeros(3, np.int64), 1)
    figure = plot.use_figure(values, ["all rows"], found, STAMP)
    np.testing.assert_allclose(figure.data[0].z, 100 * values[0])
    axis = figure.layout.coloraxis
    assert axis.cmin == -axis.cmax
    assert [f"{k}↔–" in figure.data[0].x for k in np.flatnonzero(found.expert == NONE)] == [True]


def test_densities_count_every_row() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(500), rng.random(500)
    heat = plot.density_figure(a, b, ("a", "b"), STAMP).data[0]
    assert np.sum(heat.customdata) == 500
    bars = plot.change_figure(b - a, STAMP).data[0]
    assert np.sum(bars.y) == 500
    same = plot.change_figure(np.zeros(9), STAMP).data[0]
    assert np.sum(same.y) == 9
    assert np.sum(plot.density_figure(a[:1], a[:1], ("a", "b"), STAMP).data[0].customdata) == 1


def test_the_rows_of_largest_change_come_first() -> None:
    a, b = np.array([0.5, 0.5, 0.5]), np.array([0.6, 0.1, 0.5])
    table = plot.change_table(a, b, ["x", "y", "z"])
    assert table["row"].tolist() == ["y", "x", "z"]
    assert table["difference"].tolist() == pytest.approx([-0.4, 0.1, 0.0])


def test_the_grid_keeps_scenarios_of_one_name_apart() -> None:
    table = pd.DataFrame(
        [("l.1", "", "a", "x", 3, 0.2), ("l.1", "", "b", "x", 4, 0.7), ("l.1", "", "b", "y", 0, 0)],
        columns=["layer", "task", "scope", "scenario", "rows", "differ"],
    ).assign(low=0.1, high=0.9)
    figure = grid_figure(table, "differ", STAMP)
    assert np.array(figure.data[0].z).tolist() == [[0.2], [0.7]]
    assert "3 rows" in figure.data[0].customdata[0][0]


def test_weight_that_moves_is_counted() -> None:
    spec = LayerSpec("level0.1", "scenario", 0, SHAPE.levels[0], 3, 4, 1, 1)
    moved = np.array([[0.0, 0.5, 1.0, 1.0]])
    layer = LayerAudit(spec, moved, moved)
    bars = moved_figure(layer, 0, np.array([True, True, True, False]), STAMP).data[0]
    assert np.sum(bars.y) == 3
    assert bars.y[-1] == 1


def test_a_case_shows_both_weights() -> None:
    case = pd.DataFrame({
        "expert": [0, 1, 2], "logit": [1.0, 2.0, -0.1], "specific": [True, False, False],
        "shared": [False, True, False], "factor": [1, 1, -1e9], "product": [1.0, 2.0, 1e8],
        "weight": [0.3, 0.7, 0.0], "rule_weight": [0.0, 0.0, 1.0],
    })  # fmt: skip
    rule, *marks = case_figure(case, STAMP).data
    assert list(rule.y) == [0, 0, 1]
    assert [(m.marker.symbol, list(m.x), list(m.y)) for m in marks] == [
        ("triangle-up", [0], [0.3]), ("circle", [1], [0.7]), ("circle-open", [2], [0.0]),
    ]  # fmt: skip
