"""Pins and the Report page through AppTest; the notebook in a kernel of its own."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from streamlit.testing.v1 import AppTest

from aesm2.report import Report, to_notebook, write_report
from app import pins, report, state
from tests.app.test_data import sound, texts
from tests.report import hand

PAGE = "views/report.py"
ATLAS = "pin-atlas-own-share-specific-shared-all"
Start = Callable[..., AppTest]


def press(at: AppTest, key: str) -> AppTest:
    (button,) = [b for b in at.button if b.key is not None and b.key.startswith(key)]
    return sound(button.click().run())


def visit(at: AppTest, page: str) -> AppTest:
    return sound(at.switch_page(page).run())


def kept(at: AppTest) -> Report:
    found: Report = at.session_state["objects"]["report"]
    return found


def order(at: AppTest) -> list[str]:
    return [own.key for own in kept(at).pins]


@pytest.fixture
def pinned(start: Start) -> AppTest:
    """Somebody who pinned the metrics on Home and the Atlas, and looks at the report."""
    at = press(start(""), "pin-home-metrics")
    at = press(visit(at, "views/atlas.py"), ATLAS)
    return visit(at, PAGE)


def test_without_pins_the_page_says_how(start: Start) -> None:
    at = sound(start(PAGE))
    assert "press :material/keep: beside a chart's title" in texts(at)
    assert not at.get("plotly_chart")


def test_a_pin_is_the_chart_as_it_is_seen(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    made = pins.figure_text
    monkeypatch.setattr(pins, "figure_text", lambda f, name: calls.append(name) or made(f, name))
    at = start("views/atlas.py", s__page="1", layer="page.1", over="all")
    assert calls == [], "what nobody pinned costs nothing"
    at = press(at, ATLAS)
    (own,) = kept(at).pins
    shown = next(
        c
        for c in at.get("plotly_chart")
        if c.proto.id.endswith("atlas-own-share-specific-shared-all")
    )
    assert json.loads(own.figure)["data"] == json.loads(shown.proto.spec)["data"]
    about = own.context
    assert (about.checkpoint, about.layer, about.scenario, about.task, about.slice, about.page) == (
        "shop", "page.1", "page-1", "ctcvr", "test", "atlas"
    )  # fmt: skip
    assert len(about.hash) == 64
    assert about.address == "/atlas?checkpoint=shop&layer=page.1&over=all&s-page=1&task=ctcvr"
    assert own.code.endswith("figure.show()")
    (button,) = [b for b in at.button if b.key == ATLAS]
    assert button.help == "In the report: press to take it out"
    at = press(at, ATLAS)
    assert kept(at).pins == ()


def test_another_view_of_a_chart_is_another_pin(start: Start) -> None:
    at = press(start("views/lens.py"), "pin-lens-strip")
    row = at.session_state["view"] | {"layer": "task.1"}
    at.session_state["view"] = row
    at = sound(at.run())
    (button,) = [b for b in at.button if b.key == "pin-lens-strip"]
    assert button.help == "Pin to the report"
    at = press(at, "pin-lens-strip")
    assert len(kept(at).pins) == 2


def test_order_comments_names_and_undo(pinned: AppTest) -> None:
    at = pinned
    first, second = (own.id for own in kept(at).pins)
    assert [chart.proto.id.split("-", 2)[2] for chart in at.get("plotly_chart")] == [
        f"report-chart-{first}", f"report-chart-{second}"
    ]  # fmt: skip
    at = press(at, f"report-down-{first}")
    assert [own.id for own in kept(at).pins] == [second, first]
    at = sound(at.text_area(key=f"report-words-{first}").input("Good *enough*").run())
    at = sound(at.text_input(key=f"report-name-{first}").input("How good").run())
    at = sound(at.text_input(key="report-title").input("Mine").run())
    at = sound(at.slider(key="report-size").set_value(20).run())
    shown = kept(at)
    assert (shown.title, shown.font_size, shown.comment(first)) == ("Mine", 20, "Good *enough*")
    assert shown.pins[1].title == "How good"
    at = press(at, f"report-remove-{first}")
    assert "How good” was taken out" in texts(at)
    assert len(kept(at).pins) == 1
    at = press(at, "report-undo")
    assert kept(at) == shown
    at = press(at, "report-clear")
    assert kept(at).pins == ()
    at = press(at, "report-undo")
    assert kept(at) == shown
    at = visit(visit(at, "views/home.py"), PAGE)
    assert at.text_area(key=f"report-words-{first}").value == "Good *enough*"


def test_the_badge_counts(pinned: AppTest) -> None:
    labels = [link.proto.label for link in pinned.get("page_link")]
    assert "Report: 2" in labels


class File:
    """An uploaded file."""

    def __init__(self, content: bytes) -> None:
        self.name, self.size, self.content = "mine.json", len(content), content

    def getvalue(self) -> bytes:
        return self.content


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A session without a browser: what is remembered."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr(state, "remember", kept.__setitem__)
    monkeypatch.setattr(state, "recall", kept.get)
    return kept


def opened(session: dict[str, Any], monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(state, "entered", lambda _: File(content))
    report._opened()


def test_a_saved_report_is_opened_and_can_be_undone(
    session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.keep(hand.report(1))
    opened(session, monkeypatch, write_report(hand.report(3)).encode())
    assert [own.title for own in pins.report().pins] == ["Chart 0", "Chart 1", "Chart 2"]
    assert all(own.reopened for own in pins.report().pins)
    assert session["report-file"] == ""
    pins.undo()
    assert pins.report() == hand.report(1)


def test_a_broken_report_changes_nothing_and_says_why(
    session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.keep(hand.report(1))
    opened(session, monkeypatch, b"<html>")
    assert pins.report() == hand.report(1)
    assert session["report-file"].startswith("mine.json: not a report of this app")
    assert session["report-file"].endswith("Nothing was changed.")


def test_a_reopened_report_is_shown_with_a_warning_and_without_markup(start: Start) -> None:
    at = sound(start(PAGE))
    own = hand.made(0, hand.EVIL).model_copy(update={"reopened": True, "stamp": "<b>*x*</b>"})
    at.session_state["objects"] = at.session_state["objects"] | {"report": Report().added(own)}
    at = sound(at.run())
    assert any("This report came from a file" in warning.value for warning in at.warning)
    assert "\\<b>\\*x\\*\\</b>" in texts(at)


def numbers(value: Any) -> Any:
    """Plotly's binary arrays as lists, rounded."""
    if isinstance(value, dict) and value.keys() >= {"dtype", "bdata"}:
        array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
        return [round(float(one), 5) for one in array]
    if isinstance(value, dict):
        return {name: numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return round(value, 5) if isinstance(value, float) else value


def test_the_notebook_computes_the_pinned_charts(
    pinned: AppTest, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = visit(pinned, "views/lens.py")
    for key in ("pin-lens-strip", "pin-lens-weights"):
        at = press(at, key)
    at = press(visit(at, "views/curves.py"), "pin-curves-losses")
    whole = kept(at).commented(kept(at).pins[0].id, "A remark")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    notebook: Any = nbformat.reads(to_notebook(whole), 4)
    where = {"metadata": {"path": str(small_root)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=where).execute()
    figures = [
        output.data["application/vnd.plotly.v1+json"]
        for cell in notebook.cells if cell.cell_type == "code"
        for output in cell.outputs if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]  # fmt: skip
    assert len(figures) == len(whole.pins) == 5
    for own, found in zip(whole.pins, figures, strict=True):
        assert numbers(found["data"]) == numbers(json.loads(own.figure)["data"]), own.title
    assert any("A remark" in cell.source for cell in notebook.cells)
