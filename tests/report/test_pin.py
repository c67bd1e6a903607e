"""Pins and what a report does with them."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import aesm2.report.pin as pin_module
from aesm2.errors import InputError
from aesm2.plots.style import finish
from aesm2.report import Report, Table, pinned
from aesm2.report.pin import MOST_PINS
from tests.report.hand import HELP, made, report


def ids(of: Report) -> list[str]:
    return [own.title for own in of.pins]


def test_a_pin_holds_what_its_chart_owes() -> None:
    own = made()
    assert own.stamp == "simulated"
    assert own.size == "n = 7"
    assert '"template"' not in own.figure
    assert own.id == made().id
    assert own.id != made(1).id
    assert own.id != made(page="lens").id, "the same chart on another page is another"


def test_the_number_of_rows_is_read_from_the_table() -> None:
    assert made(frame=pd.DataFrame({"rows": [3, 1200]})).size == "n from 3 to 1,200 a line"
    assert made(frame=pd.DataFrame({"x": [3]})).size == ""
    assert made(frame=pd.DataFrame({"n": [np.nan]})).size == ""
    assert made(frame=pd.DataFrame({"n": [np.inf, 4]})).size == "n = 4"


def test_a_table_keeps_values_and_what_is_missing() -> None:
    frame = pd.DataFrame(
        {
            "whole": np.array([1, 2], np.int32),
            "real": np.array([0.1 + 0.2, np.nan], np.float64),
            "flag": [True, False],
            "text": ["001", None],
            "far": [np.inf, -np.inf],
            "cell": [(1, 2), ["a"]],
            "day": pd.to_datetime(["2026-01-02", None]),
        }
    )
    table = Table.of(frame)
    found = {column.name: column.cells for column in table.columns}
    assert found["whole"] == [1, 2]
    assert found["real"] == [0.30000000000000004, None]
    assert found["flag"] == [True, False]
    assert found["text"] == ["001", None]
    assert found["far"] == [np.inf, -np.inf]
    assert found["cell"] == ["1, 2", "a"]
    assert found["day"][0].startswith("2026-01-02")
    assert found["day"][1] is None
    twice = Table.of(pd.DataFrame([[1, 2]], columns=["a", "a"])).frame()
    assert list(twice.columns) == ["a", "a"]
    assert twice.to_numpy().tolist() == [[1, 2]]


def test_order_comments_and_names() -> None:
    whole = report(3)
    first, second, third = (own.id for own in whole.pins)
    assert ids(whole.moved(third, -1)) == ["Chart 0", "Chart 2", "Chart 1"]
    assert ids(whole.moved(first, -1)) == ids(whole)
    assert ids(whole.moved(first, 9)) == ["Chart 1", "Chart 2", "Chart 0"]
    assert whole.moved(first, 1).comment(second) == "Look <b>here</b>"
    assert whole.without(second).comments == {}
    assert whole.added(whole.pins[0]) == whole, "a chart is pinned once"
    assert ids(whole.renamed(first, "  New "))[0] == "New"
    assert whole.renamed(first, "  ") == whole
    assert whole.commented(second, " ").comments == {}
    assert len(whole.commented(first, "x" * 9_999).comment(first)) == 4_000


def test_a_report_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    full = report(MOST_PINS)
    with pytest.raises(InputError, match="at most 50 charts"):
        full.added(made(99))
    monkeypatch.setattr(pin_module, "MOST_BYTES", 2_000)
    with pytest.raises(InputError, match="larger than"):
        report(9)


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = finish(go.Figure(), "s", 100)
    large = pd.DataFrame(np.zeros((1001, 500)))
    with pytest.raises(InputError, match=r"“T” has a table of 500,500 values"):
        pinned(figure, large, "k", "T", HELP)
    points = finish(go.Figure(go.Scatter(x=np.random.default_rng(0).random(1_000_000))), "s", 100)
    with pytest.raises(InputError, match=r"“T” is a figure of 1\d MB"):
        pinned(points, pd.DataFrame(), "k", "T", HELP)
