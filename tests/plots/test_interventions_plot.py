"""Figures of interventions by their values, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from aesm2.plots.interventions import change_figure, flip_figure, importance_figure
from aesm2.plots.style import AHEAD, BEHIND, stamp_of
from aesm2.routing.causal_words import (
    change_words,
    effect_findings,
    flip_findings,
    importance_findings,
    knockout_words,
    retarget_findings,
    signed,
)
from aesm2.routing.interventions import Retarget

STAMP = "simulated data: nowhere, CC0"


def cells() -> pd.DataFrame:
    """Two layers of two experts and one; all rows and two scenarios, one without a class."""
    lines = []
    values = {("tab.1", 0): (-0.42, 0.1), ("tab.1", 1): (0.02, 0.05), ("task.1", 0): (0.3, 0.1)}
    for (layer, expert), (value, spread) in values.items():
        for scope, scenario, factor in (("all", "all", 1), ("tab", "1", 3), ("tab", "2", np.nan)):
            lines.append(
                {
                    "layer": layer, "expert": expert, "scope": scope, "scenario": scenario,
                    "task": "ctr", "n": 1000, "positives": 400 if factor == factor else 0,
                    "share": 0.25, "auc": 70.0, "auc_change": factor * value,
                    "auc_low": factor * (value - spread), "auc_high": factor * (value + spread),
                    "log_loss": 0.5, "log_loss_change": -value / 100,
                    "log_loss_low": -value / 100 - 0.001, "log_loss_high": -value / 100 + 0.001,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def test_importance_has_one_scale_with_zero_in_its_middle() -> None:
    figure = importance_figure(cells(), "ctr", "auc", STAMP)
    heat = [trace for trace in figure.data if trace.type == "heatmap"]
    np.testing.assert_allclose(heat[0].z, [[-0.42, -1.26, np.nan], [0.02, 0.06, np.nan]])
    np.testing.assert_allclose(heat[1].z, [[0.3, 0.9, np.nan]])
    assert list(heat[0].text[0]) == ["−0.42", "−1.26", "–"]
    assert heat[0].text[1][0] == "(+0.02)"
    axis = figure.layout.coloraxis
    assert (axis.cmin, axis.cmax) == (-1.26, 1.26)
    assert not axis.reversescale
    assert stamp_of(figure) == STAMP
    targets = [trace for trace in figure.data if trace.type == "scatter"]
    assert targets[0].customdata[3] == ["tab.1", 1, "all", "all"]
    assert (targets[0].x[4], targets[0].y[4]) == (1, 1)
    assert "25.0% of its rows take the expert" in targets[0].hovertext[0]
    assert "undefined: a class is missing" in targets[0].hovertext[2]


def test_a_rising_log_loss_is_red_too() -> None:
    figure = importance_figure(cells(), "ctr", "log_loss", STAMP)
    assert figure.layout.coloraxis.reversescale
    assert figure.data[0].z[0][0] == pytest.approx(4.2)  # thousandths of a nat


def test_nothing_changed_is_white() -> None:
    none = cells().assign(auc_change=0.0, auc_low=0.0, auc_high=0.0)
    figure = importance_figure(none, "ctr", "auc", STAMP)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 1)
    assert figure.data[0].text[0][0] == "0"


def test_changes_stand_with_their_intervals() -> None:
    own = cells().query("layer == 'tab.1' and expert == 0")
    (dots,) = change_figure(own, "ctr", "auc", STAMP).data
    np.testing.assert_allclose(dots.x, [-0.42, -1.26, 0])
    np.testing.assert_allclose(dots.error_x.array, [0.1, 0.3, 0])
    assert dots.text[2].endswith("undefined")
    assert dots.marker.symbol[0] == "triangle-left"
    assert dots.marker.color[0] == BEHIND
    (loss,) = change_figure(own, "ctr", "log_loss", STAMP).data
    assert loss.marker.symbol[0] == "triangle-right"
    assert loss.marker.color[0] == BEHIND, "a log loss that rises is worse"
    better = cells().query("layer == 'task.1'")
    assert change_figure(better, "ctr", "auc", STAMP).data[0].marker.color[0] == AHEAD
    unsure = cells().query("layer == 'tab.1' and expert == 1")
    assert change_figure(unsure, "ctr", "auc", STAMP).data[0].marker.symbol[0].endswith("-open")


def flips(shared: int = 0) -> pd.DataFrame:
    line = {"scope": "all", "scenario": "all", "rows": 200, "low": 0.2, "high": 0.3}
    first = {"layer": "tab.1", "target": "", "specific": 50, "shared": shared, "flipped": 50}
    second = {"layer": "task.1", "target": "ctr", "specific": 10, "shared": 4, "flipped": 12}
    empty = {"scope": "tab", "scenario": "9", "rows": 0, "low": np.nan, "high": np.nan}
    nothing = {"specific": 0, "shared": 0, "flipped": 0, "share": np.nan}
    return pd.DataFrame(
        [line | first | {"share": 0.25}, empty | first | nothing,
         line | second | {"share": 0.06}, empty | second | nothing]
    )  # fmt: skip


def test_flips_are_shares_of_rows() -> None:
    figure = flip_figure(flips(), STAMP)
    np.testing.assert_allclose(figure.data[0].z, [[0.25, np.nan], [0.06, np.nan]])
    assert list(figure.data[0].text[0]) == ["25%", "–"]
    assert list(figure.layout.yaxis.ticktext) == ["tab.1", "task.1 · ctr"]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    assert "E_sp changes for 50, E_sh for 0" in figure.data[0].hovertext[0][0]
    assert flip_findings(flips())[1] == (
        "In task.1 for ctr other experts are chosen for 12 of 200 rows (6.0%)."
    )


def test_what_is_said_of_a_change() -> None:
    lines = cells().to_dict("records")
    assert knockout_words(lines[1]) == (
        "Without expert 0 of tab.1, ctr AUC in tab 1 falls by 1.26 points [0.96, 1.56], n = 1,000;"
        " 25% of these rows take it."
    )
    assert change_words(lines[3], "") == (
        "ctr AUC over all rows does not measurably change: +0.02 points [−0.03, +0.07], n = 1,000."
    )
    assert change_words(lines[6], "") == (
        "ctr AUC over all rows rises by 0.30 points [0.20, 0.40], n = 1,000."
    )
    assert "is undefined: a class is missing among 1,000" in change_words(lines[2], "")
    assert "without an interval" in change_words(lines[0] | {"auc_low": np.nan}, "")


def test_what_is_said_of_all_experts() -> None:
    first, deepest, count = importance_findings(cells(), "ctr")
    assert first.startswith("Without expert 0 of tab.1, ctr AUC over all rows falls by 0.42")
    assert deepest.startswith("The deepest fall in one scenario: without expert 0 of tab.1, ctr")
    assert count.startswith(
        "Of 3 experts, the AUC over all rows measurably falls without 1, rises without 1, and"
        " stays within its interval without 1."
    )
    none = cells().assign(auc_change=np.nan)
    assert importance_findings(none, "ctr") == [
        "The AUC of ctr is undefined here: a class is missing."
    ]
    few = cells().assign(positives=5)
    assert len(importance_findings(few, "ctr")) == 2, "few positives name no scenario"


def test_what_is_said_of_rows() -> None:
    own = cells().query("layer == 'tab.1' and expert == 0")
    assert effect_findings(own, "ctr")[1].startswith("Of single scenarios most: ctr AUC in tab 1")
    unsure = cells().query("layer == 'tab.1' and expert == 1")
    assert effect_findings(unsure, "ctr")[1] == (
        "In none of 1 single scenarios does it measurably change."
    )


def test_a_shared_set_that_moves_under_a_retarget_is_counted() -> None:
    doing = (Retarget("tab.1", "2"),)
    assert retarget_findings(flips(), doing) == [
        "Retargeting tab.1: its shared set E_sh moved for 0 of 200 rows (KL(q, ·) does not depend"
        " on j), its specific set E_sp for 50."
    ]
    assert "moved for 3 of 200 rows (whatever else" in retarget_findings(flips(3), doing)[0]


def test_numbers_are_signed_unless_they_round_to_nothing() -> None:
    assert [signed(v) for v in (0.126, -0.126, 0.004, -0.004, 0.0)] == [
        "+0.13", "−0.13", "0.00", "0.00", "0.00",
    ]  # fmt: skip
