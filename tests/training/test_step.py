"""Steps that are played from a record are those that would have been taken.

What a GPU records is tested where there is one; what is done around it, everywhere.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from aesm2.config import AESM2Config, ModelConfig, TrainingConfig
from aesm2.data.batch import Batch, mapped
from aesm2.models import Model, build
from aesm2.training.group import ALONE
from aesm2.training.step import RECORDED, RecordedSteps, Steps, _prepare, steps
from tests.models import cases
from tests.models.test_properties import CONFIGS, SCHEMA

SIZE, STEPS = 24, 9
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CONFIG = TrainingConfig(batch_size=SIZE, learning_rate=0.01, l2=1e-4)
NOISY = AESM2Config(noise_scale=0.3)


class Played(RecordedSteps):
    """Records on a processor: to play the record is to take the step again with what it holds."""

    played = 0

    def _record(self, batch: Batch) -> torch.cuda.CUDAGraph:
        self.batch, self.noise = mapped(torch.clone, batch), torch.Generator()
        return SimpleNamespace(replay=self._again)  # type: ignore[return-value]

    def _again(self) -> None:
        self.played += 1
        self.terms = self.steps.take(self.batch, self.noise, self.size)


def made(config: ModelConfig, device: str, training: TrainingConfig) -> Steps:
    model = cases.spread(build(config, SCHEMA)).to(device).train()
    adam = torch.optim.Adam(
        model.parameters(), training.learning_rate, weight_decay=2 * training.l2, fused=True
    )
    return Steps(model, training, adam, ALONE)


def recorded(config: ModelConfig, training: TrainingConfig = CONFIG) -> RecordedSteps:
    return RecordedSteps(made(config, "cuda", training), SIZE)


def batches(device: str) -> Iterator[Batch]:
    """Every third is smaller, as the last of an epoch is."""
    for number in range(STEPS):
        yield cases.batch(SCHEMA, SIZE if number % 3 < 2 else 7, seed=number).to(device)


def trained(
    taken: Steps | RecordedSteps, device: str, start: int = 0, stop: int = STEPS
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Take steps; return weights and Adam's means, and the terms of each step."""
    terms = []
    for number, batch in list(enumerate(batches(device)))[start:stop]:
        noise = torch.Generator(device).manual_seed(number)
        terms.append(torch.cat(taken.take(batch, noise, len(batch))).cpu())
    plain = taken.steps if isinstance(taken, RecordedSteps) else taken
    state = {f"weight {name}": p for name, p in plain.objective.named_parameters()}
    for number, means in plain.optimizer.state_dict()["state"].items():
        state |= {f"{name} {number}": value for name, value in means.items()}
    return {name: value.detach().cpu() for name, value in state.items()}, terms


def test_a_record_is_played_with_the_rows_and_the_noise_of_each_step() -> None:
    """Bit for bit, here where the same kernels run in the same order."""
    wanted, of_steps = trained(made(NOISY, "cpu", CONFIG), "cpu")
    played = Played(made(NOISY, "cpu", CONFIG), SIZE)
    found, of_record = trained(played, "cpu")
    assert played.played == 6
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert all(torch.equal(a, b) for a, b in zip(of_record, of_steps, strict=True))


def test_to_record_changes_nothing_but_what_adam_begins_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a card that records nothing, and, as a real one, runs nothing meanwhile."""
    stream = SimpleNamespace(wait_stream=lambda _: None)
    graph = SimpleNamespace(register_generator_state=lambda _: None)
    for name, fake in {
        "CUDAGraph": lambda: graph, "Stream": lambda _: stream, "current_stream": lambda: stream,
        "stream": lambda _: nullcontext(), "graph": lambda *_, **__: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    plain = made(NOISY, "cpu", CONFIG)
    monkeypatch.setattr(plain, "take", lambda *_: "terms")
    before = {name: p.clone() for name, p in plain.objective.state_dict().items()}
    recorded = RecordedSteps(plain, SIZE)
    assert recorded._record(next(batches("cpu"))) is graph
    after = plain.objective.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    for own in plain.objective.parameters():
        assert own.grad is None
        state = plain.optimizer.state[own]
        assert {name: value.shape for name, value in state.items()} == {
            "step": (), "exp_avg": own.shape, "exp_avg_sq": own.shape
        }  # fmt: skip
        assert not any(value.any() for value in state.values())
    assert plain.optimizer.param_groups[0]["capturable"]


def test_what_adam_has_learnt_is_kept() -> None:
    plain = made(NOISY, "cpu", CONFIG)
    trained(plain, "cpu", stop=2)
    before = {name: dict(state) for name, state in plain.optimizer.state.items()}
    _prepare(plain.optimizer)
    for own, state in before.items():
        assert all(plain.optimizer.state[own][name] is value for name, value in state.items())


def test_a_processor_takes_its_steps_as_they_are() -> None:
    model = build(NOISY, SCHEMA)
    adam = torch.optim.Adam(model.parameters())
    assert type(steps(model, CONFIG, adam, ALONE)) is Steps


@GPU
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "config",
    [NOISY, *(c for c in CONFIGS if c.name != "aesm2")],
    ids=lambda c: getattr(c, "name", c),
)
def test_a_gpu_records_the_models_that_it_can_and_trains_all(
    config: ModelConfig, precision: str
) -> None:
    training = CONFIG.model_copy(update={"precision": precision})
    model: Model = build(config, SCHEMA).to("cuda")
    adam = torch.optim.Adam(model.parameters(), fused=True)
    kind = type(steps(model, training, adam, ALONE))
    assert kind is (RecordedSteps if isinstance(model, RECORDED) else Steps)
    wanted, of_steps = trained(made(config, "cuda", training), "cuda")
    own = recorded(config, training) if kind is RecordedSteps else made(config, "cuda", training)
    found, of_own = trained(own, "cuda")
    assert isinstance(own, Steps) or own.graph is not None
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    for a, b in zip(of_own, of_steps, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@GPU
def test_a_run_that_goes_on_ends_bit_for_bit_as_an_undisturbed_one() -> None:
    """What goes on records anew, at another step."""
    wanted, _ = trained(recorded(NOISY), "cuda")
    part, rest = recorded(NOISY), recorded(NOISY)
    trained(part, "cuda", stop=5)
    rest.steps.objective.load_state_dict(part.steps.objective.state_dict())
    rest.steps.optimizer.load_state_dict(part.steps.optimizer.state_dict())
    found, _ = trained(rest, "cuda", start=5)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@GPU
def test_a_record_repeats_bit_for_bit() -> None:
    first, second = (trained(recorded(NOISY), "cuda") for _ in range(2))
    assert all(torch.equal(first[0][name], value) for name, value in second[0].items())
