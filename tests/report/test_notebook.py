"""The notebook: what it opens, in which order, and what it says."""

import json
from typing import Any

import nbformat
import pytest

from aesm2.report import Report, to_notebook
from aesm2.report.notebook import split, target
from tests.report.hand import EVIL, made, report

LOAD, ROWS = "checkpoint = aesm2.load('a')", "rows = aesm2.Dataset.open('d').split('test')"
BATCH = "batch = checkpoint.encode(rows, labels=True)"


def coded(*codes: str) -> Report:
    pins = [made(i).model_copy(update={"code": code}) for i, code in enumerate(codes)]
    return Report(pins=tuple(pins))


def cells(of: Report, kind: str) -> list[str]:
    whole: Any = nbformat.reads(to_notebook(of), 4)
    nbformat.validate(whole)
    return [own.source for own in whole.cells if own.cell_type == kind]


def script(*lines: str) -> str:
    return "\n".join(["import aesm2", *lines, "figure = f()", "figure.show()"])


def test_what_charts_share_is_opened_once() -> None:
    other = "rows = aesm2.Dataset.open('d').split('train')"
    found = cells(
        coded(script(LOAD, ROWS, BATCH), script(LOAD, ROWS, BATCH), script(LOAD, other, BATCH),
              script(LOAD, other, "batch = 3"), script(LOAD, other, BATCH)), "code",
    )  # fmt: skip
    body = "figure = f()\nfigure"
    assert found == [
        f"import aesm2\n{LOAD}\n{ROWS}\n{BATCH}", body, body, f"{other}\n{BATCH}\n{body}",
        f"batch = 3\n{body}", f"{BATCH}\n{body}",
    ]  # fmt: skip


def test_what_a_chart_changes_is_opened_again() -> None:
    changes = script(LOAD, ROWS, "x = 1", "rows = rows[:1]")
    found = cells(coded(changes, script(LOAD, ROWS)), "code")
    assert found[1] == "x = 1\nrows = rows[:1]\nfigure = f()\nfigure"
    assert found[2] == f"{ROWS}\nfigure = f()\nfigure"


@pytest.mark.parametrize(
    ("code", "opening"),
    [
        (script(LOAD, "from a import b", "figure = 2"), ["import aesm2", LOAD]),
        (script("runs = {}"), ["import aesm2"]),
        ("from pathlib import Path\nevidence = read(Path('x'))\nfigure = 1",
         ["from pathlib import Path", "evidence = read(Path('x'))"]),
        ("this is no python", []),
        ("\0", []),
        ("", []),
    ],
)  # fmt: skip
def test_how_code_begins(code: str, opening: list[str]) -> None:
    found, body = split(code)
    assert found == opening
    assert "figure.show()" not in body


def test_targets() -> None:
    assert target("rows = 1") == "rows"
    assert target("rows == 1") is None
    assert target("import rows") is None


def test_words_are_there_and_are_not_markup() -> None:
    whole = report(2).renamed(report(2).pins[0].id, EVIL)
    told = cells(whole, "markdown")
    assert len(told) == 3
    assert "Look \\<b\\>here" in told[2]
    assert "/atlas?layer=tab.1" in told[2]
    assert "<script" not in "".join(told).replace("\\<", "")


def test_code_from_a_file_is_marked() -> None:
    whole = report(2)
    assert "⚠" not in "".join(cells(whole, "markdown"))
    pins = tuple(own.model_copy(update={"reopened": True}) for own in whole.pins)
    told = cells(whole.model_copy(update={"pins": pins}), "markdown")
    assert "Read before you run" in told[0]
    assert "⚠" in told[1]


def test_a_chart_without_code_says_so() -> None:
    found = json.loads(to_notebook(coded("")))
    assert [own["cell_type"] for own in found["cells"]] == ["markdown", "markdown"]
