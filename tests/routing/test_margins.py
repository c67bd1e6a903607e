"""How close the calls were, against a loop over rows and experts with sums over p log(p / q)."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.models import AESM2, build
from aesm2.routing.gap import selection_gap
from aesm2.routing.margins import CHOOSING, Calls, calls, closest, has_choice, layer_calls, scores
from aesm2.routing.trace import RoutingTrace, trace
from tests.models import cases
from tests.routing.test_geometry import slow_divergences


def slow_call(traced: RoutingTrace, call: Calls, row: int) -> tuple[int, int, float]:
    layer = traced.layer(call.spec.name).of_task(call.task or 0)
    mask = layer.specific if call.choosing == "specific" else layer.shared
    softmax = layer.gate_logits[row].double().softmax(-1).numpy()
    which = CHOOSING.index(call.choosing)
    score = [slow_divergences(line, int(layer.target[row]))[which] for line in softmax]
    taken = max((k for k in range(len(score)) if mask[row, k]), key=score.__getitem__)
    left = min((k for k in range(len(score)) if not mask[row, k]), key=score.__getitem__)
    return taken, left, score[left] - score[taken]


@settings(max_examples=25)
@given(cases.aesm2_cases())
def test_against_a_loop(case: tuple[AESM2, Batch]) -> None:
    model, batch = case
    traced = trace(model, batch, pd.RangeIndex(len(batch)))
    found = calls(model, batch)
    smallest = np.full(len(batch), np.inf)
    for call in found:
        for row in range(len(batch)):
            taken, left, nats = slow_call(traced, call, row)
            assert call.nats[row] == pytest.approx(nats, abs=1e-6)
            if nats > 1e-6:
                assert (call.taken[row], call.left[row]) == (taken, left)
        smallest = np.minimum(smallest, call.nats)
    chosen = [spec for spec in traced.layers if len(spec.gates) > 1]
    gap = selection_gap(chosen, len(batch)).clamp(min=0)
    np.testing.assert_allclose(smallest, gap, atol=1e-5)


@settings(max_examples=25)
@given(cases.aesm2_cases())
def test_one_layer_gives_what_all_layers_give(case: tuple[AESM2, Batch]) -> None:
    model, batch = case
    traced = trace(model, batch, pd.RangeIndex(len(batch)))
    found = {(c.spec.name, c.task, c.choosing): c for c in calls(model, batch)}
    wanted = set()
    for layer in traced.layers:
        for task in range(len(layer.gates) if layer.kind == "task" else 1):
            for call in layer_calls(layer, task):
                shared_by_all = call.choosing == "shared"
                key = (layer.name, None if shared_by_all else call.task, call.choosing)
                np.testing.assert_allclose(call.nats, found[key].nats, atol=1e-6)
                wanted.add(key)
                assert has_choice(layer.spec, call.choosing)
    assert wanted == set(found)


def test_logits_tell_what_nats_no_longer_can() -> None:
    logits = torch.tensor([[[900.0, 0.0], [800.0, 0.0], [700.0, 0.0]]])
    found = scores(logits, torch.tensor([0]))
    assert found.kl_specific.tolist() == [[0, 0, pytest.approx(0)]]
    assert found.against.tolist() == [[-900, -800, -700]]
    assert found.of("shared").tolist() == [pytest.approx([449.3069, 399.3069, 349.3069], abs=1e-3)]
    by_hand = [math.log(math.cosh(x / 2)) for x in (3.0, -1.0)]
    small = scores(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.tensor([1]))
    assert small.kl_shared.tolist() == [pytest.approx(by_hand)]


def test_nothing_to_choose() -> None:
    shape = cases.schema((3,))
    group = ExpertGroup(layers=1, experts=3, specific=3, shared=0, width=2)
    model = cases.spread(AESM2(AESM2Config(scenario=group, task=group, tower=()), shape))
    batch = cases.batch(shape, 4)
    assert calls(model, batch) == ()
    layer = trace(model, batch, pd.RangeIndex(4)).layers[0]
    assert layer_calls(layer, 0) == ()
    assert not has_choice(replace(layer.spec, specific=1, gates=("only",)), "specific")


def test_models_and_rows_without_calls() -> None:
    shape = cases.schema()
    with pytest.raises(InputError, match="no expert selection"):
        calls(build(MLPConfig(), shape), cases.batch(shape, 2))
    with pytest.raises(InputError, match="no rows"):
        calls(cases.spread(AESM2(AESM2Config(), shape)), cases.batch(shape, 2)[:0])


def test_the_closest_are_found_among_the_rows_that_count() -> None:
    shape = cases.schema((3,))
    model, batch = cases.spread(AESM2(AESM2Config(), shape)), cases.batch(shape, 50)
    found = calls(model, batch)
    kept = [np.arange(50) % (2 + i % 2) > 0 for i in range(len(found))]
    every = sorted(
        (float(call.nats[row]), row, number)
        for number, call in enumerate(found)
        for row in range(50)
        if kept[number][row]
    )
    lines = closest(found, kept, 12)
    assert lines["nats"].tolist() == [nats for nats, _, _ in every[:12]]
    for line, (_, row, number) in zip(lines.itertuples(), every, strict=False):
        call = found[number]
        assert (line.position, line.layer, line.choice) == (row, call.spec.name, call.choosing)
        assert (line.taken, line.left) == (call.taken[row], call.left[row])
        assert line.task == call.task
    assert closest(found, [np.zeros(50, bool)] * len(found), 12).empty
