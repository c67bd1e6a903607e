"""The two heatmaps by their values, and that every cell can be clicked."""

import numpy as np
import plotly.graph_objects as go
import pytest

from aesm2.config import ExpertGroup
from aesm2.plots.gates import gate_matrix, row_softmax
from aesm2.plots.ledger import Ledger, ledger
from tests.plots.test_ledger import traced


@pytest.fixture(scope="module")
def of() -> Ledger:
    return ledger(traced().layers[0], 1, 0)


def trace_of(figure: go.Figure, kind: str) -> go.Heatmap | go.Scatter:
    (found,) = [trace for trace in figure.data if trace.type == kind]
    return found


def test_the_gate_matrix_on_a_scale_centred_at_zero(of: Ledger) -> None:
    heatmap = trace_of(gate_matrix(of, 0, "stamp"), "heatmap")
    np.testing.assert_array_equal(heatmap.z, of.gate_logits)
    assert heatmap.zmin == -heatmap.zmax
    assert heatmap.zmax == np.abs(of.gate_logits).max()


def test_the_row_softmax_from_0_to_1(of: Ledger) -> None:
    heatmap = trace_of(row_softmax(of, 0, "stamp"), "heatmap")
    np.testing.assert_allclose(np.sum(heatmap.z, axis=1), 1)
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)


@pytest.mark.parametrize("draw", [gate_matrix, row_softmax])
def test_every_cell_has_a_square_that_knows_its_expert(of: Ledger, draw: object) -> None:
    squares = trace_of(draw(of, 0, "stamp"), "scatter")  # type: ignore[operator]
    n, m = of.gate_logits.shape
    cells = set(zip(squares.x.tolist(), squares.y.tolist(), strict=True))
    assert cells == {(j, k) for j in range(m) for k in range(n)}
    np.testing.assert_array_equal(squares.customdata, squares.y)
    assert squares.marker.color == "rgba(0,0,0,0)"


def test_the_target_gate_is_framed_and_named(of: Ledger) -> None:
    figure = row_softmax(of, 2, "stamp")
    (frame,) = [s for s in figure.layout.shapes if s.name == "target"]
    assert (frame.x0, frame.x1) == (of.target - 0.5, of.target + 0.5)
    marked = ["▼" in text for text in figure.layout.xaxis.ticktext]
    assert marked == [j == of.target for j in range(len(of.spec.gates))]
    assert "stamp" in [a.text for a in figure.layout.annotations]


def test_a_large_matrix_is_not_covered_with_numbers() -> None:
    big = traced(levels=(20,), scenario=ExpertGroup(experts=24, specific=2, shared=2))
    heatmap = trace_of(gate_matrix(ledger(big.layers[0], 0, 0), None, ""), "heatmap")
    assert heatmap.text is None
    assert np.shape(heatmap.z) == (24, 20)
