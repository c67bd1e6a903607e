"""The architecture drawing by its values."""

import json

import plotly.graph_objects as go
import pytest

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig, MMoEConfig
from aesm2.data.description import Task
from aesm2.models import AESM2, Schema
from aesm2.plots.architecture import (
    Stage,
    architecture_figure,
    architecture_table,
    chain_words,
    stages,
)
from aesm2.routing.trace import layer_specs
from tests.data.tables import describe

TWO = [{"name": "tab", "column": "tab", "values": [0, 1]},
       {"name": "page", "column": "page", "values": ["a", "b", "c"]}]  # fmt: skip


def clickable(figure: go.Figure) -> dict[str, int]:
    """Number of points of each layer that a click can hit."""
    found: dict[str, int] = {}
    for trace in figure.data:
        for custom in trace.customdata if trace.customdata is not None else ():
            found[custom[0]] = found.get(custom[0], 0) + 1
    return found


def dots(figure: go.Figure) -> dict[str, go.Scatter]:
    return {t.name.removesuffix(" experts"): t for t in figure.data if t.name.endswith(" experts")}


def marked(figure: go.Figure) -> list[float]:
    """Lines that are ringed as current."""
    return [(s.y0 + s.y1) / 2 for s in figure.layout.shapes if s.name == "current"]


def many_levels(count: int) -> list[dict]:
    return [{"name": f"l{i}", "column": "tab", "values": [0, 1]} for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("layers", [1, 3])
def test_layers_are_those_of_the_model(count: int, layers: int) -> None:
    described = describe(("level", many_levels(count)))
    groups = tuple(
        ExpertGroup(layers=layers, experts=3 + i, specific=1, shared=2, width=4)
        for i in range(count)
    )
    config = AESM2Config(scenario=groups)
    schema = Schema(
        fields=(4, 4), levels=tuple(lv.scenarios for lv in described.level),
        level_names=tuple(lv.name for lv in described.level), tasks=("ctr", "ctcvr"),
        parents=(-1, 0),
    )  # fmt: skip
    shown = stages(config, described)
    found = [(s.name, s.kind, s.experts, s.specific, s.shared, s.gates) for s in shown if s.experts]
    assert found == [
        (s.name, s.kind, s.experts, s.specific, s.shared, s.gates)
        for s in layer_specs(AESM2(config, schema))
    ]
    kinds = [s.kind for s in shown if not s.experts]
    assert kinds == ["embedding", "towers", "chain"]
    figure = architecture_figure(shown, shown[1].name, "stamp")
    assert clickable(figure) == {s.name: s.experts + 2 for s in shown if s.selects}
    assert marked(figure) == [1]


def test_every_expert_is_a_dot_on_its_layers_line() -> None:
    shown = stages(AESM2Config(), describe(("level", TWO)))
    figure = architecture_figure(shown, "page.2", "stamp")
    drawn = dots(figure)
    for line, stage in enumerate(shown):
        if stage.experts:
            assert len(drawn[stage.name].x) == stage.experts
            assert set(drawn[stage.name].y) == {line}
            assert all(0.3 < x < 0.76 for x in drawn[stage.name].x)
    assert marked(figure) == [[s.name for s in shown].index("page.2")]
    words = [text for trace in figure.data for text in trace.text or ()]
    assert any("K = 2 ▲ specific<br>+ 2 ● shared" in text for text in words)
    assert any("pCTR × pCVR = pCTCVR" in text for text in words)
    notes = [a.text for a in figure.layout.annotations]
    assert "stamp" in notes


def test_no_layer_is_marked_where_the_name_is_unknown() -> None:
    assert marked(architecture_figure(stages(AESM2Config(), describe()), "no", "stamp")) == []


def test_many_experts_stay_in_their_column() -> None:
    config = AESM2Config(scenario=ExpertGroup(experts=256))
    figure = architecture_figure(stages(config, describe()), "tab.1", "stamp")
    x = dots(figure)["tab.1"].x
    assert len(x) == 256
    assert min(x) >= 0.35
    assert max(x) <= 0.73


def test_a_dense_mixture_has_experts_but_nothing_to_click() -> None:
    shown = stages(MMoEConfig(), describe())
    layers = [s for s in shown if s.experts]
    assert [s.name for s in layers] == ["tab.1", "task.1"]
    assert all("every expert works for every row" in s.note for s in layers)
    assert all((s.specific, s.shared, s.selects) == (0, 0, False) for s in layers)
    assert clickable(architecture_figure(shown, "tab.1", "stamp")) == {}


def test_a_perceptron_has_hidden_layers_only() -> None:
    shown = stages(MLPConfig(hidden=(7, 5)), describe())
    assert [(s.kind, s.note) for s in shown[1:3]] == [("hidden", "width 7"), ("hidden", "width 5")]
    assert [s.kind for s in shown] == ["embedding", "hidden", "hidden", "chain"]
    figure = architecture_figure(shown, "", "stamp")
    assert dots(figure) == {}
    assert json.loads(figure.to_json())


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([Task(name="ctr", label="a")], "pCTR"),
        ([Task(name="a", label="a"), Task(name="b", label="b")], "pA;  pB"),
        (
            [Task(name="a", label="a"), Task(name="b", label="b", follows="a")],
            "pA × pB|A = pB",
        ),
        (
            [
                Task(name="a", label="a"),
                Task(name="b", label="b", follows="a", conditional="x"),
                Task(name="c", label="c", follows="b", conditional="y"),
                Task(name="d", label="d"),
            ],
            "pA × pX = pB;  pB × pY = pC;  pD",
        ),
    ],
)
def test_the_chain_in_words(tasks: list[Task], expected: str) -> None:
    assert chain_words(tasks) == expected


def test_the_table_has_a_line_a_stage() -> None:
    shown = stages(AESM2Config(), describe())
    table = architecture_table(shown)
    assert list(table["stage"]) == [s.name for s in shown]
    assert table.loc[table["stage"] == "tab.1", ["experts", "K specific", "gates"]].to_numpy()[
        0
    ].tolist() == [10, 2, "0, 1"]
    told = table.set_index("stage").loc["tab.1", "detail"]
    assert told == "2 gates: 0, 1 · 10 experts, width 64 · K = 2 ▲ specific + 2 ● shared"


def test_words_stand_left_and_right_of_the_dots() -> None:
    """So that they do not meet on a narrow page."""
    figure = architecture_figure(stages(AESM2Config(), describe()), "tab.1", "stamp")
    (words,) = [t for t in figure.data if t.name == "tab.1"]
    assert words.x == (0.01, 0.99)
    assert words.textposition == ("middle right", "middle left")
    lines = [line for text in words.text for line in text.split("<br>")]
    assert max(len(line.removeprefix("<b>").removesuffix("</b>")) for line in lines) <= 24


def test_long_names_are_cut_in_the_drawing_and_whole_on_hover() -> None:
    values = [f"a-long-scenario-{i}" for i in range(9)]
    described = describe(("level", [{"name": "tab", "column": "tab", "values": values}]))
    figure = architecture_figure(stages(AESM2Config(), described), "tab.1", "stamp")
    (words,) = [t for t in figure.data if t.name == "tab.1"]
    assert words.text[0].endswith("…")
    assert values[-1] in words.hovertext


def test_a_stage_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Stage("chain", "a", "b", "c").name = "d"  # type: ignore[misc]
