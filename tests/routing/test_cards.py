"""Expert cards against counts by hand, brute force, and selection by loops."""

import math

import numpy as np
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.data.batch import Batch
from aesm2.data.drift import scenario_drift
from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError
from aesm2.inference import outputs, probabilities
from aesm2.layers.selection import Gates, Selection, select
from aesm2.metrics import wilson
from aesm2.models import AESM2
from aesm2.routing.cards import (
    Cards,
    cards,
    expert_drift,
    knockout,
    role_history,
    value_lifts,
    without,
)
from aesm2.routing.paired import paired_differences
from aesm2.routing.portrait import features_ranked, first_feature, knockout_words, portrait
from aesm2.routing.shares import layer_choices, layer_shares
from aesm2.routing.trace import LayerSpec
from aesm2.routing.utilisation import utilisation
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


@pytest.fixture(scope="module")
def model() -> AESM2:
    group = ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=4)
    config = AESM2Config(scenario=(group, group), task=ExpertGroup(layers=2, experts=3, width=4))
    return cases.spread(AESM2(config, SHAPE))


@pytest.fixture(scope="module")
def rows() -> Batch:
    return cases.batch(SHAPE, 300)


def of(model: AESM2, rows: Batch, layer: str = "level0.1", target: int = 0) -> Cards:
    return cards(model, rows, layer, target, "level0", np.ones(len(rows), bool))


@pytest.mark.parametrize(("layer", "target"), [("level0.1", 0), ("level1.1", 0), ("task.2", 1)])
def test_roles_and_pairs_are_those_of_counting_rows(
    model: AESM2, rows: Batch, layer: str, target: int
) -> None:
    found, choices = of(model, rows, layer, target), layer_choices(model, rows, layer)
    own = rows.scenarios[:, 0].tolist()
    roles, together = np.zeros_like(found.roles), np.zeros_like(found.together)
    for row in range(len(rows)):
        specific, shared = choices.specific[target, row], choices.shared[target, row]
        for k in range(found.spec.experts):
            role = {(1, 0): 0, (1, 1): 1, (0, 1): 2, (0, 0): 3}[int(specific[k]), int(shared[k])]
            roles[own[row], k, role] += 1
            for other in range(found.spec.experts):
                both = (specific[k] or shared[k]) and (specific[other] or shared[other])
                together[k, other] += int(both)
    np.testing.assert_array_equal(found.roles, roles)
    np.testing.assert_array_equal(found.together, together)


def test_roles_add_up_to_the_utilisation(model: AESM2, rows: Batch) -> None:
    found = of(model, rows, "task.1", 1)
    shares = layer_shares(utilisation(model, rows), "task.1", "level0")
    specific, both, shared, _ = np.moveaxis(found.roles, -1, 0)
    np.testing.assert_array_equal(specific + both, shares.specific[1])
    np.testing.assert_array_equal(shared + both, shares.shared[1])
    np.testing.assert_allclose(found.share.sum(-1), 1)


def test_lift_of_pairs() -> None:
    taken = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]], bool)
    found = with_taken(taken)
    # rows of 0: 3, of 1: 3, of 2: 2; both 0 and 1: 2, expected 3 · 3 / 4
    assert found.lift[0, 1] == pytest.approx(2 / (9 / 4))
    assert found.lift[1, 2] == pytest.approx(1 / (6 / 4))
    assert math.isnan(found.lift[0, 0])
    # sets of two out of three, drawn blindly: a pair in 1/3 of them, an expert in 2/3
    assert found.blind_lift == pytest.approx((1 / 3) / (2 / 3) ** 2)


def with_taken(taken: np.ndarray) -> Cards:
    """Cards of a layer of which only the choices matter."""
    rows, experts = taken.shape
    spec = LayerSpec("level0.1", "scenario", 0, SHAPE.levels[0], experts, 4, 1, 1)
    counts = taken.astype(np.int64)
    drift = expert_drift(np.zeros((rows, 1), np.int32), (3,), taken)
    roles = np.zeros((1, experts, 4), np.int64)
    return Cards(
        spec, 0, OVERALL, np.arange(rows), ("all",), np.array([rows]), roles, taken, drift,
        counts.T @ counts,
    )  # fmt: skip


def test_drift_is_that_of_two_sets_of_rows(model: AESM2, rows: Batch) -> None:
    found = of(model, rows)
    fields = rows.fields.numpy()
    for expert in range(found.spec.experts):
        wanted = scenario_drift(fields, SHAPE.fields, found.taken[:, expert].astype(np.int64), 2)
        np.testing.assert_allclose(found.drift.divergence[:, expert], wanted.divergence[:, 1])
        np.testing.assert_allclose(found.drift.level[:, expert], wanted.level[:, 1])


def test_an_expert_that_all_or_nobody_takes_has_no_drift() -> None:
    taken = np.array([[True, False]] * 40)
    found = expert_drift(np.zeros((40, 1), np.int32), (3,), taken)
    assert np.isnan(found.divergence).all()


def test_lifts_by_hand() -> None:
    values = np.array([2] * 10 + [3] * 30)
    taken = np.array([True] * 8 + [False] * 2 + [True] * 2 + [False] * 28)
    table = value_lifts(values, taken, ["missing", "unseen", "a", "b"], ordered=True)
    assert table["value"].tolist() == ["a", "b"]
    assert table["lift"].tolist() == pytest.approx([0.8 / 0.25, (2 / 30) / 0.25])
    assert table["share"].tolist() == pytest.approx([0.8, 0.2])
    low, high = wilson(np.array([8]), np.array([10]))
    assert (table["low"][0], table["high"][0]) == pytest.approx((low[0] / 0.25, high[0] / 0.25))
    shuffled = value_lifts(values[::-1], taken[::-1], ["missing", "unseen", "a", "b"], False)
    assert set(shuffled["value"]) == {"a", "b"}
    assert value_lifts(values, np.zeros(40, bool), list("wxyz"), True)["lift"].isna().all()


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("expert", [0, 2])
def test_without_an_expert_the_next_best_takes_its_place(
    model: AESM2, rows: Batch, layer: int, expert: int
) -> None:
    gates: list[Gates] = []

    def listen(number: int, own: Gates) -> tuple[Gates, Selection]:
        if number == layer:
            gates.append(own)
        return own, select(*own)

    for _ in outputs(model, rows, intervene=listen):
        pass
    (own,) = gates
    _, found = without(layer, expert)(layer, own)
    whole = select(*own)
    for mask, score, k in (
        (found.specific, whole.kl_specific, own.specific),
        (found.shared, whole.kl_shared, own.shared),
    ):
        score = score.double().clone()
        score[..., expert] = math.inf  # exact here: no divergence of these gates is saturated
        flat, wanted = score.reshape(-1, score.shape[-1]), mask.reshape(-1, score.shape[-1])
        for line, chosen in zip(flat.tolist(), wanted.tolist(), strict=True):
            best = sorted(range(len(line)), key=lambda i: (line[i], i))[:k]
            assert [i for i, c in enumerate(chosen) if c] == sorted(best)
    weights = found.mixing_weights
    assert (weights[..., expert] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    untouched = without(layer, expert)(layer + 1, own)[1]
    torch.testing.assert_close(untouched.mixing_weights, whole.mixing_weights)


def test_knockout_is_the_difference_of_two_runs(model: AESM2, rows: Batch) -> None:
    predicted = probabilities(model, rows)
    found = knockout(model, rows, "level0.1", 1, predicted)
    parts = [o.log_probability.exp() for _, o in outputs(model, rows, intervene=without(0, 1))]
    wanted = paired_differences(predicted, torch.cat(parts).numpy(), rows, SHAPE)
    np.testing.assert_allclose(found["delta_auc"], wanted["delta_auc"])
    assert found["delta_auc"].abs().max() > 0
    assert found["expert"].unique().tolist() == [1]
    assert "Without it, the AUC × 100 of task0 changes by" in knockout_words(found, ("task0",))
    with pytest.raises(InputError, match="no expert 9"):
        knockout(model, rows, "level0.1", 9, predicted)


def test_knocking_out_an_expert_nobody_takes_changes_nothing(model: AESM2, rows: Batch) -> None:
    taken = of(model, rows).taken
    lone = rows[torch.from_numpy(~taken[:, 0])]
    found = knockout(model, lone, "level0.1", 0, probabilities(model, lone))
    assert found["delta_log_loss"].abs().max() == 0


def test_roles_over_training(model: AESM2, rows: Batch) -> None:
    used = utilisation(model, rows)
    table = role_history([(7, used), (9, used)], "task.1", 1, 2)
    wanted = layer_shares(used, "task.1", OVERALL).values("specific", "share")[1, 0, 2]
    assert table["step"].tolist() == [7, 9]
    assert table["specific"].tolist() == pytest.approx([wanted] * 2)


def test_no_row_is_refused(model: AESM2, rows: Batch) -> None:
    with pytest.raises(InputError, match="no row here"):
        cards(model, rows, "level0.1", 0, "level0", np.zeros(len(rows), bool))


def test_a_portrait_names_what_the_numbers_say(model: AESM2) -> None:
    rows = cases.batch(SHAPE, 800)
    found = of(model, rows)
    for k in range(found.spec.experts):
        field = first_feature(found, k)
        ranked = features_ranked(found, k)
        if field is not None:
            assert found.drift.beyond_chance[field, k] and field in ranked
            names = list("abcdefg")[: SHAPE.fields[field]]
            table = value_lifts(rows.fields[:, field].numpy(), found.taken[:, k], names, False)
            who, what = portrait(found, k, f"field {field}", table)
            assert f"field {field}" in what
        else:
            who, what = portrait(found, k, None, None)
        assert who.startswith(f"Expert {k} is ")
        share = (found.roles[:, k, :2].sum()) / len(rows)
        assert f"{100 * share:.0f} %" in who or share < 0.01
