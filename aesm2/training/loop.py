"""The training loop: steps on the loss of Eq. 22 by Adam, measurements, early stopping.

A run is repeatable: initial weights, the order of rows and the gate noise come from the seed and
the step alone, so that a resumed run ends in the same weights as an undisturbed one.

Several processes (see `aesm2.training.group`) take the steps of one together: each computes those
rows of the batch that it holds, with the noise of their places in it, and divides by the rows of
the whole batch, so that losses and gradients add up to those of one process.
"""

import contextlib
import functools
import math
import operator
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aesm2.config import Config, TrainingConfig
from aesm2.data.batch import Batch
from aesm2.data.dataset import SplitName
from aesm2.errors import InputError
from aesm2.evaluation import measure, overall_score
from aesm2.inference import outputs
from aesm2.layers.moe import Draw
from aesm2.models import Model, Schema, build
from aesm2.routing import saturation
from aesm2.routing.trace import layer_specs
from aesm2.routing.utilisation import count
from aesm2.training.group import ALONE, Group
from aesm2.training.meter import Meter, diverged
from aesm2.training.rows import Share
from aesm2.training.run import STATE, Position, Run, load_weights
from aesm2.training.step import steps

Progress: TypeAlias = "tqdm[Any]"
ORDER, NOISE = 0, 1  # purposes of random numbers


def build_seeded(config: Config, schema: Schema) -> Model:
    """Build a model whose initial weights depend on the configured seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        return build(config.model, schema)


def fit(
    run: Run,
    model: Model,
    config: TrainingConfig,
    batches: Mapping[SplitName, Batch],
    interrupted: list[int],
    progress: bool,
    group: Group = ALONE,
    share: Share | None = None,
    save_every: int | None = None,
) -> Position:
    """Train a model on encoded rows, from where its run stands, and leave it at its best weights.

    batches: the training and the validation rows. interrupted: training stops once it is not empty,
    or once the run is asked to halt. share: the training rows that this process of `group` holds
    instead; only its leader needs validation rows, and only there the model has the best weights.
    save_every: see `train`.
    """
    fitted = _Fit(run, model, config, group, save_every)
    share = Share.whole(batches["train"]) if share is None else share
    fitted.run_to_end(share, batches, interrupted, progress and group.leader)
    group.lead(lambda: run.load_best(model))
    return fitted.position


class _Fit:
    """The state of a run in progress: model, optimizer, running means, position."""

    def __init__(
        self, run: Run, model: Model, config: TrainingConfig, group: Group, save_every: int | None
    ) -> None:
        self.run, self.model, self.config, self.group = run, model, config, group
        self.position, self.meter, self.save_every = Position(), Meter(model, group), save_every
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            weight_decay=2 * config.l2,  # the gradient of γ‖Θ‖²
            fused=True,
        )
        tensors, file = self._load(), run.folder / STATE
        if tensors:
            load_weights(model, _below("model", tensors), file)
            if meter := _below("meter", tensors):  # not after `Run.rewind`
                _require_like(self.meter.state(), meter, file)
                self.meter.load(meter)
            _load_optimizer(self.optimizer, _below("optimizer", tensors), file)
        self.steps = steps(model, config, self.optimizer, group)

    def run_to_end(
        self,
        share: Share,
        batches: Mapping[SplitName, Batch],
        interrupted: list[int],
        progress: bool,
    ) -> None:
        """Take steps until the last epoch, early stopping, or an interrupt."""
        model, config, position = self.model, self.config, self.position
        device = next(model.parameters()).device
        training = share.to(device)
        per_epoch = math.ceil(training.total / config.batch_size)
        every, last = config.evaluate_every or per_epoch, per_epoch * config.epochs
        order, order_epoch = torch.empty(0), -1
        started = time.monotonic() - position.seconds
        bar: Progress = tqdm(
            total=last, initial=position.step, disable=not progress, file=sys.stderr, unit="step"
        )
        model.train()
        with contextlib.closing(bar):  # before an error is told, which is then the last line
            while not (position.finished or self._halted(interrupted)):
                epoch, within = divmod(position.step, per_epoch)
                if epoch != order_epoch:
                    shuffle = _generator(config.seed, epoch, ORDER)
                    order, order_epoch = torch.randperm(training.total, generator=shuffle), epoch
                    order = order.to(device)
                rows = order[within * config.batch_size : (within + 1) * config.batch_size]
                noise = _generator(config.seed, position.step, NOISE, device)
                own, places = training.of(rows)
                draw = noise if places is None else Draw(noise, len(rows), places)
                terms = self.steps.take(own, draw, len(rows))
                self.meter.add(terms, len(rows))
                position.step += 1
                position.seconds = time.monotonic() - started
                bar.update()
                if position.step % config.record_every == 0 or position.step >= last:
                    self._record(bar, last)
                if position.step % every == 0 or position.step >= last:
                    self.meter.check(position.step)
                    self._measure(batches)
                    enough = position.evaluations_since_best >= config.patience
                    position.finished = enough or position.step >= last
                    self._save()
                elif self.save_every and position.step % self.save_every == 0:
                    self._save()
        if not position.finished:
            self._save()

    def _halted(self, interrupted: list[int]) -> bool:
        asked = self.group.leader and self.run.halt_asked()
        return self.group.any(asked or bool(interrupted))

    def _load(self) -> dict[str, Tensor]:
        """Read where the run stands, and return the tensors of its state; none where it starts."""
        tensors: dict[str, Tensor] = {}

        def read() -> dict[str, Any] | None:
            state = self.run.load_state()
            if state is None:
                return None
            tensors.update(state[0])
            return vars(state[1])

        stored = self.group.lead(read)
        if stored is not None:
            self.position = Position(**stored)
        return self.group.same(tensors)

    def _record(self, bar: Progress, last: int) -> None:
        position, values = self.position, self.meter.read(self.config, self.position.step)
        values = {"seconds": round(position.seconds, 3), "last_step": last} | values
        self.group.lead(lambda: self.run.record("train", position.step, **values))
        bar.set_postfix_str(_describe(values, position), refresh=False)

    def _measure(self, batches: Mapping[SplitName, Batch]) -> None:
        """Let the leader measure; all then know whether it was the best so far."""
        position = self.position

        def work() -> dict[str, Any]:
            _validate(self.run, self.model, batches["validation"], position)
            return vars(position)

        for name, value in self.group.lead(work).items():
            setattr(position, name, value)

    def _save(self) -> None:
        self.meter.check(self.position.step)  # what is saved must be worth resuming
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"meter.{key}": value for key, value in self.meter.state().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        self.group.lead(lambda: self.run.save_state(tensors, self.position))


def _validate(run: Run, model: Model, validation: Batch, position: Position) -> None:
    """Measure on the validation rows, keep the weights where they are the best so far."""
    specs, predicted, counts = layer_specs(model), [], []
    for part, output in outputs(model, validation):
        predicted.append(output.log_probability.exp().cpu().numpy())
        if specs:
            counts.append(count(model.schema, specs, part.scenarios, output.routings))
    probability = np.concatenate(predicted)
    if not np.isfinite(probability).all():
        raise diverged([("a prediction", math.nan)], position.step)
    metrics = measure(probability, validation, model.schema, paths=False)
    score = overall_score(metrics)
    if score > position.score:
        position.score, position.best_step = score, position.step
        position.evaluations_since_best = 0
        run.save_best(model)
    else:
        position.evaluations_since_best += 1
    columns = ["scope", "scenario", "task", "n", "auc", "log_loss"]
    lines = metrics[columns].astype(object).where(metrics[columns].notna(), None)
    run.record(
        "validation",
        position.step,
        seconds=round(position.seconds, 3),
        score=score,
        metrics=lines.to_dict(orient="records"),
    )
    if counts:
        run.record_utilisation(position.step, functools.reduce(operator.add, counts).to_json())
        run.record_choices(position.step, saturation.choices(model, saturation.watched(validation)))


def _below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], file: Path
) -> None:
    parameters = [own for group in optimizer.param_groups for own in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise InputError(f"{file}: 'optimizer.{name}' is of no weight of the model")
        states.setdefault(int(index), {})[key] = value
    for number, state in states.items():
        like = {"exp_avg": parameters[number], "exp_avg_sq": parameters[number]}
        _require_like({"step": torch.zeros(()), **like}, state, file)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _require_like(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: Path) -> None:
    """Raise InputError where stored tensors are not of the shapes and kinds they should be."""
    for key in sorted({*expected, *found}):
        own = found.get(key)
        if key not in expected or own is None or own.shape != expected[key].shape:
            raise InputError(f"{file}: '{key}' does not fit the configured model")
        if own.dtype != expected[key].dtype:
            raise InputError(f"{file}: '{key}' is {own.dtype}, not {expected[key].dtype}")


def _generator(
    seed: int, number: int, purpose: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator that depends on its arguments only."""
    mixed = np.random.SeedSequence((seed, number, purpose)).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(mixed[0]) >> 1)


def _describe(values: dict[str, Any], position: Position) -> str:
    losses = "  ".join(f"{task} {loss:.4f}" for task, loss in values["loss"].items())
    best = f"  AUC {100 * position.score:.2f}" if position.score > 0 else ""
    return f"{losses}{best}  {values['rows_per_second']} rows/s"
