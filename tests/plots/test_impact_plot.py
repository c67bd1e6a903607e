"""The figure of the Impact page by its values."""

import pytest

from aesm2.evidence.impact import impact
from aesm2.plots.impact import impact_figure
from aesm2.plots.style import stamp_of
from tests.evidence import made


def test_marks_ranges_and_what_is_possible() -> None:
    lines = impact(made.replay().query("seed == 0"), "aesm2", "mmoe")
    figure = impact_figure(lines, "clicks", "simulated")
    marks, ceiling = figure.data
    assert list(marks.x) == pytest.approx([40, -30, 0])
    assert list(marks.error_x.array) == pytest.approx([10, 10, 0])
    assert list(marks.marker.symbol)[:2] == ["triangle-right", "triangle-left"]
    assert list(marks.text) == ["", "", "\u00a0\u00a0nothing to compare"]
    assert list(ceiling.x) == [500, 500, 500]
    assert figure.layout.xaxis.title.text == "extra clicks per 1,000 result lists"
    assert figure.layout.yaxis.ticktext[0] == "everywhere<br>n = 400"
    assert stamp_of(figure) == "simulated"


def test_hollow_where_it_may_be_chance() -> None:
    marks = impact_figure(impact(made.replay(), "aesm2", "mmoe"), "purchases", "s").data[0]
    assert list(marks.marker.symbol)[:2] == ["triangle-right-open", "triangle-left-open"]
