"""What every table and chart owes its reader."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from aesm2.plots.style import finish
from app import widgets


class _Open:
    """An expander that the reader has opened."""

    open = True

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_the_csv_behind_a_chart_names_the_provenance_stamped_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []

    def button(_label: str, content: Any, **_: Any) -> None:
        written.append(content())

    monkeypatch.setattr(widgets.st, "download_button", button)
    monkeypatch.setattr(widgets.st, "expander", lambda *_, **__: _Open())
    monkeypatch.setattr(widgets, "stamp", lambda: "the checkpoint's data")
    figure = finish(go.Figure(), "uploaded rows: mine.csv", 200)
    help_ = widgets.Explanation("It shows.", "Read it.")
    widgets.chart(figure, "own", "Own", help_, pd.DataFrame({"a": [1]}), "alt")
    widgets.table(pd.DataFrame({"a": [2]}), "plain")
    assert written == ["# uploaded rows: mine.csv\na\n1\n", "# the checkpoint's data\na\n2\n"]


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([], []),
        ([{"x": 1}], []),
        ([{"customdata": None}], []),
        ([{"customdata": 0}], [0]),
        ([{"customdata": ["page.1", 3]}, {"customdata": ["page.1", 4]}], ["page.1", 3]),
    ],
)
def test_a_click_is_the_customdata_of_the_first_point(
    points: list[dict[str, Any]], found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"selection": {"points": points}}
    monkeypatch.setattr(widgets.st, "plotly_chart", lambda *_, **__: event)
    help_, data = widgets.Explanation("It shows.", "Read it."), pd.DataFrame({"a": [1]})
    assert widgets.chart(go.Figure(), "own", "Own", help_, data, "alt", selectable=True) == found
    assert widgets.chart(go.Figure(), "own", "Own", help_, data, "alt") == []


LINK = "[sign-in](https://elsewhere.example)"


@pytest.mark.parametrize(
    ("page", "view"),
    [
        ("lens", {"checkpoint": LINK}),
        ("lens", {"row": LINK}),
        ("lens", {"q": f"{LINK}=1"}),
        ("lens", {"q": LINK}),
        ("lens", {"set": f"{LINK}=1"}),
        ("attribution", {"attr__base": "row", "attr__row": LINK}),
        ("slices", {"look": f'"{LINK}" = 1'}),
        ("curves", {"compare": LINK}),
    ],
    ids=str,
)
def test_words_of_an_address_stay_words(
    start: Callable[..., AppTest], page: str, view: dict[str, str]
) -> None:
    at = start(f"views/{page}.py", **view)
    said = [e.value for e in [*at.toast, *at.info, *at.warning, *at.error, *at.caption]]
    told = [words for words in said if "sign-in" in words]
    assert told
    assert not [words for words in told if LINK in words or "https:" in words]
