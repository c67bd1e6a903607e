"""Rows worth a look: the clearest and the closest choice, and where scenarios disagree most."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.data.encoder import task_exists
from aesm2.errors import InputError
from aesm2.inference import outputs, probabilities
from aesm2.models import Model
from aesm2.routing.gap import selection_gap
from aesm2.routing.trace import LayerSpec, layer_specs

LIMIT, SEED = 5000, 0


@dataclass(frozen=True)
class Call:
    """A row chosen by how close its selection was.

    position: in the batch. gap: distance in nats between the worst expert taken and the best one
    left, smallest over all layers; see `selection_gap`. layer: name of the layer where it is.
    median: of the gap over the rows looked at.
    """

    position: int
    gap: float
    layer: str
    median: float


@dataclass(frozen=True)
class Disagreement:
    """The row whose probability depends most on the scenario it is scored under.

    position: in the batch. task: its index. probabilities: under each scenario of the first level,
    (m,), NaN where the task does not exist. own: index of the row's scenario. median: of max − min
    over the rows looked at.
    """

    position: int
    task: int
    probabilities: np.ndarray
    own: int
    median: float

    @property
    def spread(self) -> float:
        """Largest minus smallest probability."""
        return float(np.nanmax(self.probabilities) - np.nanmin(self.probabilities))


@dataclass(frozen=True)
class Highlights:
    """Rows worth a look among `looked_at` of `rows`, drawn with `seed`; None where there is none.

    decisive: the row with the largest gap; closest: with the smallest.
    """

    rows: int
    looked_at: int
    seed: int
    decisive: Call | None
    closest: Call | None
    disagreement: Disagreement | None


def highlights(
    model: Model,
    batch: Batch,
    task: int,
    limit: int = LIMIT,
    seed: int = SEED,
    description: Description | None = None,
) -> Highlights:
    """Find the rows; task: the index of the task whose disagreement is measured.

    description: says where the task exists; by default in every scenario.

    Of more than `limit` rows, that many are drawn without replacement. The model may be any; one
    without expert selection has a disagreement only. Ties go to the earlier row.
    """
    if len(batch) == 0:
        raise InputError("no rows to look at")
    positions = sample(len(batch), limit, seed)
    drawn = batch[torch.from_numpy(positions)]
    decisive, closest = _calls(model, drawn, positions)
    return Highlights(
        len(batch), len(positions), seed, decisive, closest,
        _disagreement(model, drawn, positions, task, description),
    )  # fmt: skip


def sample(rows: int, limit: int, seed: int) -> np.ndarray:
    """Positions of at most `limit` of the rows, ascending: all where they are no more."""
    if rows <= limit:
        return np.arange(rows)
    drawn: np.ndarray = np.random.default_rng(seed).choice(rows, limit, replace=False)
    return np.sort(drawn)


def chooses(spec: LayerSpec) -> bool:
    """Whether a layer has a choice: more than one gate, and an expert left to be taken.

    One gate makes every divergence constant, so that each row takes the first experts.
    """
    left = any(0 < k < spec.experts for k in (spec.specific, spec.shared))
    return len(spec.gates) > 1 and left


def _calls(model: Model, batch: Batch, positions: np.ndarray) -> tuple[Call | None, Call | None]:
    """Return the row with the largest and the one with the smallest gap."""
    specs = layer_specs(model)
    kept = [number for number, spec in enumerate(specs) if chooses(spec)]
    if not kept:
        return None, None
    parts = [
        torch.stack([selection_gap([output.routings[i].selection], len(part)) for i in kept], dim=1)
        for part, output in outputs(model, batch)
    ]
    gaps = torch.cat(parts).numpy()  # (rows, layers kept)
    smallest, layer = gaps.min(1), gaps.argmin(1)
    median = float(np.median(smallest))

    def call(at: int) -> Call:
        name = specs[kept[int(layer[at])]].name
        return Call(int(positions[at]), float(smallest[at]), name, median)

    return call(int(smallest.argmax())), call(int(smallest.argmin()))


def _disagreement(
    model: Model, batch: Batch, positions: np.ndarray, task: int, description: Description | None
) -> Disagreement | None:
    """Score every row under each scenario of the first level in one pass; the features stay.

    Only rows whose own scenario has the task count, and need two scenarios that have it.
    """
    scenarios, rows = len(model.schema.levels[0]), len(batch)
    moved = batch.scenarios.repeat(scenarios, 1)
    moved[:, 0] = torch.arange(scenarios).repeat_interleave(rows)
    exists = np.ones((scenarios, rows), bool)
    if description is not None:
        own = task_exists(description.task[task], description, batch.scenarios.numpy())
        there = task_exists(description.task[task], description, moved.numpy())
        exists = there.reshape(scenarios, rows) & own
    kept = np.flatnonzero(exists.sum(0) > 1)
    if len(kept) == 0:
        return None
    every = replace(batch.repeat(scenarios), scenarios=moved)
    scored = probabilities(model, every)[:, task].reshape(scenarios, rows)
    scored = np.where(exists, scored, np.nan)[:, kept]
    spread = np.nanmax(scored, axis=0) - np.nanmin(scored, axis=0)
    at = int(spread.argmax())
    return Disagreement(
        int(positions[kept[at]]), task, scored[:, at].copy(), int(batch.scenarios[kept[at], 0]),
        float(np.median(spread)),
    )  # fmt: skip
