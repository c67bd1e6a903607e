"""Figures of the expert cards, by their values."""

import numpy as np
import pandas as pd
import pytest

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.models import AESM2
from aesm2.plots import cards as plot
from aesm2.plots.paired import of_task, paired_figure, paired_words
from aesm2.plots.style import stamp_of
from aesm2.routing.cards import ROLE_NAMES, Cards, cards, value_lifts
from aesm2.routing.paired import paired_differences
from aesm2.routing.portrait import features_ranked
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))
STAMP = "simulated data: cases, CC0"
ROWS = cases.batch(SHAPE, 300)


@pytest.fixture(scope="module")
def found() -> Cards:
    group = ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=4)
    model = cases.spread(AESM2(AESM2Config(scenario=group, task=group), SHAPE))
    return cards(model, ROWS, "level0.1", 0, "level0", np.ones(300, bool))


def test_the_gallery_has_a_panel_an_expert(found: Cards) -> None:
    figure = plot.gallery_figure(found, 2, STAMP)
    assert len(figure.data) == 5 * len(ROLE_NAMES)
    for number, bar in enumerate(figure.data):
        expert, role = divmod(number, len(ROLE_NAMES))
        np.testing.assert_allclose(bar.x, found.share[:, expert, role])
        assert list(bar.y) == ["s0", "s1", "s2"]
        assert set(bar.customdata) == {expert}
    titles = [a.text for a in figure.layout.annotations]
    assert [t for t in titles if "▶" in t] == [next(t for t in titles if "expert 2" in t)]
    assert stamp_of(figure) == STAMP
    table = plot.gallery_table(found)
    np.testing.assert_allclose(table[list(ROLE_NAMES)].sum(axis=1), 1)


def test_features_come_in_order_and_can_be_clicked(found: Cards) -> None:
    order = features_ranked(found, 1)
    figure = plot.feature_figure(found.drift, 1, order, ["a", "b"], order[0], STAMP)
    (dots,) = figure.data
    assert list(dots.customdata) == order
    np.testing.assert_allclose(dots.x, found.drift.adjusted[order, 1])
    assert dots.x[0] >= dots.x[1]
    hollow = [s == "circle-open" for s in dots.marker.symbol]
    assert hollow == (~found.drift.beyond_chance[order, 1]).tolist()


def test_lifts_and_their_intervals(found: Cards) -> None:
    table = value_lifts(ROWS.fields[:, 0].numpy(), found.taken[:, 1], list("wxyz"), True)
    (dots,) = plot.lift_figure(table, STAMP).data
    np.testing.assert_allclose(dots.x, table["lift"])
    np.testing.assert_allclose(np.array(dots.x) + dots.error_x.array, table["high"])
    np.testing.assert_allclose(np.array(dots.x) - dots.error_x.arrayminus, table["low"])


def test_pairs_are_on_a_log_scale_around_zero(found: Cards) -> None:
    figure = plot.together_figure(found, 0, STAMP)
    z = np.array(figure.data[0].z, float)
    lift = found.lift
    there = lift > 0.2
    np.testing.assert_allclose(z[there], np.log2(lift[there]).clip(-3, 3))
    axis = figure.layout.coloraxis
    assert axis.cmin == -axis.cmax
    assert np.isnan(np.diag(z)).all()
    table = plot.together_table(found)
    assert len(table) == 10
    np.testing.assert_allclose(table["lift"], table["take both"] / table["expected"])


def test_history_marks_the_kept_step() -> None:
    history = pd.DataFrame(
        {"step": [1, 2], "rows": 9, "specific": [0.1, 0.2], "shared": [0.0, 0.5]}
    )
    figure = plot.history_figure(history, 2, STAMP)
    assert [list(line.y) for line in figure.data] == [[0.1, 0.2], [0.0, 0.5]]
    assert figure.layout.shapes[0].x0 == 2


def test_paired_differences_are_drawn_with_what_is_undefined() -> None:
    rng = np.random.default_rng(0)
    batch = cases.batch(SHAPE, 80)
    assert batch.labels is not None
    batch.labels[batch.scenarios[:, 0] == 1, 0] = 1.0  # one class
    a = rng.random((80, 2))
    lines = of_task(paired_differences(a, rng.random((80, 2)), batch, SHAPE), "task0")
    (dots,) = paired_figure(lines, "b minus a", STAMP).data
    gone = lines["delta_auc"].isna().to_numpy()
    assert gone.sum() == 1
    np.testing.assert_allclose(np.array(dots.x)[~gone], lines["delta_auc"][~gone])
    assert [bool(t) for t in dots.text] == gone.tolist()
    assert "undefined" in dots.hovertext[int(np.flatnonzero(gone)[0])]
    assert "points over 6 groups" in paired_words(lines)
