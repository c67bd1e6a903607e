"""What is explained is what the trace of the same rows says."""

import numpy as np
import pytest
import torch

from aesm2.attribution import GateLogit, Logit, Margin, Probability, Score, Target, ask
from aesm2.attribution.targets import reader
from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.errors import InputError
from aesm2.models import AESM2, build
from aesm2.routing.trace import LayerTrace, RoutingTrace, layer_specs, trace
from tests.models import cases

GROUP = ExpertGroup(layers=2, experts=5, specific=2, shared=1, width=7)
TASK = ExpertGroup(layers=2, experts=4, specific=1, shared=2, width=6)
ROWS = 8


def model(levels: tuple[int, ...] = (3, 2), seed: int = 0, **changes: object) -> AESM2:
    config = AESM2Config(
        **{"embedding_dim": 3, "context_dim": 3, "scenario": GROUP, "task": TASK, "tower": (5,)}
        | changes
    )
    built = build(config, cases.schema(levels, fields=(4, 5, 3)))
    assert isinstance(built, AESM2)
    return cases.spread(built, seed).double()


def at_rows(own: AESM2, target: Target) -> np.ndarray:
    asked = ask(own, cases.batch(own.schema, ROWS), target)
    return asked.value(asked.x, torch.arange(ROWS), held=False).detach().numpy()


def traced(own: AESM2) -> RoutingTrace:
    return trace(own, cases.batch(own.schema, ROWS), np.arange(ROWS))


def slow_margin(layer: LayerTrace, task: int, role: str) -> np.ndarray:
    """The (K+1)-th score minus the K-th, row by row, in float64."""
    of, found = layer.of_task(task), []
    for row in range(ROWS):
        scores = []
        for g in of.gate_logits[row].double().numpy():  # one expert's gates
            j = int(of.target[row])
            others = np.log(np.sum(np.exp(np.delete(g, j)))) - g[j]
            shared = np.log(np.sum(np.exp(g - g.mean()))) - np.log(len(g))
            scores.append(others if role == "specific" else shared)
        k = layer.spec.specific if role == "specific" else layer.spec.shared
        scores.sort()
        found.append(scores[k] - scores[k - 1])
    return np.array(found)


def test_predictions() -> None:
    own = model()
    answered = traced(own)
    for task, name in enumerate(own.schema.tasks):
        expected = answered.log_probability[:, task].exp()
        np.testing.assert_allclose(at_rows(own, Probability(name)), expected)
        np.testing.assert_allclose(at_rows(own, Logit(name)), answered.logits[:, task])


@pytest.mark.parametrize("context", ["record", "gate"])
def test_scores_gate_logits_and_margins_of_every_layer(context: str) -> None:
    own = model(scenario_context=context)
    answered = traced(own)
    for layer in answered.layers:
        tasks = own.schema.tasks if layer.kind == "task" else ("",)
        for number, task in enumerate(tasks):
            of = layer.of_task(number)
            for k in (0, layer.experts - 1):
                specific = at_rows(own, Score(layer.name, k, "specific", task))
                np.testing.assert_allclose(specific, of.kl_specific[:, k])
                shared = at_rows(own, Score(layer.name, k, "shared"))
                np.testing.assert_allclose(shared, of.kl_shared[:, k])
                g = of.gate_logits[torch.arange(ROWS), k, of.target]
                np.testing.assert_allclose(at_rows(own, GateLogit(layer.name, k, task)), g)
                for j, gate in enumerate(layer.gates):
                    found = at_rows(own, GateLogit(layer.name, k, gate))
                    np.testing.assert_allclose(found, of.gate_logits[:, k, j])
            for role in ("specific", "shared"):
                found = at_rows(own, Margin(layer.name, role, task))
                np.testing.assert_allclose(found, slow_margin(layer, number, role), atol=1e-12)
                assert (found > 0).all()


def test_the_margin_is_negative_exactly_where_another_set_would_be_chosen() -> None:
    own = model()
    layer = next(la for la in traced(own).layers if la.name == "level1.2")
    for role in ("specific", "shared"):
        asked = ask(own, cases.batch(own.schema, ROWS), Margin(layer.name, role))
        other = asked.x.roll(1, 0)
        rows = torch.arange(ROWS)
        margin = asked.value(other, rows, held=False)
        routings = own.from_embedding(other, asked.scenarios).routings
        same = getattr(routings[3].selection, role) == getattr(asked.chosen[3], role)
        assert ((margin > 0) == same.all(-1)).all()
        assert 0 < (margin < 0).sum() < ROWS, "the example has both"


def test_gates_that_saturate_have_a_margin_all_the_same() -> None:
    own = model()
    with torch.no_grad():
        own.scenario_layers[0].gate.weight *= 200
    margins = at_rows(own.float(), Margin("level0.1", "specific"))
    assert np.isfinite(margins).all()
    assert (margins > 0).all()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Probability("buy"), "no task 'buy'"),
        (Logit("task9"), "did you mean 'task"),
        (Score("level9.1", 0, "shared"), "no layer 'level9.1'"),
        (Score("level0.1", 5, "shared"), "its experts are 0 to 4"),
        (Score("level0.1", -1, "shared"), "no expert -1"),
        (Score("level0.1", 0, "both"), "no role 'both'"),
        (Score("task.1", 0, "specific"), "no task ''"),
        (GateLogit("level0.1", 0, "x"), "no gate 'x'"),
        (GateLogit("task.1", 0), "no gate ''"),
        (Margin("task.2", "specific", "x"), "no task 'x'"),
    ],
)
def test_what_is_not_there_is_refused(target: Target, words: str) -> None:
    with pytest.raises(InputError, match=words):
        reader(target, model())


def test_what_cannot_vary_is_refused() -> None:
    one = model(levels=(1, 2))
    for target in (Score("level0.1", 0, "shared"), Margin("level0.1", "specific")):
        with pytest.raises(InputError, match="one gate"):
            reader(target, one)
    reader(GateLogit("level0.1", 0), one)
    whole = model(scenario=ExpertGroup(layers=1, experts=3, specific=3, shared=1, width=4))
    with pytest.raises(InputError, match="chooses 3 of 3 experts as specific"):
        reader(Margin("level0.1", "specific"), whole)


def test_a_model_without_selection_and_no_rows_are_refused() -> None:
    own = model()
    plain = build(MLPConfig(name="mlp"), own.schema)
    assert layer_specs(plain) == ()
    with pytest.raises(InputError, match="'mlp' has no expert selection"):
        ask(plain, cases.batch(own.schema, 2), Probability("task0"))
    with pytest.raises(InputError, match="no rows"):
        ask(own, cases.batch(own.schema, 0), Probability("task0"))
