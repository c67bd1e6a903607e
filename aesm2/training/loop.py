"""The training loop (Eq. 22, Adam), early stopping, and the checkpoint at the end.

A run is repeatable: initial weights, the order of rows and the gate noise come from the seed and
the step alone, so that a resumed run ends in the same weights as an undisturbed one.
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
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from aesm2 import card, checkpoint
from aesm2.config import Config, TrainingConfig
from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, Dataset, SplitName, rows_of
from aesm2.data.encoder import Encoder
from aesm2.data.statistics import scenario_statistics
from aesm2.device import resolve_device
from aesm2.errors import InputError
from aesm2.evaluation import evaluate, measure, overall_score
from aesm2.inference import outputs
from aesm2.losses import LossTerms, loss_terms
from aesm2.models import Model, Schema, build
from aesm2.routing import saturation
from aesm2.routing.trace import layer_specs
from aesm2.routing.utilisation import count
from aesm2.selfcheck import reference
from aesm2.training import events
from aesm2.training.interrupt import interrupts
from aesm2.training.meter import Meter, diverged
from aesm2.training.run import Position, Run

Progress: TypeAlias = "tqdm[Any]"
ORDER, NOISE = 0, 1  # purposes of random numbers


class Interrupted(Exception):
    """Training was stopped, by Ctrl-C or as it was asked to.

    Its state and a checkpoint of the best weights are saved.
    """


def train(
    dataset: Dataset,
    config: Config | None,
    folder: Path,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a model and return the folder of its checkpoint.

    config: None takes that of the run to resume, or the defaults. folder: the run folder.
    tensorboard: write event files as well. Raises InputError for unusable input, and Interrupted
    after Ctrl-C.
    """
    run, target = (
        Run(folder, events.writer(folder) if tensorboard else None),
        resolve_device(device),
    )
    if resume:
        started = run.config()
        if config is not None and started != config:
            raise InputError(
                f"{folder}: was started with another configuration; resume it without --config"
            )
        run.check_same_data(dataset.text)
        config = started
    config = config or Config()
    frame = dataset.frame()
    encoder = Encoder.fit(dataset.description, rows_of(frame, "train"))
    batches = {split: encoder.encode(rows_of(frame, split), labels=True) for split in SPLITS}
    model = build_seeded(config, encoder.schema).to(target)
    _task_weights(config.training, model)  # an unknown task is refused before the folder is made
    with run.alone(), interrupts() as interrupted:
        if resume:
            run.go_on()
        else:
            run.start(config, dataset.text)
        position = fit(run, model, config.training, batches, interrupted, progress)
        _finish(run, dataset, config, model, encoder, batches, position)
        if not position.finished:
            raise Interrupted
    return run.checkpoint


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
) -> Position:
    """Train a model on encoded rows, from where its run stands, and leave it at its best weights.

    batches: the training and the validation rows. interrupted: training stops once it is not empty,
    or once the run is asked to halt.
    """
    fitted = _Fit(run, model, config)
    fitted.run_to_end(batches, interrupted, progress)
    run.load_best(model)
    return fitted.position


class _Fit:
    """The state of a run in progress: model, optimizer, running means, position."""

    def __init__(self, run: Run, model: Model, config: TrainingConfig) -> None:
        self.run, self.model, self.config = run, model, config
        self.position, self.meter = Position(), Meter(model)
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            weight_decay=2 * config.l2,  # the gradient of γ‖Θ‖²
            fused=True,
        )
        state = run.load_state()
        if state is not None:
            tensors, self.position = state
            model.load_state_dict(_below("model", tensors))
            if meter := _below("meter", tensors):  # not after `Run.rewind`
                self.meter.load(meter)
            _load_optimizer(self.optimizer, _below("optimizer", tensors))

    def run_to_end(
        self, batches: Mapping[SplitName, Batch], interrupted: list[int], progress: bool
    ) -> None:
        """Take steps until the last epoch, early stopping, or an interrupt."""
        model, config, position = self.model, self.config, self.position
        device = next(model.parameters()).device
        training = batches["train"].to(device)
        per_epoch = math.ceil(len(training) / config.batch_size)
        every, last = config.evaluate_every or per_epoch, per_epoch * config.epochs
        task_weights = torch.tensor(_task_weights(config, model), device=device)
        order, order_epoch = torch.empty(0), -1
        started = time.monotonic() - position.seconds
        bar: Progress = tqdm(
            total=last, initial=position.step, disable=not progress, file=sys.stderr, unit="step"
        )
        model.train()
        with contextlib.closing(bar):  # before an error is told, which is then the last line
            while not (position.finished or interrupted or self.run.halt_asked()):
                epoch, within = divmod(position.step, per_epoch)
                if epoch != order_epoch:
                    shuffle = _generator(config.seed, epoch, ORDER)
                    order, order_epoch = torch.randperm(len(training), generator=shuffle), epoch
                    order = order.to(device)
                rows = order[within * config.batch_size : (within + 1) * config.batch_size]
                noise = _generator(config.seed, position.step, NOISE, device)
                terms = _step(model, self.optimizer, config, training[rows], task_weights, noise)
                self.meter.add(terms, len(rows))
                position.step += 1
                position.seconds = time.monotonic() - started
                bar.update()
                if position.step % config.record_every == 0 or position.step >= last:
                    self._record(bar, last)
                if position.step % every == 0 or position.step >= last:
                    self.meter.check(position.step)
                    _validate(self.run, model, batches["validation"], position)
                    enough = position.evaluations_since_best >= config.patience
                    position.finished = enough or position.step >= last
                    self._save()
        if not position.finished:
            self.meter.check(position.step)  # what is saved must be worth resuming
            self._save()

    def _record(self, bar: Progress, last: int) -> None:
        position, values = self.position, self.meter.read(self.config, self.position.step)
        seconds = round(position.seconds, 3)
        self.run.record("train", position.step, seconds=seconds, last_step=last, **values)
        bar.set_postfix_str(_describe(values, position), refresh=False)

    def _save(self) -> None:
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"meter.{key}": value for key, value in self.meter.state().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        self.run.save_state(tensors, self.position)


def _step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    batch: Batch,
    task_weights: Tensor,
    noise: torch.Generator,
) -> LossTerms:
    """Take one step of Adam on the loss of one batch."""
    device = batch.fields.device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
        output = model(batch, noise)
    if batch.labels is None:
        raise ValueError("training needs labels")
    terms = loss_terms(output, batch.labels)
    loss = terms.total(task_weights, config.lambda_specific, config.lambda_shared)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return LossTerms(*(term.detach() for term in terms))


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


def _finish(
    run: Run,
    dataset: Dataset,
    config: Config,
    model: Model,
    encoder: Encoder,
    batches: Mapping[SplitName, Batch],
    position: Position,
) -> None:
    """Measure the best weights on the test rows and write the checkpoint."""
    evaluation = pd.concat(
        evaluate(model, batches[split]).assign(split=split) for split in ("validation", "test")
    )
    statistics = scenario_statistics(batches, encoder.schema)
    steps = position.best_step or position.step
    files = {
        "dataset.toml": dataset.text.encode(),
        "evaluation.jsonl": checkpoint.frame_to_json(evaluation),
        "statistics.jsonl": checkpoint.frame_to_json(statistics),
        "reference.safetensors": reference(model, batches["test"]),
        "README.md": card.model_card(dataset.description, config, evaluation, steps).encode(),
    }
    for name in ("history.jsonl", "utilisation.jsonl"):
        file = run.folder / name
        files[name] = file.read_bytes() if file.exists() else b""
    name = run.folder.resolve().name
    checkpoint.save(run.checkpoint, name, config, model, encoder, steps, files)


def _below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        states.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _task_weights(config: TrainingConfig, model: Model) -> list[float]:
    unknown = set(config.task_weights) - set(model.schema.tasks)
    if unknown:
        raise InputError(
            f"training.task_weights: '{min(unknown)}' is no task"
            f" (tasks: {', '.join(model.schema.tasks)})"
        )
    return [config.task_weights.get(task, 1.0) for task in model.schema.tasks]


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
