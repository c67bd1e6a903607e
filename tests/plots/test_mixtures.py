"""Figures of gates, by their values."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from aesm2.config import HMoEConfig, MMoEConfig, ModelConfig, PLEConfig, SplitGroup
from aesm2.data.scenarios import OVERALL, PATH
from aesm2.models import build
from aesm2.plots.mixtures import (
    PLAIN,
    Panel,
    bars_figure,
    expert_role,
    mixtures_figure,
    mixtures_table,
    ownership,
)
from aesm2.plots.style import Role, stamp_of
from aesm2.routing.gates import GateWeights, gate_usage, gate_weights, mixture_layers
from tests.models import cases

SHAPE = cases.schema((3, 2))
PLE = PLEConfig(scenario=SplitGroup(specific=2, shared=1), task=SplitGroup(specific=1, shared=1))
MANY = PLEConfig(scenario=SplitGroup(specific=9, shared=1))


def panels(config: ModelConfig, by: str = PATH, rows: int = 80) -> list[Panel]:
    model = cases.spread(build(config, SHAPE))
    usage = gate_usage(model, cases.batch(SHAPE, rows))
    return [Panel(usage.means(layer.spec.name, by)) for layer in usage.layers]


def weights(config: ModelConfig) -> GateWeights:
    model = cases.spread(build(config, SHAPE))
    return gate_weights(model, cases.batch(SHAPE, 9), pd.RangeIndex(9))


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def titles(figure: go.Figure) -> list[str]:
    return [a.text for a in figure.layout.annotations if a.name != "provenance"]


@pytest.mark.parametrize("config", [MMoEConfig(), PLE, HMoEConfig()], ids=lambda c: c.name)
def test_a_panel_a_layer_with_its_means_on_one_scale(config: ModelConfig) -> None:
    shown = panels(config)
    figure = mixtures_figure(shown, "simulated data: x")
    for panel, trace in zip(shown, heatmaps(figure), strict=True):
        flat = panel.means.weight.reshape(-1, panel.spec.experts)
        np.testing.assert_array_equal(trace.z, flat)
        np.testing.assert_allclose(np.sum(trace.z, axis=1), 1, rtol=1e-6)
        assert trace.coloraxis == "coloraxis"
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, 1)
    assert scale.colorscale[-1][1].lower() == "#fee838"  # cividis
    assert stamp_of(figure) == "simulated data: x"


def test_lines_say_scenario_rows_and_effective_number() -> None:
    shown = panels(MMoEConfig(), "level0")
    figure = mixtures_figure(shown, "stamp")
    means = shown[0].means
    assert list(figure.layout.yaxis.ticktext) == [
        f"s{i}<br>n = {means.rows[0, i]}, eff. {means.effective[0, i]:.1f}" for i in range(3)
    ]
    assert shown[2].labels == [f"task{t} · s{s}" for t in range(2) for s in range(3)]
    assert panels(MMoEConfig(), OVERALL)[2].labels == ["task0", "task1"]
    assert panels(HMoEConfig(), "level0")[0].labels == [
        f"task{t} · s{s}" for t in range(2) for s in range(3)
    ]


def test_paths_without_rows_have_no_line_and_levels_without_rows_no_values() -> None:
    (first, *_) = panels(MMoEConfig(), PATH, rows=2)
    assert len(first.lines) <= 2
    of_level = panels(MMoEConfig(), "level0", rows=1)[0]
    assert len(of_level.lines) == 3
    assert np.isnan(of_level.cells).all(1).sum() == 2
    assert sum(count == "n = 0" for count in of_level.counts) == 2
    figure = mixtures_figure([of_level], "stamp")
    assert "no rows" in "".join(np.ravel(figure.data[0].hovertext))


def test_owners_are_told_and_parted() -> None:
    (of_ple, *_, task), of_mmoe, of_hmoe = (
        panels(PLE),
        panels(MMoEConfig())[0],
        panels(HMoEConfig()),
    )
    assert ownership(of_ple.spec) == "▲ 2 a gate, in order; ● 1 shared"
    assert ownership(task.spec) == "▲ 1 a gate, in order; ● 1 shared"
    assert ownership(of_mmoe.spec) == ""
    assert ownership(of_hmoe[0].spec) == "▲ 1 a gate, in order"
    figure = mixtures_figure([of_ple, of_mmoe], "stamp")
    assert titles(figure) == ["level0.1 · ▲ 2 a gate, in order; ● 1 shared", "level0.1"]
    assert [(line.xref, line.x0) for line in figure.layout.shapes] == [
        ("x", 1.5), ("x", 3.5), ("x", 5.5),
    ]  # fmt: skip
    hover = figure.data[0].hovertext[0]
    assert "expert 3 of s1" in hover[3]
    assert "expert 6 (shared)" in hover[6]
    assert "expert 3:" in figure.data[1].hovertext[0][3]


def test_values_are_written_where_there_is_room_and_zeros_are_not() -> None:
    figure = mixtures_figure(panels(PLE)[:1], "stamp")
    z, text = np.array(figure.data[0].z), np.array(figure.data[0].text)
    assert (text[z == 0] == "").all()
    assert text[0, 0] == f"{z[0, 0]:.2f}"
    many = mixtures_figure(panels(MANY)[:1], "stamp")
    assert many.data[0].text is None
    assert list(many.layout.xaxis.tickvals) == list(range(0, 28, 2))


def test_the_numbers_behind_the_figure() -> None:
    shown = panels(PLE)
    table = mixtures_table(shown)
    assert len(table) == sum(panel.cells.size for panel in shown)
    line = table[(table["layer"] == "level0.1") & (table["scenario"] == "s1 → s0")].iloc[2]
    assert line["owner"] == "s1"
    assert line["mean_weight"] == shown[0].means.weight[0, 2, 2]
    assert line["rows"] == shown[0].means.rows[0, 2]


def test_roles() -> None:
    spec = mixture_layers(build(PLE, SHAPE))[0]
    assert [expert_role(spec, k, 1) for k in (0, 2, 6)] == [
        Role.UNSELECTED, Role.SPECIFIC, Role.SHARED,
    ]  # fmt: skip
    assert expert_role(mixture_layers(build(MMoEConfig(), SHAPE))[0], 0, 0) is None


def test_bars_of_a_row() -> None:
    found = weights(PLE)
    figure = bars_figure(found.layers, 4, 1, "stamp")
    assert len(figure.data) == 3
    for layer, trace in zip(found.layers, figure.data, strict=True):
        target = 1 if layer.spec.kind == "task" else 0
        np.testing.assert_allclose(trace.y, layer.weights[target, 4])
    gate = int(found.layers[0].gate[0, 4])
    colours = np.array(figure.data[0].marker.color)
    assert set(colours[[2 * gate, 2 * gate + 1]]) == {Role.SPECIFIC.colour}
    assert colours[6] == Role.SHARED.colour
    assert all(t == "" or t[0] in "▲●" for t in figure.data[0].text)
    heads = titles(figure)
    assert heads[0].startswith(f"level0.1 · gate s{gate} · ")
    assert heads[0].endswith("of 7 effective")
    assert heads[2].startswith("task.1 · task task1 · ")
    assert {axis.range for axis in figure.select_yaxes()} == {(0, 1.18)}


def test_bars_without_owners_have_no_role() -> None:
    figure = bars_figure(weights(MMoEConfig()).layers, 0, 0, "stamp")
    assert {c for trace in figure.data for c in trace.marker.color} == {PLAIN}
    assert not {c for trace in figure.data for text in trace.text for c in text} & set("▲●○")


def test_bars_of_a_model_with_a_network_a_task() -> None:
    found = weights(HMoEConfig())
    one, other = (bars_figure(found.layers, 0, task, "stamp") for task in (0, 1))
    np.testing.assert_allclose(other.data[0].y, found.layers[0].weights[1, 0])
    assert not np.allclose(one.data[0].y, other.data[0].y)
    assert ", task1 ·" in titles(other)[0]
