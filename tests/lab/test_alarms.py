"""Alarms and roles on counts made by hand."""

import numpy as np

from aesm2.data.schema import Schema
from aesm2.lab.alarms import alarms, roles_over_time, shares
from aesm2.plots.roles import roles_figure
from aesm2.plots.style import stamp_of
from aesm2.routing.trace import LayerSpec
from aesm2.routing.utilisation import LayerUtilisation, Utilisation
from tests import small
from tests.small import run

SCHEMA = Schema((3,), (("fr", "it"),), ("country",), ("ctr", "ctcvr"), (-1, 0))


def used(specific: list[float], shared: list[float], weight: list[float]) -> Utilisation:
    """100 rows in each of two countries; the counts of experts, the same for both."""
    spec = real_spec()
    counts = [np.array([[part, part]], float) for part in (specific, shared, weight)]
    return Utilisation(SCHEMA, np.array([100, 100]), (LayerUtilisation(spec, *counts),))


def real_spec() -> LayerSpec:
    import aesm2

    return aesm2.load(run() / "checkpoint", "cpu").layers[0]


def test_shares_by_hand() -> None:
    specific, shared = shares(used([100, 0, 50], [0, 100, 0], [1, 1, 1]), 0)
    assert specific.tolist() == [1, 0, 0.5]
    assert shared.tolist() == [0, 1, 0]


def test_healthy_experts_raise_no_alarm() -> None:
    moving = [(step, used([50 + step, 50 - step, 10], [0, 50, 50], [1, 1, 1])) for step in range(6)]
    assert alarms(moving) == []
    assert alarms([]) == []


def test_dead_overloaded_and_frozen_experts_are_named() -> None:
    still = [(step, used([100, 0, 0], [90, 0, 10], [98, 0, 1])) for step in range(5)]
    dead, overloaded, frozen = alarms(still)
    assert "no row chooses expert 1" in dead
    assert "expert 0 carries 99%" in overloaded
    assert "has not moved for 4 measurements" in frozen
    assert len(alarms(still[:3])) == 2


def test_roles_by_hand() -> None:
    found = roles_over_time([(7, used([90, 50, 10, 0], [10, 48, 60, 0.5], [1] * 4))])
    assert found["role"].tolist() == ["specific", "both", "shared", "unselected"]
    assert found["step"].eq(7).all()
    assert found["expert"].tolist() == [0, 1, 2, 3]


def test_the_figure_tells_role_by_colour_and_shape_in_the_order_of_time() -> None:
    first, last = used([90, 0], [0, 60], [1, 1]), used([90, 50], [0, 0], [1, 1])
    figure = roles_figure(roles_over_time([(7, first), (9, last)]), "made up")
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn["specific"] == ([7, 9, 9], [0, 0, 1])
    assert drawn["shared"] == ([7], [1])
    assert drawn["both"] == drawn["unselected"] == ([], [])
    assert {trace.name: trace.marker.symbol for trace in figure.data}["shared"] == "circle"
    assert list(figure.layout.yaxis.ticktext)[1].endswith(" · 1")
    assert stamp_of(figure) == "made up"


def test_a_real_run_has_roles_at_every_snapshot() -> None:
    import aesm2

    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    history = opened.utilisation_history()
    found = roles_over_time(history)
    experts = sum(spec.experts for spec in opened.layers)
    assert len(found) == experts * len(history)
    whole = found.groupby(["step", "layer"])[["specific", "shared"]].sum()
    expected = {spec.name: (spec.specific, spec.shared) for spec in opened.layers}
    for (_, layer), line in whole.iterrows():
        np.testing.assert_allclose(line.to_numpy(), expected[layer], atol=1e-9)
