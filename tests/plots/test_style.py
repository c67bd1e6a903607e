"""The provenance stamp: on every figure, below what stands there, and read back for exports."""

import plotly.graph_objects as go

from aesm2.plots.style import finish, stamp_of


def test_a_stamp_is_read_back_and_leaves_other_annotations() -> None:
    figure = go.Figure(layout={"annotations": [{"text": "K = 2", "name": "line"}]})
    finished = finish(figure, "simulated data: shop", 300, bottom=62)
    assert stamp_of(finished) == "simulated data: shop"
    assert [note.text for note in finished.layout.annotations] == ["K = 2", "simulated data: shop"]
    assert finished.layout.annotations[-1].yshift == -54
    assert (finished.layout.height, finished.layout.margin.b) == (300, 62)
