"""A saved report comes back; a hostile one does not come in."""

import io
import json
import math
import zipfile
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import aesm2.report.saved as saved_module
from aesm2.errors import InputError
from aesm2.report import Report, read_report, to_html, to_zip, write_report
from aesm2.report.pin import Table
from tests.report.hand import report

Value = dict[str, Any]


def test_a_saved_report_comes_back() -> None:
    whole = report(3).model_copy(update={"font_size": 20})
    for content in (write_report(whole).encode(), to_zip(whole)):
        again = read_report(content, "mine")
        trusted = [own.model_copy(update={"reopened": False}) for own in again.pins]
        assert again.model_copy(update={"pins": tuple(trusted)}) == whole
        assert all(own.reopened for own in again.pins)
    assert read_report(write_report(Report()).encode(), "f") == Report()


def test_infinite_numbers_of_a_table_come_back() -> None:
    whole = report(1)
    far = Table.of(pd.DataFrame({"days": [math.inf, -math.inf, None]}))
    pin = whole.pins[0].model_copy(update={"table": far})
    saved = write_report(whole.model_copy(update={"pins": (pin,)}))
    (column,) = read_report(saved.encode(), "mine").pins[0].table.columns
    assert column.cells == [math.inf, -math.inf, None]


def figure(value: Value, **changes: Any) -> None:
    own = value["report"]["pins"][0]
    own["figure"] = json.dumps({"data": [], "layout": {}} | changes)


def pin_(value: Value, **changes: Any) -> None:
    value["report"]["pins"][0] |= changes


HOSTILE: dict[str, tuple[Callable[[Value], object], str]] = {
    "another version": (lambda v: v.update(format=2), "format 2, this version reads 1"),
    "an unknown field": (lambda v: v["report"].update(run="rm -rf"), "report.run"),
    "a number for a title": (lambda v: pin_(v, title=7), "title"),
    "an id with a selector": (lambda v: pin_(v, id="a b"), "id"),
    "a page elsewhere": (
        lambda v: v["report"]["pins"][0]["context"].update(page="../x"), "context.page"),
    "a huge font": (lambda v: v["report"].update(font_size=999), "font_size"),
    "a long comment": (
        lambda v: v["report"].update(comments={"0" * 16: "x" * 5000}), "comments"),
    "too many charts": (lambda v: v["report"].update(pins=v["report"]["pins"] * 51), "50"),
    "the same chart twice": (
        lambda v: v["report"].update(pins=v["report"]["pins"] * 2), "holds a chart twice"),
    "a figure that is no JSON": (lambda v: pin_(v, figure="{"), "chart 1: the figure is not valid"),
    "a figure that is a list": (lambda v: pin_(v, figure="[]"), "not plotly JSON"),
    "a figure with frames": (lambda v: figure(v, frames=[]), "not plotly JSON"),
    "an unknown property": (
        lambda v: figure(v, data=[{"type": "bar", "onclick": "x"}]), "not a plotly figure"),
    "data of no sense": (lambda v: figure(v, data=3), "not a list of traces"),
    "a trace of no sense": (lambda v: figure(v, data=[3]), "no figure of type"),
    "a map that fetches": (
        lambda v: figure(v, data=[{"type": "choropleth"}]), "no figure of type 'choropleth'"),
    "a picture from elsewhere": (
        lambda v: figure(v, layout={"images": [{"source": "https://evil.example/x.png"}]}),
        "no figure with pictures"),
    "a template": (lambda v: figure(v, layout={"template": {}}), "template"),
    "a link": (
        lambda v: figure(v, layout={"title": {"text": '<A href="https://evil.example">x</A>'}}),
        "holds a link"),
    "a link in data": (
        lambda v: figure(v, data=[{"type": "bar", "text": ["< a href='javascript:1'>"]}]),
        "holds a link"),
    "a tower": (lambda v: figure(v, layout={"height": 1e9}), "taller than"),
    "deep nesting": (
        lambda v: pin_(v, figure='{"data":' + "[" * 5000 + "]" * 5000 + "}"), "chart 1"),
    "a number of 5,000 digits": (lambda v: pin_(v, figure="9" * 5000), "the figure is not valid"),
    "columns of different lengths": (
        lambda v: v["report"]["pins"][0]["table"]["columns"][0]["cells"].append(1),
        "different lengths"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_report_is_refused_in_one_line(name: str) -> None:
    value = json.loads(write_report(report(1)))
    spoil, said = HOSTILE[name]
    spoil(value)
    with pytest.raises(InputError) as caught:
        read_report(json.dumps(value).encode(), "mine.json")
    assert str(caught.value).startswith("mine.json: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_number_beyond_all_floats_is_written_as_it_is() -> None:
    value = json.loads(write_report(report(1)))
    value["report"]["pins"][0]["table"]["columns"][0]["cells"] = [7, 10**400]
    again = read_report(json.dumps(value).encode(), "mine.json")
    assert again.pins[0].size == f"n from 7 to {10**400:,} a line"
    assert f"{10**400:,}" in to_html(again)
    assert to_zip(again)


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as into:
        for name, value in files.items():
            into.writestr(name, value)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"null", b"[]", b"{}", b"PK\x03\x04rubbish", zipped(other=b"x"),
     to_zip(report(1))[:-40]],
)  # fmt: skip
def test_what_is_no_report_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^f: "):
        read_report(content, "f")


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_module, "LARGEST_FILE", 1000)
    for content in (b" " * 1001, zipped(**{"report.json": b" " * 1_000_000})):
        with pytest.raises(InputError, match="larger than"):
            read_report(content, "f")


def test_an_id_is_that_of_its_content() -> None:
    value = json.loads(write_report(report(1)))
    wrong = "f" * 16
    value["report"]["pins"][0]["id"] = wrong
    value["report"]["comments"] = {wrong: "said"}
    again = read_report(json.dumps(value).encode(), "f")
    assert again.pins[0].id == report(1).pins[0].id
    assert again.comments == {again.pins[0].id: "said"}
