"""Utilisation kept in groups of rows, so that how sure it is can be told later, without the rows.

Rows fall into B groups; every count is kept for each of them. Sums of mixing weights are whole
multiples of 2⁻²⁸, so that all sums are exact and their order does not matter.

Axes: B groups; T targets (the tasks in a task layer, 1 in a scenario layer); P paths (fine-grained
scenarios, see `data.scenarios`); n experts.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.moe import Routing
from aesm2.models import Model
from aesm2.packing import pack
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.routing.utilisation import LayerUtilisation, Utilisation

GROUPS = 64
UNIT = 2.0**28  # what one stands for: a rounded term is off by 2⁻²⁹ at most
_TOO_MANY = "too many rows for one summary: a sum leaves 63 bits; split the log"


@dataclass(frozen=True)
class GroupedLayer:
    """One layer's counts, (B, T, P, n) int64: choices in each role, and weights times UNIT."""

    spec: LayerSpec
    specific: np.ndarray
    shared: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class RoutingSummary:
    """Counts over rows in B groups; the sum of two of them is that of both sets of rows.

    rows: number of rows, (B, P) int64. layers: one GroupedLayer a layer.
    """

    schema: Schema
    rows: np.ndarray
    layers: tuple[GroupedLayer, ...]

    def total(self) -> Utilisation:
        """Return the counts of all rows, whatever their group."""
        layers = tuple(
            LayerUtilisation(
                own.spec, summed(own.specific), summed(own.shared), summed(own.weight) / UNIT
            )
            for own in self.layers
        )
        return Utilisation(self.schema, summed(self.rows), layers)

    def layer(self, name: str) -> GroupedLayer:
        """Return a layer by its name; InputError lists the names there are."""
        for layer in self.layers:
            if layer.spec.name == name:
                return layer
        names = ", ".join(layer.spec.name for layer in self.layers)
        raise InputError(f"no layer '{name}' (layers: {names})")

    def __add__(self, other: "RoutingSummary") -> "RoutingSummary":
        layers = tuple(
            GroupedLayer(
                a.spec,
                added(a.specific, b.specific),
                added(a.shared, b.shared),
                added(a.weight, b.weight),
            )
            for a, b in zip(self.layers, other.layers, strict=True)
        )
        return RoutingSummary(self.schema, added(self.rows, other.rows), layers)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all counts by name."""
        named = {"rows": self.rows}
        for number, layer in enumerate(self.layers):
            for name in ("specific", "shared", "weight"):
                named[f"{name}.{number}"] = getattr(layer, name)
        return named

    def to_bytes(self) -> bytes:
        """Write it as bytes."""
        return pack(self.arrays())

    @staticmethod
    def of_arrays(
        schema: Schema, specs: tuple[LayerSpec, ...], arrays: dict[str, np.ndarray]
    ) -> "RoutingSummary":
        """Rebuild what `arrays` gave."""
        layers = tuple(
            GroupedLayer(
                spec, *(arrays[f"{name}.{i}"] for name in ("specific", "shared", "weight"))
            )
            for i, spec in enumerate(specs)
        )
        return RoutingSummary(schema, arrays["rows"], layers)


def summed(counts: np.ndarray) -> np.ndarray:
    """Add up the groups: (B, …) → (…); InputError where a sum leaves 63 bits."""
    if counts.sum(0, dtype=np.float64).max(initial=0) >= 2.0**63:
        raise InputError(_TOO_MANY)
    total: np.ndarray = counts.sum(0)
    return total


def added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Add counts; InputError where a sum leaves 63 bits, rather than a wrong number."""
    total: np.ndarray = a + b
    if (total < a).any():  # no count is negative
        raise InputError(_TOO_MANY)
    return total


def fixed(values: np.ndarray) -> np.ndarray:
    """Round values to whole multiples of 1/UNIT, as int64."""
    result: np.ndarray = np.rint(np.asarray(values, np.float64) * UNIT).astype(np.int64)
    return result


def grouped_utilisation(model: Model, batch: Batch, groups: np.ndarray) -> RoutingSummary:
    """Count choices over all rows of a batch, as `routing.utilisation` does, in groups of rows.

    groups: group of each row, below GROUPS, (rows,). Raises InputError for a model without
    selection, and where there are no rows.
    """
    specs, start = layer_specs(model), 0
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to count")
    total: RoutingSummary | None = None
    for part, output in outputs(model, batch):
        own = groups[start : start + len(part)]
        start += len(part)
        counted = count_groups(model.schema, specs, part.scenarios, own, output.routings)
        total = counted if total is None else total + counted
    if total is None:
        raise InputError("no rows to count")
    return total


def count_groups(
    schema: Schema,
    specs: tuple[LayerSpec, ...],
    scenarios: Tensor,
    groups: np.ndarray,
    routings: tuple[Routing, ...],
) -> RoutingSummary:
    """Count the choices of one chunk; scenarios: (rows, levels); groups: below GROUPS, (rows,)."""
    paths = int(np.prod([len(level) for level in schema.levels]))
    own = groups * paths + path_index(scenarios.cpu().numpy(), schema)
    index = torch.from_numpy(own).to(scenarios.device)

    def summed(values: Tensor) -> np.ndarray:
        per_target = values.view(-1, *values.shape[-2:])  # (T, rows, n)
        total = per_target.new_zeros(len(per_target), GROUPS * paths, per_target.shape[-1])
        flat = total.index_add(1, index, per_target).cpu().numpy()
        shaped = flat.reshape(len(flat), GROUPS, paths, -1)
        return np.ascontiguousarray(shaped.transpose(1, 0, 2, 3))

    layers = []
    for spec, routing in zip(specs, routings, strict=True):
        chosen = routing.selection
        weights = (chosen.mixing_weights.double() * UNIT).round().long()
        specific = summed(chosen.specific.long())
        shared = np.ascontiguousarray(np.broadcast_to(summed(chosen.shared.long()), specific.shape))
        layers.append(GroupedLayer(spec, specific, shared, summed(weights)))
    rows = np.bincount(own, minlength=GROUPS * paths).reshape(GROUPS, paths).astype(np.int64)
    return RoutingSummary(schema, rows, tuple(layers))
