"""The Selection Geometry through AppTest."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.data.encoder import tasks_exist
from aesm2.routing.counterfactual import features_from_text
from aesm2.routing.flips import feature_flips
from aesm2.routing.margins import calls, closest
from app.markdown import plain
from tests import degenerate, small
from tests.app.conftest import with_numbers

PAGE = "views/geometry.py"
Start = Callable[..., AppTest]


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def charts(at: AppTest) -> dict[str, dict[str, Any]]:
    """Charts by key: "$$ID-hash-key"."""
    return {
        chart.proto.id.split("-", 2)[2]: json.loads(chart.proto.spec)
        for chart in at.get("plotly_chart")
    }


def address(at: AppTest) -> dict[str, str]:
    return {n: v if isinstance(v, str) else v[0] for n, v in at.query_params.items()}


def table(at: AppTest, column: str) -> pd.DataFrame:
    return next(d.value for d in at.dataframe if column in d.value.columns)


def texts(at: AppTest) -> str:
    parts = [*at.markdown, *at.info, *at.caption, *at.subheader]
    return "\n".join(str(part.value) for part in parts)


def scripts(at: AppTest) -> list[str]:
    return [block.value for block in at.code]


def click(at: AppTest, key: str, line: int) -> AppTest:
    (widget,) = [d.proto.id.split("-", 2)[2] for d in at.dataframe if f"-{key}-" in d.proto.id]
    at.session_state[widget] = {"selection": {"rows": [line], "columns": []}}
    return at.run()


def opened() -> tuple[aesm2.Checkpoint, pd.DataFrame]:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    return checkpoint, Dataset.open(small.dataset()).split("test")


@pytest.mark.parametrize(
    ("layer", "kind", "title"),
    [
        ("country.1", "scatterternary", "a triangle"),
        ("page.1", "scatter", "an interval"),
        ("task.1", "scatter", "an interval"),
    ],
)
def test_every_layer_has_its_simplex_and_the_score_plane(
    start: Start, layer: str, kind: str, title: str
) -> None:
    at = sound(start(PAGE, layer=layer))
    found = charts(at)
    names = [key.split("-")[1] for key in found]
    assert names == ["simplex", "scores", "margins", "change", "change"]
    assert {trace["type"] for trace in next(iter(found.values()))["data"]} == {kind}
    assert f"The simplex of gates: {title}" in plain(texts(at))
    assert "the gap is" in texts(at)
    labels = [note["text"] for chart in found.values() for note in chart["layout"]["annotations"]]
    assert any("simulated data" in label and "test split" in label for label in labels)


def test_the_numbers_are_those_of_the_library(start: Start) -> None:
    checkpoint, frame = opened()
    row = frame.index[5]
    at = with_numbers(sound(start(PAGE, layer="country.1", row=str(row))), "geometry-scores")
    layer = checkpoint.trace(frame.loc[[row]]).layer("country.1")
    shown = table(at, "kl_shared")
    np.testing.assert_allclose(shown["kl_specific"], layer.kl_specific[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shown["kl_shared"], layer.kl_shared[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shown["G̃, it"], layer.row_softmax[0, :, 1], rtol=1e-4)


def test_the_closest_calls_and_a_click_on_one(start: Start) -> None:
    checkpoint, frame = opened()
    batch = checkpoint.encode(frame)
    exists = tasks_exist(checkpoint.description, batch.scenarios.numpy())
    found = calls(checkpoint.model, batch)
    kept = [np.ones(len(frame), bool) if c.task is None else exists[:, c.task] for c in found]
    lines = closest(found, kept, 50)
    at = sound(start(PAGE, over="all"))
    shown = table(at, "margin, nats")
    np.testing.assert_allclose(shown["margin, nats"], lines["nats"], rtol=1e-4, atol=1e-6)
    assert shown["row"].tolist() == [str(i) for i in frame.index[lines["position"]]]
    line = next(i for i, layer in enumerate(shown["layer"]) if layer != "country.1")
    at = sound(click(at, "geometry-closest", line))
    assert address(at)["row"] == shown["row"][line]
    assert address(at)["layer"] == shown["layer"][line]
    assert f"Row {shown['row'][line]}, layer {shown['layer'][line]}" in texts(at)


def test_the_bars_scenario_restricts_cloud_and_calls(start: Start) -> None:
    _, frame = opened()
    italian = int((frame["country"] == "it").sum())
    at = sound(start(PAGE, s__country="it"))
    assert f"Cloud: all {italian} rows" in texts(at)
    assert set(table(at, "margin, nats")["scenario"].str.split(" → ").str[0]) == {"it"}
    (margins,) = [chart for key, chart in charts(at).items() if "margins" in key]
    assert {trace["name"] for trace in margins["data"]} == {f"it (n = {italian})"}


def test_log_ratios_logarithmic_scores_and_the_cloud_of_one_expert(start: Start) -> None:
    at = sound(start(PAGE, layer="country.1", space="log-ratio", axes="log", cloud="2"))
    first, second = list(charts(at).values())[:2]
    assert "of their variance" in first["layout"]["xaxis"]["title"]["text"]
    assert second["layout"]["xaxis"]["type"] == "log"
    assert [t for t in second["data"] if t.get("name", "").startswith("cloud")]
    assert "their expert 2" in texts(at)


def test_feature_flips_and_the_way_to_the_lens(start: Start) -> None:
    checkpoint, frame = opened()
    at = sound(start(PAGE, layer="page.1", task="ctr"))
    found = feature_flips(checkpoint, frame.iloc[[0]], "page.1", 0)
    best = found.best("either")
    shown = table(at, "values that flip")
    assert shown["feature"].tolist() == best["feature"].tolist()
    assert shown["flips"].tolist() == ["✓" if flips else "–" for flips in best["flips"]]
    np.testing.assert_allclose(shown["margin left, nats"], best["margin"], rtol=1e-4, atol=1e-6)
    assert shown["pCTR now"].iloc[0] == f"{100 * found.before['ctr']:.2f} %"
    flipping = int(best["flips"].sum())
    said = f"**{flipping} of {len(best)} features**" if flipping else "**No feature** flips"
    assert said in texts(at)
    at = sound(click(at, "geometry-flips", 0))
    assert any("Instance Lens" in header.value for header in at.header)
    view = address(at)
    assert view["row"] == str(frame.index[0])
    changed = features_from_text(view["set"], checkpoint.encoder)
    assert changed == {best["feature"].iloc[0]: best["value"].iloc[0]}


def test_scripts_make_the_figures(
    start: Start, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = sound(start(PAGE, s__country="fr", layer="country.1", cloud="1"))
    shown, written = list(charts(at).values()), scripts(at)
    assert len(written) == len(shown) + 1
    monkeypatch.chdir(small_root)
    for chart, script in zip(shown, written, strict=False):
        names: dict[str, Any] = {}
        exec(script.removesuffix("figure.show()"), names)
        mine = json.loads(names["figure"].to_json())
        assert len(mine["data"]) == len(chart["data"])
        for one, other in zip(mine["data"], chart["data"], strict=True):
            for axis in ("x", "y", "z", "a", "b"):
                assert one.get(axis) == other.get(axis), (script, axis)
    assert written[-1].endswith("print(best)")


def test_a_model_without_selection_says_so(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain"))
    assert "does not select experts" in texts(at)
    assert charts(at) == {}


def test_a_single_gate_has_no_geometry(start: Start, tmp_path: Path) -> None:
    at = sound(start(PAGE, root=degenerate.root(), checkpoint="one_scenario"))
    said = texts(at)
    assert "Layer everywhere.1 has a single gate, shop" in said
    assert "everywhere.1 has nothing to choose: it has the single gate shop" in said
    assert "One gate: every divergence is 0" in said
    assert charts(at) == {}


def test_a_task_that_does_not_exist_here(start: Start) -> None:
    at = sound(start(PAGE, root=degenerate.root(), checkpoint="some_scenarios", layer="task.1",
                     task="ctcvr", s__country="it"))  # fmt: skip
    assert "does not exist in this row's scenario" in texts(at)
    assert re.search(r"\bnan\b", texts(at)) is None
    assert set(table(at, "values that flip")["after"]) == {"–"}


def test_four_gates_are_a_tetrahedron(start: Start) -> None:
    at = sound(start(PAGE, root=degenerate.root(), checkpoint="four_levels", layer="country.1",
                     cloud="none"))  # fmt: skip
    drawn = next(iter(charts(at).values()))["data"]
    assert {"scatter3d", "mesh3d"} <= {trace["type"] for trace in drawn}
    assert not [trace for trace in drawn if trace.get("name", "").startswith("cloud")]
    assert "Drag the tetrahedron" in texts(at)


def test_hostile_addresses(start: Start) -> None:
    bad = {"space": "9", "cloud": "77", "axes": "?", "flips": "all", "tried": "1e9", "over": "x"}
    at = sound(start(PAGE, layer="gone", grouping="city", rows="../x", **bad))
    assert len(charts(at)) == 5
    lost = sound(start(PAGE, row="no such row"))
    assert "There is no row “no such row”" in texts(lost)


def test_without_the_dataset_the_way_on_is_offered(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "bare" / "checkpoints")
    at = sound(start(PAGE, root=tmp_path / "bare"))
    (warning,) = at.warning
    assert "is not here" in warning.value
    assert charts(at) == {}
