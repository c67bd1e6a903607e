"""What must hold for every model whatever its weights."""

import pytest
import torch
from safetensors.torch import load, save

from aesm2.config import (
    AESM2Config,
    AITMConfig,
    CrossStitchConfig,
    DSelectKConfig,
    ESMMConfig,
    HardSharingConfig,
    HMoEConfig,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    ParallelDNNConfig,
    PEPNetConfig,
    PLEConfig,
    SplitGroup,
    STARConfig,
)
from aesm2.losses import loss_terms
from aesm2.models import build
from tests.models import cases

SCHEMA = cases.schema((3, 4), parents=(-1, 0, -1))
CONFIGS = (
    AESM2Config(), AESM2Config(scenario_context="gate"), MLPConfig(), MMoEConfig(),
    HMoEConfig(), PLEConfig(), PLEConfig(scenario=SplitGroup(layers=2)), DSelectKConfig(),
    HardSharingConfig(), ParallelDNNConfig(), CrossStitchConfig(), STARConfig(),
    STARConfig(partitioned_norm=False), ESMMConfig(), AITMConfig(), PEPNetConfig(),
)  # fmt: skip
BOTH = [
    config.model_copy(update={"scenario_features": seen}) for config in CONFIGS for seen in (0, 1)
]
every_model = pytest.mark.parametrize(
    "config", BOTH, ids=lambda c: f"{c.name}{'+ids' * c.scenario_features}"
)


@every_model
def test_rows_do_not_influence_each_other(config: ModelConfig) -> None:
    model = cases.spread(build(config, SCHEMA)).double()
    rows = cases.batch(SCHEMA, 70)
    together = model(rows).log_probability
    alone = torch.cat([model(rows[i : i + 1]).log_probability for i in range(len(rows))])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-11)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        model(rows[order]).log_probability, together[order], rtol=0, atol=1e-11
    )


@every_model
def test_shapes(config: ModelConfig) -> None:
    output = build(config, SCHEMA).eval()(cases.batch(SCHEMA, 7))
    assert output.logits.shape == output.log_probability.shape == (7, 3)
    assert (output.log_probability < 0).all()
    for mixture in output.mixtures:
        torch.testing.assert_close(mixture.weights.sum(-1), torch.ones(mixture.weights.shape[:-1]))
        assert (mixture.weights >= 0).all()


@every_model
def test_safetensors_round_trip_is_the_identity(config: ModelConfig) -> None:
    rows = cases.batch(SCHEMA, 9)
    model, other = cases.spread(build(config, SCHEMA), 1), cases.spread(build(config, SCHEMA), 2)
    assert not torch.equal(model(rows).logits, other(rows).logits)
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(model(rows).logits, other(rows).logits)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@every_model
def test_every_parameter_learns_from_some_rows(config: ModelConfig) -> None:
    model, rows = cases.spread(build(config, SCHEMA)).train(), cases.batch(SCHEMA, 400)
    terms = loss_terms(model(rows, torch.Generator().manual_seed(0)), rows.labels)
    terms.total(torch.ones(3), 1e-2, 1e-2).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_model
def test_no_rows_and_one_row_are_fine(config: ModelConfig) -> None:
    model = build(config, SCHEMA).eval()
    for rows in (0, 1):
        assert model(cases.batch(SCHEMA, rows)).logits.shape == (rows, 3)


@every_model
def test_one_scenario_everywhere_works(config: ModelConfig) -> None:
    shape = cases.schema((1, 1), (-1,))
    model, rows = build(config, shape).train(), cases.batch(shape, 12)
    output = model(rows, torch.Generator().manual_seed(0))
    loss_terms(output, rows.labels).tasks.sum().backward()
    assert output.logits.isfinite().all()


@every_model
def test_the_same_seed_gives_the_same_model(config: ModelConfig) -> None:
    made = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            made.append(build(config, SCHEMA).state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
