"""The same row through another door: what changes where only its scenario or features change.

A scenario is changed in the batch, never in the frame: a column that is both a scenario level and
a feature keeps its value as a feature.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd
import torch

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.data.encoder import Encoder, tasks_exist
from aesm2.errors import InputError, nearest
from aesm2.inference import outputs
from aesm2.routing.trace import LayerTrace, RoutingTrace, trace

Value = str | float | None  # a raw feature value; None is missing


@dataclass(frozen=True)
class Changes:
    """What to change of a row. scenarios: level → scenario. features: feature → raw value."""

    scenarios: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, Value] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.scenarios or self.features)


@dataclass(frozen=True)
class Counterfactual:
    """Traces of the same rows before and after; both without layers for a model without selection.

    batch: the changed rows as the model saw them.
    """

    before: RoutingTrace
    after: RoutingTrace
    batch: Batch


def counterfactual(checkpoint: Checkpoint, frame: pd.DataFrame, changes: Changes) -> Counterfactual:
    """Trace rows as they are and as they would be with `changes`.

    Raises InputError for an unknown level, scenario or feature, or text in a numeric feature.
    """
    batch = checkpoint.encode(frame)
    changed = apply(checkpoint.encoder, frame, batch, changes)
    both = replace(
        batch.repeat(2),
        fields=torch.cat([batch.fields, changed.fields]),
        scenarios=torch.cat([batch.scenarios, changed.scenarios]),
    )
    if batch.numbers is not None and changed.numbers is not None:
        both = replace(both, numbers=torch.cat([batch.numbers, changed.numbers]))
    joint = answer(checkpoint, both, frame.index.append(frame.index))
    rows = len(frame)
    return Counterfactual(
        rows_of(joint, slice(0, rows)), rows_of(joint, slice(rows, None)), changed
    )


def apply(encoder: Encoder, frame: pd.DataFrame, batch: Batch, changes: Changes) -> Batch:
    """Return `batch`, the encoding of `frame`, with `changes` made to every row."""
    fields, scenarios = batch.fields.clone(), batch.scenarios.clone()
    numbers, scaled = batch.numbers, torch.tensor(encoder.schema.numbers)
    names = list(encoder.description.fields)
    for name, value in changes.features.items():
        _require(name, names, "feature")
        column = encoder.description.fields[name].column or name
        cells = pd.Series([value] * len(frame), index=frame.index, dtype=object)
        position = names.index(name)
        encoded = encoder.encode(frame.assign(**{column: cells}))
        fields[:, position] = encoded.fields[:, position]
        if numbers is not None and encoded.numbers is not None:
            numbers = torch.where(scaled == position, encoded.numbers, numbers)
    for position, level in enumerate(encoder.description.level):
        if level.name in changes.scenarios:
            scenario = changes.scenarios[level.name]
            _require(scenario, level.scenarios, f"scenario of level '{level.name}'")
            scenarios[:, position] = level.scenarios.index(scenario)
    for name in changes.scenarios:
        _require(name, [level.name for level in encoder.description.level], "level")
    return Batch(fields, scenarios, None, numbers)


def answer(checkpoint: Checkpoint, batch: Batch, index: pd.Index) -> RoutingTrace:
    """Trace a batch; of a model without expert selection, with its predictions and no layers."""
    if checkpoint.layers:
        return trace(checkpoint.model, batch, index)
    parts = [output for _, output in outputs(checkpoint.model, batch)]
    if not parts:
        raise InputError("no rows to predict")
    logits = torch.cat([part.logits.cpu() for part in parts])
    log_probability = torch.cat([part.log_probability.cpu() for part in parts])
    return RoutingTrace((), index, batch.scenarios.cpu(), logits, log_probability)


def rows_of(whole: RoutingTrace, rows: slice) -> RoutingTrace:
    """Return the trace of some of its rows."""
    return RoutingTrace(
        tuple(_layer_rows(layer, rows) for layer in whole.layers),
        whole.index[rows],
        whole.scenarios[rows],
        whole.logits[rows],
        whole.log_probability[rows],
    )


def predictions(answered: RoutingTrace, checkpoint: Checkpoint) -> pd.DataFrame:
    """One line a row and task.

    Columns: row, task, conditional (given the task it follows, the sigmoid of its logit) and
    probability (along the chain); where a task follows none, both are the same. Both are NaN where
    the task does not exist in the row's scenario.
    """
    tasks = [task.name for task in checkpoint.description.task]
    rows = len(answered)
    exists = _exists(checkpoint.description, answered.scenarios)
    conditional = answered.logits.sigmoid().where(exists, math.nan)
    probability = answered.log_probability.exp().where(exists, math.nan)
    return pd.DataFrame(
        {
            "row": answered.index.repeat(len(tasks)),
            "task": tasks * rows,
            "conditional": conditional.reshape(-1).numpy(),
            "probability": probability.reshape(-1).numpy(),
        }
    )


def doors(checkpoint: Checkpoint, frame: pd.DataFrame) -> pd.DataFrame:
    """Predict one row through every scenario of each level, its features left as they are.

    Columns: level, scenario, own (the row's scenario at that level), and each task's probability,
    NaN where it does not exist. One line a scenario; the other levels keep the row's own scenario.
    """
    if len(frame) != 1:
        raise ValueError(f"doors are for one row, got {len(frame)}")
    batch = checkpoint.encode(frame)
    levels = checkpoint.description.level
    lines = [(i, s) for i, level in enumerate(levels) for s in range(len(level.scenarios))]
    scenarios = batch.scenarios.repeat(len(lines), 1)
    own = batch.scenarios[0].tolist()
    for line, (position, scenario) in enumerate(lines):
        scenarios[line, position] = scenario
    every = replace(batch.repeat(len(lines)), scenarios=scenarios)
    parts = [output.log_probability.exp().cpu() for _, output in outputs(checkpoint.model, every)]
    named = pd.DataFrame(
        {
            "level": [levels[i].name for i, _ in lines],
            "scenario": [levels[i].scenarios[s] for i, s in lines],
            "own": [own[i] == s for i, s in lines],
        }
    )
    tasks = [task.name for task in checkpoint.description.task]
    probability = torch.cat(parts).where(_exists(checkpoint.description, scenarios), math.nan)
    return named.join(pd.DataFrame(probability.numpy(), columns=tasks))


def differences(before: RoutingTrace, after: RoutingTrace, row: int = 0) -> pd.DataFrame:
    """Return which experts entered and left the chosen sets of a row: one line a layer and target.

    Columns: layer, target_before and target_after (names of the gates), entered_specific,
    left_specific, entered_shared, left_shared (tuples of experts), moved_weight (half the sum of
    the absolute differences of the mixing weights, in [0, 1]).
    """
    lines = []
    for old, new in zip(before.layers, after.layers, strict=True):
        for task in range(len(old.gates)) if old.kind == "task" else [0]:
            a, b = old.of_task(task), new.of_task(task)
            weights = a.mixing_weights[row] - b.mixing_weights[row]
            lines.append(
                {
                    "layer": old.name,
                    "target_before": a.gates[int(a.target[row])],
                    "target_after": b.gates[int(b.target[row])],
                    "entered_specific": _members(b.specific[row] & ~a.specific[row]),
                    "left_specific": _members(a.specific[row] & ~b.specific[row]),
                    "entered_shared": _members(b.shared[row] & ~a.shared[row]),
                    "left_shared": _members(a.shared[row] & ~b.shared[row]),
                    "moved_weight": float(weights.abs().sum() / 2),
                }
            )
    return pd.DataFrame(lines)


def features_to_text(features: Mapping[str, Value]) -> str:
    """Write changed features compactly, for an address: `price=5;tag=a%3Bb;city` (city missing)."""
    parts = []
    for name, value in features.items():
        spelt = f"{value:.17g}" if isinstance(value, float) else value
        parts.append(quote(name, safe="") + ("" if spelt is None else f"={quote(spelt, safe='')}"))
    return ";".join(parts)


def features_from_text(text: str, encoder: Encoder) -> dict[str, Value]:
    """Read what `features_to_text` wrote.

    Raises InputError for an unknown feature, or text where a number is needed.
    """
    features: dict[str, Value] = {}
    for part in filter(None, text.split(";")):
        name, given, value = part.partition("=")
        name = unquote(name)
        _require(name, list(encoder.description.fields), "feature")
        numeric = encoder.description.fields[name].kind == "numeric"
        features[name] = parse_value(unquote(value), name, numeric) if given else None
    return features


def parse_value(text: str, name: str, numeric: bool) -> Value:
    """Read a raw feature value: a finite number, or the text itself."""
    if not numeric:
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"'{name}' needs a number, found '{text}'")
    return number


def _exists(described: Description, scenarios: torch.Tensor) -> torch.Tensor:
    """Whether each task exists in each row's scenario: (rows, levels) → (rows, T) bool."""
    return torch.from_numpy(tasks_exist(described, scenarios.numpy()))


def _layer_rows(layer: LayerTrace, rows: slice) -> LayerTrace:
    per_task = layer.kind == "task"

    def of(values: torch.Tensor) -> torch.Tensor:
        return values[:, rows] if per_task else values[rows]

    return LayerTrace(
        spec=layer.spec,
        gate_logits=layer.gate_logits[rows],
        target=layer.target if per_task else layer.target[rows],
        kl_specific=of(layer.kl_specific),
        kl_shared=layer.kl_shared[rows],
        specific=of(layer.specific),
        shared=layer.shared[rows],
        mixing_weights=of(layer.mixing_weights),
        output=of(layer.output),
    )


def _members(mask: torch.Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero().flatten().tolist())


def _require(name: str, known: Any, what: str) -> None:
    if name not in known:
        few = ", ".join(list(known)[:8]) + (", …" if len(known) > 8 else "")
        raise InputError(f"no {what} is called '{name}'{nearest(name, known)} (known: {few})")
