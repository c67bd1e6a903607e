"""The strip of all layers by its values."""

import numpy as np

from aesm2.plots.strip import Column, changed_roles, columns, strip
from aesm2.plots.style import Role
from aesm2.routing.counterfactual import rows_of
from tests.plots.test_ledger import traced

TITLES = ("Click", "Buy")


def shown(row: int = 0) -> list[Column]:
    return columns(traced(), row, (0, 1), TITLES)


def test_scenario_layers_once_and_task_layers_for_each_task() -> None:
    of = traced()
    scenario = [layer for layer in of.layers if layer.kind == "scenario"]
    own = [layer for layer in of.layers if layer.kind == "task"]
    made = columns(of, 0, (0, 1), TITLES)
    assert len(made) == len(scenario) + 2 * len(own)
    assert [c.task for c in made] == [None] * len(scenario) + [0] * len(own) + [1] * len(own)
    assert [c.of.target for c in made[-2 * len(own) :]] == [0] * len(own) + [1] * len(own)


def test_markers_tell_role_and_weight_and_know_their_place() -> None:
    made = shown()
    figure = strip(made, made[0].of.spec.name, 1, "stamp")
    drawn = [
        t for t in figure.data if t.name in {c.title for c in made} and t.customdata is not None
    ]
    assert len(drawn) == len(made)
    for trace, column in zip(drawn, made, strict=True):
        assert list(trace.marker.symbol) == [role.symbol for role in column.of.roles]
        assert list(trace.marker.color) == [role.colour for role in column.of.roles]
        order = np.argsort(column.of.mixing_weights)
        assert (np.diff(np.asarray(trace.marker.size)[order]) >= 0).all()
        for role, weight, text in zip(
            column.of.roles, column.of.mixing_weights, trace.text, strict=True
        ):
            assert text.strip() == ("" if role is Role.UNSELECTED else f"{weight:.2f}")
        task = -1 if column.task is None else column.task
        assert [list(c) for c in trace.customdata] == [
            [column.of.spec.name, task, k] for k in range(column.of.spec.experts)
        ]


def test_a_click_anywhere_in_a_column_finds_its_layer() -> None:
    made = shown()
    (cells,) = [t for t in strip(made, "", 0, "").data if t.name == "cells"]
    for x, y, (layer, _, expert) in zip(cells.x, cells.y, cells.customdata, strict=True):
        assert made[x].of.spec.name == layer
        assert y == expert


def test_the_current_layer_of_the_current_task_is_marked() -> None:
    made = shown()
    last = made[-1].of.spec.name
    (mark,) = [s for s in strip(made, last, 1, "").layout.shapes if s.name == "current"]
    assert mark.x0 == len(made) - 1.5
    (mark,) = [s for s in strip(made, last, 0, "").layout.shapes if s.name == "current"]
    assert mark.x0 < len(made) - 1.5


def test_changed_roles_are_ringed() -> None:
    one, other = shown(0), shown(1)
    changed = changed_roles(one, other)
    for a, b, experts in zip(one, other, changed, strict=True):
        assert experts == [k for k, r in enumerate(a.of.roles) if r is not b.of.roles[k]]
    figure = strip(one, "", 0, "", changed)
    rings = {int(t.x[0]): list(t.y) for t in figure.data if t.name == "changed"}
    assert rings == {place: experts for place, experts in enumerate(changed) if experts}
    assert changed_roles(one, one) == [[] for _ in one]


def test_a_row_of_a_trace_draws_as_in_the_whole() -> None:
    whole = traced()
    part = rows_of(whole, slice(3, 4))
    for a, b in zip(columns(whole, 3, (0,), TITLES), columns(part, 0, (0,), TITLES), strict=True):
        np.testing.assert_array_equal(a.of.mixing_weights, b.of.mixing_weights)
        np.testing.assert_array_equal(a.of.output, b.of.output)
