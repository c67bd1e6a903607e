"""Routing drift and summaries in the Atlas, through AppTest."""

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
from aesm2.plots.style import provenance
from aesm2.routing.drift import Use, per_row
from aesm2.routing.drift_chance import js
from aesm2.routing.grouped import grouped_utilisation
from aesm2.routing.trace import LayerSpec
from aesm2.streaming import summary_file
from aesm2.streaming.works import row_groups
from app import locations
from tests import small
from tests.app.conftest import with_numbers
from tests.app.test_atlas import charts, sound
from tests.app.test_recipes import Look, check, look, root

__all__ = ["look", "root"]  # fixtures
PAGE, ATLAS = "views/routing_drift.py", "views/atlas.py"
Start = Callable[..., AppTest]


def write(file: Path, split: Any, cluster: str | None = "user") -> summary_file.RoutingFile:
    """A routing summary of a split of the small shop."""
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    rows = Dataset.open(small.dataset()).split(split)
    groups, block = row_groups(rows, cluster)
    counted = grouped_utilisation(checkpoint.model, checkpoint.encode(rows), groups)
    data = provenance(checkpoint.description)
    own = summary_file.of(checkpoint, counted, f"the {split} days", data, cluster, block)
    file.parent.mkdir(exist_ok=True)
    summary_file.write(file, own)
    return own


@pytest.fixture
def summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "summaries"
    write(folder / "monday.routing", "train")
    write(folder / "tuesday.routing", "test")
    (folder / "broken.routing").write_text("x")
    monkeypatch.setenv("AESM2_SUMMARIES", str(folder))
    return folder


def test_the_page_compares_training_and_test(start: Start) -> None:
    at = with_numbers(sound(start(PAGE, a="train")), "routing-drift-weight")
    heat = [trace for trace in charts(at)[0]["data"] if trace["type"] == "heatmap"]
    assert len(heat) == 2  # by country, with the task layer; by page
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    weights = [
        checkpoint.utilisation(Dataset.open(small.dataset()).split(split)).layer("country.1").weight
        for split in ("train", "test")
    ]
    fr = [own[0, :2].sum(0) / own[0, :2].sum() for own in weights]  # country fr, either page
    table = at.dataframe[0].value.query("layer == 'country.1' and scenario == 'fr'")
    assert table["JS, nats"].iloc[0] == pytest.approx(js(fr[0], fr[1]), rel=1e-5)
    said = " ".join(m.value for m in at.markdown)
    assert "none of 8 cells" in said
    assert any("rows of one user stay together" in c.value for c in at.caption)


def test_summaries_are_offered_and_a_broken_one_is_not(start: Start, summaries: Path) -> None:
    at = sound(start(PAGE, a="file:monday", b="file:tuesday"))
    box = next(box for box in at.selectbox if box.label == "From (A)")
    assert box.options == ["Training split", "Validation split", "Test split",
                           "monday.routing", "tuesday.routing"]  # fmt: skip
    usual = next(box for box in sound(start(PAGE)).selectbox if box.label == "To (B)")
    assert usual.value == "file:tuesday"
    splits = sound(start(PAGE, a="train", b="test"))
    of_files, of_splits = (
        [t["z"] for t in charts(page)[0]["data"] if t["type"] == "heatmap"] for page in (at, splits)
    )
    assert json.dumps(of_files) == json.dumps(of_splits)  # the same rows, counted either way
    cell = sound(start(PAGE, drift__cell="page.1/0/1"))
    assert any("Experts of page.1, page 1" in m.value for m in cell.markdown)


def test_a_click_chooses_the_cell(start: Start) -> None:
    at = start(PAGE)
    at.session_state["routing-drift-weight-own"] = {
        "selection": {"points": [{"customdata": ["task.1", 1, 0]}]}
    }
    at = sound(at.run())
    assert at.query_params["drift-cell"] in ("task.1/1/0", ["task.1/1/0"])
    assert any("Experts of task.1, ctcvr" in m.value for m in at.markdown)


def test_the_same_rows_and_nothing_at_all_say_how_summaries_are_made(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    at = sound(start(PAGE, a="test", b="test"))
    assert any("A and B are the same rows" in info.value for info in at.info)
    assert any("aesm2 utilisation" in code.value for code in at.code)
    shutil.copytree(small_root / "checkpoints", tmp_path / "bare" / "checkpoints")
    at = sound(start(PAGE, root=tmp_path / "bare"))
    assert any("nor routing summaries are here" in info.value for info in at.info)
    assert charts(at) == []


def test_a_model_without_selection_says_so(start: Start) -> None:
    at = start(PAGE, checkpoint="plain")
    assert not at.exception
    assert "no expert selection" in at.error[0].value


def test_choices_that_no_layer_makes_are_not_offered(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_shared(spec: LayerSpec, use: Use) -> int:
        return 0 if use == "shared" else per_row(spec, use)

    monkeypatch.setattr("app.routing_drift.page.per_row", without_shared)
    at = sound(start(PAGE, use="shared"))
    (box,) = (box for box in at.selectbox if box.label == "Compare")
    assert box.options == ["mixing weights", "▲ specific choices"]
    assert box.value == "weight"


def test_hostile_addresses(start: Start) -> None:
    at = sound(
        start(PAGE, a="../x", b="file:x", use="?", grouping="city", fdr="9", drift__cell="x/y/z")
    )
    assert len(charts(at)) == 3


def test_the_code_of_every_chart_makes_it(look: Look, root: Path) -> None:
    write(root / "summaries" / "monday.routing", "train")
    drawn = look(PAGE, checkpoint="shop", a="file:monday", b="test")
    assert len(drawn) == 3
    check(drawn)
    atlas = look(ATLAS, checkpoint="shop", summary="file:monday", s__country="fr")
    check({name: own for name, own in atlas.items() if name.startswith("atlas-own")})


def test_the_atlas_draws_a_summary_as_it_draws_the_rows(start: Start, summaries: Path) -> None:
    rows = sound(start(ATLAS, rows="test"))
    counted = sound(start(ATLAS, summary="file:tuesday"))
    pairs = zip(charts(rows)[0]["data"], charts(counted)[0]["data"], strict=True)
    for a, b in pairs:
        if a["type"] == "heatmap":
            assert a["z"] == b["z"]
    stamps = [note["text"] for note in charts(counted)[0]["layout"]["annotations"]]
    assert any("counted over 88 rows of the test days" in text for text in stamps)
    assert any("A summary holds counts, not rows" in c.value for c in counted.caption)
    assert "Rows" not in [box.label for box in counted.selectbox]
    assert np.isfinite(len(counted.dataframe))


def test_a_summary_that_went_is_said(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    at = sound(start(ATLAS, summary="upload:abc"))
    assert len(charts(at)) == 2
    assert locations.summaries(aesm2.load(small.run() / "checkpoint", "cpu")) == {}


def test_an_opened_summary_is_checked_and_shown(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "s" / "own.routing", "validation")
    content = (tmp_path / "s" / "own.routing").read_bytes()
    at = start(ATLAS)
    at = at.file_uploader(key="summary-upload").upload("bad.routing", content[:-9]).run()
    assert "cannot be read" in at.error[0].value
    box = start(ATLAS).file_uploader(key="summary-upload")
    at = sound(box.upload("own.routing", content).run())
    (name,) = [v for k, v in at.query_params.items() if k == "summary"]
    assert "upload:" in str(name)
    assert any("A summary holds counts, not rows" in c.value for c in at.caption)
