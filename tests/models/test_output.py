"""Probabilities along the chain of tasks, and the one place that builds models."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig, MMoEConfig, ModelConfig
from aesm2.errors import InputError
from aesm2.models import AESM2, MLP, MMoE, Model, build
from aesm2.models.output import along_chain
from tests import oracle
from tests.models import cases


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=5), st.data())
def test_along_chain_is_the_product_of_sigmoids(logits: list[float], data: st.DataObject) -> None:
    parents = tuple(data.draw(st.integers(-1, task - 1)) for task in range(len(logits)))
    found = along_chain(torch.tensor([logits], dtype=torch.float64), parents).exp()
    assert found[0].tolist() == pytest.approx(oracle.chain(logits, parents), rel=1e-12)


def test_siblings_multiply_their_own_parents_only() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]], dtype=torch.float64)
    a, b, c, d = torch.sigmoid(logits[0])
    found = along_chain(logits, (-1, 0, 0, 2)).exp()[0]
    torch.testing.assert_close(found, torch.stack([a, a * b, a * c, a * c * d]))


def test_a_chain_stays_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[-1000.0, -1000.0], [1000.0, 1000.0]], requires_grad=True)
    found = along_chain(logits, (-1, 0))
    assert found.tolist() == [[-1000.0, -2000.0], [0.0, 0.0]]
    found.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("config", "kind"), [(AESM2Config(), AESM2), (MMoEConfig(), MMoE), (MLPConfig(), MLP)]
)
def test_build_makes_the_model_that_the_config_names(
    config: ModelConfig, kind: type[Model]
) -> None:
    model = build(config, cases.schema())
    assert type(model) is kind
    assert model.config is config


@pytest.mark.parametrize("kind", [AESM2Config, MMoEConfig])
def test_build_refuses_another_number_of_levels(kind: type[AESM2Config] | type[MMoEConfig]) -> None:
    group = kind.model_fields["scenario"].default
    config = kind(scenario=(group, group))
    build(config, cases.schema((2, 3)))
    with pytest.raises(InputError, match="describes 2 levels, the dataset has 3"):
        build(config, cases.schema((2, 3, 4)))


def test_each_level_gets_its_own_group() -> None:
    groups = (ExpertGroup(layers=1, experts=3, width=5), ExpertGroup(layers=2, experts=4, width=6))
    shape = cases.schema((2, 3))
    output = build(AESM2Config(scenario=groups), shape).eval()(cases.batch(shape, 2))
    assert [tuple(r.gate_logits.shape) for r in output.routings[:3]] == [
        (2, 3, 2),
        (2, 4, 3),
        (2, 4, 3),
    ]
    assert [r.output.shape[1] for r in output.routings[:3]] == [5, 6, 6]
