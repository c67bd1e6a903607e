"""Paired changes of AUC and log loss against the plain metrics, closed forms and a bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.metrics import Z95, auc, log_loss, structural
from aesm2.paired import auc_components, paired


def drawn(rows: int, seed: int = 0, digits: int = 6) -> tuple[np.ndarray, ...]:
    """Labels, two predictions of them that go together, with ties where digits are few, groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(np.float32)
    score = labels + rng.normal(size=rows) * 1.5
    before = (1 / (1 + np.exp(-score))).round(digits)
    after = (1 / (1 + np.exp(-score * 0.8 - rng.normal(size=rows) * 0.5))).round(digits)
    return labels, before, after, rng.integers(0, 4, rows)


@given(st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([1, 6]))
def test_components_are_the_structural_ones_of_each_group(
    rows: int, seed: int, digits: int
) -> None:
    labels, scores, _, groups = drawn(rows, seed, digits)
    found = auc_components(labels > 0.5, scores, groups, np.argsort(scores, kind="stable"))
    for group in np.unique(groups):
        own = groups == group
        positives, negatives = structural(labels[own], scores[own])
        np.testing.assert_allclose(found[own & (labels > 0.5)], positives)
        np.testing.assert_allclose(found[own & (labels <= 0.5)], negatives)


def test_changes_are_the_differences_of_the_plain_metrics() -> None:
    labels, before, after, groups = drawn(900, 1)
    labels[::7] = np.nan
    everyone = np.zeros(len(labels), int)
    own = paired(labels, before, [(everyone, 1), (groups, 5)])
    for (area, loss), base in zip(own.against(after), own.groupings, strict=True):
        for group in range(len(base.n)):
            known = ~np.isnan(labels)
            mine = known & ((groups if len(base.n) > 1 else everyone) == group)
            y = labels[mine]
            assert base.n[group] == mine.sum()
            assert base.positives[group] == y.sum()
            if group == 4:  # nobody is there
                assert np.isnan([area.value[4], area.low[4], loss.value[4], base.auc[4]]).all()
                continue
            old, new = auc(y, before[mine]).value, auc(y, after[mine]).value
            assert base.auc[group] == pytest.approx(old)
            assert area.value[group] == pytest.approx(new - old)
            old, new = log_loss(y, before[mine]), log_loss(y, after[mine])
            assert base.log_loss[group] == pytest.approx(old)
            assert loss.value[group] == pytest.approx(new - old)


def test_the_interval_is_delongs_by_hand() -> None:
    labels, before, after, _ = drawn(300, 2)
    ((area, loss),) = paired(labels, before, [(np.zeros(300, int), 1)]).against(after)
    pairs = zip(structural(labels, before), structural(labels, after), strict=True)
    v10, v01 = (new - old for old, new in pairs)
    spread = Z95 * np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    assert area.high[0] - area.value[0] == pytest.approx(spread)
    assert area.value[0] - area.low[0] == pytest.approx(spread)
    p, q = (np.where(labels > 0.5, s, 1 - s) for s in (before, after))
    difference = np.log(p) - np.log(q)
    spread = Z95 * difference.std(ddof=1) / np.sqrt(300)
    assert loss.value[0] == pytest.approx(difference.mean())
    assert loss.high[0] - loss.value[0] == pytest.approx(spread)


def test_the_interval_is_as_wide_as_a_bootstrap_of_rows() -> None:
    labels, before, after, _ = drawn(600, 3)
    ((area, loss),) = paired(labels, before, [(np.zeros(600, int), 1)]).against(after)
    rng = np.random.default_rng(0)
    areas, losses = [], []
    for _ in range(400):
        i = rng.integers(0, 600, 600)
        y = labels[i]
        areas.append(auc(y, after[i]).value - auc(y, before[i]).value)
        losses.append(log_loss(y, after[i]) - log_loss(y, before[i]))
    width = Z95 * np.std(areas, ddof=1)
    assert area.high[0] - area.value[0] == pytest.approx(width, rel=0.15)
    assert loss.high[0] - loss.value[0] == pytest.approx(Z95 * np.std(losses, ddof=1), rel=0.15)


def test_no_change_has_no_width_and_one_class_no_auc() -> None:
    labels, before, _, groups = drawn(100, 4)
    ((area, loss),) = paired(labels, before, [(groups, 4)]).against(before)
    for change in (*area, *loss):
        assert (change == 0).all()
    ones = np.ones(100, np.float32)
    ((area, loss),) = paired(ones, before, [(groups, 4)]).against(1 - before)
    assert np.isnan(area.value).all()
    assert not np.isnan(loss.value).any()
