"""What gates give each expert: one account of AESM² and of the models whose experts all contribute.

Axes: rows; n experts; m gates; T targets (the tasks where each has its own weights, else 1);
P paths (fine-grained scenarios, see `data.scenarios`); S scenarios of a grouping.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.config import (
    AESM2Config,
    DSelectKConfig,
    Group,
    HMoEConfig,
    LayerGroup,
    MMoEConfig,
    PLEConfig,
    SplitGroup,
    per_level,
)
from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index, scenario_names, summed_by
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.models import Model, Output, Schema
from aesm2.routing.trace import Kind

GATED = (AESM2Config, MMoEConfig, PLEConfig, HMoEConfig, DSelectKConfig)


@dataclass(frozen=True)
class MixtureSpec:
    """One layer whose gates weigh experts.

    name: e.g. "tab.1" or "task.2". kind: "scenario" or "task". level: index of its scenario level,
    None in a task layer. gates: names of its gates. owners: for each expert the gate it belongs
    to, None where it belongs to all. targets: the tasks where each has weights of its own, else one
    empty name.
    """

    name: str
    kind: Kind
    level: int | None
    gates: tuple[str, ...]
    owners: tuple[int | None, ...]
    targets: tuple[str, ...]

    @property
    def experts(self) -> int:
        """Number of experts, n."""
        return len(self.owners)


@dataclass(frozen=True)
class LayerGates:
    """What one layer's gates gave every row; tensors on the CPU.

    gate: the gate that decided, (T, rows). weights: what it gave each expert, (T, rows, n); over
    the experts they sum to 1.
    """

    spec: MixtureSpec
    gate: Tensor
    weights: Tensor


@dataclass(frozen=True)
class GateWeights:
    """The gates' weights for a set of rows, layer by layer in order of computation.

    index: the rows' names, from the data frame.
    """

    layers: tuple[LayerGates, ...]
    index: pd.Index

    def to_frame(self) -> pd.DataFrame:
        """Return one line per row, layer, target and expert.

        Columns: row, layer, task ("" where all tasks have the same weights), gate (its name),
        expert, owner (name of the gate the expert belongs to, "" where to all), weight.
        """
        return pd.concat(
            [self._part(layer, t) for layer in self.layers for t in range(len(layer.weights))],
            ignore_index=True,
        )

    def _part(self, layer: LayerGates, target: int) -> pd.DataFrame:
        spec, rows = layer.spec, len(self.index)
        gates = np.array(spec.gates, dtype=object)[layer.gate[target].numpy()]
        return pd.DataFrame(
            {
                "row": self.index.repeat(spec.experts),
                "layer": spec.name,
                "task": spec.targets[target],
                "gate": gates.repeat(spec.experts),
                "expert": np.tile(np.arange(spec.experts), rows),
                "owner": np.tile(np.array(owner_names(spec), dtype=object), rows),
                "weight": layer.weights[target].flatten().numpy(),
            }
        )


@dataclass(frozen=True)
class LayerUsage:
    """Sums over the rows of each path: weights, (T, P, n), and effective numbers, (T, P)."""

    spec: MixtureSpec
    weight: np.ndarray
    effective: np.ndarray


@dataclass(frozen=True)
class GateUsage:
    """Sums over a set of rows; those of two sets add up to those of both.

    rows: number of rows of each path, (P,). layers: one LayerUsage a layer.
    """

    schema: Schema
    rows: np.ndarray
    layers: tuple[LayerUsage, ...]

    def __add__(self, other: "GateUsage") -> "GateUsage":
        pairs = zip(self.layers, other.layers, strict=True)
        layers = tuple(
            LayerUsage(a.spec, a.weight + b.weight, a.effective + b.effective) for a, b in pairs
        )
        return GateUsage(self.schema, self.rows + other.rows, layers)

    def layer(self, name: str) -> LayerUsage:
        """Return a layer by its name; InputError lists the names there are."""
        for layer in self.layers:
            if layer.spec.name == name:
                return layer
        names = ", ".join(layer.spec.name for layer in self.layers)
        raise InputError(f"no layer '{name}' (layers: {names})")

    def means(self, name: str, by: str, kept: np.ndarray | None = None) -> "GateMeans":
        """Average a layer over the rows of each scenario; by: see `scenario_names`.

        kept: which rows count, as a mask of paths for each task, (P, T) bool; by default all.
        """
        layer, schema = self.layer(name), self.schema
        everywhere = np.ones((len(self.rows), len(schema.tasks)), bool)
        mask = everywhere if kept is None else kept
        if len(layer.spec.targets) == 1:  # a row counts once, whatever tasks it has
            mask = np.asarray(mask.any(1))[:, None]
        rows = summed_by(schema, by, self.rows[:, None] * mask).T  # (T, S)
        weight = summed_by(schema, by, layer.weight.swapaxes(0, 1) * mask[:, :, None])
        effective = summed_by(schema, by, layer.effective.T * mask)  # (S, T)
        some = np.where(rows > 0, rows, np.nan)
        return GateMeans(
            layer.spec,
            by,
            scenario_names(schema, by),
            rows,
            weight.swapaxes(0, 1) / some[:, :, None],
            effective.T / some,
        )


@dataclass(frozen=True)
class GateMeans:
    """Mean weights of one layer.

    by: a level's name, "path" or "all". scenarios: their names, (S,). rows: number of rows,
    (T, S). weight: (T, S, n), and effective: (T, S), the mean over rows of exp(entropy of the
    weights), from 1 (all on one expert) to n (even); both NaN where there are no rows.
    """

    spec: MixtureSpec
    by: str
    scenarios: tuple[str, ...]
    rows: np.ndarray
    weight: np.ndarray
    effective: np.ndarray


def mixture_layers(model: Model) -> tuple[MixtureSpec, ...]:
    """Describe the layers with gates, in order of computation; none for a model without gates."""
    config, schema = model.config, model.schema
    if not isinstance(config, GATED):
        return ()
    found = []
    for level, group in enumerate(per_level(config.scenario, len(schema.levels))):
        gates, name = schema.levels[level], schema.level_names[level]
        owners = _owners(group, len(gates))
        targets = schema.tasks if isinstance(config, HMoEConfig) else ("",)
        for position in range(group.layers):
            layer = f"{name}.{position + 1}"
            found.append(MixtureSpec(layer, "scenario", level, gates, owners, targets))
    if isinstance(config, HMoEConfig):  # its task layers are plain
        return tuple(found)
    owners = _owners(config.task, len(schema.tasks))
    for position in range(config.task.layers):
        layer = f"task.{position + 1}"
        found.append(MixtureSpec(layer, "task", None, schema.tasks, owners, schema.tasks))
    return tuple(found)


def owner_names(spec: MixtureSpec) -> list[str]:
    """Name the gate that each expert belongs to; "" where it belongs to all."""
    return ["" if owner is None else spec.gates[owner] for owner in spec.owners]


def gate_weights(model: Model, batch: Batch, index: pd.Index) -> GateWeights:
    """Return what each row's own gates gave every expert; `index` names the rows.

    Raises InputError for a model without gates, or no rows.
    """
    specs = _required(model)
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in specs]
    for part, output in outputs(model, batch):
        for spec, own, found in zip(specs, parts, _layers(output), strict=True):
            own.append(_by_target(spec, part, found))
    if not parts[0]:
        raise InputError("no rows to look at")
    layers = []
    for spec, of_layer in zip(specs, parts, strict=True):
        gates, weights = zip(*of_layer, strict=True)
        layers.append(LayerGates(spec, torch.cat(gates, 1).cpu(), torch.cat(weights, 1).cpu()))
    return GateWeights(tuple(layers), index)


def gate_usage(model: Model, batch: Batch) -> GateUsage:
    """Add up weights and effective numbers over all rows; memory does not grow with the rows.

    Raises InputError for a model without gates, or no rows.
    """
    specs, schema = _required(model), model.schema
    paths = int(np.prod([len(level) for level in schema.levels]))
    total: GateUsage | None = None
    for part, output in outputs(model, batch):
        path = torch.from_numpy(path_index(part.scenarios.cpu().numpy(), schema))
        path = path.to(part.scenarios.device)
        layers = []
        for spec, found in zip(specs, _layers(output), strict=True):
            weights = _by_target(spec, part, found)[1].double()
            effective = torch.special.entr(weights).sum(-1, keepdim=True).exp()
            both = torch.cat([weights, effective], -1)  # (T, rows, n + 1)
            empty = both.new_zeros(len(both), paths, both.shape[-1])
            sums = empty.index_add(1, path, both).cpu().numpy()
            layers.append(LayerUsage(spec, sums[..., :-1], sums[..., -1]))
        rows = torch.bincount(path, minlength=paths).cpu().numpy()
        counted = GateUsage(schema, rows, tuple(layers))
        total = counted if total is None else total + counted
    if total is None:
        raise InputError("no rows to count")
    return total


def _owners(group: Group, gates: int) -> tuple[int | None, ...]:
    if isinstance(group, LayerGroup):  # HMoE: an expert a scenario
        return tuple(range(gates))
    if isinstance(group, SplitGroup):
        specific = [gate for gate in range(gates) for _ in range(group.specific)]
        return (*specific, *(None,) * group.shared)
    return (None,) * group.experts


def _required(model: Model) -> tuple[MixtureSpec, ...]:
    specs = mixture_layers(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no gates to show")
    return specs


def _layers(output: Output) -> list[tuple[Tensor, Tensor]]:
    """Return target and weights of every layer, be they of a selection or a mixture."""
    if output.routings:
        return [(r.target, r.selection.mixing_weights) for r in output.routings]
    return [(m.target, m.weights) for m in output.mixtures]


def _by_target(
    spec: MixtureSpec, part: Batch, found: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the deciding gates, (T, rows), and their weights, (T, rows, n)."""
    target, weights = found
    weights = weights if weights.ndim == 3 else weights.unsqueeze(0)
    gate = target.unsqueeze(1) if spec.kind == "task" else target.unsqueeze(0)
    return gate.expand(len(weights), len(part)), weights
