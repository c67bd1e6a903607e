"""The figure by its values."""

import numpy as np
import pytest

from aesm2.errors import InputError
from aesm2.plots.distance import WRITTEN, distance_figure, distance_table
from aesm2.routing.distance import Distances, scenario_distances
from tests.routing.test_distance import A, B, C, use


@pytest.fixture(scope="module")
def found() -> Distances:
    used = use([100, 100, 20, 100], ([A, C, [18, 2, 0, 0], B], [A] * 4))
    return scenario_distances(used, ["level0.1"], ["specific"], "level0")


def test_the_heatmap_is_in_the_order_of_the_tree(found: Distances) -> None:
    figure = distance_figure(found, "stamp")
    (shown,) = [trace for trace in figure.data if trace.type == "heatmap"]
    grid = np.ix_(found.order, found.order)
    np.testing.assert_array_equal(np.array(shown.z), found.distance[grid])
    ticks = list(figure.layout.yaxis2.ticktext)
    assert [tick.split("<br>")[0].lstrip("⚠ ") for tick in ticks] == [
        found.scenarios[i] for i in found.order
    ]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)


def test_few_rows_are_flagged_and_n_is_shown(found: Distances) -> None:
    ticks = list(distance_figure(found, "stamp").layout.yaxis2.ticktext)
    assert "⚠ s2<br>n = 20" in ticks
    assert sum(tick.startswith("⚠") for tick in ticks) == 1


def test_distances_within_chance_are_in_brackets(found: Distances) -> None:
    (shown,) = [t for t in distance_figure(found, "stamp").data if t.type == "heatmap"]
    text, order = np.array(shown.text), found.order
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            within = found.distance[a, b] <= found.noise[a, b]
            number = f"{found.distance[a, b]:.2f}"
            assert text[i, j] == ("" if i == j else f"({number})" if within else number)
    assert any(cell.startswith("(") for cell in text.flat)
    assert any(cell == "1.00" for cell in text.flat)


def test_the_dendrogram_joins_at_the_heights_of_the_tree(found: Distances) -> None:
    figure = distance_figure(found, "stamp")
    branches = [trace for trace in figure.data if trace.type == "scatter"]
    assert found.tree is not None
    heights = sorted(max(branch.y) for branch in branches)
    np.testing.assert_allclose(heights, sorted(found.tree[:, 2]))
    feet = {x for branch in branches for x, y in zip(branch.x, branch.y, strict=True) if not y}
    assert feet >= {0, 1, 2, 3}  # a leaf over each column


def test_many_scenarios_keep_their_numbers_for_the_table() -> None:
    count = WRITTEN + 1
    rng = np.random.default_rng(0)
    counts = rng.multinomial(100, [0.25] * 4, size=count).tolist()
    found = scenario_distances(
        use([100] * count, (counts, counts)), ["level0.1"], ["shared"], "level0"
    )
    (shown,) = [t for t in distance_figure(found, "stamp").data if t.type == "heatmap"]
    assert shown.texttemplate is None
    assert len(distance_table(found)) == count * (count - 1) / 2


def test_the_table_says_what_is_beyond_chance(found: Distances) -> None:
    table = distance_table(found)
    line = table[(table["scenario"] == "s0") & (table["other"] == "s1")].iloc[0]
    assert line["distance"] == pytest.approx(1.0)
    assert line["beyond chance"]
    assert (line["rows"], line["rows of other"]) == (100, 100)
    assert (table["beyond chance"] == (table["distance"] > table["chance up to"])).all()


def test_one_scenario_has_no_figure() -> None:
    one = scenario_distances(
        use([100, 0], ([A, [0] * 4], [A] * 2)), ["level0.1"], ["specific"], "level0"
    )
    with pytest.raises(InputError, match="fewer than two scenarios"):
        distance_figure(one, "stamp")
    assert distance_table(one).empty
