"""The page Paper and audit through AppTest."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from aesm2.audit import EQUATIONS, EXHIBITS
from app.paper import page as paper
from tests.app.conftest import with_numbers
from tests.app.test_atlas import address, charts, pick, sound

PAGE = "views/paper.py"
Start = Callable[..., AppTest]


def opened(at: AppTest, *keys: str) -> AppTest:
    for key in keys:
        at.session_state[f"paper-{key}"] = True
    return sound(at.run())


def labels(at: AppTest) -> list[str]:
    return [part.label for part in at.expander]


def test_the_verdict_and_all_items(start: Start) -> None:
    at = sound(start(PAGE))
    (verdict,) = at.success
    assert verdict.value == "22 equations, 21 audited on this row: all agree within 1e-5."
    shown = labels(at)
    agree = [label for label in shown if label.endswith(": agrees")]
    assert len(agree) == 21
    assert sum(label.startswith("Eq. ") for label in shown) == len(EQUATIONS)
    assert sum(label.startswith(("Table", "Figure")) for label in shown) == len(EXHIBITS)
    (chart,) = charts(at)
    (marks,) = chart["data"]
    assert marks["name"] == "agrees"
    assert max(marks["customdata"]) == 22
    table = next(frame.value for frame in at.dataframe if "difference" in frame.value)
    assert list(table["equation"]) == list(range(1, 23))


def test_an_equation_says_all_of_itself(start: Start) -> None:
    at = opened(start(PAGE), "eq-11", "eq-3")
    latex = [block.value for block in at.latex]
    assert any(r"h^p_k = -\mathrm{KL}" in text for text in latex)
    captions = " ".join(caption.value for caption in at.caption)
    assert "aesm2.layers.selection:select" in captions
    assert "tests/layers/test_selection.py" in captions
    assert "Not audited on this row: a gate of plain MMoE" in captions
    lines = next(f.value for f in at.dataframe if "KL(p_j, G̃[k, :])" in f.value.to_string()
                 and "equation" not in f.value)  # fmt: skip
    assert list(lines["layer"]) == ["country.1", "page.1", "task.1", "task.1"]
    assert list(lines["task"]) == ["", "", "ctr", "ctcvr"]


def test_a_table_stands_beside_the_papers(start: Start) -> None:
    at = opened(start(PAGE), "table-3", "table-8", "figure-7")
    commands = [code.value for code in at.code]
    assert "aesm2 reproduce configs/evidence/alipay-sim.toml" in commands
    wide = [f.value for f in at.dataframe if "source" in f.value]
    assert [len(table) for table in wide] == [16, 2]
    assert wide[0].loc[0, "HP → RI · CTR"] == "90.89"
    captions = " ".join(caption.value for caption in at.caption)
    assert "Zou et al., SIGIR 2022, Table 3" in captions
    assert "compare orders and signs, not values" in captions
    assert len(at.get("page_link")) == 3


def test_the_filter_and_the_scope(start: Start) -> None:
    at = sound(start(PAGE, paper__show="figures", paper__scope="layer", layer="task.1"))
    assert not [label for label in labels(at) if label.startswith(("Eq.", "Table"))]
    assert "all agree" in at.success[0].value
    table = next(frame.value for frame in at.dataframe if "difference" in frame.value)
    assert set(table["layer"]) == {"", "task.1"}
    assert table.set_index("equation").loc[8, "where"] == "not of layer task.1: see the whole row"
    at = pick(at, "Show", "tables")
    assert address(at)["paper-show"] == "tables"
    assert sum(label.startswith("Table") for label in labels(at)) == 9


def test_a_model_that_differs_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    sound_audit = paper.audit

    def wrong(*arguments: Any) -> Any:
        found = sound_audit(*arguments)
        first = found.findings[5]
        return replace(found, findings=(replace(first, difference=0.5), *found.findings))

    monkeypatch.setattr(paper, "audit", wrong)
    monkeypatch.setattr(paper.lens_rows, "told", lambda *given: given[-1]())  # nothing is kept
    at = start(PAGE)
    (error,) = at.error
    assert re.search(r"21 audited on this row: the model does not follow Eq\. \d+\.", error.value)
    assert sum(label.endswith(": differs") for label in labels(at)) == 1
    assert {trace["name"] for trace in charts(at)[0]["data"]} == {"agrees", "differs"}


def test_the_code_makes_the_chart(
    start: Start, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = sound(start(PAGE))
    monkeypatch.chdir(small_root)
    (script,) = [code.value for code in at.code if "audit_figure" in code.value]
    space: dict[str, Any] = {}
    exec(script.replace("figure.show()", ""), space)
    (drawn,) = charts(at)
    assert json.loads(space["figure"].to_json())["data"][0]["y"] == drawn["data"][0]["y"]


def test_the_numbers_of_the_chart(start: Start) -> None:
    at = with_numbers(sound(start(PAGE)), "audit")
    tables = [f.value for f in at.dataframe if "tolerance" in f.value]
    assert tables
    assert tables[0]["ok"].all()


def test_a_model_without_selection_and_hostile_addresses(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain"))
    assert any("nothing is audited" in info.value for info in at.info)
    assert sum(label.startswith("Eq. ") for label in labels(at)) == 22
    assert not at.success
    at = sound(start(PAGE, row="nobody", paper__show="x", paper__scope="<b>", layer="?"))
    assert any("no row “nobody”" in info.value for info in at.info)
    assert sum(label.startswith("Eq. ") for label in labels(at)) == 22
