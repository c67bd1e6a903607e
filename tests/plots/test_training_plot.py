"""Curves by their values."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from aesm2.plots.style import Role, scenario_colour
from aesm2.plots.training import (
    COLUMNS,
    DASHES,
    curves_table,
    divergence_figure,
    losses_figure,
    validation_figure,
)
from aesm2.training.history import smoothed
from tests.data.tables import describe

DESCRIBED = describe(("task.0.title", "Click"))


def losses(shared: float = 0.1) -> pd.DataFrame:
    lines = [
        (step, step / 10, term, kind, value)
        for step in (1, 2, 3)
        for term, kind, value in (
            ("ctr", "task", 0.7 / step), ("ctcvr", "task", 0.3), ("λ_sh L_sh", "shared", shared),
            ("total", "total", 1.0),
        )
    ]  # fmt: skip
    return plain(pd.DataFrame(lines, columns=["step", "seconds", "term", "kind", "value"]))


def divergences(layers: int = 2, top: float = 2.0) -> pd.DataFrame:
    lines = [
        (step, step / 10, f"tab.{layer}", role, value / step)
        for step in (1, 2)
        for layer in range(layers)
        for role, value in (("specific", top), ("shared", top / 10))
    ]
    return plain(pd.DataFrame(lines, columns=["step", "seconds", "layer", "role", "value"]))


def validation(steps: tuple[int, ...] = (5, 10)) -> pd.DataFrame:
    lines = [
        (step, step / 10, scope, scenario, task, 30, value, 0.5)
        for step in steps
        for scope, scenario, value in (("all", "all", 60.0), ("tab", "0", None), ("tab", "1", 55.0))
        for task in ("ctr", "ctcvr")
    ]
    columns = ["step", "seconds", "scope", "scenario", "task", "n", "value", "log_loss"]
    return plain(pd.DataFrame(lines, columns=columns))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(smooth=frame["value"])


def named(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data}


def test_a_line_a_term_on_one_logarithmic_scale() -> None:
    figure = losses_figure({"run": losses()}, "step", "stamp")
    assert list(named(figure)) == ["ctr", "ctcvr", "λ_sh L_sh", "total"]
    assert list(named(figure)["ctr"].y) == pytest.approx([0.7, 0.35, 0.7 / 3])
    assert list(named(figure)["ctr"].x) == [1, 2, 3]
    assert named(figure)["λ_sh L_sh"].line.color == Role.SHARED.colour
    assert figure.layout.yaxis.type == "log"
    assert "stamp" in [a.text for a in figure.layout.annotations]


def test_a_term_of_zero_is_not_drawn() -> None:
    assert "λ_sh L_sh" not in named(losses_figure({"run": losses(0.0)}, "step", "stamp"))


def test_time_as_the_axis() -> None:
    figure = losses_figure({"run": losses()}, "seconds", "stamp")
    assert list(figure.data[0].x) == [0.1, 0.2, 0.3]
    assert "time" in figure.layout.xaxis.title.text


def test_raw_values_lie_faint_behind_smoothed_ones() -> None:
    frame = smoothed(losses().drop(columns="smooth"), 0.5, ["term"])
    figure = losses_figure({"run": frame}, "step", "stamp")
    raw, line = [trace for trace in figure.data if trace.name == "ctr"]
    assert list(raw.y) == pytest.approx([0.7, 0.35, 0.7 / 3])
    assert raw.opacity < 0.5
    assert not raw.showlegend
    assert list(line.y) == pytest.approx(frame[frame["term"] == "ctr"]["smooth"].tolist())
    assert list(line.y) != list(raw.y)


def test_runs_are_told_by_their_dashes() -> None:
    figure = losses_figure({"a": losses(), "b": losses()}, "step", "stamp")
    assert named(figure)["ctr · a"].line.dash == DASHES[0]
    assert named(figure)["ctr · b"].line.dash == DASHES[1]
    colours = {named(figure)[f"ctr · {run}"].line.color for run in "ab"}
    assert len(colours) == 1


def test_validation_has_a_panel_a_task_and_marks_the_best_step() -> None:
    figure = validation_figure({"run": validation()}, {"run": 10}, DESCRIBED, "step", "stamp")
    assert {a.text for a in figure.layout.annotations} >= {"Click", "ctcvr", "stamp", "best step"}
    stars = [trace for trace in figure.data if trace.name == "best step"]
    assert [(list(s.x), list(s.y)) for s in stars] == [([10], [60]), ([10], [60])]
    assert [shape.x0 for shape in figure.layout.shapes] == [10, 10]
    assert named(figure)["tab 1"].line.color == scenario_colour(1)
    assert "tab 0" not in named(figure)  # undefined throughout
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["all rows", "tab 1"]
    own = figure.layout.legend
    assert (own.yref, own.y, own.yanchor) == ("container", 0, "bottom")  # below the axis' title


def test_a_long_title_is_broken_and_the_figure_grows() -> None:
    long = DESCRIBED.model_copy(deep=True)
    short = validation_figure({"run": validation()}, {}, DESCRIBED, "step", "stamp")
    object.__setattr__(long.task[0], "title", "Click and long view")
    figure = validation_figure({"run": validation()}, {}, long, "step", "stamp")
    assert "Click and<br>long view" in {a.text for a in figure.layout.annotations}
    assert figure.layout.margin.t - short.layout.margin.t == 16
    assert figure.layout.height - short.layout.height == 16


def test_the_best_step_stands_at_its_time() -> None:
    figure = validation_figure({"run": validation()}, {"run": 10}, DESCRIBED, "seconds", "stamp")
    assert [shape.x0 for shape in figure.layout.shapes] == [1.0, 1.0]


def test_a_best_step_that_was_not_measured_is_not_marked() -> None:
    figure = validation_figure({"run": validation()}, {"run": 7}, DESCRIBED, "step", "stamp")
    assert len(figure.layout.shapes) == 0
    assert "best step" not in named(figure)


def test_one_record_is_a_dot() -> None:
    figure = validation_figure({"run": validation((5,))}, {"run": 5}, DESCRIBED, "step", "stamp")
    assert named(figure)["all rows"].mode == "lines+markers"
    assert list(named(figure)["all rows"].x) == [5]


def test_divergences_have_one_scale_a_role_over_all_layers_and_runs() -> None:
    figure = divergence_figure(
        {"aux": divergences(), "none": divergences(top=4.0)}, "step", "stamp"
    )
    scales = [figure.layout[name].range for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4")]
    assert scales[0] == scales[1] == pytest.approx((0, 4.2))
    assert scales[2] == scales[3] == pytest.approx((0, 0.42))
    titles = [a.text for a in figure.layout.annotations]
    assert titles[:2] == ["tab.0<br>▲ KL specific", "tab.1<br>▲ KL specific"]
    assert titles[2] == "tab.0<br>● KL shared"
    specific = [t for t in figure.data if t.line.color == Role.SPECIFIC.colour]
    assert {t.marker.symbol for t in specific} == {Role.SPECIFIC.symbol}
    assert {t.yaxis for t in specific} == {"y", "y2"}
    overlaid = [t for t in specific if t.yaxis == "y"]
    assert [(t.line.dash, list(t.y)) for t in overlaid] == [("solid", [2, 1]), ("dash", [4, 2])]


@pytest.mark.parametrize("layers", [1, COLUMNS, COLUMNS + 1, 3 * COLUMNS, 40])
def test_any_number_of_layers_finds_its_panels(layers: int) -> None:
    figure = divergence_figure({"run": divergences(layers)}, "step", "stamp")
    places = {(trace.xaxis, trace.yaxis) for trace in figure.data}
    assert len(places) == len(figure.data) == 2 * layers


def test_a_layer_of_one_run_only() -> None:
    figure = divergence_figure({"a": divergences(1), "b": divergences(3)}, "step", "stamp")
    assert len(figure.data) == 2 + 6


def test_missing_values_everywhere() -> None:
    frame = divergences().assign(value=float("nan"), smooth=float("nan"))
    figure = divergence_figure({"run": frame}, "step", "stamp")
    assert figure.layout.yaxis.range == (0, 1)


def test_the_table_names_the_run_and_leaves_out_what_is_not_smoothed() -> None:
    table = curves_table({"a": losses(), "b": losses()})
    assert list(table.columns) == ["run", "step", "seconds", "term", "kind", "value"]
    assert len(table) == 24
    frame = smoothed(losses().drop(columns="smooth"), 0.5, ["term"])
    assert "smooth" in curves_table({"a": frame})
    assert list(curves_table({}).columns) == ["run"]
