"""Transfer matrices and tanglegrams by their values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage

from aesm2.evidence.related import published_cells, related, transfer_cells
from aesm2.plots.tanglegram import (
    branches,
    leaf_orders,
    pairs_table,
    relations_words,
    tanglegram_figure,
)
from aesm2.plots.transfer import scale_of, transfer_figure, transfer_words
from tests.evidence import made


def test_the_matrix() -> None:
    cells = transfer_cells(made.transfer())
    figure = transfer_figure(cells, "ctr", (50, 90), "s")
    (heat,) = figure.data
    assert heat.z == pytest.approx(np.array(list(made.TRANSFER.values())))
    assert (heat.zmin, heat.zmax) == (50, 90)
    assert heat.text[1][0] == "64.0<br>± 1.4"
    assert figure.layout.xaxis.ticktext[0] == "fr<br>n = 300<br>40 +"
    assert figure.layout.yaxis.ticktext == ("fr", "it", "es")
    middles = [((s.x0 + s.x1) / 2, (s.y0 + s.y1) / 2) for s in figure.layout.shapes]
    assert np.array(middles) == pytest.approx(np.array([[0, 0], [1, 1], [2, 2]]))
    assert transfer_words(cells, "ctr") == (
        "In 3 of 3 scenarios the model that was trained there is the best for CTR"
    )


def test_of_many_scenarios_the_names_stand_upright_and_alone() -> None:
    """What else a column says is in the words over its cells."""
    names = [f"{page} → {activity}" for page in range(5) for activity in ("new", "middle_active")]
    cells = pd.DataFrame(
        [{"task": "ctr", "train": a, "test": b, "mean": 70.0, "sd": 1.0, "n": 300,
          "positives": 40, "seeds": 3} for a in names for b in names]
    )  # fmt: skip
    figure = transfer_figure(cells, "ctr", (50, 90), "s")
    assert figure.layout.xaxis.ticktext == tuple(names)
    assert figure.layout.xaxis.tickangle == -90
    assert figure.data[0].texttemplate is None
    assert "n = 300, 40 positives" in figure.data[0].hovertext[0][1]
    room = figure.layout.margin.b
    assert room >= 6 * max(map(len, names)) + 80, "names, title, source"
    assert figure.layout.height - figure.layout.margin.t - room >= 28 * len(names)


def test_undefined_cells_are_said() -> None:
    cells = transfer_cells(made.transfer())
    heat, words = transfer_figure(cells, "ctcvr", (50, 90), "s").data
    assert np.isnan(heat.z[:, 1]).all()
    assert list(words.text) == ["undefined"] * 3
    assert list(words.x) == [1, 1, 1]
    assert "undefined: a class is missing" in heat.hovertext[0][1]
    assert transfer_words(cells, "ctcvr").endswith("3 pairs are undefined for want of a class")


def test_the_papers_matrix_has_no_n() -> None:
    cells = published_cells("ctr")
    figure = transfer_figure(cells, "ctr", scale_of(cells), "quoted")
    assert figure.data[0].z[0][0] == 90.61
    assert figure.data[0].text[0][0] == "90.6"
    assert figure.layout.xaxis.ticktext[0] == "HP → RI<br>"
    assert scale_of(cells) == (52.78, 90.61)


def test_the_tanglegram() -> None:
    found = related(made.transfer(), made.distances(), "ctr", "aesm2")
    figure = tanglegram_figure(found, "s")
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    links = {trace.text[0]: list(trace.y) for trace in figure.data if trace.mode == "lines+text"}
    assert max(max(trace.x) for trace in lines[:2]) == pytest.approx((15.5 + 20.5) / 2)
    assert max(max(trace.x) for trace in lines[2:]) == pytest.approx(0.75)
    left, right = leaf_orders(found)
    assert links == {name: [left.index(i), right.index(i)] for i, name in
                     enumerate(found.scenarios)}  # fmt: skip
    assert figure.layout.xaxis.autorange == "reversed"
    table = pairs_table(found).set_index(["scenario", "other"])
    assert table.loc[("fr", "es")].tolist() == pytest.approx([8, 0.2])
    assert "ρ = 1.00, one-sided p = 0.167 by all 6 relabellings" in relations_words(found)[0]


@given(st.integers(2, 9), st.integers(0, 1000))
def test_branches_are_scipys(count: int, seed: int) -> None:
    tree = linkage(np.random.default_rng(seed).normal(size=(count, 2)), "average")
    drawn = dendrogram(tree, no_plot=True)
    wanted = sorted(
        (tuple((np.array(x) - 5) / 10), tuple(y))
        for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    own = [(y, x) if y[0] <= y[3] else (y[::-1], x[::-1]) for x, y in
           branches(tree, leaves_list(tree).tolist())]  # fmt: skip
    assert sorted((tuple(x), tuple(y)) for x, y in own) == [
        (pytest.approx(x), pytest.approx(y)) for x, y in wanted
    ]
