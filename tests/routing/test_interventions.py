"""Interventions against a rebuilt model, against float64 loops, and against what they promise."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.selection import Gates
from aesm2.models.aesm2 import AESM2
from aesm2.routing.interventions import (
    Fix,
    Force,
    Interventions,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
    intervene,
    swapped,
    validate,
)
from aesm2.routing.trace import RoutingTrace, layer_specs, trace
from tests import oracle
from tests.models import cases

GROUPS = (ExpertGroup(layers=1, experts=5, specific=2, shared=2, width=7),
          ExpertGroup(layers=1, experts=4, specific=1, shared=2, width=6))  # fmt: skip
TASK = ExpertGroup(layers=1, experts=4, specific=1, shared=1, width=6)
SCHEMA = cases.schema((3, 2))


def model(**changes: object) -> AESM2:
    config = AESM2Config(embedding_dim=3, context_dim=3, scenario=GROUPS, task=TASK, tower=(5,))
    return cases.spread(AESM2(config.model_copy(update=changes), SCHEMA))


def traced(
    own: AESM2, rows: int, interventions: Interventions, positions: np.ndarray | None = None
) -> RoutingTrace:
    batch, specs = cases.batch(own.schema, rows), layer_specs(own)
    choose = intervene(specs, interventions, positions)
    return trace(own, swapped(batch, specs, interventions), pd.RangeIndex(rows), choose)


def rebuilt(own: AESM2, layer: int, expert: int) -> AESM2:
    """The model with one expert of a layer left out, its other weights copied."""
    groups = [*GROUPS, TASK]
    n = groups[layer].experts
    groups[layer] = groups[layer].model_copy(
        update={"experts": n - 1, "specific": min(groups[layer].specific, n - 1)}
    )
    update = {"scenario": tuple(groups[:2]), "task": groups[2]}
    smaller = AESM2(own.config.model_copy(update=update), own.schema)
    name = f"scenario_layers.{layer}." if layer < 2 else "task_layers.0."
    keep, weights = [k for k in range(n) if k != expert], own.state_dict()
    for key, value in weights.items():
        if not key.startswith(name):
            continue
        if key.endswith(("gate.weight", "gate_context.weight")):  # (n · m, inputs)
            value = value.view(n, -1, value.shape[-1])[keep].flatten(0, 1)
        else:  # a task layer's gate is (T, n, inputs); the rest are (n, …)
            value = value[:, keep] if key.endswith(".gate") else value[keep]
        weights[key] = value
    smaller.load_state_dict(weights)
    return smaller.eval()


@pytest.mark.parametrize("context", ["record", "gate"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_knock_out_is_the_model_rebuilt_without_the_expert(layer: int, context: str) -> None:
    own = model(scenario_context=context)
    batch, spec = cases.batch(own.schema, 200), layer_specs(own)[layer]
    for expert in range(spec.experts):
        found = traced(own, 200, (KnockOut(spec.name, expert),))
        with torch.no_grad():
            expected = rebuilt(own, layer, expert)(batch)
        torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-6)
        keep = [k for k in range(spec.experts) if k != expert]
        mine, theirs = found.layers[layer], expected.routings[layer].selection
        assert torch.equal(mine.specific[..., keep], theirs.specific)
        assert torch.equal(mine.shared[..., keep], theirs.shared)
        assert not mine.specific[..., expert].any()
        assert not mine.shared[..., expert].any()
        assert (mine.mixing_weights[..., expert] == 0).all()


def test_where_fewer_than_k_are_left_k_is_their_number() -> None:
    own = model()
    out = tuple(KnockOut("level0.1", k) for k in (0, 1, 3, 4))
    layer = traced(own, 20, out).layers[0]
    for values in (layer.specific, layer.shared, layer.mixing_weights):
        assert values.tolist() == [[False, False, True, False, False]] * 20
    with pytest.raises(InputError, match=r"every expert of level0\.1 is knocked out: at least one"):
        traced(own, 20, (*out, KnockOut("level0.1", 2)))


def slow_choice(
    plain: oracle.Choice, G: np.ndarray, j: int, k: Sequence[int], own: Interventions
) -> oracle.Choice:
    """Interventions in one layer, for one row, step by step."""
    n, k = len(G), list(k)
    out = [i.expert for i in own if isinstance(i, KnockOut)]
    for i in own:
        if isinstance(i, SetK):
            k = [i.specific, i.shared]
    sets = []
    for role, kl, size in zip(
        ("specific", "shared"), (plain.kl_specific, plain.kl_shared), k, strict=True
    ):
        ranked = sorted((e for e in range(n) if e not in out), key=lambda e: (kl[e], e))
        chosen = ranked[:size]
        forced = [i.expert for i in own if isinstance(i, Force) and i.role == role]
        for expert in forced:
            if expert not in chosen:
                chosen.remove([e for e in chosen if e not in forced][-1])  # the K-th goes
                chosen.append(expert)
        for i in own:
            if isinstance(i, Fix):
                chosen = list(i.specific if role == "specific" else i.shared)
        sets.append([e in chosen for e in range(n)])
    union = [e for e in range(n) if sets[0][e] or sets[1][e]]
    weights = [0.0] * n
    for e, w in zip(union, oracle.softmax([G[e, j] for e in union]), strict=True):
        weights[e] = w
    return dataclasses.replace(plain, specific=sets[0], shared=sets[1], mixing_weights=weights)


CASES: list[Interventions] = [
    (Force("level0.1", 4, "specific"),),
    (Force("level0.1", 0, "specific"), Force("level0.1", 3, "specific")),
    (Force("level1.1", 1, "shared"), Force("task.1", 2, "specific")),
    (SetK("level0.1", 4, 1), SetK("task.1", 0, 2)),
    (SetK("level1.1", 0, 1), Force("level1.1", 3, "shared"), KnockOut("level1.1", 0)),
    (Fix("level0.1", (0, 3), (1, 3)), KnockOut("level0.1", 2)),
    (Fix("task.1", (), (1,)), Force("level0.1", 2, "shared"), KnockOut("level0.1", 0)),
    (KnockOut("level0.1", 0), KnockOut("level0.1", 1), KnockOut("level0.1", 4)),
]


@pytest.mark.parametrize("interventions", CASES, ids=str)
def test_it_agrees_with_slow_loops(
    interventions: Interventions, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, rows = model(), 30
    names = [spec.name for spec in layer_specs(own)]
    current, choose = [0], oracle.choose

    def at(function, first, place):  # type: ignore[no-untyped-def]
        def run(w, shape, number, *rest):  # type: ignore[no-untyped-def]
            current[0] = first + number
            return function(w, shape, number, *rest)

        monkeypatch.setattr(oracle, place, run)

    def chosen(G: np.ndarray, j: int, specific: int, shared: int) -> oracle.Choice:
        here = [i for i in interventions if i.layer == names[current[0]]]  # type: ignore[union-attr]
        plain = choose(G, j, specific, shared)
        return slow_choice(plain, G, j, (specific, shared), tuple(here)) if here else plain

    at(oracle._scenario_layer, 0, "_scenario_layer")
    at(oracle._task_layer, len(GROUPS), "_task_layer")
    monkeypatch.setattr(oracle, "choose", chosen)
    batch = cases.batch(own.schema, rows)
    expected = oracle.predict(
        cases.weights(own), cases.oracle_shape(own.config, own.schema),
        batch.fields.numpy(), batch.scenarios.numpy(),
    )  # fmt: skip
    found = traced(own, rows, interventions)
    np.testing.assert_allclose(found.logits.numpy(), expected.logits, rtol=1e-4, atol=1e-5)
    for mine, slow in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(mine.specific.numpy(), slow.specific)
        shared = slow.shared if slow.shared.ndim == 2 else slow.shared[0]
        np.testing.assert_array_equal(mine.shared.numpy(), shared)
        np.testing.assert_allclose(mine.mixing_weights.numpy(), slow.mixing_weights, atol=1e-5)


@pytest.mark.parametrize("order", range(3))
def test_what_a_tuple_means_does_not_depend_on_its_order(order: int) -> None:
    every: Interventions = (
        KnockOut("level0.1", 0), Force("level0.1", 3, "shared"), SetK("level0.1", 3, 1),
        Retarget("level0.1", "s1"), Noise(0.1, 3), Swap("level1", "s0"),
    )  # fmt: skip
    own = model()
    first = traced(own, 50, every)
    again = traced(own, 50, (*every[order + 1 :], *every[: order + 1]))
    assert torch.equal(first.logits, again.logits)


def test_retargeting_leaves_the_shared_set_where_it_was() -> None:
    own = model()
    plain, found = traced(own, 300, ()), traced(own, 300, (Retarget("level0.1", "s2"),))
    before, after = plain.layers[0], found.layers[0]
    assert torch.equal(after.gate_logits, before.gate_logits)
    assert torch.equal(after.kl_shared, before.kl_shared)
    assert torch.equal(after.shared, before.shared)
    assert (after.target == 2).all()
    away = before.target != 2
    assert (after.specific != before.specific).any(-1)[away].any()
    assert torch.equal(after.specific[~away], before.specific[~away])
    assert torch.equal(found.scenarios, plain.scenarios)


def test_a_swap_is_the_batch_with_another_scenario() -> None:
    own = model()
    batch = cases.batch(own.schema, 60)
    found = traced(own, 60, (Swap("level0", "s2"),))
    batch.scenarios[:, 0] = 2
    ((_, expected),) = outputs(own, batch)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=0)
    assert (found.layers[0].target == 2).all()


def test_noise_has_its_scale_and_repeats_whatever_the_chunks() -> None:
    own, rows = model(), 2500
    batch, specs = cases.batch(own.schema, rows), layer_specs(own)

    def logits(chunk: int, *noise: Noise) -> list[torch.Tensor]:
        choose = intervene(specs, noise)
        parts = [o.routings for _, o in outputs(own, batch, chunk, choose)]
        return [torch.cat([part[i].gate_logits for part in parts]) for i in range(3)]

    first = logits(8192, Noise(0.2, 5))
    plain = logits(8192)
    difference = first[0] - plain[0]  # later layers' inputs move as well
    n = specs[0].experts
    assert difference.std().item() == pytest.approx(0.2 * n, rel=0.02)
    assert abs(difference.mean().item()) < 0.02
    for chunk in (1000, 77, 2499):
        for a, b in zip(logits(chunk, Noise(0.2, 5)), first, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-4)
    assert not torch.equal(logits(8192, Noise(0.2, 6))[0], first[0])
    noisy = difference / (0.2 * n)
    assert abs(np.corrcoef(noisy[:-1].flatten(), noisy[1:].flatten())[0, 1]) < 0.02
    at_zero = logits(8192, Noise(0.0, 5))
    assert all(torch.equal(a, b) for a, b in zip(at_zero, plain, strict=True))


def test_a_rows_noise_follows_its_position() -> None:
    own, interventions = model(), (Noise(0.3, 1),)
    whole = traced(own, 1500, interventions)
    batch, specs = cases.batch(own.schema, 1500), layer_specs(own)
    some = np.array([3, 700, 1023, 1024, 1499])
    choose = intervene(specs, interventions, some)
    part = trace(own, batch[torch.from_numpy(some)], pd.Index(some), choose)
    torch.testing.assert_close(part.layers[0].gate_logits, whole.layers[0].gate_logits[some])
    torch.testing.assert_close(part.logits, whole.logits[some], rtol=1e-4, atol=1e-4)


def test_the_model_is_left_as_it_was() -> None:
    own = model().train()
    batch = cases.batch(own.schema, 40)
    before = {name: value.numpy().tobytes() for name, value in own.state_dict().items()}
    ((_, plain),) = outputs(own, batch)
    for interventions in CASES:
        list(outputs(own, batch, intervene=intervene(layer_specs(own), interventions)))
    assert own.training
    assert {name: v.numpy().tobytes() for name, v in own.state_dict().items()} == before
    ((_, again),) = outputs(own, batch)
    assert torch.equal(again.logits, plain.logits)
    nothing = intervene(layer_specs(own), ())
    ((_, untouched),) = outputs(own, batch, intervene=nothing)
    assert torch.equal(untouched.logits, plain.logits)


@pytest.mark.parametrize(
    ("interventions", "message"),
    [
        ((KnockOut("level0.2", 0),), r"no layer 'level0\.2' \(did you mean 'level0\.1'\?\)"),
        ((KnockOut("level0.1", 5),), r"no expert 5 in level0\.1: its experts are 0 to 4"),
        ((Force("task.1", 4, "shared"),), r"no expert 4 in task\.1"),
        ((Force("task.1", 0, "shared"), KnockOut("task.1", 0)), "knocked out and forced in"),
        ((Force("task.1", 0, "shared"), Force("task.1", 1, "shared")), "2 experts .* K = 1"),
        ((SetK("task.1", 0, 0),), "not both are 0"),
        ((SetK("task.1", 5, 0),), r"does not fit task\.1: each is 0 to 4"),
        ((SetK("task.1", 1, 2), SetK("task.1", 2, 1)), r"task\.1 is given K twice"),
        ((Fix("task.1", (), ()),), "fixed to no expert at all"),
        ((Fix("task.1", (7,), ()),), r"no expert 7 in task\.1"),
        ((Fix("task.1", (1,), ()), KnockOut("task.1", 1)), "knocked out and in its fixed roles"),
        ((Fix("task.1", (1,), ()), SetK("task.1", 1, 1)), "drop its K"),
        ((Fix("task.1", (1,), ()), Force("task.1", 1, "shared")), "what is forced in"),
        ((Retarget("task.1", "task0"),), "whose gates are the tasks"),
        ((Retarget("level1.1", "s2"),), "no scenario 's2' of level 'level1'"),
        ((Swap("level1", "s2"),), "no scenario 's2' of level 'level1'"),
        ((Swap("levle1", "s1"),), "no scenario level 'levle1'"),
        ((Swap("level1", "s1"), Swap("level1", "s0")), "swapped twice"),
        ((Noise(-0.1, 0),), "both must be 0 or more"),
        ((Noise(float("nan"), 0),), "both must be 0 or more"),
        ((Noise(float("inf"), 0),), "both must be 0 or more"),
        ((Noise(1e300, 0),), "the scale at most 1,000,000"),  # no float32 holds it times a normal
    ],
)
def test_what_cannot_be_done_is_refused(interventions: Interventions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(layer_specs(model()), interventions)


def test_masks_and_weights_agree_under_everything_at_once() -> None:
    own = model()
    every = functools.reduce(lambda a, b: (*a, *b), (CASES[0], CASES[2][1:], (Noise(0.5, 2),)))
    found = traced(own, 100, every)
    for layer in found.layers:
        union = layer.specific | layer.shared
        assert torch.equal(layer.mixing_weights > 0, union)
        torch.testing.assert_close(layer.mixing_weights.sum(-1), torch.ones(union.shape[:-1]))


def test_the_gates_that_are_returned_are_those_that_were_used() -> None:
    specs = layer_specs(model())
    gates = Gates(torch.randn(6, 5, 3), torch.eye(3).bool().repeat(2, 1), 2, 2)
    used, _ = intervene(specs, (SetK("level0.1", 3, 1), Retarget("level0.1", "s0")))(0, gates)
    assert (used.specific, used.shared) == (3, 1)
    assert used.target.tolist() == [[True, False, False]] * 6
