"""One row through every door, by its values."""

import math

import numpy as np
import pandas as pd
import pytest

from aesm2.plots.doors import doors_figure, doors_words

DOORS = pd.DataFrame(
    {
        "level": ["tab"] * 3,
        "scenario": ["0", "1", "2"],
        "own": [False, True, False],
        "ctr": [0.25, 0.5, math.nan],
    }
)


def test_a_line_a_door_the_own_one_marked_and_a_task_that_is_not_there_said() -> None:
    figure = doors_figure(DOORS, "ctr", "Click", "invented data")
    (marks,) = figure.data
    np.testing.assert_allclose(marks.x, [25, 50, 0])
    assert list(marks.marker.symbol) == ["circle", "diamond", "circle"]
    assert list(marks.text) == ["25.00 %", "50.00 %", "no such task here"]
    assert marks.marker.size[2] == 0
    assert list(figure.layout.yaxis.ticktext) == ["tab 0", "◆ tab 1", "tab 2"]
    (line,) = figure.layout.shapes
    assert line.x0 == pytest.approx(50)
    assert figure.layout.xaxis.title.text == "Click, predicted, %"


def test_no_line_where_the_own_door_has_no_such_task() -> None:
    figure = doors_figure(DOORS.assign(own=[False, False, True]), "ctr", "Click", "invented data")
    assert not figure.layout.shapes


def test_what_it_shows_in_words() -> None:
    assert doors_words(DOORS, "ctr") == (
        "Predicted ctr through every scenario. 0: 25.00 %; 1 (its own): 50.00 %; 2: no such task"
    )
