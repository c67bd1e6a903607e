"""What a run of the lab recorded, read back."""

from typing import Any

import pandas as pd

from aesm2.data.description import DESCRIPTION, Description, read_description
from aesm2.data.scenarios import PATH, existing
from aesm2.data.schema import Schema
from aesm2.files import read_lines
from aesm2.lab.alarms import Snapshots
from aesm2.lab.job import Job
from aesm2.models import build
from aesm2.routing.saturation import saturation
from aesm2.routing.shares import LayerShares, layer_shares, own_grouping
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.training import history


def read_history(job: Job) -> list[dict[str, Any]]:
    """Read the losses and measurements of a run; see `training.history`."""
    return read_lines(job.folder / "history.jsonl")


def read_described(job: Job) -> Description:
    """Read the description of the data of a run that has begun."""
    return read_description(job.folder / DESCRIPTION)


def read_shape(job: Job) -> tuple[Schema, tuple[LayerSpec, ...]]:
    """Read the shape of a run's data, and its layers that select."""
    described = read_described(job)
    schema = Schema(
        fields=(2,) * len(described.fields),  # the layers do not depend on them
        levels=tuple(level.scenarios for level in described.level),
        level_names=tuple(level.name for level in described.level),
        tasks=tuple(task.name for task in described.task),
        parents=described.parents,
    )
    return schema, layer_specs(build(job.config().model, schema))


def read_snapshots(job: Job) -> Snapshots:
    """Read the use of the experts that a run recorded: (step, counts on the validation rows)."""
    return history.snapshots(read_lines(job.folder / "utilisation.jsonl"), *read_shape(job))


def read_shares(job: Job, layer: str) -> list[tuple[int, LayerShares]]:
    """Read who used a layer's experts, by its own scenarios or tasks, at every measurement."""
    found = read_snapshots(job)
    if not found:
        return []
    schema = found[-1][1].schema
    exists = existing(read_described(job), schema, PATH)
    by = own_grouping(found[-1][1].layer(layer).spec, schema)
    return [(step, layer_shares(used, layer, by, exists)) for step, used in found]


def read_saturation(job: Job) -> pd.DataFrame:
    """Read how many rows chose as at the last measurement; see `routing.saturation`."""
    _, specs = read_shape(job)
    return saturation(read_lines(job.folder / "choices.jsonl"), specs)
