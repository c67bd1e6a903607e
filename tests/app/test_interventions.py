"""The Interventions page through AppTest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.routing.effects import effect
from aesm2.routing.interventions import parse
from aesm2.routing.knockout import knockouts
from app import locations
from app.cache import model
from tests import degenerate, small

PAGE = "views/interventions.py"
Start = Callable[..., AppTest]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def batch(checkpoint: Checkpoint) -> Batch:
    return checkpoint.encode(Dataset.open(small.dataset()).split("test"), labels=True)


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def view(at: AppTest) -> dict[str, str]:
    return {n: v if isinstance(v, str) else v[0] for n, v in at.query_params.items()}


def press(at: AppTest, key: str) -> AppTest:
    (button,) = [b for b in at.button if b.key == key]
    return sound(button.click().run())


def charts(at: AppTest) -> dict[str, dict[str, Any]]:
    return {
        chart.proto.id.split("-", 2)[2]: json.loads(chart.proto.spec)
        for chart in at.get("plotly_chart")
    }


def said(at: AppTest) -> str:
    return "\n".join(m.value for m in at.markdown) + "\n".join(i.value for i in at.info)


def test_it_begins_with_an_example_and_shows_the_row_before_and_after(
    start: Start, checkpoint: Checkpoint, batch: Batch
) -> None:
    at = sound(start(PAGE))
    assert "Nothing is done to the model yet" in said(at)
    at = press(at, "do-example")
    assert view(at)["do"] == "out:country.1.0"
    assert "1. Expert 0 of country.1 is knocked out" in said(at)
    assert {"interventions-before", "interventions-after"} <= set(charts(at))
    table = next(d.value for d in at.dataframe if "changed" in d.value.columns)
    found = effect(checkpoint.model, batch[:1], parse("out:country.1.0"))
    assert table["as it is"].iloc[0] == f"{100 * found.before[0, 0]:.2f} %"
    assert table["changed"].iloc[0] == f"{100 * found.after[0, 0]:.2f} %"
    assert table["changed"].iloc[-1] == f"{100 * found.after[0, 1]:.2f} %"


def test_interventions_are_added_removed_taken_back_and_named(start: Start) -> None:
    at = sound(start(PAGE))
    (kind,) = [box for box in at.selectbox if box.key == "do-kind"]
    at = press(kind.select("force").run(), "do-add")
    assert view(at)["do"] == "force:country.1.0.specific"
    (kind,) = [box for box in at.selectbox if box.key == "do-kind"]
    at = press(kind.select("k").run(), "do-add")
    both = "force:country.1.0.specific;k:country.1.2.2"
    assert view(at)["do"] == both
    (number,) = [box for box in at.number_input if box.key == "do-k-specific-country.1"]
    at = press(number.set_value(3).run(), "do-add")
    assert view(at)["do"] == both.replace("2.2", "3.2"), "another K takes the place of the first"
    (name,) = [box for box in at.text_input if box.key == "do-name"]
    at = press(name.input("three").run(), "do-save")
    at = press(at, "do-remove-0")
    assert view(at)["do"] == "k:country.1.3.2"
    at = press(at, "do-clear")
    assert "do" not in view(at)
    at = press(at, "do-undo")
    assert view(at)["do"] == "k:country.1.3.2"
    at = press(at, "do-named-0")
    assert view(at)["do"] == both.replace("2.2", "3.2")


def test_what_contradicts_cannot_be_added(start: Start) -> None:
    at = sound(start(PAGE, do="force:country.1.0.specific"))  # "knock out 0" stands in the form
    assert any("knocked out and forced in" in warning.value for warning in at.warning)
    (add,) = [b for b in at.button if b.key == "do-add"]
    assert add.disabled


def test_the_form_of_every_kind(start: Start) -> None:
    at = sound(start(PAGE))
    kinds = ["force", "k", "retarget", "swap", "noise", "fix"]
    for kind in kinds:
        (box,) = [box for box in at.selectbox if box.key == "do-kind"]
        at = sound(box.select(kind).run())
        if kind == "fix":  # cannot stand beside K and what is forced in
            assert next(b for b in at.button if b.key == "do-add").disabled
            at = press(at, "do-clear")
        at = press(at, "do-add")
        assert f"{kind}:" in view(at)["do"]


def test_the_address_replays_what_is_done_to_rows(
    start: Start, checkpoint: Checkpoint, batch: Batch
) -> None:
    doing = "retarget:country.1=it"
    at = sound(start(PAGE, do=doing, do__view="rows", task="ctr", s__page="1"))
    positions = np.flatnonzero(batch.scenarios[:, 1].numpy() == 1)
    found = effect(checkpoint.model, batch[positions.tolist()], parse(doing), positions)
    line = found.flips().set_index(["layer", "scenario"]).loc[("country.1", "all")]
    text = said(at)
    assert (
        f"Retargeting country.1: its shared set E\\_sh moved for 0 of {len(positions)} rows (KL(q,"
        f" ·) does not depend on j), its specific set E\\_sp for {line['specific']}." in text
    )
    chart = charts(at)["interventions-change-auc"]
    expected = found.measures().query("task == 'ctr'")["auc_change"].to_numpy()
    shown = np.array([np.nan if s == 0 else x for x, s in zip(
        chart["data"][0]["x"], chart["data"][0]["marker"]["size"], strict=True)])  # fmt: skip
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert any("Only rows of page 1" in caption.value for caption in at.caption)


def test_every_knock_out_and_a_click_on_a_cell(
    start: Start, checkpoint: Checkpoint, batch: Batch
) -> None:
    model._knockouts.clear()  # of another test on the same rows
    at = sound(start(PAGE, do__view="all", task="ctr"))
    assert "Each of the 13 experts is knocked out in turn" in said(at)
    at = press(at, "interventions-sweep")
    cells = knockouts(checkpoint.model, batch).to_frame().query("task == 'ctr'")
    heat = [d for d in charts(at)["interventions-auc-ctr"]["data"] if d["type"] == "heatmap"]
    texts = [t for trace in heat for line in trace["text"] for t in line]
    assert len(texts) == len(cells)
    assert [t == "–" for t in texts] == cells["auc_change"].isna().tolist()
    at.session_state["interventions-auc-ctr"] = {
        "selection": {"points": [{"customdata": ["page.1", 3, "all", "all"]}]}
    }
    at = sound(at.run())
    assert view(at)["do"] == "out:page.1.3"
    assert "Expert 3 of page.1 is knocked out" in said(at)
    assert not [b for b in at.button if b.key == "interventions-sweep"], "it is kept"


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("out:country.1.9", "no expert 9 in country.1"),
        ("out:cuntry.1.0", "did you mean"),
        ("<script>;noise:1e400.1", "is no intervention"),
        (";".join(f"out:country.1.{k}" for k in range(5)), "at least one must remain"),
    ],
)
def test_an_address_that_cannot_be_done_is_said_and_dropped(
    start: Start, do: str, message: str
) -> None:
    at = sound(start(PAGE, do=do, do__view="rows"))
    (warning,) = [w.value for w in at.warning if "in the address cannot be done" in w.value]
    assert message in warning.replace("\\", "")
    if do.startswith("<"):
        assert "do" not in view(press(at, "do-drop"))


def test_a_scenario_without_rows_and_a_model_without_selection(start: Start) -> None:
    plain = sound(start(PAGE, checkpoint="plain"))
    assert "no expert selection" in said(plain)
    at = sound(start(PAGE, do="out:country.1.1", do__view="rows", s__country="elsewhere"))
    assert at.get("plotly_chart") or "No row here" in said(at)


@pytest.mark.parametrize("name", ["one_scenario", "four_levels", "some_scenarios"])
def test_it_stands_on_any_data(start: Start, name: str) -> None:
    at = start(PAGE, root=degenerate.root(), checkpoint=name, do="out:task.1.0", do__view="rows")
    sound(at)
    assert {"interventions-flips", "interventions-change-auc"} <= set(charts(at))


@pytest.mark.parametrize("shown", ["row", "rows", "all"])
def test_the_code_makes_the_chart(
    start: Start, small_root: Path, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    at = sound(start(PAGE, do="out:country.1.1", do__view=shown, s__page="1", task="ctr"))
    if shown == "all" and [b for b in at.button if b.key == "interventions-sweep"]:
        at = press(at, "interventions-sweep")
    wanted = {"row": "interventions-after", "rows": "interventions-flips",
              "all": "interventions-auc-ctr"}[shown]  # fmt: skip
    figures: list[go.Figure] = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: figures.append(figure))
    monkeypatch.chdir(small_root)
    assert small_root == locations.ROOT
    blocks = [block.value for block in at.code if "import aesm2" in block.value]
    for block in blocks:
        exec(block, {})
    shown_data = charts(at)[wanted]["data"]
    made = [json.loads(figure.to_json())["data"] for figure in figures]
    assert any(json.dumps(shown_data) == json.dumps(data) for data in made)
