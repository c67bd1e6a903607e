"""The two doors into a running model: choosing in its stead, and starting at a later layer."""

import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.inference import outputs
from aesm2.layers.selection import Gates, Selection, select
from aesm2.models import build
from aesm2.models.aesm2 import AESM2
from tests.models import cases

GROUP = ExpertGroup(layers=2, experts=5, specific=2, shared=1, width=7)
TASK = ExpertGroup(layers=2, experts=4, specific=1, shared=1, width=6)


def model(**changes: object) -> AESM2:
    config = AESM2Config(
        name="aesm2", embedding_dim=3, context_dim=3, scenario=GROUP, task=TASK, tower=[5],
        **changes,
    )  # fmt: skip
    built = build(config, cases.schema((3, 2)))
    assert isinstance(built, AESM2)
    return cases.spread(built)


def unchanged(number: int, gates: Gates) -> tuple[Gates, Selection]:
    return gates, select(*gates)


@pytest.mark.parametrize("context", ["record", "gate"])
def test_whoever_chooses_as_the_model_does_changes_nothing(context: str) -> None:
    own = model(scenario_context=context)
    batch = cases.batch(own.schema, 40)
    ((_, plain),) = outputs(own, batch)
    ((_, again),) = outputs(own, batch, intervene=unchanged)
    torch.testing.assert_close(again.logits, plain.logits, rtol=0, atol=0)
    for a, b in zip(again.routings, plain.routings, strict=True):
        assert torch.equal(a.target, b.target)
        assert torch.equal(a.gate_logits, b.gate_logits)


def test_it_is_asked_once_a_layer_in_order_and_its_choice_counts() -> None:
    own, asked = model(), []

    def all_shared(number: int, gates: Gates) -> tuple[Gates, Selection]:
        asked.append((number, tuple(gates.logits.shape[1:]), gates.specific, gates.shared))
        changed = gates._replace(shared=gates.logits.shape[1])
        return changed, select(*changed)

    ((_, output),) = outputs(own, cases.batch(own.schema, 200), intervene=all_shared)
    shapes = [(5, 3), (5, 3), (5, 2), (5, 2), (4, 2), (4, 2)]
    ks = [(2, 1)] * 4 + [(1, 1)] * 2
    assert asked == [(i, shapes[i], *ks[i]) for i in range(6)]
    assert all(routing.selection.shared.all() for routing in output.routings)


def test_a_target_that_was_changed_is_the_target_of_the_routing() -> None:
    own = model()

    def first_gate(number: int, gates: Gates) -> tuple[Gates, Selection]:
        if number == 1:
            target = torch.zeros_like(gates.target)
            target[:, 0] = True
            gates = gates._replace(target=target)
        return gates, select(*gates)

    batch = cases.batch(own.schema, 40)
    ((_, output),) = outputs(own, batch, intervene=first_gate)
    assert output.routings[0].target.tolist() == batch.scenarios[:, 0].tolist()
    assert set(output.routings[1].target.tolist()) == {0}


@pytest.mark.parametrize("features", [False, True])
def test_from_a_later_layer_the_rest_is_the_same(features: bool) -> None:
    own = model(scenario_features=features)
    batch = cases.batch(own.schema, 50)
    with torch.no_grad():
        whole = own(batch)
        for first in range(1, 7):
            rest = own.from_layer(first, whole.routings[first - 1].output, batch.scenarios)
            torch.testing.assert_close(rest.logits, whole.logits)
            assert len(rest.routings) == 6 - first
