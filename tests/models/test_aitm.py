"""AITM against loops, and which way information flows."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import AITMConfig
from aesm2.data.batch import Batch
from aesm2.models import AITM
from tests import oracle
from tests.models import cases, loops


@st.composite
def aitm_cases(draw: st.DrawFn) -> tuple[AITM, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = AITMConfig(
        embedding_dim=draw(st.integers(1, 3)),
        hidden=draw(loops.widths),
        transfer=draw(st.integers(1, 4)),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(AITM(config, shape), seed), rows


def transferred(w: oracle.Weights, name: str, before: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Attention of one row and one task over what it is passed and its own."""

    def mapped(part: str, u: np.ndarray) -> np.ndarray:
        return w[f"{name}.{part}.weight"] @ u + w[f"{name}.{part}.bias"]

    both = [np.maximum(mapped("passed", before), 0), own]
    scores = [mapped("key", u) @ mapped("query", u) / math.sqrt(len(own)) for u in both]
    a, b = oracle.softmax(scores)
    return a * mapped("value", both[0]) + b * mapped("value", both[1])


@settings(max_examples=60)
@given(aitm_cases())
def test_agrees_with_loops(case: tuple[AITM, Batch]) -> None:
    model, rows = case
    w, parents = cases.weights(model), model.schema.parents

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        known: list[np.ndarray] = []
        edge = 0
        for task, parent in enumerate(parents):
            q = cases.input_of(model, fields, scenarios)
            for i in range(len(model.config.hidden) + 1):
                q = oracle.relu_layer(w[f"layers.{i}.weight"][task], w[f"layers.{i}.bias"][task], q)
            if parent >= 0:
                q = transferred(w, f"transfers.{edge}", known[parent], q)
                edge += 1
            known.append(q)
        return [loops.towers(w, "towers", task, z) for task, z in enumerate(known)]

    loops.check(model, rows, logits)


def test_knowledge_flows_down_the_chain_and_never_up() -> None:
    parents = (-1, 0, 1, 0, -1)
    shape = cases.schema(parents=parents)
    model, rows = cases.spread(AITM(AITMConfig(), shape)), cases.batch(shape, 60)
    reached = []
    for task in range(len(parents)):
        model.zero_grad()
        model(rows).logits[:, task].sum().backward()
        used = model.layers[0].weight.grad.abs().sum((1, 2)).gt(0)
        reached.append(used.nonzero().flatten().tolist())
    assert reached == [[0], [0, 1], [0, 1, 2], [0, 3], [4]]


def test_a_task_that_follows_none_is_a_plain_perceptron() -> None:
    shape = cases.schema(parents=(-1, -1))
    assert len(AITM(AITMConfig(), shape).transfers) == 0


def test_equal_scores_give_half_of_each() -> None:
    shape = cases.schema(parents=(-1, 0))
    transfer = cases.spread(AITM(AITMConfig(transfer=4), shape)).transfers[0]
    before, own = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        transfer.key.weight.zero_()
        transfer.key.bias.zero_()
        transfer.value.weight.copy_(torch.eye(4))
        transfer.value.bias.zero_()
    wanted = (transfer.passed(before).relu() + own) / 2
    torch.testing.assert_close(transfer(before, own), wanted)


def test_a_task_is_never_likelier_than_the_one_it_follows() -> None:
    shape = cases.schema(parents=(-1, 0, 1))
    model, rows = cases.spread(AITM(AITMConfig(), shape)), cases.batch(shape, 200)
    probability = model(rows).log_probability
    assert (probability[:, 1:] <= probability[:, :-1]).all()  # what the calibrator asks for


def test_without_scenario_features_the_scenario_reaches_nothing() -> None:
    shape = cases.schema((3,))
    model = cases.spread(AITM(AITMConfig(scenario_features=False), shape))
    rows = cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert torch.equal(model(rows).logits, model(moved).logits)
