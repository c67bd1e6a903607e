"""Expert cards through AppTest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.inference import probabilities
from aesm2.routing.cards import cards, knockout
from app import locations
from app.rows import upload
from tests import small
from tests.app.conftest import with_numbers
from tests.app.test_atlas import address, charts, sound

PAGE = "views/experts.py"
GALLERY = "experts-gallery-country-1-country"
Start = Callable[..., AppTest]


def test_it_shows_the_layer_and_one_card(start: Start) -> None:
    at = sound(start(PAGE, expert="2"))
    shown = charts(at)
    assert len(shown) == 6
    assert len(shown[0]["data"]) == 5 * 4  # a bar an expert and role
    assert any("Expert 2 of country.1" in s.value for s in at.subheader)
    assert any(m.value.startswith("Expert 2 is ") for m in at.markdown)
    assert any("Without it, the AUC × 100 of ctr" in m.value for m in at.markdown)
    for chart in shown:
        stamps = [
            a["text"] for a in chart["layout"]["annotations"] if a.get("name") == "provenance"
        ]
        assert "simulated data" in stamps[0]


def test_the_numbers_are_those_of_the_library(start: Start) -> None:
    at = start(PAGE, expert="2")
    at.session_state["numbers-experts-knockout"] = True
    at = with_numbers(at, GALLERY)
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    batch = checkpoint.encode(Dataset.open(small.dataset()).split("test"), labels=True)
    everyone = np.ones(len(batch), bool)
    found = cards(checkpoint.model, batch, "country.1", 0, "country", everyone)
    table = next(d.value for d in at.dataframe if "expert" in d.value.columns)
    np.testing.assert_allclose(table["specific"], found.share[:, :, 0].T.ravel())
    predicted = probabilities(checkpoint.model, batch)
    wanted = knockout(checkpoint.model, batch, "country.1", 2, predicted)
    shown = next(d.value for d in at.dataframe if "delta_auc" in d.value.columns)
    np.testing.assert_allclose(shown["delta_auc"], wanted["delta_auc"])


def test_clicks_open_a_card_and_a_feature_and_the_address_brings_them_back(start: Start) -> None:
    at = start(PAGE)
    at.session_state[GALLERY] = {"selection": {"points": [{"customdata": 3}]}}
    at.run()
    at.session_state["experts-features"] = {"selection": {"points": [{"customdata": 0}]}}
    at = sound(at.run())
    assert (address(at)["expert"], address(at)["feature"]) == ("3", "user")
    again = sound(start(PAGE, **address(at)))
    for one in (at, again):
        assert any("Expert 3 of" in s.value for s in one.subheader)
        assert any(m.value == "**Values of user**" for m in one.markdown)


def test_a_task_layer_is_looked_at_for_the_task(start: Start) -> None:
    view = {"layer": "task.1", "task": "ctr", "expert": "2", "grouping": "path"}
    at = sound(start(PAGE, s__country="fr", **view))
    assert any("Expert 2 of task.1 for ctr" in s.value for s in at.subheader)
    assert charts(at)[0]["data"][0]["y"] == ["fr → 0", "fr → 1"]


def test_hostile_views_show_a_page(start: Start) -> None:
    at = sound(start(PAGE, expert="99", feature="<b>", grouping="x", rows="?"))
    assert any("Expert 0 of" in s.value for s in at.subheader)
    assert any("nothing can set its rows apart" in i.value for i in at.info)


def test_a_model_without_selection_is_told(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain"))
    assert any("no expert selection" in i.value for i in at.info)
    assert charts(at) == []


def test_without_the_dataset_it_shows_the_way_on(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(small_root / "checkpoints" / "shop", root / "checkpoints" / "shop")
    at = start(PAGE, root=root)
    assert not at.exception
    assert any("is not here" in w.value for w in at.warning)


def test_the_code_makes_the_figures(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    at = start(PAGE, expert="2")
    monkeypatch.chdir(locations.ROOT)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)
    scripts = [c.value for c in at.get("code")]
    assert len(scripts) == 6
    for script, chart in zip(scripts, charts(at), strict=True):
        scope: dict[str, go.Figure] = {}
        exec(script, scope)
        made = json.loads(scope["figure"].to_json())
        assert [t["type"] for t in made["data"]] == [t["type"] for t in chart["data"]]
        assert made["data"][0].get("x") == chart["data"][0].get("x")


def test_nobody_sees_what_somebody_else_called_the_same_file(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = Dataset.open(small.dataset()).split("test").reset_index(drop=True)
    for name in ("secret.csv", "mine.csv"):
        monkeypatch.setattr(upload, "_uploads", lambda own=name: {"upload:same": (own, frame)})
        shown = json.dumps(charts(sound(start(PAGE, rows="upload:same"))))
        assert name in shown
        assert ("secret.csv" in shown) == (name == "secret.csv")
