"""Routing drift as figures: every cell with its value, what is marked, what a click means."""

import numpy as np
import pytest

from aesm2.plots import routing_drift as plot
from aesm2.plots.style import stamp_of
from aesm2.routing.drift import RoutingDrift, routing_drift
from tests.routing.test_drift import made

MOVED = {"country.1": [[0.4, 0.3, 0.2, 0.1]] * 2 + [[0.1, 0.2, 0.3, 0.4]] * 2}
STAMP = "simulated data: a stamp that is long enough to be broken into more than one line, CC0"


@pytest.fixture(scope="module")
def found() -> RoutingDrift:
    return routing_drift(made(0, 4000), made(1, 4000, MOVED), replicates=200)


def test_every_cell_is_drawn_with_its_divergence(found: RoutingDrift) -> None:
    figure = plot.drift_figure(found, STAMP, ("country.1", 0, 1))
    heat, targets = figure.data
    country, task = found.layers
    columns = [country.divergence[0], task.divergence[0], task.divergence[1]]
    np.testing.assert_array_equal(heat.z, np.stack(columns, axis=1))
    assert heat.text[1][0].startswith(plot.MARK)
    assert heat.text[0][1].startswith("(")
    assert list(targets.customdata[1]) == ["country.1", 0, 1]
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, 0.5, 1.5)
    assert (frame.xref, frame.yref) == ("x", "y")
    assert not plot.drift_figure(found, STAMP).layout.shapes
    assert "by chance" in targets.hovertext[0]
    assert figure.layout.coloraxis.cmin == 0
    assert stamp_of(figure) == STAMP


def test_scenarios_of_two_kinds_have_two_panels() -> None:
    own = routing_drift(made(0, 4000), made(1, 4000), by="path", replicates=100)
    assert len(plot.drift_figure(own, STAMP).data) == 2
    few = routing_drift(made(0, 40), made(1, 4000), replicates=100)
    text = plot.drift_figure(few, STAMP).data[0].text
    assert all(word.startswith("–") for line in text for word in line)


def test_the_bars_of_a_cell_are_its_shares(found: RoutingDrift) -> None:
    own = found.layers[0]
    a, b = plot.cell_figure(own, 0, 1, ("Mon", "Tue"), STAMP).data
    np.testing.assert_array_equal([a.y, b.y], own.shares[:, 0, 1])
    assert a.name == f"A: Mon (n = {own.rows[0, 0, 1]:,})"
    table = plot.cell_table(own, 0, 1, ("Mon", "Tue"))
    np.testing.assert_allclose(table["B − A"], own.shares[1, 0, 1] - own.shares[0, 0, 1])


def test_the_traffic_adds_up_to_one(found: RoutingDrift) -> None:
    figure = plot.mix_figure(found, ("Mon", "Tue"), STAMP)
    for side, bar in enumerate(figure.data):
        assert sum(bar.x) == pytest.approx(1)
        np.testing.assert_array_equal(bar.customdata, found.mix.rows[side])
    assert plot.mix_table(found)["rows A"].sum() == found.mix.rows[0].sum()


def test_the_table_has_every_cell(found: RoutingDrift) -> None:
    table = plot.drift_table(found)
    assert len(table) == 6
    assert table["JS, nats"].is_monotonic_decreasing
