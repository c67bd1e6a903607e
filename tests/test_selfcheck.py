"""The proof that a device computes what the author's did, and that it can fail."""

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.inference import outputs
from aesm2.models import AESM2, build
from aesm2.routing.gap import selection_gap
from aesm2.selfcheck import TOLERANCE, reference, selfcheck
from tests import small
from tests.models import cases

SHAPE = cases.schema(levels=(3, 2))
GROUP = ExpertGroup(layers=1, experts=5, specific=2, shared=2, width=5)


def test_it_passes_on_the_cpu() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    result = selfcheck(opened, repeats=2)
    assert result.passed
    assert result.largest_difference == 0  # on the processor that wrote it
    assert result.selections_differ == 0
    assert (result.device, result.dtype, result.rows) == ("CPU", "float32", 88)
    assert result.rows_per_second > 0


def perturbed(opened: Checkpoint, name: str, by: float) -> Checkpoint:
    parameter = dict(opened.model.named_parameters())[name]
    noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parameter.add_(by * noise)
    return opened


@pytest.mark.parametrize("name", ["embedding.weight", "task_embedding", "towers.0.weight"])
def test_it_fails_where_weights_differ(name: str) -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    result = selfcheck(perturbed(opened, name, 0.01), repeats=1)
    assert not result.passed
    assert result.largest_difference > TOLERANCE


def test_it_fails_where_only_the_choice_differs() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    gates = [name for name, _ in opened.model.named_parameters() if "gate" in name]
    result = selfcheck(perturbed(opened, gates[0], 3.0), repeats=1)
    assert result.selections_differ > 0
    harmless = dataclasses.replace(result, largest_difference=0.0)
    assert not harmless.passed
    assert not dataclasses.replace(result, selections_differ=0, largest_difference=2e-5).passed
    assert dataclasses.replace(result, selections_differ=0, largest_difference=9e-6).passed


def test_a_prediction_that_is_no_number_fails() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    result = selfcheck(perturbed(opened, "towers.0.weight", float("nan")), repeats=1)
    assert not result.passed


def test_the_reference_holds_the_rows_whose_choice_is_clearest() -> None:
    config = AESM2Config(scenario=GROUP, task=GROUP)
    model = cases.spread(AESM2(config, SHAPE), seed=3)
    batch = cases.batch(SHAPE, 40)
    stored = safetensors.torch.load(reference(model, batch, rows=2))
    looked_at = batch[:32]  # sixteen times as many as are kept
    ((_, output),) = outputs(model, looked_at)
    gaps = selection_gap([routing.selection for routing in output.routings], 32)
    clearest = sorted(gaps.argsort(descending=True)[:2].tolist())
    assert torch.equal(stored["fields"], batch.fields[clearest])
    assert torch.equal(stored["scenarios"], batch.scenarios[clearest])
    with torch.no_grad():
        expected = model(batch[torch.tensor(clearest)])
    torch.testing.assert_close(stored["probability"], expected.log_probability.exp())
    for number, routing in enumerate(expected.routings):
        rows_first = routing.selection.specific.movedim(-2, 0)
        assert torch.equal(stored[f"specific.{number}"], rows_first)
        assert torch.equal(stored[f"shared.{number}"], routing.selection.shared)
    assert stored.keys() == {"fields", "scenarios", "probability"} | {
        f"{role}.{number}" for role in ("specific", "shared") for number in range(3)
    }


def test_fewer_rows_than_asked_for_are_all_kept() -> None:
    model = build(MLPConfig(hidden=(4,)), SHAPE)
    batch = cases.batch(SHAPE, 7)
    stored = safetensors.torch.load(reference(model, batch))
    assert torch.equal(stored["fields"], batch.fields)
    assert stored.keys() == {"fields", "scenarios", "probability"}


def test_the_model_is_left_as_it_was() -> None:
    model = cases.spread(AESM2(AESM2Config(scenario=GROUP, task=GROUP), SHAPE)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    reference(model, cases.batch(SHAPE, 7))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_both_ways_of_computing_experts_pass(tmp_path: Path) -> None:
    for how in ("dense", "sparse"):
        opened = aesm2.load(small.run() / "checkpoint", "cpu")
        cases.compute(opened.model, how)
        assert selfcheck(opened, repeats=1).passed
