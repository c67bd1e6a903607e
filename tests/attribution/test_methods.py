"""Attributions against closed forms, enumeration, and their own axioms."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from aesm2.attribution import (
    METHODS,
    Features,
    GateLogit,
    Logit,
    Margin,
    Probability,
    Question,
    Score,
    Target,
    ask,
    attribute,
    features_of,
    mean_baseline,
    methods,
    row_baseline,
    value_baseline,
)
from aesm2.checkpoint import load
from aesm2.config import AESM2Config, ExpertGroup
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.models import AESM2
from tests import small
from tests.attribution.test_targets import model
from tests.models import cases

ONE = Features(("a",), (0,))
THREE = Features(("a", "b", "c"), (0, 1, 2))
SHALLOW = {
    "scenario": ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=7),
    "task": ExpertGroup(layers=1, experts=4, specific=1, shared=2, width=6),
}
TARGETS: tuple[Target, ...] = (
    Probability("task1"),
    Logit("task0"),
    Score("level0.1", 1, "specific"),
    Score("level1.1", 2, "shared"),
    Score("task.1", 0, "specific", "task1"),
    GateLogit("level1.1", 3),
    GateLogit("task.1", 1, "task0"),
    Margin("level1.1", "specific"),
    Margin("level1.1", "shared"),
    Margin("task.1", "specific", "task1"),
)


def flipping() -> tuple[AESM2, Batch]:
    """One field of one unit; expert 0 is chosen where it is above 0, expert 1 below.

    Expert k puts out k + 1 whatever the input, so the target's gradient is 0 and it jumps at 0.
    """
    one = ExpertGroup(layers=1, experts=2, specific=1, shared=0, width=1)
    task = ExpertGroup(layers=1, experts=1, specific=1, shared=0, width=1)
    config = AESM2Config(embedding_dim=1, context_dim=1, scenario=one, task=task, tower=())
    own = AESM2(config, cases.schema((2,), (-1,), (4,))).eval().double()
    with torch.no_grad():
        for weight in own.parameters():
            weight.zero_()
        gate, experts = own.scenario_layers[0].gate, own.scenario_layers[0].experts
        gate.weight[0, 0] = 1.0  # G[0, 0] = x, and all else is 0: G[1, :] = 0
        experts.linear.bias[:, 0] = torch.tensor([1.0, 2.0])
        own.task_layers[0].experts.linear.weight[:] = 1.0
        own.towers[0].weight[:] = 1.0
        own.embedding.weight[:, 0] = torch.tensor([-1.0, 0.0, 3.0, 0.0])
    return own, Batch(torch.tensor([[2]]), torch.tensor([[0]]))


def exact(asked: Question, start: torch.Tensor, fields: int, orders: list[list[int]]) -> np.ndarray:
    """Shapley values by walking through orders, one evaluation at a time."""
    width = asked.x.shape[1] // fields
    total = np.zeros(fields)
    for order in orders:
        now = start.clone()
        last = float(asked.value(now, torch.tensor([0]), held=False).detach())
        for f in order:
            now[:, f * width : (f + 1) * width] = asked.x[:, f * width : (f + 1) * width]
            value = float(asked.value(now, torch.tensor([0]), held=False).detach())
            total[f] += value - last
            last = value
    return total / len(orders)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_linear_target_every_method_gives_the_closed_form(method: methods.Method) -> None:
    own, target = model(), GateLogit("level0.1", 3, "s2")
    rows = cases.batch(own.schema, 9)
    start = mean_baseline(own, rows)
    weight = own.scenario_layers[0].gate.weight.view(5, 3, -1)[3, 2].detach()
    x = own.embedding(rows.fields).detach()
    expected = (weight * (x - start)).view(9, 3, -1).sum(2).numpy()
    found = attribute(own, rows, target, method, start, THREE)
    np.testing.assert_allclose(found.contributions, expected, atol=2e-6)
    np.testing.assert_allclose(found.delta, 0, atol=4e-6)
    assert found.unit == "gate logit"
    assert (found.changes == 0).all()


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_with_the_choice_held_gradients_are_complete(target: Target) -> None:
    own = model(**SHALLOW)
    rows, every = cases.batch(own.schema, 1, seed=7), cases.batch(own.schema, 50)
    start = mean_baseline(own, every)
    found = attribute(own, rows, target, "held", start, THREE, steps=10_000)
    size = np.abs(found.contributions).sum(1)
    assert (size > 1e-4).all()
    assert (np.abs(found.delta) < 1e-4 * size).all()


def test_the_choice_held_is_that_of_the_trained_model_too() -> None:
    checkpoint = load(small.run() / "checkpoint", "cpu")
    rows = cases.batch(checkpoint.model.schema, 2, seed=3)
    features = features_of(checkpoint.description)
    start = value_baseline(checkpoint.model)
    for target in (Probability("ctcvr"), Score("page.1", 2, "shared")):
        found = attribute(checkpoint.model, rows, target, "held", start, features, steps=4000)
        assert (np.abs(found.delta) <= 1e-4 * np.abs(found.contributions).sum(1) + 1e-7).all()


@given(cases.aesm2_cases())
@settings(max_examples=15)
def test_at_the_row_holding_changes_nothing(case: tuple[AESM2, Batch]) -> None:
    own, rows = case
    asked = ask(own, rows, Logit("task0"))
    index = torch.arange(len(rows))
    with torch.no_grad():
        expected = own(rows).logits[:, 0]
        held = asked.value(asked.x, index, held=True)
    torch.testing.assert_close(held, expected, rtol=1e-6, atol=1e-6)


def test_a_jump_escapes_gradients_and_their_delta_says_how_much() -> None:
    own, row = flipping()
    start = value_baseline(own)  # x = -1, where expert 1 is chosen
    arguments = (own, row, Logit("task0"))
    for steps in (50, 1000):
        plain = attribute(*arguments, "gradients", start, ONE, steps=steps)
        np.testing.assert_allclose(plain.contributions, 0)
        np.testing.assert_allclose([plain.at_row, plain.at_baseline], [[1], [2]])
        np.testing.assert_allclose(plain.delta, 1)
        assert plain.changes.tolist() == [1]
        held = attribute(*arguments, "held", start, ONE, steps=steps)
        np.testing.assert_allclose(held.delta, 0)
        np.testing.assert_allclose([held.at_baseline, held.model_baseline], [[1], [2]])
    for method in ("ablation", "shapley"):
        found = attribute(*arguments, method, start, ONE)
        np.testing.assert_allclose(found.contributions, -1)
        np.testing.assert_allclose(found.delta, 0)


def test_more_steps_help_only_where_the_choice_is_held() -> None:
    own = model()
    rows = cases.batch(own.schema, 12)
    start = mean_baseline(own, rows)
    arguments = (own, rows, Logit("task1"))
    plain = attribute(*arguments, "gradients", start, THREE, steps=800)
    held = attribute(*arguments, "held", start, THREE, steps=800)
    changed = plain.changes > 0
    assert changed.sum() > 3
    assert np.abs(plain.delta[changed]).mean() > 50 * np.abs(held.delta[changed]).mean()


def test_changes_are_counted_point_by_point() -> None:
    own = model()
    rows = cases.batch(own.schema, 6)
    start = mean_baseline(own, rows)
    found = attribute(own, rows, Margin("level1.2", "shared"), "ablation", start, THREE, steps=20)
    x, expected = own.embedding(rows.fields).detach(), []
    for row in range(6):
        seen = []
        for share in np.linspace(0, 1, 21):
            at = start + share * (x[row : row + 1] - start)
            routings = own.from_embedding(at, rows.scenarios[row : row + 1]).routings[:3]
            seen.append([(r.selection.specific | r.selection.shared).tolist() for r in routings])
        expected.append(sum(a != b for a, b in itertools.pairwise(seen)))
    assert found.changes.tolist() == expected
    assert max(expected) > 1


def test_only_the_choices_a_target_depends_on_are_counted() -> None:
    own = model()
    asked = ask(own, cases.batch(own.schema, 3), Probability("task0"))
    index = torch.arange(3)
    assert asked.choices(asked.x, index).shape == (3, 4 * 5 + 2 * 4 + 4)  # of task0 alone at last
    both = ask(own, cases.batch(own.schema, 3), Probability("task1"))
    assert both.choices(both.x, index).shape == (3, 4 * 5 + 2 * 4 + 2 * 4)  # task1 follows task0
    first = ask(own, cases.batch(own.schema, 3), GateLogit("level0.1", 0))
    assert first.choices(first.x, index).shape == (3, 0)


def test_shapley_walks_the_orders_it_draws() -> None:
    own = model()
    rows = cases.batch(own.schema, 1)
    start = mean_baseline(own, cases.batch(own.schema, 50))
    target = Probability("task1")
    orders = list(methods._orders(7)(3, 9))
    assert len(orders) == 9
    assert orders[1] == orders[0][::-1]
    expected = exact(ask(own, rows, target), start, 3, orders)
    found = attribute(own, rows, target, "shapley", start, THREE, samples=9, seed=7)
    np.testing.assert_allclose(found.contributions[0], expected, atol=1e-6)


def test_many_orders_come_to_all_of_them_and_any_adds_up() -> None:
    own = model(**SHALLOW)
    rows = cases.batch(own.schema, 1)
    start = mean_baseline(own, cases.batch(own.schema, 50))
    every = [list(order) for order in itertools.permutations(range(3))]
    expected = exact(ask(own, rows, Logit("task1")), start, 3, every)
    found = attribute(own, rows, Logit("task1"), "shapley", start, THREE, samples=200)
    size = np.abs(expected).sum()
    np.testing.assert_allclose(found.contributions[0], expected, atol=0.1 * size)
    for target in TARGETS:
        several = attribute(own, cases.batch(own.schema, 5), target, "shapley", start, THREE,
                            samples=4)  # fmt: skip
        np.testing.assert_allclose(several.delta, 0, atol=2e-6 * (1 + np.abs(several.at_row).max()))


@pytest.mark.parametrize("method", METHODS)
def test_features_alike_get_alike(method: methods.Method) -> None:
    own = model()
    width = 3  # of a field
    with torch.no_grad():
        tied = own.scenario_layers[0]
        tied.gate.weight[:, width : 2 * width] = tied.gate.weight[:, :width]
        weights = tied.experts.linear.weight
        weights[:, :, width : 2 * width] = weights[:, :, :width]
        own.embedding.weight[4:8] = own.embedding.weight[:4]
    rows = Batch(torch.tensor([[3, 3, 1], [2, 2, 0]]), torch.tensor([[0, 1], [2, 0]]))
    start = value_baseline(own)
    if method == "shapley":  # of two features, an order and its reverse are all there are
        rows.fields[:, 2] = 0
    found = attribute(own, rows, Logit("task1"), method, start, THREE, samples=2)
    a, b = found.contributions[:, 0], found.contributions[:, 1]
    assert (np.abs(a) > 1e-5).all()
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_group_is_the_sum_of_its_features_or_taken_away_as_one() -> None:
    own = model()
    rows = cases.batch(own.schema, 5)
    start = mean_baseline(own, rows)
    two = Features(("outer", "inner"), (0, 1, 0))
    arguments = (own, rows, Logit("task1"))
    apart = attribute(*arguments, "held", start, THREE).contributions
    together = attribute(*arguments, "held", start, two).contributions
    np.testing.assert_allclose(together, np.stack([apart[:, 0] + apart[:, 2], apart[:, 1]], 1))
    asked = ask(*arguments)
    without = asked.x.clone()
    without[:, :3], without[:, 6:] = start[:, :3], start[:, 6:]
    index = torch.arange(5)
    with torch.no_grad():
        drop = asked.value(asked.x, index, False) - asked.value(without, index, False)
    ablated = attribute(*arguments, "ablation", start, two).contributions
    np.testing.assert_allclose(ablated[:, 0], drop, atol=1e-6)
    paired = attribute(*arguments, "shapley", start, two)
    np.testing.assert_allclose(paired.delta, 0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_many_rows_are_each_row_alone(
    method: methods.Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = model(**SHALLOW)
    rows = cases.batch(own.schema, 7)
    start = mean_baseline(own, rows)
    done: list[float] = []
    monkeypatch.setattr(methods, "POINTS", 3 * 10)
    monkeypatch.setattr(methods, "LEAST", 1)
    few = {"steps": 10, "samples": 4}
    found = attribute(own, rows, Logit("task1"), method, start, THREE, **few, tick=done.append)
    assert done == sorted(done)
    assert done[-1] == 1
    assert len(done) >= 3
    for row in range(7):
        alone = attribute(own, rows[row : row + 1], Logit("task1"), method, start, THREE, **few)
        np.testing.assert_allclose(alone.contributions[0], found.contributions[row], atol=1e-6)
        assert alone.changes[0] == found.changes[row]


def test_a_tick_can_stop_it() -> None:
    own = model()

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        attribute(own, cases.batch(own.schema, 3), Logit("task0"), "held",
                  value_baseline(own), THREE, tick=stop)  # fmt: skip


def test_chance_is_drawn_from_the_seed_and_nothing_global() -> None:
    own = model()
    rows = Batch(torch.tensor([[3, 4, 2], [2, 3, 1]]), torch.tensor([[0, 1], [2, 0]]))
    arguments = (own, rows, Logit("task1"), "shapley", value_baseline(own))
    before = torch.get_rng_state()
    first = attribute(*arguments, THREE, samples=3, seed=1).contributions
    torch.rand(5)
    again = attribute(*arguments, THREE, samples=3, seed=1).contributions
    other = attribute(*arguments, THREE, samples=3, seed=2).contributions
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6
    torch.set_rng_state(before)
    attribute(*arguments, THREE)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in own.parameters())


def test_features_and_groups_of_a_dataset() -> None:
    described = load(small.run() / "checkpoint", "cpu").description
    by_feature = features_of(described)
    assert by_feature.names == tuple(described.fields)
    groups = features_of(described, groups=True)
    assert groups == Features(("user", "item"), (0, 0, 0, 0, 1, 1))


def test_baselines() -> None:
    own = model()
    rows = cases.batch(own.schema, 20)
    table = own.embedding.weight.detach().numpy()
    by_hand = np.zeros(9)
    for fields in rows.fields.tolist():
        offsets = (0, 4, 9)
        by_hand += np.concatenate([table[o + f] for o, f in zip(offsets, fields, strict=True)]) / 20
    np.testing.assert_allclose(mean_baseline(own, rows)[0], by_hand)
    missing = np.concatenate([table[0], table[4], table[9]])
    np.testing.assert_allclose(value_baseline(own)[0], missing)
    unseen = np.concatenate([table[1], table[5], table[10]])
    np.testing.assert_allclose(value_baseline(own, unseen=True)[0], unseen)
    np.testing.assert_allclose(
        row_baseline(own, rows[3:4])[0], own.embedding(rows.fields[3:4])[0].detach()
    )
    for wrong in (lambda: row_baseline(own, rows), lambda: mean_baseline(own, rows[:0])):
        with pytest.raises(InputError, match="row"):
            wrong()


def test_a_row_against_itself_is_nothing() -> None:
    own = model()
    rows = cases.batch(own.schema, 1)
    for method in METHODS:
        found = attribute(own, rows, Logit("task1"), method, row_baseline(own, rows), THREE)
        np.testing.assert_allclose(found.contributions, 0, atol=1e-12)
        assert math.isclose(found.at_row[0], found.at_baseline[0])


def test_bad_settings_are_refused() -> None:
    own = model()
    arguments = (own, cases.batch(own.schema, 1), Logit("task0"))
    with pytest.raises(InputError, match="no method 'lime'"):
        attribute(*arguments, "lime", value_baseline(own), THREE)
    with pytest.raises(InputError, match="at least one step"):
        attribute(*arguments, "held", value_baseline(own), THREE, steps=0)
