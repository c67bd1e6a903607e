"""Gates of models without selection in the Lens and the Atlas, and two models beside each other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.routing.gates import gate_usage, gate_weights
from app.markdown import plain
from tests import small
from tests.app.conftest import first_small_root, with_numbers

LENS, ATLAS = "views/lens.py", "views/atlas.py"
Start = Callable[..., AppTest]
LAYERS = ["country.1", "page.1", "task.1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a checkpoint of AESM² (shop), MLP (plain), PLE, MMoE and HMoE."""
    where = first_small_root(tmp_path_factory.mktemp("gates") / "repository")
    for name in ("ple", "mmoe", "hmoe"):
        small.fit(where / name, small.config(model={"name": name, "embedding_dim": 4}, epochs=1))
        shutil.copytree(where / name / "checkpoint", where / "checkpoints" / name)
    return where


@pytest.fixture
def go(start: Start, root: Path) -> Start:
    return lambda page, **view: start(page, root=root, **view)


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def charts(at: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def heatmaps(chart: dict[str, Any]) -> list[tuple[int, int]]:
    """Lines and experts of each heatmap, from its hover texts."""
    found = [trace for trace in chart["data"] if trace["type"] == "heatmap"]
    return [(len(trace["hovertext"]), len(trace["hovertext"][0])) for trace in found]


def said(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info])


def param(at: AppTest, name: str) -> str:
    value = at.query_params[name]
    return value if isinstance(value, str) else value[-1]


def pick(at: AppTest, label: str, value: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return box.select(value).run()


@pytest.mark.parametrize("name", ["ple", "mmoe", "hmoe"])
def test_the_lens_shows_the_weights_of_the_row(go: Start, root: Path, name: str) -> None:
    at = with_numbers(sound(go(LENS, checkpoint=name)), "lens-gates")
    assert "no expert selection" not in said(at)
    (bars,) = charts(at)
    checkpoint = aesm2.load(root / "checkpoints" / name, "cpu")
    frame = Dataset.open(small.dataset()).split("test").head(1)
    wanted = gate_weights(checkpoint.model, checkpoint.encode(frame), frame.index)
    assert len(bars["data"]) == len(wanted.layers)
    (table,) = [d.value for d in at.dataframe if "weight" in d.value.columns]
    np.testing.assert_allclose(table["weight"], wanted.to_frame()["weight"], rtol=1e-5)
    assert len(at.metric) == 3
    assert ("an expert of all gates" in said(at)) == (name != "mmoe")


def test_the_bar_offers_the_layers_of_gates(go: Start) -> None:
    at = sound(go(LENS, checkpoint="ple", layer="task.1"))
    (box,) = [box for box in at.selectbox if box.label == "Layer"]
    assert box.options == LAYERS
    assert box.value == "task.1"
    at = sound(go(LENS, checkpoint="hmoe"))
    (box,) = [box for box in at.selectbox if box.label == "Layer"]
    assert box.options == LAYERS[:2]
    assert "Layer" not in [box.label for box in sound(go(LENS, checkpoint="plain")).selectbox]


def test_another_door_is_compared(go: Start) -> None:
    frame = Dataset.open(small.dataset()).split("test")
    other = "it" if frame["country"].iloc[0] == "fr" else "fr"
    at = sound(go(LENS, checkpoint="ple", to__country=other))
    assert [d for d in at.dataframe if "difference" in d.value.columns]
    own, before, after = charts(at)
    assert before["data"][0]["y"] == own["data"][0]["y"] != after["data"][0]["y"]
    gates = [chart["layout"]["annotations"][0]["text"].split(" · ")[1] for chart in (before, after)]
    assert gates == [f"gate {frame['country'].iloc[0].replace('xx', 'elsewhere')}", f"gate {other}"]


def test_the_atlas_shows_mean_weights(go: Start, root: Path) -> None:
    at = with_numbers(sound(go(ATLAS, checkpoint="ple")), "atlas-gates")
    (chart,) = charts(at)
    assert heatmaps(chart) == [(3, 8), (2, 6), (2, 3)]
    checkpoint = aesm2.load(root / "checkpoints" / "ple", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    means = gate_usage(checkpoint.model, checkpoint.encode(frame)).means("country.1", "country")
    (table,) = [d.value for d in at.dataframe if "mean_weight" in d.value.columns]
    mine = table[table["layer"] == "country.1"]["mean_weight"].to_numpy().reshape(3, 8)
    np.testing.assert_allclose(mine, means.weight[0])
    labels = [annotation["text"] for annotation in chart["layout"]["annotations"]]
    assert any("simulated data" in label and "test split" in label for label in labels)
    says = next(m.value for m in at.markdown if m.value.startswith("- In country.1"))
    assert len(says.splitlines()) == 3


@pytest.mark.parametrize(
    ("label", "value", "wanted"),
    [
        ("Scenarios", "page", [(2, 8), (2, 6), (4, 3)]),
        ("Scenarios", "path", [(6, 8), (6, 6), (12, 3)]),
        ("Layers", "one", [(3, 8)]),
        ("Rows", "train", [(3, 8), (2, 6), (2, 3)]),
    ],
)
def test_options(go: Start, label: str, value: str, wanted: list[tuple[int, int]]) -> None:
    at = sound(pick(go(ATLAS, checkpoint="ple"), label, value))
    assert heatmaps(charts(at)[0]) == wanted


def test_the_bars_scenario_restricts_the_rows(go: Start) -> None:
    at = with_numbers(sound(go(ATLAS, checkpoint="mmoe", s__country="it")), "atlas-gates")
    (table,) = [d.value for d in at.dataframe if "mean_weight" in d.value.columns]
    rows = table[table["layer"] == "country.1"].groupby("scenario")["rows"].first()
    assert rows["fr"] == rows["elsewhere"] == 0
    assert rows["it"] > 0
    assert "Only rows of country it" in said(at)


def test_two_models_beside_each_other(go: Start) -> None:
    at = sound(go(ATLAS, checkpoint="ple"))
    (box,) = [box for box in at.selectbox if box.label == "Beside"]
    assert box.options == ["none", "hmoe · HMoE", "mmoe · MMoE", "shop · AESM²"]
    at = sound(pick(at, "Beside", "shop"))
    assert param(at, "beside") == "shop"
    own, other = charts(at)
    assert heatmaps(own) == [(3, 8), (2, 6), (2, 3)]
    assert heatmaps(other) == [(3, 5), (2, 5), (2, 3)]
    scales = [chart["layout"]["coloraxis"] for chart in (own, other)]
    assert [(scale["cmin"], scale["cmax"]) for scale in scales] == [(0, 1), (0, 1)]
    assert [plain(m.value) for m in at.markdown if "What the gates give" in m.value] == [
        "**What the gates give: ple · PLE**",
        "**What the gates give: shop · AESM²**",
    ]


def test_aesm2_beside_a_model_with_gates(go: Start) -> None:
    at = sound(go(ATLAS))
    assert len(charts(at)) == 2
    at = sound(pick(at, "Beside", "hmoe"))
    assert len(charts(at)) == 4
    own, other = charts(at)[-2:]
    assert heatmaps(own) == [(3, 5), (2, 5), (2, 3)]
    assert heatmaps(other) == [(6, 3), (4, 2)]
    at = sound(go(ATLAS, beside="hmoe", layers="one", layer="task.1"))
    assert "hmoe · HMoE has no layer task.1" in said(at)


def test_what_cannot_stand_beside_is_let_go(go: Start) -> None:
    for beside in ("plain", "gone", "ple"):
        at = sound(go(ATLAS, checkpoint="ple", beside=beside))
        assert len(charts(at)) == 1
        assert "beside" not in at.query_params


def test_nothing_to_stand_beside_is_said(start: Start) -> None:
    at = sound(start(ATLAS))
    assert "No other checkpoint with gates on this dataset" in said(at)


def test_models_without_gates_keep_their_message(go: Start) -> None:
    at = go(ATLAS, checkpoint="plain")
    assert ["no expert selection and no gates" in error.value for error in at.error] == [True]
    at = sound(go(LENS, checkpoint="plain"))
    assert "no expert selection and no gates" in said(at)
    assert charts(at) == []
