"""Which label follows which, where a task exists, and which columns tell a label."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.draft.labels import absent_in, contains, duplicates, lacks, parents

Draw = np.random.Generator


def funnel(rng: Draw, rows: int, *rates: float) -> list[np.ndarray]:
    """Flags each of which is 1 only where the one before is."""
    found = [np.ones(rows)]
    for rate in rates:
        found.append(found[-1] * (rng.random(rows) < rate))
    return found[1:]


def parent_names(flags: dict[str, np.ndarray]) -> dict[str, str | None]:
    return {name: parent.name if parent else None for name, parent in parents(flags).items()}


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_of_four_whatever_the_order_of_its_columns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen, click, cart, bought = funnel(rng, 3000, 0.8, 0.4, 0.4, 0.5)
    flags = {"bought": bought, "seen": seen, "cart": cart, "click": click}
    assert parent_names(flags) == {
        "seen": None, "click": "seen", "cart": "click", "bought": "cart",
    }  # fmt: skip
    assert list(parents(flags)) == ["seen", "click", "cart", "bought"]  # parents come first


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.9, 0.97, 0.995])
def test_an_unrelated_flag_of_any_frequency_stays_out(rate: float) -> None:
    rng = np.random.default_rng(7)
    click, bought = funnel(rng, 3000, 0.3, 0.3)
    other = (rng.random(3000) < rate).astype(float)
    found = parent_names({"other": other, "click": click, "bought": bought})
    assert found == {"other": None, "click": None, "bought": "click"}


def test_a_tree_of_two_branches() -> None:
    rng = np.random.default_rng(0)
    click, bought = funnel(rng, 3000, 0.5, 0.3)
    (saved,) = (click * (rng.random(3000) < 0.4),)
    assert parent_names({"click": click, "saved": saved, "bought": bought}) == {
        "click": None, "saved": "click", "bought": "click",
    }  # fmt: skip


def test_a_few_mistakes_of_the_log_do_not_break_a_chain_many_do() -> None:
    rng = np.random.default_rng(0)
    click, bought = funnel(rng, 5000, 0.4, 0.5)
    wrong = np.flatnonzero(click == 0)
    bought[wrong[:10]] = 1
    found = parents({"click": click, "bought": bought})["bought"]
    assert found is not None
    assert (found.name, found.outside) == ("click", 10)
    bought[wrong[:100]] = 1
    assert parent_names({"click": click, "bought": bought})["bought"] is None


def test_a_label_that_is_missing_contains_nothing_there() -> None:
    """A purchase without a known cart follows the click, not the cart."""
    rng = np.random.default_rng(0)
    click, cart, bought = funnel(rng, 4000, 0.5, 0.5, 0.5)
    web = rng.random(4000) < 0.5
    straight = web & (click == 1) & (rng.random(4000) < 0.3)
    bought = np.where(web, straight, bought).astype(float)
    cart = np.where(web, np.nan, cart)
    assert parent_names({"click": click, "cart": cart, "bought": bought}) == {
        "click": None, "cart": "click", "bought": "click",
    }  # fmt: skip


@given(st.integers(0, 2**32), st.integers(20, 60), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_containment_against_counting(seed: int, rows: int, outer: float, inner: float) -> None:
    rng = np.random.default_rng(seed)
    around = np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows) < outer)
    inside = (rng.random(rows) < inner) * np.where(rng.random() < 0.5, np.nan_to_num(around), 1)
    positives = outside = known = ones = 0
    for a, b in zip(around, inside, strict=True):
        known += not math.isnan(a)
        ones += a == 1
        positives += b == 1
        outside += b == 1 and a != 1
    chance = positives * (1 - (ones / known if known else 0))
    wanted = chance >= 3 and outside <= 0.02 * positives and outside <= 0.1 * chance
    assert contains(around, inside.astype(float)) == wanted


def test_labels_of_the_same_rows_but_for_one_do_not_follow_each_other() -> None:
    flag = np.repeat([1.0, 0.0], [200, 300])
    moved = flag.copy()
    moved[[0, 400]] = 0, 1
    assert parent_names({"a": flag, "b": moved}) == {"a": None, "b": None}


def test_copies_of_a_label() -> None:
    one, other = np.array([0.0, 1, 1, 0]), np.array([0.0, 1, 0, 0])
    flags = {"a": one, "b": other, "c": one.copy(), "d": one.copy()}
    assert duplicates(flags) == {"c": "a", "d": "a"}


# ---- where a task exists ------------------------------------------------------------------------


def test_a_task_exists_where_it_is_ever_1() -> None:
    scenarios = np.repeat([0, 1, 2, 3], [100, 100, 100, 20])
    flag = np.tile([0.0, 1.0, 0.0, 0.0, 0.0], 64)  # a rate of 20 %
    flag[100:200] = np.nan  # always missing
    flag[200:300] = 0  # never 1, where 20 would be
    flag[300:] = 0  # never 1, where only 4 would be
    assert absent_in(flag, scenarios, 5).tolist() == [False, True, True, False, False]


def test_a_task_that_would_exist_nowhere_exists_everywhere() -> None:
    assert not absent_in(np.zeros(50), np.zeros(50, int), 2).any()
    assert not absent_in(np.full(50, np.nan), np.zeros(50, int), 2).any()


def test_labels_that_are_needed_and_missing_are_counted() -> None:
    nan = np.nan
    flag = np.array([1, nan, nan, nan, 0])
    exists = np.array([True, True, True, False, True])
    parent = np.array([1, 1, 0, 1, nan])
    assert lacks(flag, exists, parent) == 1
    assert lacks(flag, exists, None) == 2
