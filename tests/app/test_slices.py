"""Slices: the page, and one slice in force on all pages."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.slices import Search, find, measured, sentence, within
from aesm2.slices.measures import measure
from aesm2.slices.saved import saved
from app import cache, locations, recipes, widgets
from app.rows import source as row_source
from app.rows import upload
from app.slices import page as slices
from tests import small

PAGE, LENS, ATLAS, DATA = (f"views/{name}.py" for name in ("slices", "lens", "atlas", "data"))
SLICE = "price >= 3 & page = 1"
Start = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AESM2_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def opened() -> cache.Opened:
    return cache.opened(small.run() / "checkpoint", "cpu")


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def texts(at: AppTest) -> str:
    parts = [*at.markdown, *at.caption, *at.info, *at.warning, *at.header]
    return "\n".join(part.value for part in parts).replace("\\", "")


def address(at: AppTest) -> dict[str, str]:
    return {n: v if isinstance(v, str) else v[0] for n, v in at.query_params.items()}


def charts(at: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def stamps(at: AppTest) -> str:
    found = [a["text"] for c in charts(at) for a in c["layout"].get("annotations", [])]
    return "\n".join(found).replace("<br>", " ")


def test_the_page_shows_what_the_library_finds(start: Start) -> None:
    at = sound(start(PAGE, rows="train", slices="all", measures="loss:ctr,gap:country.1"))
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("train")
    batch = checkpoint.encode(frame, labels=True)
    own = [measure(key, checkpoint.model, checkpoint.description)
           for key in ("loss:ctr", "gap:country.1")]  # fmt: skip
    values = measured(checkpoint.model, batch, checkpoint.description, own)
    found = find(frame, batch, checkpoint.encoder, values, Search())
    for one, chart in zip(own, charts(at), strict=True):
        lines = found.of(one, every=True)[: slices.MOST]
        assert chart["data"][0]["customdata"] == [str(line.slice) for line in lines]
        np.testing.assert_allclose(
            chart["data"][0]["x"], [line.difference.effect for line in lines], rtol=1e-5
        )
        for sign in (1, -1):
            side = [line for line in found.of(one) if line.difference.effect * sign > 0]
            assert not side or sentence(side[0]) in texts(at)
    assert f"{len(found.lines)} slices were picked on" in texts(at)
    pd.testing.assert_frame_equal(at.dataframe[-1].value, found.to_frame(), check_dtype=False)


def test_a_model_without_selection_is_told(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain", rows="train", slices="all"))
    assert "This model selects no experts" in texts(at)
    assert all(":ctr" in o or ":ctcvr" in o for o in at.multiselect(key="view-measures").value)
    assert len(charts(at)) == 2


@pytest.mark.parametrize(
    "view",
    [
        {"measures": "nonsense,loss:nobody", "depth": "9", "support": "x", "halves": "abc"},
        {"halves": "99999999999999999999", "slices": "zzz", "look": '"'},
        {"look": "country > 3", "slice": "<script> & **b** `", "measures": "set:page.1"},
        {"look": "price >= 100000"},
        {"slice": "price = 0 & page = 1 & country = fr"},
        {"rows": "upload:gone", "slice": SLICE, "measures": "none"},
        {"checkpoint": "plain", "measures": "set:country.1"},
    ],
    ids=str,
)
def test_hostile_views(start: Start, view: dict[str, str]) -> None:
    at = sound(start(PAGE, **view))
    assert "Slices: where is it wrong" in texts(at)
    assert "One slice" in [heading.value for heading in at.subheader]


@pytest.mark.parametrize(
    ("page", "text", "says"),
    [
        (PAGE, "price > 99", "no row of these"),
        (LENS, "prize = 3", "did you mean 'price'"),
        (DATA, 'brand = "x', "the quotes do not end"),
    ],
)
def test_a_slice_that_does_not_fit_is_told_and_cleared(
    start: Start, page: str, text: str, says: str
) -> None:
    at = sound(start(page, slice=text))
    assert "is left out" in texts(at)
    assert says in texts(at)
    at = sound(at.button(key="slice-clear").click().run())
    assert "is left out" not in texts(at)
    assert "slice" not in address(at)


def test_a_slice_is_in_force_on_every_page(start: Start) -> None:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    part = within(frame, SLICE, checkpoint.description)
    assert 0 < len(part) < len(frame)
    at = sound(start(PAGE, look=SLICE))
    assert f"**{len(part):,} of {len(frame):,} rows**" in texts(at)
    at = sound(at.button(key="slice-use").click().run())
    assert address(at)["slice"] == SLICE
    assert f"slice {SLICE} (n = {len(part):,})" in stamps(at) or not charts(at)
    at = sound(at.button(key="slice-Lens").click().run())
    assert list(at.dataframe[0].value["row"]) == part.index.astype(str).tolist()
    assert f"slice {SLICE} (n = {len(part):,})" in stamps(at)
    at = sound(at.switch_page(ATLAS).run())
    rows = [a for a in charts(at)[0]["layout"]["annotations"] if a.get("name") == "provenance"]
    assert f"test split; slice {SLICE}" in rows[0]["text"].replace("<br>", " ")
    at.session_state["numbers-atlas-own-share-specific-shared-all"] = True
    table = at.run().dataframe[0].value
    first = table[(table["layer"] == "country.1") & (table["role"] == "specific")]
    assert first.groupby("scenario")["rows"].first().sum() == len(part)
    at = sound(at.switch_page(DATA).run())
    assert f"{len(part):,} of {len(part):,} rows" in texts(at)
    at = sound(at.switch_page("views/home.py").run())
    at = sound(at.button(key="home-open-decisive").click().run())
    assert "slice" not in address(at), "the row may be outside"


def test_caches_do_not_mix_slices(opened: cache.Opened, small_root: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(locations, "ROOT", small_root)
    every = cache.rows(opened.checkpoint, "test")
    sets = [every, *(row_source.sliced(opened, every, t) for t in ("page = 0", "page = 1"))]
    assert len({rows.id for rows in sets}) == 3
    assert [rows.origin for rows in sets] == ["test"] * 3
    assert [rows.name for rows in sets] == ["test"] * 3
    assert row_source.sliced(opened, every, " page=0 ").id == sets[1].id
    assert row_source.whole(sets[1], opened) is every
    for rows in sets:
        assert rows.labels
        assert rows.batch.labels is not None
        assert len(rows.frame) == len(rows.batch) == cache.utilisation(opened, rows).rows.sum()
        assert cache.utilisation(opened, replace(rows)) is cache.utilisation(opened, rows)
    totals = [cache.utilisation(opened, rows).rows for rows in sets]
    np.testing.assert_array_equal(totals[0], totals[1] + totals[2])
    loss = [measure("loss:ctr", opened.checkpoint.model, opened.checkpoint.description)]
    values = [next(iter(slices.row_values(opened, rows, loss).values())) for rows in sets]
    assert [len(own) for own in values] == [len(rows.frame) for rows in sets]
    assert values[0].sum() == pytest.approx(values[1].sum() + values[2].sum())
    with pytest.raises(InputError, match="no row of these"):
        row_source.sliced(opened, every, "price > 99")
    assert row_source.for_other(opened, sets[1]).id == sets[1].id


def test_uploaded_rows_have_slices(start: Start) -> None:
    at = start(LENS)
    frame = Dataset.open(small.dataset()).split("test").head(40).reset_index(drop=True)
    at.session_state["objects"] = {"uploads": {"upload:1": ("mine.csv", frame)}}
    at = sound(at.run())
    at = sound(at.selectbox(key="view-rows").select("upload:1").run())
    at.session_state["view"] = {**at.session_state["view"], "slice": "page = 1"}
    at = sound(at.run())
    n = int((frame["page"] == 1).sum())
    assert len(at.dataframe[0].value) == n
    assert "uploaded rows: mine.csv; the model is trained on" in stamps(at)
    assert f"slice page = 1 (n = {n})" in stamps(at)
    at.session_state["view"] = {**at.session_state["view"], "slice": "page = 0"}
    assert len(sound(at.run()).dataframe[0].value) == len(frame) - n
    kept = at.session_state["objects"]["uploads-sliced"]
    (rows,) = kept.values()
    assert rows.id.startswith(upload.PREFIX)
    assert rows.origin == "upload:1"
    at = sound(at.switch_page(ATLAS).run())
    assert "slice page = 0" in stamps(at)


def test_save_offer_everywhere_delete_and_undo(start: Start, home: Path) -> None:
    at = sound(start(PAGE, look=SLICE, measures="none"))
    at.text_input(key="slice-name").set_value("Dear on *1*").run()
    at = sound(at.button(key="slice-save").click().run())
    assert saved(home / ".slices", "shop") == {"Dear on *1*": SLICE}
    at.text_input(key="slice-name").set_value("Dear on *1*").run()
    at = at.button(key="slice-save").click().run()
    assert "already" in at.error[0].value
    for page in (LENS, ATLAS, DATA, PAGE):
        at = sound(at.switch_page(page).run())
        assert "Dear on *1*" in at.selectbox(key="view-slice").options
    at = sound(at.selectbox(key="view-slice").select(SLICE).run())
    assert address(at)["slice"] == SLICE
    at = sound(at.button(key="saved-delete-Dear on *1*").click().run())
    assert saved(home / ".slices", "shop") == {}
    assert address(at)["slice"] == SLICE, "what is in force stays"
    at = sound(at.button(key="slice-undo").click().run())
    assert saved(home / ".slices", "shop") == {"Dear on *1*": SLICE}
    assert not [b for b in at.button if b.key == "slice-undo"]


def test_a_broken_file_of_saved_slices_breaks_no_page(start: Start, home: Path) -> None:
    (home / ".slices").mkdir()
    (home / ".slices" / "shop.json").write_text("{")
    at = sound(start(LENS, slice="page = 1"))
    assert "The saved slices cannot be read" in texts(at)
    assert at.dataframe


def test_a_click_and_a_slice_within_a_slice(start: Start) -> None:
    at = sound(start(PAGE, rows="train", slices="all", slice="page = 1", measures="loss:ctr"))
    clicked = charts(at)[0]["data"][0]["customdata"][0]
    at.session_state["slices-loss-ctr"] = {"selection": {"points": [{"customdata": clicked}]}}
    at = sound(at.run())
    assert address(at)["look"] == clicked
    at = sound(at.button(key="slice-use").click().run())
    assert address(at)["slice"] == f"page = 1 & {clicked}"


def test_the_code_makes_the_chart(start: Start, small_root: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    at = sound(start(PAGE, rows="train", slices="all", slice="page = 1", measures="loss:ctr"))
    code = next(own.value for own in at.get("code") if "slices_figure" in own.value)
    assert "within(rows, 'page = 1', checkpoint.description)" in code
    monkeypatch.chdir(small_root)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)
    names: dict[str, Any] = {}
    exec(code, names)
    assert list(names["figure"].data[0].x) == charts(at)[0]["data"][0]["x"]
    assert "slice" not in recipes.script(cache.opened(small.run() / "checkpoint", "cpu"), None, "")


def test_more_measures_than_fit_and_the_same_one_twice(start: Start) -> None:
    kinds = [f"{kind}:{task}" for kind in ("loss", "calibration") for task in ("ctr", "ctcvr")]
    every = [*kinds, "set:country.1", "set:page.1", "set:task.1:ctr"]
    at = sound(start(PAGE, measures=",".join([every[0], *every])))
    assert at.multiselect(key="view-measures").value == every[:6]


def test_a_slice_of_all_rows_and_a_seed_of_many_digits(start: Start) -> None:
    at = sound(start(PAGE, look="price >= 0 or missing", halves="9" * 5000))
    assert "rows** (100 %)" in texts(at)


def test_a_table_says_which_rows_it_is_of(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped: dict[str, str] = {}
    monkeypatch.setattr(widgets, "csv", lambda _, key, source: stamped.update({key: source}))
    view = {"rows": "train", "slice": "page = 1"}
    sound(start(PAGE, slices="all", support="0.1", **view))
    sound(start(ATLAS, **view))
    for key in ("slices-table", "atlas-effective-number"):
        assert "train split; slice page = 1 (n = " in stamped[key]
    sound(start("views/routing_drift.py", a="train", b="test"))
    assert "Training split (" in stamped["routing-drift-cells"]
