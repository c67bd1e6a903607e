"""The figures of the geometry, by the values of their traces."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from aesm2.config import AESM2Config
from aesm2.errors import InputError
from aesm2.models import AESM2
from aesm2.plots.geometry import LOG_RATIO, contour_levels, simplex_figure
from aesm2.plots.ledger import Ledger, ledger
from aesm2.plots.margins import (
    BINS,
    bin_edges,
    change_figure,
    change_words,
    margins,
    margins_figure,
    margins_table,
)
from aesm2.plots.score_plane import (
    LOG,
    TINY,
    Cloud,
    cloud,
    decision,
    points_table,
    score_figure,
)
from aesm2.plots.style import Role
from aesm2.routing import geometry
from aesm2.routing.margins import calls, layer_calls
from aesm2.routing.minimal import smallest_change
from aesm2.routing.trace import LayerTrace
from tests.models import cases
from tests.routing.test_geometry import slow_divergences
from tests.routing.test_minimal import layer_of

STAMP = "simulated data: nothing"


def traced(gates: int, specific: int = 2, shared: int = 2) -> LayerTrace:
    logits = np.random.default_rng(gates).normal(size=(5, gates))
    return layer_of(logits, gates - 1, specific, shared)


def of_row(gates: int, **k: int) -> Ledger:
    return ledger(traced(gates, **k), 0, 0)


def experts(figure: go.Figure) -> dict[int, tuple[Any, int]]:
    """Where each expert is drawn: customdata → (trace, place in it)."""
    return {
        int(k): (trace, place)
        for trace in figure.data
        if trace.customdata is not None
        for place, k in enumerate(trace.customdata)
    }


def lines(figure: go.Figure, choosing: str) -> list[Any]:
    return [t for t in figure.data if str(t.name).startswith(choosing) and t.mode == "lines"]


@pytest.mark.parametrize("gates", [2, 3, 4, 6])
def test_the_score_plane_shows_divergences_added_up_by_hand(gates: int) -> None:
    of = of_row(gates)
    figure = score_figure(of, None, STAMP)
    found = experts(figure)
    assert sorted(found) == list(range(5))
    wanted = [slow_divergences(line, of.target) for line in of.row_softmax]
    for k, (trace, place) in found.items():
        assert (trace.x[place], trace.y[place]) == pytest.approx(wanted[k], abs=1e-12)
        assert trace.name == of.roles[k].value
        assert trace.marker.color == of.roles[k].colour
    vertical, horizontal = lines(figure, "specific")[0], lines(figure, "shared")[0]
    assert vertical.x[0] == pytest.approx(sorted(kl for kl, _ in wanted)[1])
    assert horizontal.y[0] == pytest.approx(sorted(kl for _, kl in wanted)[1])
    for k, (trace, place) in found.items():
        assert (trace.x[place] <= vertical.x[0] + 1e-12) == bool(of.specific[k])
        assert (trace.y[place] <= horizontal.y[0] + 1e-12) == bool(of.shared[k])


def test_logarithmic_axes_keep_what_is_zero() -> None:
    of = ledger(layer_of(np.array([[0.0, 0.0], [90.0, 0.0], [1.0, 0.0]]), 0, 1, 1), 0, 0)
    figure = score_figure(of, None, STAMP, LOG)
    trace, place = experts(figure)[0]
    assert trace.y[place] == TINY
    trace, place = experts(figure)[1]
    assert trace.x[place] == TINY
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert np.isfinite(figure.layout.xaxis.range).all()


def test_the_strip() -> None:
    of = of_row(2)
    figure = simplex_figure(of, None, STAMP)
    for k, (trace, place) in experts(figure).items():
        assert (trace.x[place], trace.y[place]) == (pytest.approx(of.row_softmax[k, 1]), k)
    for choosing, which in (("specific", 0), ("shared", 1)):
        drawn = lines(figure, choosing)
        assert len(drawn) == 5 * (1 + which)
        for line in drawn:
            level = float(line.name.split()[1])
            for x in line.x:
                found = slow_divergences(np.array([1 - x, x]), of.target)[which]
                assert found == pytest.approx(level, abs=1e-7)


def test_the_triangle() -> None:
    of = of_row(3)
    figure = simplex_figure(of, None, STAMP)
    for k, (trace, place) in experts(figure).items():
        drawn = [trace[axis][place] for axis in "abc"]
        np.testing.assert_allclose(drawn, of.row_softmax[k])
    for choosing, which in (("specific", 0), ("shared", 1)):
        drawn_lines = lines(figure, choosing)
        assert len(drawn_lines) == 5
        for line in drawn_lines:
            for point in np.stack([line.a, line.b, line.c], axis=1):
                level = float(line.name.split()[1])
                assert slow_divergences(point, of.target)[which] == pytest.approx(level, abs=1e-6)
    assert figure.layout.ternary.caxis.title.text == "<b>▼ g2</b>"
    dashed = [t for t in figure.data if t.line.dash == "dash"]
    assert {t.name.split()[0] for t in dashed} == {"specific", "shared"}


def test_the_tetrahedron() -> None:
    of = of_row(4)
    figure = simplex_figure(of, None, STAMP)
    for k, (trace, place) in experts(figure).items():
        point = np.array([trace[axis][place] for axis in "xyz"])
        np.testing.assert_allclose(geometry.barycentric(point), of.row_softmax[k], atol=1e-9)
        assert trace.text[place] == f"{of.roles[k].glyph} {k}"
    surfaces = {t.name.split()[0]: t for t in figure.data if t.type == "mesh3d"}
    for choosing, which in (("specific", 0), ("shared", 1)):
        mesh = surfaces[choosing]
        points = geometry.barycentric(np.stack([mesh.x, mesh.y, mesh.z], axis=1))
        level = decision(of, choosing)
        for point in points.clip(min=0):
            assert slow_divergences(point, of.target)[which] == pytest.approx(level, abs=1e-5)
        assert max(map(max, (mesh.i, mesh.j, mesh.k))) == len(points) - 1
    edges = next(t for t in figure.data if t.name == "edges")
    assert sum(not math.isnan(float(x)) for x in edges.x) == 12


@pytest.mark.parametrize(("gates", "space"), [(6, "simplex"), (4, LOG_RATIO), (3, LOG_RATIO)])
def test_the_projection(gates: int, space: str) -> None:
    of = of_row(gates)
    figure = simplex_figure(of, None, STAMP, space)
    plane = geometry.projection(of.gate_logits)
    for k, (trace, place) in experts(figure).items():
        clr = np.log(of.row_softmax[k]) - np.log(of.row_softmax[k]).mean()
        wanted = (clr - plane.centre) @ plane.axes.T
        np.testing.assert_allclose([trace.x[place], trace.y[place]], wanted, atol=1e-9)
    share = f"{plane.explained[0]:.0%} of their variance"
    assert share in figure.layout.xaxis.title.text
    assert not lines(figure, "specific"), "contours would not be exact"
    rays = [t for t in figure.data if t.name == "corner"]
    assert [ray.text[1] for ray in rays][of.target] == f"<b>▼ g{of.target}</b>"


def test_one_gate_and_nothing_to_choose() -> None:
    with pytest.raises(InputError, match="one gate"):
        simplex_figure(of_row(1), None, STAMP)
    all_or_none = of_row(3, specific=5, shared=0)
    assert decision(all_or_none, "specific") is decision(all_or_none, "shared") is None
    assert not lines(score_figure(all_or_none, None, STAMP), "shared")
    assert not [t for t in contour_levels(all_or_none) if t[2]]


def test_the_cloud_and_its_places() -> None:
    layer = traced(3)
    behind = cloud(layer, 0, None, 40)
    assert (len(behind.experts), behind.rows, behind.of_rows) == (5, 1, 40)
    of = ledger(layer, 0, 0)
    table = points_table(of)
    np.testing.assert_allclose(behind.kl_specific, table["kl_specific"])
    np.testing.assert_allclose(behind.kl_shared, table["kl_shared"])
    assert list(behind.roles) == of.roles
    alone = cloud(layer, 0, 3, 40)
    assert alone.experts.tolist() == [3]
    np.testing.assert_allclose(alone.gate_logits, of.gate_logits[3:4])
    figure = simplex_figure(of, alone, STAMP)
    drawn = [t for t in figure.data if str(t.name).startswith("cloud") and len(t.a)]
    assert len(drawn) == 1
    np.testing.assert_allclose(drawn[0].b, of.row_softmax[3:4, 1])
    plane = score_figure(of, Cloud(np.ones((0, 3)), *[np.ones(0)] * 2, (), np.ones(0), 0, 0), STAMP)
    assert np.isfinite(plane.layout.xaxis.range).all()


def test_margins_by_scenario_against_a_loop() -> None:
    model = cases.spread(AESM2(AESM2Config(), cases.schema((3,))))
    batch = cases.batch(cases.schema((3,)), 60)
    call = calls(model, batch)[0]
    groups, kept = batch.scenarios[:, 0].numpy(), np.arange(60) % 4 > 0
    panel = margins(call, groups, ["a", "b", "c", "none"], kept, 7)
    assert panel.names == ("a", "b", "c")
    assert panel.row == call.nats[7]
    edges = bin_edges([panel])
    figure = margins_figure([panel], STAMP)
    for place, trace in enumerate(figure.data):
        mine = [call.nats[i] for i in range(60) if kept[i] and groups[i] == place]
        assert trace.name == f"{'abc'[place]} (n = {len(mine)})"
        for step in range(BINS):
            low = -1.0 if step == 0 else edges[step]
            share = sum(low <= value < edges[step + 1] for value in mine) / len(mine)
            assert trace.y[step] == pytest.approx(100 * share)
        np.testing.assert_allclose(trace.x, edges)
    table = margins_table([panel]).set_index("scenario")
    assert table.loc["b", "median, nats"] == np.median(panel.nats[1])
    (line,) = figure.layout.shapes
    assert line.x0 == pytest.approx(np.clip(call.nats[7], edges[0], edges[-1]))


def test_the_change_and_its_words() -> None:
    layer = layer_of(np.array([[2.0, 0.0], [1.0, 0.0], [-3.0, 0.0]]), 0, 1, 1)
    found = smallest_change(layer, 0, 0, "specific")
    assert found is not None
    figure = change_figure(found, ["fr", "it"], STAMP)
    shown = np.array(figure.data[0].z, dtype=float)
    np.testing.assert_allclose(shown[:2], [[-0.25, 0.25], [0.25, -0.25]], atol=1e-12)
    assert np.isnan(shown[2]).all()
    assert figure.data[0].zmin == -figure.data[0].zmax
    assert list(figure.layout.yaxis.ticktext) == ["<b>out 0</b>", "<b>in 1</b>", "2"]
    words = change_words(found)
    assert "Expert 1 takes the place of expert 0" in words
    assert "by 0.500 in all" in words
    assert "with 100.1 % it is another" in words


def test_a_tie_is_told() -> None:
    layer = layer_of(np.array([[1.0, 0.0], [1.0, 0.0]]), 0, 1, 1)
    found = smallest_change(layer, 0, 0, "specific")
    assert found is not None
    assert found.norm == 0
    assert "rounding decides" in change_words(found)
    (call, _) = layer_calls(layer, 0)
    assert call.nats.tolist() == [0]
    assert Role.SPECIFIC.value == call.choosing
