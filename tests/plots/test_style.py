"""The provenance stamp: on every figure, below what stands there, and read back for exports."""

import plotly.graph_objects as go

from aesm2.plots.style import STAMP_PX, finish, narrow, stamp_of


def test_a_stamp_is_read_back_and_leaves_other_annotations() -> None:
    figure = go.Figure(layout={"annotations": [{"text": "K = 2", "name": "line"}]})
    finished = finish(figure, "simulated data: shop", 300, bottom=62)
    assert stamp_of(finished) == "simulated data: shop"
    assert [note.text for note in finished.layout.annotations] == ["K = 2", "simulated data: shop"]
    assert finished.layout.annotations[-1].yshift == -(62 - STAMP_PX)  # within the margin
    assert (finished.layout.height, finished.layout.margin.b) == (300, 62)


def test_a_long_stamp_is_broken_for_narrow_charts_and_read_back_whole() -> None:
    long = "public data: a log whose title is longer than a narrow chart is wide, CC BY-SA 4.0"
    figure = narrow(finish(go.Figure(), long, 300, bottom=88), characters=40)
    shown = figure.layout.annotations[-1]
    lines = shown.text.split("<br>")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 40
    assert (shown.yanchor, shown.yshift) == ("bottom", -88)
    assert stamp_of(figure) == long
