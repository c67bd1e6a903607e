"""Training a model from a dataset to a checkpoint: the run is settled, trained and measured.

In several processes (see `aesm2.training.group`) all of them call `train`; the leader alone settles
the configuration, touches the run folder and writes.
"""

import contextlib
from pathlib import Path

import pandas as pd

from aesm2 import card, checkpoint
from aesm2.config import Config, parse
from aesm2.data.dataset import Dataset
from aesm2.data.statistics import statistics_of
from aesm2.device import resolve_device
from aesm2.errors import InputError
from aesm2.evaluation import evaluate
from aesm2.layers.partitioned_norm import PartitionedNorm
from aesm2.models import Model
from aesm2.selfcheck import reference
from aesm2.training import events
from aesm2.training.group import ALONE, Group
from aesm2.training.interrupt import interrupts
from aesm2.training.loop import build_seeded, fit
from aesm2.training.rows import Rows, read_rows
from aesm2.training.run import Position, Run
from aesm2.training.step import task_weights


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
    save_every: int | None = None,
    group: Group = ALONE,
    launch: str = "",
) -> Path:
    """Train a model and return the folder of its checkpoint.

    config: None takes that of the run to resume, or the defaults. folder: the run folder.
    tensorboard: write event files as well. save_every: steps between two savings of the state, in
    addition to one at each measurement. group: the processes that train together; all call this.
    launch: names what started them; started again it resumes the run that it had begun.
    Raises InputError for unusable input, and Interrupted after Ctrl-C.
    """
    writer = group.each(lambda: events.writer(folder) if tensorboard else None)
    run, target = Run(folder, writer), group.device or resolve_device(device)
    again = group.lead(lambda: run.marked(launch))
    resume = resume or again
    with contextlib.ExitStack() as held:
        made = group.lead(run.folder.exists)
        if made:  # others see at once that it is at work; reading may take minutes
            group.lead(lambda: held.enter_context(run.alone()))
        settled = group.lead(lambda: _settled(run, dataset, config, resume).model_dump(mode="json"))
        config = parse(Config, settled, "the configuration")
        rows = read_rows(dataset, group)
        model = build_seeded(config, rows.encoder.schema).to(target)
        task_weights(config.training, model)  # an unknown task is refused before the folder is made
        _check_rows_apart(model, group)
        interrupted = held.enter_context(_stops(group))
        if not made:
            group.lead(lambda: held.enter_context(run.alone()))
        group.lead(lambda: _begin(run, dataset, config, resume, again, launch))
        position = fit(
            run, model, config.training, rows.batches, interrupted, progress,
            group, rows.share, save_every,
        )  # fmt: skip
        group.lead(lambda: _finish(run, dataset, config, model, rows, position))
        if not position.finished:
            raise Interrupted
    return run.checkpoint


def _settled(run: Run, dataset: Dataset, config: Config | None, resume: bool) -> Config:
    """Return the configuration to train with; InputError where a run to resume has another."""
    if not resume:
        return config or Config()
    started = run.config()
    if config is not None and started != config:
        raise InputError(
            f"{run.folder}: was started with another configuration; resume it without --config"
        )
    run.check_same_data(dataset.text)
    return started


def _stops(group: Group) -> contextlib.AbstractContextManager[list[int]]:
    # A launcher passes on the Ctrl-C that the terminal has sent to all.
    return interrupts() if group.size == 1 else interrupts(together=1.0)


def _begin(
    run: Run, dataset: Dataset, config: Config, resume: bool, again: bool, launch: str
) -> None:
    if not resume:
        run.start(config, dataset.text, launch)
        return
    run.mark(launch)
    if not again:  # what was asked before a process died still holds
        run.go_on(launch)


def _check_rows_apart(model: Model, group: Group) -> None:
    """Refuse to train in several processes what normalises over the rows of a batch."""
    if group.size > 1 and any(isinstance(part, PartitionedNorm) for part in model.modules()):
        raise InputError(
            f"model.name: '{model.config.name}' normalises over all rows of a batch, which several"
            " processes do not see; train it in one"
        )


def _finish(
    run: Run, dataset: Dataset, config: Config, model: Model, rows: Rows, position: Position
) -> None:
    """Measure the best weights on the test rows and write the checkpoint."""
    evaluation = pd.concat(
        evaluate(model, rows.batches[split]).assign(split=split) for split in ("validation", "test")
    )
    steps = position.best_step or position.step
    files = {
        "dataset.toml": dataset.text.encode(),
        "evaluation.jsonl": checkpoint.frame_to_json(evaluation),
        "statistics.jsonl": checkpoint.frame_to_json(statistics_of(rows.counts)),
        "reference.safetensors": reference(model, rows.batches["test"]),
        "README.md": card.model_card(dataset.description, config, evaluation, steps).encode(),
    }
    for name in ("history.jsonl", "utilisation.jsonl"):
        file = run.folder / name
        files[name] = file.read_bytes() if file.exists() else b""
    name = run.folder.resolve().name
    checkpoint.save(run.checkpoint, name, config, model, rows.encoder, steps, files)
