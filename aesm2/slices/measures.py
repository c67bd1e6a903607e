"""What may differ between slices, row by row: error, calibration, routing.

Axes: rows; T tasks; n experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.data.encoder import tasks_exist
from aesm2.data.scenarios import path_index
from aesm2.errors import InputError, nearest
from aesm2.inference import outputs
from aesm2.losses import cross_entropy
from aesm2.models import Model, Output
from aesm2.routing.gap import selection_gap
from aesm2.routing.shares import ROLES
from aesm2.routing.trace import LayerSpec, layer_specs

Kind = Literal["loss", "calibration", "set", "expert", "gap"]


@dataclass(frozen=True)
class Measure:
    """One number a row.

    kind: "loss", log loss of a task, nats (Eq. 19); "calibration", predicted minus label; "set", 1
    where the layer's chosen experts are not those that most rows of the same scenario choose;
    "expert", 1 where an expert is chosen in a role; "gap", the selection gap of a layer, nats.
    task: in a task layer, whose choice. title: of the task, for reading.
    """

    kind: Kind
    task: str = ""
    layer: str = ""
    role: str = ""
    expert: int = -1
    title: str = ""

    @property
    def key(self) -> str:
        """Tells it from others; e.g. "loss:ctr", "set:tab.1", "expert:tab.1:specific:3"."""
        expert = str(self.expert) if self.kind == "expert" else ""
        parts = (self.kind, self.layer, self.task, self.role, expert)
        return ":".join(part for part in parts if part)

    @property
    def unit(self) -> str:
        """Return "nats" or "points", hundredths."""
        return "nats" if self.kind in ("loss", "gap") else "points"

    @property
    def scale(self) -> float:
        """What to multiply values with so that they are in `unit`."""
        return 1.0 if self.unit == "nats" else 100.0

    @property
    def name(self) -> str:
        """The measure in words."""
        where = self.layer + (f", {self.title or self.task}" if self.task else "")
        names: dict[Kind, str] = {
            "loss": f"{self.title or self.task} log loss",
            "calibration": f"{self.title or self.task} predicted minus observed",
            "set": f"share of rows with unusual experts in {where}",
            "expert": f"share of rows with expert {self.expert} as {self.role} in {where}",
            "gap": f"selection gap of {where}",
        }
        return names[self.kind]


def measures_of(model: Model, described: Description) -> list[Measure]:
    """Return all measures there are for a model; without expert selection, those of tasks only."""
    tasks = {task.name: task.title or task.name for task in described.task}
    found = [Measure("loss", task, title=title) for task, title in tasks.items()]
    found += [Measure("calibration", task, title=title) for task, title in tasks.items()]
    for spec in layer_specs(model):
        of = tasks if spec.kind == "task" else {"": ""}
        found += [Measure("set", task, spec.name, title=title) for task, title in of.items()]
        found.append(Measure("gap", layer=spec.name))
        found += [
            Measure("expert", task, spec.name, role, expert, title)
            for task, title in of.items()
            for role in ROLES
            if (spec.specific if role == "specific" else spec.shared)
            for expert in range(spec.experts)
        ]
    return found


def measure(key: str, model: Model, described: Description) -> Measure:
    """Return the measure of a key; InputError where the model has none such."""
    known = {own.key: own for own in measures_of(model, described)}
    if key not in known:
        raise InputError(f"no measure '{key}' for this model{nearest(key, known)}")
    return known[key]


def measured(
    model: Model, batch: Batch, described: Description, measures: Sequence[Measure]
) -> dict[Measure, np.ndarray]:
    """Return each measure of each row, (rows,) float64, NaN where it is unknown or not there.

    Raises InputError where a measure needs labels and the rows have none, or there are no rows.
    """
    if not len(batch):
        raise InputError("no rows to measure")
    if batch.labels is None and any(own.kind in ("loss", "calibration") for own in measures):
        raise InputError(
            "these rows have no labels, so nobody knows where the model is wrong on them; measure"
            " the routing, or take rows with labels"
        )
    parts: dict[Measure, list[Tensor]] = {own: [] for own in measures}
    specs = {spec.name: (i, spec) for i, spec in enumerate(layer_specs(model))}
    for part, output in outputs(model, batch):
        for own, chunks in parts.items():
            chunks.append(_of_chunk(own, part, output, model.schema.tasks, specs).cpu())
    found: dict[Measure, np.ndarray] = {own: torch.cat(v).numpy() for own, v in parts.items()}
    scenarios = batch.scenarios.cpu().numpy()
    exists = tasks_exist(described, scenarios)
    for own, values in found.items():
        if own.kind == "set":
            spec = specs[own.layer][1]
            group = path_index(scenarios, model.schema)
            values = unusual(values, group if spec.level is None else scenarios[:, spec.level])
        known = np.isfinite(values)  # a gap is infinite where no expert was left to take
        if own.task:
            known &= exists[:, model.schema.tasks.index(own.task)]
        found[own] = np.where(known, values, np.nan).astype(np.float64)
    return found


def unusual(sets: np.ndarray, group: np.ndarray) -> np.ndarray:
    """1 where a row's set is not the most frequent one of its group, (rows,).

    sets: (rows, n) bool. group: (rows,) integer. Of equally frequent sets the one is usual whose
    members come first.
    """
    code = np.zeros(len(sets), np.int64)
    for byte in np.packbits(sets, axis=1).T:  # one key a row: unique of an axis is far slower
        code = np.unique(256 * code + byte, return_inverse=True)[1]
    several = code.max() + 1  # packed bits rise with low members: put those first
    pairs, inverse, counts = np.unique(
        several * group.astype(np.int64) + several - 1 - code,
        return_inverse=True,
        return_counts=True,
    )
    place = pairs // several
    order = np.lexsort((pairs, -counts, place))
    first = np.unique(place[order], return_index=True)[1]
    usual = np.zeros(len(pairs), bool)
    usual[order[first]] = True
    result: np.ndarray = (~usual[inverse]).astype(np.float64)
    return result


def _of_chunk(
    own: Measure,
    part: Batch,
    output: Output,
    tasks: Sequence[str],
    specs: dict[str, tuple[int, LayerSpec]],
) -> Tensor:
    """Return (rows,), or the chosen sets, (rows, n) bool."""
    task = tasks.index(own.task) if own.task else 0
    if own.kind in ("loss", "calibration") and part.labels is not None:
        labels, logs = part.labels[:, task].double(), output.log_probability[:, task].double()
        if own.kind == "loss":
            return cross_entropy(logs, labels)
        return logs.exp() - labels
    selection = output.routings[specs[own.layer][0]].selection
    if own.kind == "gap":
        return selection_gap([selection], len(part)).double()
    specific = selection.specific[task] if selection.specific.dim() == 3 else selection.specific
    if own.kind == "set":
        return specific | selection.shared
    mask = specific if own.role == "specific" else selection.shared
    return mask[:, own.expert].double()
