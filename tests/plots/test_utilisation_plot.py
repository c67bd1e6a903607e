"""The figure by its values."""

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from aesm2.data.scenarios import OVERALL, PATH, path_index
from aesm2.models import AESM2
from aesm2.plots.utilisation import panels, utilisation_figure, utilisation_table
from aesm2.routing.shares import LayerShares, layer_shares
from aesm2.routing.utilisation import Utilisation, utilisation
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


@pytest.fixture(scope="module")
def used() -> Utilisation:
    model = cases.spread(AESM2(cases.AESM2Config(), SHAPE))
    return utilisation(model, cases.batch(SHAPE, 200))


def own(used: Utilisation) -> list[LayerShares]:
    by = {"level0": "level0", "level1": "level1", "task": OVERALL}
    return [layer_shares(used, la.spec.name, by[la.spec.name.split(".")[0]]) for la in used.layers]


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def test_a_panel_a_layer_and_role_with_its_values(used: Utilisation) -> None:
    layers = own(used)
    shown = panels(layers, ("specific", "shared"), "share")
    figure = utilisation_figure(shown, "stamp")
    maps = heatmaps(figure)
    assert len(maps) == 2 * len(layers)
    for number, layer in enumerate(layers):
        for place, role in enumerate(("specific", "shared")):
            z = np.array(maps[2 * number + place].z)
            wanted = layer.values(role, "share")
            np.testing.assert_array_equal(z, wanted.reshape(z.shape))
            assert np.allclose(z.sum(-1), layer.chosen(role))


def test_one_colour_scale_from_0_to_1(used: Utilisation) -> None:
    for value in ("share", "weight"):
        figure = utilisation_figure(panels(own(used), ("specific",), value), "stamp")
        assert {trace.coloraxis for trace in heatmaps(figure)} == {"coloraxis"}
        assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
        assert figure.layout.coloraxis.colorscale[-1][1].lower() == "#fee838"  # cividis
    counts = utilisation_figure(panels(own(used), ("specific",), "count"), "stamp")
    assert counts.layout.coloraxis.cmax == max(np.max(trace.z) for trace in heatmaps(counts))


def test_weights_have_one_panel_a_layer(used: Utilisation) -> None:
    shown = panels(own(used), ("specific", "shared"), "weight")
    assert [panel.role for panel in shown] == [None] * len(used.layers)
    for panel in shown:
        np.testing.assert_allclose(panel.cells.sum(-1), 1, rtol=1e-5)


def test_labels_say_the_scenario_or_task_and_n(used: Utilisation) -> None:
    figure = utilisation_figure(panels(own(used), ("specific",), "share"), "stamp")
    rows = layer_shares(used, "level0.1", "level0").rows
    assert list(figure.layout.yaxis.ticktext) == [
        f"s{i}<br>n = {n}" for i, n in enumerate(rows.tolist())
    ]
    last = figure.layout[f"yaxis{len(used.layers)}"]
    assert list(last.ticktext) == ["task0<br>n = 200", "task1<br>n = 200"]


def test_tasks_by_scenario(used: Utilisation) -> None:
    by = layer_shares(used, "task.1", "level1")
    (panel,) = panels([by], ("specific",), "share")
    assert panel.labels == ["task0 · s0", "task0 · s1", "task1 · s0", "task1 · s1"]
    assert panel.lines == [(0, 0), (0, 1), (1, 0), (1, 1)]
    np.testing.assert_array_equal(panel.cells[3], by.values("specific", "share")[1, 1])


def test_a_click_tells_which_cell(used: Utilisation) -> None:
    figure = utilisation_figure(panels(own(used), ("specific", "shared"), "share"), "stamp")
    overlays = [trace for trace in figure.data if trace.type == "scatter"]
    maps = heatmaps(figure)
    for overlay, shown in zip(overlays, maps, strict=True):
        assert overlay.marker.opacity == 0
        assert overlay.xaxis == shown.xaxis
        assert len(overlay.x) == np.array(shown.z).size
        for x, y, cell in zip(overlay.x, overlay.y, overlay.customdata, strict=True):
            name, role, target, by, scenario, expert = cell
            layer = layer_shares(used, name, by)
            assert np.array(shown.z)[y][x] == layer.values(role, "share")[target, scenario, expert]
    assert figure.layout.hoverdistance == -1  # the whole cell answers, however wide


def test_the_number_stands_in_its_cell(used: Utilisation) -> None:
    (first, *_) = heatmaps(utilisation_figure(panels(own(used), ("specific",), "share"), "s"))
    z, text = np.array(first.z), np.array(first.text)
    assert first.texttemplate == "%{text}"
    assert all(t == ("0" if v == 0 else f"{v:.2f}") for v, t in zip(z.flat, text.flat, strict=True))


def test_scenarios_without_rows_are_empty_cells() -> None:
    model = cases.spread(AESM2(cases.AESM2Config(), SHAPE))
    one = utilisation(model, cases.batch(SHAPE, 1))
    shown = panels([layer_shares(one, "level0.1", "level0")], ("shared",), "share")
    figure = utilisation_figure(shown, "stamp")
    text = np.array(heatmaps(figure)[0].text)
    assert (text == "").all(-1).sum() == 2
    assert "NaN" not in json.dumps(json.loads(figure.to_json())["layout"])
    assert sum("no rows" in told for told in figure.data[1].hovertext) == 2 * text.shape[1]


def test_fine_grained_scenarios_without_rows_have_no_line() -> None:
    model, few = cases.spread(AESM2(cases.AESM2Config(), SHAPE)), cases.batch(SHAPE, 3)
    layer = layer_shares(utilisation(model, few), "task.1", PATH)
    (panel,) = panels([layer], ("specific",), "share")
    there = sorted(set(path_index(few.scenarios.numpy(), SHAPE).tolist()))
    assert len(there) < 6
    assert panel.lines == [(task, s) for task in (0, 1) for s in there]
    np.testing.assert_array_equal(
        panel.cells, layer.values("specific", "share")[:, there].reshape(-1, layer.spec.experts)
    )
    clicks = {
        tuple(point[2:5]) for point in utilisation_figure([panel], "stamp").data[1].customdata
    }
    assert clicks == {(task, PATH, s) for task in (0, 1) for s in there}


def test_a_task_is_left_out_where_it_does_not_exist(used: Utilisation) -> None:
    exists = np.ones((6, 2), bool)
    exists[2:4, 1] = False  # the second task is not in s1
    layer = layer_shares(used, "task.1", "level0", exists)
    (panel,) = panels([layer], ("specific",), "share")
    gone = panel.labels.index("task1 · s1")
    assert np.isnan(panel.cells).all(1).tolist() == [line == gone for line in range(6)]
    assert panel.counts[gone] == "no such task here"
    assert panel.counts[0] == f"n = {layer.rows[0]:,}"
    ticks = utilisation_figure([panel], "stamp").layout.yaxis.ticktext
    assert ticks[gone] == "task1 · s1<br>no such task here"


def test_a_role_without_experts_has_no_panel(used: Utilisation) -> None:
    layer = own(used)[0]
    spec = type(layer.spec)(*(
        0 if name == "shared" else getattr(layer.spec, name)
        for name in layer.spec.__dataclass_fields__
    ))  # fmt: skip
    none = LayerShares(spec, layer.by, layer.scenarios, layer.rows, layer.specific,
                       layer.shared * 0, layer.weight)  # fmt: skip
    assert [panel.role for panel in panels([none], ("specific", "shared"), "share")] == ["specific"]


def test_the_table_holds_every_number(used: Utilisation) -> None:
    shown = panels(own(used), ("specific", "shared"), "share")
    table = utilisation_table(shown)
    assert len(table) == sum(panel.cells.size for panel in shown)
    assert isinstance(table, pd.DataFrame)
    line = table[(table["layer"] == "level0.1") & (table["role"] == "shared")
                 & (table["scenario"] == "s2") & (table["expert"] == 1)].iloc[0]  # fmt: skip
    of = layer_shares(used, "level0.1", "level0")
    assert line["share"] == of.values("shared", "share")[0, 2, 1]
    assert line["rows"] == of.rows[2]


def test_provenance_is_on_the_chart(used: Utilisation) -> None:
    figure = utilisation_figure(panels(own(used), ("specific",), "share"), "public data: x")
    (note,) = [a for a in figure.layout.annotations if a.name == "provenance"]
    assert note.text == "public data: x"
    assert (note.x, note.xanchor) == (1, "right")
