"""The released masking rule against a float64 oracle and examples made by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import outputs, probabilities
from aesm2.layers.selection import Gates
from aesm2.models import AESM2, build
from aesm2.routing.audit import (
    audit,
    audit_case,
    audit_table,
    released_probabilities,
    released_rule,
    released_weights,
)
from aesm2.routing.paired import scopes
from aesm2.routing.trace import trace
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))


@pytest.fixture(scope="module")
def model() -> AESM2:
    group = ExpertGroup(layers=1, experts=5, specific=2, shared=1, width=4)
    config = AESM2Config(scenario=(group, group), task=ExpertGroup(layers=2, experts=3, width=4))
    return cases.spread(AESM2(config, SHAPE))


@pytest.fixture(scope="module")
def rows() -> Batch:
    return cases.batch(SHAPE, 200)


def rule(logits: list[float], specific: set[int], shared: set[int]) -> list[float]:
    """The rule with Python's own numbers."""
    products = []
    for k, g in enumerate(logits):
        times = (k in specific) + (k in shared)
        products.append(g * (times if times else -1e9))
    top = max(products)
    parts = [math.exp(p - top) for p in products]
    return [p / sum(parts) for p in parts]


def weights(logits: list[float], specific: set[int], shared: set[int]) -> list[float]:
    masks = [torch.tensor([k in s for k in range(len(logits))]) for s in (specific, shared)]
    return released_weights(torch.tensor(logits), *masks).tolist()


def test_with_positive_logits_it_is_the_mask() -> None:
    found = weights([0.5, 1.5, 0.7, 2.0], {0}, {1})
    wanted = np.exp([0.5, 1.5]) / np.exp([0.5, 1.5]).sum()
    assert found == pytest.approx([*wanted, 0, 0])


def test_an_expert_chosen_twice_is_doubled() -> None:
    found = weights([0.5, 1.5, 0.7], {1, 0}, {1})
    wanted = np.exp([0.5, 3.0]) / np.exp([0.5, 3.0]).sum()
    assert found == pytest.approx([*wanted, 0])


def test_one_negative_unselected_logit_takes_all() -> None:
    assert weights([0.5, 1.5, -0.01, 2.0], {0}, {1}) == [0, 0, 1, 0]


def test_the_most_negative_of_several_takes_all() -> None:
    assert weights([0.5, -0.2, -3.0, 1.0], {0}, {3}) == [0, 0, 1, 0]


def test_every_layer_agrees_with_the_oracle(model: AESM2, rows: Batch) -> None:
    found = audit(model, rows)
    traced = trace(model, rows, pd.RangeIndex(len(rows)))
    for own, layer in zip(found, traced.layers, strict=True):
        for target in range(len(own.moved)):
            of = layer.of_task(target)
            for row in range(0, len(rows), 7):
                logits = of.gate_logits[row, :, int(of.target[row])].double().tolist()
                sets = [set(m[row].nonzero().flatten().tolist()) for m in (of.specific, of.shared)]
                wanted, ours = rule(logits, *sets), of.mixing_weights[row].tolist()
                off = [k for k in range(layer.experts) if k not in sets[0] | sets[1]]
                assert own.on_unselected[target, row] == pytest.approx(
                    sum(wanted[k] for k in off), abs=1e-5
                )
                moved = sum(abs(x - y) for x, y in zip(wanted, ours, strict=True)) / 2
                assert own.moved[target, row] == pytest.approx(moved, abs=1e-5)
                case = audit_case(layer, row, target)
                np.testing.assert_allclose(case["rule_weight"], wanted, atol=1e-5)


def test_the_table_counts_rows(model: AESM2, rows: Batch) -> None:
    found = audit(model, rows)
    exists = np.ones((len(rows), 2), bool)
    exists[:50, 1] = False
    table = audit_table(found, scopes(rows.scenarios.numpy(), SHAPE), exists)
    layer = found[2]
    line = table[(table["layer"] == "task.1") & (table["task"] == "task1")].iloc[0]
    assert line["rows"] == len(rows) - 50
    assert line["affected"] == pytest.approx((layer.on_unselected[1, 50:] > 1e-6).mean())
    assert line["moved"] == pytest.approx(layer.moved[1, 50:].mean())
    assert line["moved_p50"] == pytest.approx(np.median(layer.moved[1, 50:]))
    assert line["low"] < line["affected"] < line["high"]
    some = table[(table["layer"] == "level0.1") & (table["scenario"] == "s1")]
    assert some["rows"].iloc[0] == int((rows.scenarios[:, 0] == 1).sum())


@pytest.mark.parametrize("how", ["dense", "sparse"])
def test_as_an_intervention_it_mixes_by_the_rule(model: AESM2, rows: Batch, how: str) -> None:
    cases.compute(model, how)
    for _, output in outputs(model, rows, intervene=released_rule):
        routing = output.routings[0]
        x = model.embedding(rows.fields)
        of_experts = model.scenario_layers[0].experts.outputs(x)
        wanted = torch.einsum("rn,rnw->rw", routing.selection.mixing_weights, of_experts)
        torch.testing.assert_close(routing.output, wanted)
    moved = audit(model, rows)[0].moved[0]
    assert moved.max() > 0.9, "some row's weight moves"
    ruled = released_probabilities(model, rows)
    assert np.abs(ruled - probabilities(model, rows)).max() > 1e-3
    cases.compute(model, "auto")


def test_positive_gates_choose_and_weigh_as_before() -> None:
    """With every logit positive and no expert chosen twice, the rule is Eq. 14."""
    own = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.5, 0.5]])
    logits = torch.stack([own, own.flip(1)], -1)  # (rows, n, 2)
    target = torch.tensor([[True, False], [True, False]])
    gates, found = released_rule(0, Gates(logits, target, 1, 0))
    assert gates.logits is logits
    torch.testing.assert_close(
        found.mixing_weights,
        torch.nn.functional.one_hot(found.specific.long().argmax(-1), 3).float(),
    )


def test_a_model_without_selection_is_refused(rows: Batch) -> None:
    with pytest.raises(InputError, match="no expert selection"):
        audit(cases.spread(build(MLPConfig(), SHAPE)), rows)
