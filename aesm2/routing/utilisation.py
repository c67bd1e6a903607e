"""Utilisation: how many rows of each scenario use each expert, and in which role (Fig. 7).

Axes: T targets (the tasks in a task layer, 1 in a scenario layer); P paths (fine-grained
scenarios, see `data.scenarios`); n experts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.moe import Routing
from aesm2.models import Model, Schema
from aesm2.routing.trace import LayerSpec, layer_specs

FEW = 256  # paths up to which their sums are made by a product of matrices


@dataclass(frozen=True)
class LayerUtilisation:
    """One layer's counts: specific and shared choices, and the sum of mixing weights; (T, P, n)."""

    spec: LayerSpec
    specific: np.ndarray
    shared: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Utilisation:
    """Counts over a set of rows; the sum of two of them is that of both sets.

    rows: number of rows of each path, (P,). layers: one LayerUtilisation a layer.
    """

    schema: Schema
    rows: np.ndarray
    layers: tuple[LayerUtilisation, ...]

    def layer(self, name: str) -> LayerUtilisation:
        """Return a layer by its name; InputError lists the names there are."""
        for layer in self.layers:
            if layer.spec.name == name:
                return layer
        names = ", ".join(layer.spec.name for layer in self.layers)
        raise InputError(f"no layer '{name}' (layers: {names})")

    def __add__(self, other: "Utilisation") -> "Utilisation":
        pairs = zip(self.layers, other.layers, strict=True)
        layers = tuple(
            LayerUtilisation(
                a.spec, a.specific + b.specific, a.shared + b.shared, a.weight + b.weight
            )
            for a, b in pairs
        )
        return Utilisation(self.schema, self.rows + other.rows, layers)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain data; weights are rounded to three decimals."""
        return {
            "rows": self.rows.tolist(),
            "layers": {
                layer.spec.name: {
                    "specific": layer.specific.tolist(),
                    "shared": layer.shared.tolist(),
                    "weight": layer.weight.round(3).tolist(),
                }
                for layer in self.layers
            },
        }

    @staticmethod
    def from_json(
        schema: Schema, specs: tuple[LayerSpec, ...], values: dict[str, Any]
    ) -> "Utilisation":
        """Rebuild what `to_json` gave; InputError where it is not of these layers and scenarios."""
        paths = math.prod(len(level) for level in schema.levels)
        layers = []
        for spec in specs:
            shape = (len(spec.gates) if spec.kind == "task" else 1, paths, spec.experts)
            specific, shared, weight = (
                _stored(values, shape, "layers", spec.name, kind)
                for kind in ("specific", "shared", "weight")
            )
            counts = specific.astype(np.int64), shared.astype(np.int64)
            layers.append(LayerUtilisation(spec, *counts, weight))
        rows = _stored(values, (paths,), "rows")
        return Utilisation(schema, rows.astype(np.int64), tuple(layers))


def _stored(values: Any, shape: tuple[int, ...], *path: str) -> np.ndarray:
    """Read an array of numbers from plain data."""
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape != shape or not (np.abs(array) < 2**53).all():
        raise InputError(f"{'.'.join(path)} are not counts of shape {shape}")
    return array


def utilisation(model: Model, batch: Batch) -> Utilisation:
    """Count choices over all rows of a batch; memory does not grow with the rows."""
    specs = layer_specs(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to count")
    total: Utilisation | None = None
    for part, output in outputs(model, batch):
        counted = count(model.schema, specs, part.scenarios, output.routings)
        total = counted if total is None else total + counted
    if total is None:
        raise InputError("no rows to count")
    return total


def count(
    schema: Schema, specs: tuple[LayerSpec, ...], scenarios: Tensor, routings: tuple[Routing, ...]
) -> Utilisation:
    """Count the choices of one chunk; scenarios: (rows, levels)."""
    paths = math.prod(len(level) for level in schema.levels)
    own = torch.from_numpy(path_index(scenarios.cpu().numpy(), schema)).to(scenarios.device)
    masks = [(r.selection.specific, r.selection.shared) for r in routings]
    weights = [r.selection.mixing_weights for r in routings]
    # Sums of 0 and 1 are exact in float32, and twice as fast.
    exact = torch.float32 if len(own) < 2**24 else torch.float64
    counts = iter(_summed([mask for pair in masks for mask in pair], own, paths, exact))
    sums = _summed(weights, own, paths, torch.float64)
    layers = []
    for spec, weight in zip(specs, sums, strict=True):
        specific, shared = next(counts).astype(np.int64), next(counts).astype(np.int64)
        shared = np.broadcast_to(shared, specific.shape)  # a task layer's is the same for all
        layers.append(LayerUtilisation(spec, specific, shared, weight))
    rows = torch.bincount(own, minlength=paths).cpu().numpy()
    return Utilisation(schema, rows, tuple(layers))


def _summed(
    parts: Sequence[Tensor], own: Tensor, paths: int, kind: torch.dtype
) -> list[np.ndarray]:
    """Sum each part over the rows of each path: (rows, n) or (T, rows, n) → (T, paths, n).

    own: the path of each row. kind: what the sums are computed in. All parts are one matrix, with a
    line for each target and expert.
    """
    lines = [part.mT if part.ndim == 3 else part.mT.unsqueeze(0) for part in parts]  # (T, n, rows)
    whole = torch.cat([line.flatten(0, 1) for line in lines])
    # A byte becomes a number in a fifth of the time that a truth value takes.
    whole = (whole.view(torch.uint8) if whole.dtype == torch.bool else whole).to(kind)
    if paths <= FEW:  # a product of matrices is several times as fast
        member = whole.new_zeros(paths, len(own)).scatter_(0, own.unsqueeze(0), 1)
        total = whole @ member.t()
    else:
        total = whole.new_zeros(len(whole), paths).index_add_(1, own, whole)
    sums = torch.split(total.cpu(), [line.shape[0] * line.shape[1] for line in lines])
    shaped = zip(sums, lines, strict=True)
    return [part.view(*line.shape[:2], paths).transpose(1, 2).numpy() for part, line in shaped]
