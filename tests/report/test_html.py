"""The HTML file: whole, alone, and safe from what it shows."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pandas as pd

from aesm2.report import Help, Report, to_html
from aesm2.report.html import MOST_LINES, plotly_script
from tests.report.hand import EVIL, made, report


class Reader(HTMLParser):
    """What a browser would find: elements, text, scripts, addresses; tags must match."""

    VOID = ("meta", "br", "link", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.tags[-1][1], data))
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def own(text: str) -> str:
    """The file without plotly.js."""
    assert text.count(plotly_script()) == 1, "plotly.js is there exactly once"
    return text.replace(plotly_script(), "")


def test_it_holds_every_chart_in_order_with_what_it_owes() -> None:
    whole = report(3).moved(report(3).pins[2].id, -2)
    found = Reader(own(to_html(whole, "2026-01-02")))
    figures = [data for about, data in found.scripts if about.get("type") == "application/json"]
    assert [json.loads(data) for data in figures] == [json.loads(p.figure) for p in whole.pins]
    titles = re.findall(r"(\d)\. (Chart \d)", found.text)
    assert titles == [("1", "Chart 2"), ("2", "Chart 0"), ("3", "Chart 1")]
    for said in (
        "Look <b>here</b>", "It shows.", "Read it.", "Eq. 1, §3.1", "simulated", "tab.1", "0.1",
        "/atlas?layer=tab.1", "checkpoint = aesm2.load", "written 2026-01-02",
    ):  # fmt: skip
        assert said in found.text
    anchors = [about["href"] for tag, about in found.tags if tag == "a"]
    assert anchors == ["#chart-1", "#chart-2", "#chart-3"]
    assert {about.get("id") for _, about in found.tags} >= {"chart-1", "chart-2", "chart-3"}


def test_it_reaches_for_nothing() -> None:
    text = own(to_html(report()))
    assert not re.search(r"https?:|//\w|url\(|@import", text)
    found = Reader(text)
    assert not [about for _, about in found.tags if "src" in about]
    (policy,) = [
        about["content"] for _, about in found.tags
        if about.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = [data for about, data in Reader(to_html(report())).scripts if "type" not in about]
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_whatever_comes_from_people_or_data_is_escaped() -> None:
    frame = pd.DataFrame({EVIL: [EVIL]})
    bad = made(
        0, EVIL, frame, checkpoint=EVIL, layer=EVIL, scenario=EVIL, slice=EVIL, address=EVIL
    ).model_copy(update={
        "alt": f'"{EVIL}', "code": EVIL, "stamp": EVIL,
        "help": Help(sentence=EVIL, reading=EVIL, formula=EVIL, source=EVIL),
        "figure": json.dumps({"data": [{"type": "bar", "text": [EVIL]}], "layout": {}}),
    })  # fmt: skip
    whole = Report(title=EVIL).added(bad).commented(bad.id, EVIL)
    text = own(to_html(whole))
    assert "<script>alert" not in text
    found = Reader(text)
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert found.text.count(EVIL) >= 10, "it is shown as text"
    (figure,) = [data for about, data in found.scripts if "type" in about]
    assert json.loads(figure)["data"][0]["text"] == [EVIL]


def test_a_long_table_is_cut_with_a_note() -> None:
    frame = pd.DataFrame({"place": range(MOST_LINES + 5)})
    found = Reader(own(to_html(Report().added(made(frame=frame)))))
    assert f"The first {MOST_LINES} of {MOST_LINES + 5} lines" in found.text
    assert sum(tag == "td" for tag, _ in found.tags) == MOST_LINES


def test_size_of_the_text_and_an_empty_report() -> None:
    assert "font-size: 21px" in to_html(report().model_copy(update={"font_size": 21}))
    assert "no charts" in Reader(own(to_html(Report()))).text
