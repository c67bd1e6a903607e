"""Probabilities along the chain of tasks, and the one place that builds models."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2 import config, models
from aesm2.config import AESM2Config, ExpertGroup
from aesm2.errors import InputError
from aesm2.models import Model, build
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


KINDS = {
    config.AESM2Config: models.AESM2,
    config.MMoEConfig: models.MMoE,
    config.HMoEConfig: models.HMoE,
    config.PLEConfig: models.PLE,
    config.DSelectKConfig: models.DSelectK,
    config.HardSharingConfig: models.HardSharing,
    config.ParallelDNNConfig: models.ParallelDNN,
    config.CrossStitchConfig: models.CrossStitch,
    config.STARConfig: models.STAR,
    config.ESMMConfig: models.ESMM,
    config.AITMConfig: models.AITM,
    config.PEPNetConfig: models.PEPNet,
    config.MLPConfig: models.MLP,
}


def test_every_model_is_listed_here() -> None:
    assert set(KINDS.values()) == set(get_args(Model))
    assert set(KINDS) == set(get_args(get_args(config.ModelConfig)[0]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_build_makes_the_model_that_the_config_names(kind: type[config.ModelConfig]) -> None:
    made = build(chosen := kind(), cases.schema())
    assert type(made) is KINDS[kind]
    assert made.config is chosen


STACKED = get_args(config.StackedConfig)


@pytest.mark.parametrize("kind", STACKED, ids=lambda kind: kind.__name__)
def test_build_refuses_another_number_of_levels(kind: type[config.StackedConfig]) -> None:
    group = kind.model_fields["scenario"].default
    chosen = kind(scenario=(group, group))
    build(chosen, cases.schema((2, 3)))
    with pytest.raises(InputError, match="describes 2 levels, the dataset has 3"):
        build(chosen, cases.schema((2, 3, 4)))


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
