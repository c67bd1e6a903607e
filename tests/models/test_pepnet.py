"""PEPNet against loops, and what its gates do and do not."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.config import ESMMConfig, PEPNetConfig
from aesm2.data.batch import Batch
from aesm2.models import ESMM, PEPNet
from tests import oracle
from tests.models import cases, loops


@st.composite
def pepnet_cases(draw: st.DrawFn) -> tuple[PEPNet, Batch]:
    shape, seed = draw(cases.schemas()), draw(loops.seeds)
    config = PEPNetConfig(
        embedding_dim=draw(st.integers(1, 3)),
        context_dim=draw(st.integers(1, 3)),
        hidden=draw(loops.widths),
        gate=draw(st.integers(1, 4)),
        scenario_features=draw(st.booleans()),
    )
    rows = cases.batch(shape, draw(st.integers(1, 6)), seed)
    return cases.spread(PEPNet(config, shape), seed), rows


def scales(w: oracle.Weights, name: str, index: int, context: np.ndarray) -> np.ndarray:
    """Gate `index` of one row."""
    parts = [
        (w[f"{name}.{part}.weight"][index], w[f"{name}.{part}.bias"][index])
        for part in ("hidden", "scale")
    ]
    return np.array([2 * oracle.sigmoid(value) for value in oracle.mlp(parts, context)])


@settings(max_examples=60)
@given(pepnet_cases())
def test_agrees_with_loops(case: tuple[PEPNet, Batch]) -> None:
    model, rows = case
    w, depth = cases.weights(model), len(model.config.hidden) + 1

    def logits(fields: Sequence[int], scenarios: Sequence[int]) -> list[float]:
        tables = [w[f"scenario_embedding.{i}.weight"] for i in range(len(scenarios))]
        prior = np.concatenate([t[s] for t, s in zip(tables, scenarios, strict=True)])
        x = cases.input_of(model, fields, scenarios)
        x = x * scales(w, "input_gate", 0, np.concatenate([prior, x]))
        context, found = np.concatenate([prior, x]), []
        for task in range(len(model.schema.tasks)):
            z = x
            for i in range(depth):
                z = z * scales(w, f"gates.{i}", task, context)
                z = w[f"layers.{i}.weight"][task] @ z + w[f"layers.{i}.bias"][task]
                z = z if i == depth - 1 else np.maximum(z, 0)
            found.append(float(z[0]))
        return found

    loops.check(model, rows, logits)


def open_gates(model: PEPNet) -> None:
    """Every scale 2 · sigmoid(0) = 1."""
    with torch.no_grad():
        for gate in (model.input_gate, *model.gates):
            gate.scale.weight.zero_()
            gate.scale.bias.zero_()


def test_with_gates_of_zero_weights_it_is_a_perceptron_a_task() -> None:
    shape = cases.schema((2, 3))
    model, rows = cases.spread(PEPNet(PEPNetConfig(), shape)), cases.batch(shape, 40)
    plain = ESMM(ESMMConfig(), shape)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    for theirs, ours in zip(plain.towers, model.layers, strict=True):
        theirs.load_state_dict(ours.state_dict())
    assert not torch.allclose(model(rows).logits, plain(rows).logits)
    open_gates(model)
    assert torch.equal(model(rows).logits, plain(rows).logits)


def test_scales_lie_between_0_and_2() -> None:
    shape = cases.schema()
    gate = cases.spread(PEPNet(PEPNetConfig(), shape)).gates[0]
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(500, 8, generator=generator)
    x = torch.randn(500, 16, generator=generator)
    found = gate(prior, x)
    assert found.shape == (2, 500, 16)
    assert 0 < found.min() < 0.5
    assert 1.5 < found.max() < 2


def test_the_embedding_learns_nothing_through_what_the_gates_see() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(PEPNet(PEPNetConfig(), shape)).double(), cases.batch(shape, 40)
    found = []
    for cut in (False, True):
        handles = [
            gate.register_forward_hook(lambda module, inputs, scale: scale.detach())
            for gate in (model.input_gate, *model.gates)
            if cut
        ]
        model.zero_grad()
        model(rows).logits.sum().backward()
        found.append(model.embedding.fields.weight.grad.clone())
        for handle in handles:
            handle.remove()
    assert found[0].any()
    assert torch.equal(found[0], found[1])


def test_without_gates_the_scenario_reaches_nothing() -> None:
    shape = cases.schema((3,))
    model, rows = cases.spread(PEPNet(PEPNetConfig(), shape)), cases.batch(shape, 20)
    moved = Batch(rows.fields, (rows.scenarios + 1) % 3)
    assert not torch.allclose(model(rows).logits, model(moved).logits)
    open_gates(model)
    assert torch.equal(model(rows).logits, model(moved).logits)
