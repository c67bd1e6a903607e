"""The history of a run as TensorBoard event files, for people who live there."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError

FOLDER = "tensorboard"


def writer(run: Path) -> Callable[[dict[str, Any]], None]:
    """Return what writes each record of a run's history to its folder `tensorboard`.

    InputError where the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard needs the package tensorboard: pip install 'aesm2[tensorboard]'"
        ) from None
    events: list[Any] = []

    def write(record: dict[str, Any]) -> None:
        if not events:  # at the first record: what a resumed run does again replaces what it did
            events.append(SummaryWriter(str(run / FOLDER), purge_step=record["step"]))
        for name, value in scalars(record):
            events[0].add_scalar(name, value, record["step"])
        events[0].flush()

    return write


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield name and value of every number in a record of the history; see `training.history`."""
    if record["kind"] == "train":
        for group in ("loss", "kl_specific", "kl_shared"):
            yield from ((f"{group}/{name}", value) for name, value in record[group].items())
        yield from ((name, record[name]) for name in ("l2", "rows_per_second"))
        return
    yield "validation/score", record["score"]
    for line in record["metrics"]:
        where = line["task"] if line["scope"] == OVERALL else f"{line['task']}/{_scenario(line)}"
        for measure in ("auc", "log_loss"):
            value = line[measure]
            if value is not None and math.isfinite(value):
                yield f"{measure}/{where}", value


def _scenario(line: Mapping[str, Any]) -> str:
    return f"{line['scope']}={line['scenario']}"
