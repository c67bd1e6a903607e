"""What every table and chart owes its reader."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

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
