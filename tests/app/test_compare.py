"""Compare checkpoints through AppTest."""

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
from aesm2.routing.paired import paired_differences
from app import locations
from tests import small
from tests.app.conftest import first_small_root, with_numbers
from tests.app.test_atlas import address, charts, sound

PAGE = "views/compare.py"
Start = Callable[..., AppTest]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two AESM² checkpoints of one dataset, and one of another model."""
    where = first_small_root(tmp_path_factory.mktemp("two") / "repository")
    small.fit(where / "run", small.config(seed=3, epochs=2))
    shutil.copytree(where / "run" / "checkpoint", where / "checkpoints" / "second")
    return where


def open_two(start: Start, root: Path, **view: str) -> AppTest:
    return start(PAGE, root=root, **{"other": "second", **view})


def both(root: Path) -> tuple[np.ndarray, np.ndarray]:
    frame = Dataset.open(small.dataset()).split("test")
    found = [aesm2.load(root / "checkpoints" / name, "cpu") for name in ("shop", "second")]
    a, b = (probabilities(c.model, c.encode(frame)) for c in found)
    return a, b


def test_routing(start: Start, root: Path) -> None:
    at = sound(open_two(start, root))
    matching, difference, use = charts(at)
    assert np.array(matching["data"][0]["text"]).shape == (5, 5)
    assert np.array(difference["data"][0]["z"]).shape == (6, 4)  # all, 3 + 2 scenarios; 4 targets
    assert len(use["data"]) == 2
    assert any(m.value.startswith("In country.1 matched experts overlap") for m in at.markdown)


def test_a_checkpoint_beside_its_copy_is_the_same(start: Start, root: Path, tmp_path: Path) -> None:
    where = tmp_path / "copies"
    shutil.copytree(root / "data_samples", where / "data_samples")
    for name in ("shop", "copy"):
        shutil.copytree(root / "checkpoints" / "shop", where / "checkpoints" / name)
    at = sound(start(PAGE, root=where, other="copy"))
    assert any("overlap by 1.00 on average" in m.value for m in at.markdown)
    assert not np.nansum(np.array(charts(at)[1]["data"][0]["z"], float))
    at = sound(start(PAGE, root=where, other="copy", part="predictions"))
    assert any("rank correlation 1.000" in m.value for m in at.markdown)


def test_predictions_and_a_row_opened_in_the_lens(start: Start, root: Path) -> None:
    at = sound(open_two(start, root, part="predictions", task="ctr"))
    a, b = both(root)
    frame = Dataset.open(small.dataset()).split("test")
    first = int(np.abs(b[:, 0].astype(float) - a[:, 0]).argmax())
    listed = next(d.value for d in at.dataframe if "difference" in d.value.columns)
    assert listed["row"].iloc[0] == str(frame.index[first])
    assert listed["difference"].iloc[0] == pytest.approx(100 * (b - a)[first, 0], abs=1e-4)
    (key,) = [
        i for i in (d.proto.id.split("-", 2)[-1] for d in at.dataframe) if i.startswith("comp")
    ]
    at.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    at = sound(at.run())
    assert address(at)["row"] == str(frame.index[first])
    assert any("Instance Lens" in header.value for header in at.header)


def test_ranking_is_that_of_the_library(start: Start, root: Path) -> None:
    at = with_numbers(sound(open_two(start, root, part="ranking")), "compare-ranking")
    checkpoint = aesm2.load(root / "checkpoints" / "shop", "cpu")
    batch = checkpoint.encode(Dataset.open(small.dataset()).split("test"), labels=True)
    wanted = paired_differences(*both(root), batch, checkpoint.encoder.schema)
    shown = next(d.value for d in at.dataframe if "delta_auc" in d.value.columns)
    np.testing.assert_allclose(shown["delta_auc"], wanted["delta_auc"])


def test_the_masking_rule(start: Start, root: Path) -> None:
    name = str(Dataset.open(small.dataset()).split("test").index[7])
    at = sound(open_two(start, root, part="rule", layer="task.1", row=name))
    assert len(charts(at)) == 4
    assert any("multiplies" in m.value for m in at.markdown)
    assert any(m.value.startswith(f"Row {name}: ") for m in at.markdown)


def test_a_model_without_selection_compares_predictions(start: Start, root: Path) -> None:
    at = sound(open_two(start, root, other="plain"))
    assert any("no expert selection" in c.value for c in at.caption)
    assert any("no routing to compare" in i.value for i in at.info)
    assert len(charts(sound(open_two(start, root, other="plain", part="ranking")))) == 1
    at = sound(start(PAGE, root=root, checkpoint="plain", part="rule"))
    assert any("nothing to mask" in i.value for i in at.info)


def test_alone_it_shows_the_way_on(start: Start, root: Path, tmp_path: Path) -> None:
    where = tmp_path / "one"
    shutil.copytree(root / "data_samples", where / "data_samples")
    shutil.copytree(root / "checkpoints" / "shop", where / "checkpoints" / "shop")
    at = sound(start(PAGE, root=where))
    assert any("no other checkpoint of the dataset" in i.value for i in at.info)


def test_hostile_views_show_a_page(start: Start, root: Path) -> None:
    at = sound(open_two(start, root, other="../../etc", part="<x>", layer="?"))
    assert any("no routing to compare" in i.value for i in at.info)  # with the first: plain


@pytest.mark.parametrize("part", ["routing", "predictions", "ranking", "rule"])
def test_the_code_makes_the_figures(
    start: Start, root: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = open_two(start, root, part=part)
    monkeypatch.chdir(locations.ROOT)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)
    scripts = [c.value for c in at.get("code")]
    assert len(scripts) == len(charts(at))
    for script, chart in zip(scripts, charts(at), strict=True):
        scope: dict[str, go.Figure] = {}
        exec(script, scope)
        assert [t.type for t in scope["figure"].data] == [t["type"] for t in chart["data"]]
