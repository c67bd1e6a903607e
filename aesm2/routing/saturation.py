"""Role saturation: how many rows already choose the experts that they choose in the end.

A snapshot holds the chosen sets of the same few rows, as bits; snapshots over training tell when
the choice of a layer has settled. Axes: T targets (the tasks in a task layer, 1 in a scenario
layer); rows; 2 roles, specific and shared; n experts.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from aesm2.data.batch import Batch
from aesm2.inference import outputs
from aesm2.layers.moe import Routing
from aesm2.models import Model
from aesm2.routing.trace import LayerSpec, layer_specs

WATCHED = 1000  # rows at most
COLUMNS = ("step", "layer", "target", "rows", "share")


def watched(batch: Batch) -> Batch:
    """Return the rows that are watched: at most WATCHED, evenly spaced."""
    count = min(WATCHED, len(batch))
    # In float64: float32 rounds the last of more than 2²⁴ rows to one that is not there.
    last = max(0, len(batch) - 1)
    return batch[torch.linspace(0, last, count, dtype=torch.float64).long()]


def choices(model: Model, batch: Batch) -> dict[str, Any]:
    """Return the chosen sets of every row in every layer, as plain data."""
    parts: list[list[np.ndarray]] = [[] for _ in layer_specs(model)]
    for _, output in outputs(model, batch):
        for part, routing in zip(parts, output.routings, strict=True):
            part.append(_masks(routing))
    layers = {
        spec.name: base64.b64encode(np.packbits(np.concatenate(part, axis=1)).tobytes()).decode()
        for spec, part in zip(layer_specs(model), parts, strict=True)
    }
    return {"rows": len(batch), "layers": layers}


def saturation(lines: Sequence[Mapping[str, Any]], specs: Sequence[LayerSpec]) -> pd.DataFrame:
    """Share of rows whose chosen sets, both of them, are those of the last snapshot.

    lines: what `choices` returned, each with its step. Columns: see COLUMNS; target is the task in
    a task layer, else "". A line that does not fit the layers is left out.
    """
    found = []
    for spec in specs:
        steps = [(line.get("step"), line) for line in lines]
        read = [(step, _read(line, spec)) for step, line in steps
                if isinstance(step, int) and abs(step) < 2**53]  # fmt: skip
        known = [(step, masks) for step, masks in read if masks is not None]
        known = [(step, masks) for step, masks in known if masks.shape == known[-1][1].shape]
        for step, masks in known:
            same = (masks == known[-1][1]).all((2, 3))  # (T, rows)
            for target, of_target in enumerate(same):
                name = spec.gates[target] if spec.kind == "task" else ""
                found.append((step, spec.name, name, len(of_target), float(of_target.mean())))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _masks(routing: Routing) -> np.ndarray:
    """Return both chosen sets, (T, rows, 2, n) bool."""
    chosen = routing.selection
    specific = chosen.specific if chosen.specific.dim() == 3 else chosen.specific.unsqueeze(0)
    both = torch.stack([specific, chosen.shared.expand_as(specific)], dim=2)
    masks: np.ndarray = both.cpu().numpy()
    return masks


def _read(line: Mapping[str, Any], spec: LayerSpec) -> np.ndarray | None:
    targets = len(spec.gates) if spec.kind == "task" else 1
    rows = line.get("rows")
    if not isinstance(rows, int):
        return None
    try:
        shape = (targets, rows, 2, spec.experts)
        bits = np.unpackbits(np.frombuffer(base64.b64decode(line["layers"][spec.name]), np.uint8))
        size = math.prod(shape)
        fits = size > 0 and 0 <= len(bits) - size < 8
        return bits[:size].reshape(shape).astype(bool) if fits else None
    except (KeyError, TypeError, ValueError):
        return None
