"""Home through AppTest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.routing.highlights import highlights
from app import widgets
from tests import small
from tests.app.conftest import each_gets_its_own

PAGE = "views/home.py"
Start = Callable[..., AppTest]


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def charts(at: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def tiles(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info])


def pick(at: AppTest, label: str, value: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return box.select(value).run()


def test_the_key_facts_are_those_of_the_checkpoint(start: Start) -> None:
    at = sound(start(""))
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    test = opened.evaluation[opened.evaluation["split"] == "test"]
    area = test[(test["scope"] == "all") & (test["task"] == "ctr")]["auc"].iloc[0]
    found = tiles(at)
    assert found["Test AUC × 100: ctr"] == f"{100 * area:.2f}"
    trained = opened.statistics[opened.statistics["split"] == "train"]["impressions"].sum()
    assert found["Rows trained on"] == f"{trained:,}"
    assert found["Scenarios"] == "3 × 2"
    assert (found["Tasks"], found["Layers"], found["Experts"]) == ("2", "3", "13")


def test_it_says_what_it_is_and_where_it_comes_from(start: Start) -> None:
    said = texts(start(""))
    for words in ("ranking model", "Licence", "CC0", "Nobody, 2026", "Invented from a seed"):
        assert words in said
    assert "# aesm2 on A small shop" in said  # the model card


def test_a_click_on_the_architecture_makes_the_layer_current(start: Start) -> None:
    at = start("")
    at.session_state["home-architecture"] = {"selection": {"points": [{"customdata": ["task.1"]}]}}
    at = sound(at.run())
    assert dict(at.query_params)["layer"] == "task.1"
    architecture = charts(at)[0]
    (ring,) = [shape for shape in architecture["layout"]["shapes"] if "name" in shape]
    assert (ring["y0"] + ring["y1"]) / 2 == 3
    at = sound(pick(at, "Layer", "page.1"))  # the old click is not taken again
    assert dict(at.query_params)["layer"] == "page.1"


def test_the_split_and_the_scenarios_of_the_metrics(start: Start) -> None:
    at = start("")
    assert len(charts(at)[1]["layout"]["yaxis"]["ticktext"]) == 1 + 3 + 2
    at = sound(pick(at, "Measured on", "validation"))
    at = sound(pick(at, "Scenarios", "path"))
    view = dict(at.query_params)
    assert (view["metrics-split"], view["metrics-scope"]) == ("validation", "path")
    shown = charts(at)[1]
    assert len(shown["layout"]["yaxis"]["ticktext"]) == 6
    notes = [a["text"] for a in shown["layout"]["annotations"]]
    assert any("simulated data" in note and "validation split" in note for note in notes)


def test_the_data_statistics(start: Start) -> None:
    at = sound(start("", data__by="path", data__split="test"))
    (table,) = [t.value for t in at.dataframe if "ALL" in t.value.columns]
    assert list(table["measure"])[:3] == ["#impressions", "#ctr", "#ctcvr"]
    assert len(table.columns) == 2 + 6
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    count = opened.statistics.loc[opened.statistics["split"] == "test", "impressions"].sum()
    assert table["ALL"].iloc[0] == f"{count:,}"


def test_the_rows_worth_a_look_are_those_of_the_library(start: Start) -> None:
    at = start("", task="ctr")
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    found = highlights(opened.model, opened.encode(frame), 0)
    said = texts(at)
    assert f"Found among all {len(frame)} test rows" in said
    for one in (found.decisive, found.closest, found.disagreement):
        assert one is not None
        assert f"Row {frame.index[one.position]}. " in said
    assert found.decisive is not None
    assert f"Gap {found.decisive.gap:.3g} nats" in said


def test_a_row_opens_in_the_lens(start: Start) -> None:
    at = start("")
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    closest = highlights(opened.model, opened.encode(frame), 1).closest
    assert closest is not None
    at = sound(at.button(key="home-open-closest").click().run())
    view = dict(at.query_params)
    assert view["row"] == str(frame.index[closest.position])
    assert view["rows"] == "test"
    assert view["layer"] == closest.layer
    assert any(f"Row {frame.index[closest.position]}" in s.value for s in at.subheader)


def test_a_model_without_selection(start: Start) -> None:
    at = sound(start("", checkpoint="plain"))
    assert (tiles(at)["Layers"], tiles(at)["Experts"]) == ("0", "0")
    said = texts(at)
    assert "no expert selection" in said
    assert "no layer in which a row chooses" in said
    assert [b.key for b in at.button if b.key.startswith("home-open")] == ["home-open-disagreement"]


def test_without_the_dataset_the_rows_are_missed_and_the_rest_is_there(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "checkpoints")
    at = sound(start("", root=tmp_path))
    assert "is not here" in texts(at)
    assert not [b for b in at.button if b.key.startswith("home-open")]
    assert len(charts(at)) == 2


def test_without_a_model_card(start: Start, small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "shop" / "README.md").unlink()
    assert "has no model card" in texts(sound(start("", root=tmp_path)))


def test_an_unknown_option_in_the_address_falls_back(start: Start) -> None:
    at = sound(start("", metrics__split="tomorrow", data__by="moon", layer="no.9"))
    view = dict(at.query_params)
    assert view.get("metrics-split", "test") == "test"
    assert view.get("layer", "country.1") == "country.1"
    assert [toast.value for toast in at.toast]


def test_words_from_data_are_no_markdown() -> None:
    assert widgets.escaped("a_b *c* [d](e) :red[x] <b>") == (
        "a\\_b \\*c\\* \\[d\\](e) \\:red\\[x\\] \\<b>"
    )


def test_each_layer_and_split_has_its_own_figures(start: Start) -> None:
    each_gets_its_own(
        start, "", {}, {"layer": "task.1"},
        {"metrics-split": "validation", "metrics-scope": "path"},
    )  # fmt: skip


@pytest.mark.parametrize("view", [{}, {"mode": "story"}], ids=["page", "story"])
def test_an_address_from_a_machine_with_another_device(
    start: Start, view: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "tpu"):
        at = start("", device=device, **view)
        assert not at.exception
        assert not at.error
        assert f"“{device}” is not a device here" in at.toast[0].value
