"""The forest of slices by its values."""

import numpy as np

from aesm2.plots.slices import slices_figure, slices_words
from aesm2.plots.style import AHEAD, BEHIND, PLAIN, stamp_of
from aesm2.slices import Difference, Line, Measure
from aesm2.slices.text import read

LOSS, SET = Measure("loss", "ctr", title="Click"), Measure("set", layer="tab.1")


def line(measure: Measure, text: str, effect: float, q: float) -> Line:
    of = Difference(60, 900, 0.5, 0.5 - effect, effect, effect - 0.1, effect + 0.2, q / 2)
    return Line(measure, read(text), 1234, 0.1, of, q)


def test_marks_intervals_and_what_is_hollow() -> None:
    lines = [line(LOSS, "tab = 1", 0.4, 0.001), line(LOSS, "a = 1 & b < 2", -0.3, 0.2)]
    figure = slices_figure(lines, 0.05, "somewhere")
    marks, zero = figure.data
    assert list(marks.x) == [0.4, -0.3]
    np.testing.assert_allclose(marks.error_x.array, [0.2, 0.2])
    np.testing.assert_allclose(marks.error_x.arrayminus, [0.1, 0.1])
    assert list(marks.marker.symbol) == ["triangle-right", "triangle-left-open"]
    assert list(marks.marker.color) == [BEHIND, AHEAD]
    assert list(marks.customdata) == ["tab = 1", "a = 1 & b < 2"]
    assert marks.y[0] > marks.y[1] > figure.layout.yaxis.range[0]
    assert set(zero.x) == {0, None}
    texts = [a.text for a in figure.layout.annotations if a.name != "provenance"]
    assert texts == ["tab = 1  <i>n = 1,234</i>", "a = 1 and b &lt; 2  <i>n = 1,234</i>"]
    assert stamp_of(figure) == "somewhere"
    assert "1 of 2 slices differ at q ≤ 0.05" in slices_words(lines, 0.05)
    assert "Click log loss is 0.4 nats higher [0.3, 0.6]" in slices_words(lines, 0.05)


def test_points_and_long_texts() -> None:
    many = " & ".join(f"a_rather_long_name_of_a_column_{i} = {i}" for i in range(9))
    figure = slices_figure([line(SET, many, 0.12, 0.01)], 0.05, "x")
    assert list(figure.data[0].x) == [12.0]
    assert figure.data[0].marker.color == (PLAIN,)
    (text,) = [a.text for a in figure.layout.annotations if a.name != "provenance"]
    assert text.count("<br>") == 2
    assert "…" in text
    assert "points" in figure.layout.xaxis.title.text
    assert len(slices_figure([], 0.05, "x").data[0].x) == 0
    assert slices_words([], 0.05) == "No slice was tested."
