"""Shares: how large a part of a scenario's rows uses each expert (Fig. 7).

Axes: T targets (the tasks in a task layer, 1 in a scenario layer); S scenarios; P paths; n experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, paths_within, scenario_names, scenario_of_path
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.models import Model, Schema
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.routing.utilisation import LayerUtilisation, Utilisation

RoleName = Literal["specific", "shared"]
Value = Literal["share", "weight", "count"]
ROLES: tuple[RoleName, ...] = ("specific", "shared")

DEAD = 0.001  # an expert chosen by fewer of the rows, in every role, is called dead
OVERLOAD = 3.0  # an expert chosen this many times the even share K/n is called overloaded


@dataclass(frozen=True)
class LayerShares:
    """Who uses the experts of one layer.

    by: name of a level, "path" or "all". scenarios: their names, (S,). rows: number of rows of
    each, (S,). specific, shared: choices; weight: sum of mixing weights; all (T, S, n).
    with_task: rows whose scenario has the task, (T, S); by default all of them.
    """

    spec: LayerSpec
    by: str
    scenarios: tuple[str, ...]
    rows: np.ndarray
    specific: np.ndarray
    shared: np.ndarray
    weight: np.ndarray
    with_task: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """Rows that were counted for each target, (T, S)."""
        everywhere = np.broadcast_to(self.rows, (len(self.targets), len(self.rows)))
        return everywhere if self.with_task is None else self.with_task

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets: the tasks, or one empty name in a scenario layer."""
        return self.spec.gates if self.spec.kind == "task" else ("",)

    def chosen(self, role: RoleName) -> int:
        """Return K, the number of experts a row takes in the role."""
        return self.spec.specific if role == "specific" else self.spec.shared

    def values(self, role: RoleName, value: Value) -> np.ndarray:
        """Return (T, S, n): choices, their share of the scenario's rows, or the mean mixing weight.

        Over the experts, shares add up to K and mean weights to 1 (a weight has no role: it is
        that of the expert in the mixture). NaN for a scenario without rows of the task, where not a
        count.
        """
        counts = self.specific if role == "specific" else self.shared
        if value == "count":
            return counts
        total = self.weight if value == "weight" else counts
        rows = np.where(self.counted > 0, self.counted, np.nan)
        share: np.ndarray = total / rows[:, :, None]
        return share


def own_grouping(spec: LayerSpec, schema: Schema) -> str:
    """Return the level a layer belongs to; "all" for a task layer, whose gates are the tasks."""
    return OVERALL if spec.level is None else schema.level_names[spec.level]


def layer_shares(
    utilisation: Utilisation, name: str, by: str, exists: np.ndarray | None = None
) -> LayerShares:
    """Add up a layer's counts over the paths of each scenario; by: see `scenario_names`.

    exists: whether each task exists in each path, (P, T); in a task layer, rows of a path without
    the task do not count for it. By default every task exists everywhere.
    """
    layer, schema = utilisation.layer(name), utilisation.schema
    names, own = scenario_names(schema, by), scenario_of_path(schema, by)
    member = (own == np.arange(len(names))[:, None]).astype(np.int64)  # (S, P)
    whole = exists is None or layer.spec.kind != "task"
    there = np.ones((1, len(own)), np.int64) if whole else np.asarray(exists).T.astype(np.int64)
    per_expert = there[:, :, None]  # (T or 1, P, 1)
    return LayerShares(
        layer.spec,
        by,
        names,
        member @ utilisation.rows,
        member @ (layer.specific * per_expert),  # (S, P) @ (T, P, n) → (T, S, n)
        member @ (layer.shared * per_expert),
        member @ (layer.weight * per_expert),
        None if whole else (there * utilisation.rows) @ member.T,
    )


def restricted(utilisation: Utilisation, path: Sequence[int | None]) -> Utilisation:
    """Keep the counts of one scenario path; path: the scenario at each level, None for all."""
    schema, kept = utilisation.schema, paths_within(utilisation.schema, path)
    layers = tuple(
        LayerUtilisation(
            layer.spec,
            layer.specific * kept[:, None],
            layer.shared * kept[:, None],
            layer.weight * kept[:, None],
        )
        for layer in utilisation.layers
    )
    return Utilisation(schema, utilisation.rows * kept, layers)


def effective_number(counts: np.ndarray) -> np.ndarray:
    """exp(H) of the choices over experts, (..., n) → (...): 1 where one has all, n where even.

    NaN where nothing was chosen.
    """
    total = counts.sum(-1, keepdims=True)
    p = counts / np.where(total > 0, total, np.nan)
    logs = np.log(np.where(p > 0, p, 1.0))
    number: np.ndarray = np.exp(-(p * logs).sum(-1))
    return number


def dead_experts(shares: LayerShares) -> list[int]:
    """Experts that fewer than DEAD of all rows choose, for every target and in either role."""
    rows = shares.counted.sum(1)  # (T,)
    if not rows.any():
        return []
    most = np.maximum(shares.specific.sum(1), shares.shared.sum(1))[rows > 0]
    return np.flatnonzero((most / rows[rows > 0, None]).max(0) < DEAD).tolist()


def overloaded_experts(shares: LayerShares, role: RoleName) -> list[tuple[int, int]]:
    """(expert, choices) of experts taken by more than OVERLOAD · K/n of all rows and targets.

    None can be where that limit is above all rows: see `overload_limit`.
    """
    counts = shares.values(role, "count").sum((0, 1))  # (n,)
    over = counts > overload_limit(shares, role) * shares.counted.sum()
    return [(int(k), int(counts[k])) for k in np.flatnonzero(over)]


def overload_limit(shares: LayerShares, role: RoleName) -> float:
    """Share of rows above which an expert is called overloaded; 1 or more: none can be."""
    return OVERLOAD * shares.chosen(role) / shares.spec.experts


@dataclass(frozen=True)
class Choices:
    """Which experts each row chose in one layer: masks, (T, rows, n) bool."""

    spec: LayerSpec
    specific: np.ndarray
    shared: np.ndarray

    def rows(
        self, role: RoleName | None, target: int, expert: int, among: np.ndarray
    ) -> np.ndarray:
        """Positions of the rows of a mask `among`, (rows,), that chose an expert.

        role: None for either role.
        """
        masks = {"specific": self.specific, "shared": self.shared}
        mask = self.specific | self.shared if role is None else masks[role]
        positions: np.ndarray = np.flatnonzero(mask[target, :, expert] & among)
        return positions


def layer_choices(model: Model, batch: Batch, name: str) -> Choices:
    """Find which experts each row of a batch chooses in one layer."""
    specs = layer_specs(model)
    number = next((i for i, spec in enumerate(specs) if spec.name == name), None)
    if number is None:
        raise InputError(f"no layer '{name}' (layers: {', '.join(s.name for s in specs)})")
    specific, shared = [], []
    for _, output in outputs(model, batch):
        selection = output.routings[number].selection
        mask = selection.specific
        mask = mask if mask.dim() == 3 else mask.unsqueeze(0)  # (T, rows, n)
        specific.append(mask.cpu())
        shared.append(selection.shared.expand_as(mask).cpu())
    if not specific:
        raise InputError("no rows to look at")
    return Choices(specs[number], torch.cat(specific, 1).numpy(), torch.cat(shared, 1).numpy())
