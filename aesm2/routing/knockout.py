"""Causal importance: what every expert is worth, by knocking each one out in a single sweep.

A row that does not choose an expert keeps its prediction where that expert is knocked out. So for
each expert only the rows that chose it are computed again, and only from the next layer on: what
all experts of its own layer make of a row is computed once and mixed anew.

Axes: X experts of all layers, in order; S scenarios, see `data.scenarios.scopes`; T tasks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from aesm2.data.batch import Batch
from aesm2.data.scenarios import scope_groups, scopes
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.inference import CHUNK, outputs
from aesm2.layers.experts import Experts
from aesm2.layers.moe import Routing
from aesm2.layers.selection import Selection, select
from aesm2.models import AESM2, Model
from aesm2.models.output import Output
from aesm2.paired import Change, Paired, paired
from aesm2.routing.trace import LayerSpec, layer_specs

Progress = Callable[[float], object]
"""Told the share of the work that is done, from 0 to 1."""
MOST_NUMBERS = 2**25  # kept of the experts of a layer at a time
PREDICTING = 0.75  # share of the work that is prediction; the rest is measuring


@dataclass(frozen=True)
class Knockouts:
    """What changes where an expert is knocked out, for every expert, scenario and task.

    experts: (layer, expert) of each of the X. scopes: (scope, scenario) of each of the S: all rows,
    then the scenarios of each level.
    rows: (S,). n, positives: rows with a label, and positives, (S, T). auc, log_loss: of the model
    as it is, (S, T). share: of the scenario's rows, those that choose the expert, (X, S).
    auc_change, log_loss_change: after minus before, and low and high of their 95 % intervals,
    (X, S, T). NaN where undefined: a class is missing, or the expert is the only one of its layer.
    """

    experts: tuple[tuple[str, int], ...]
    scopes: tuple[tuple[str, str], ...]
    tasks: tuple[str, ...]
    rows: np.ndarray
    n: np.ndarray
    positives: np.ndarray
    auc: np.ndarray
    log_loss: np.ndarray
    share: np.ndarray
    auc_change: np.ndarray
    auc_low: np.ndarray
    auc_high: np.ndarray
    log_loss_change: np.ndarray
    log_loss_low: np.ndarray
    log_loss_high: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """Return one line an expert, scenario and task.

        Columns: layer, expert, scope, scenario, task, n, positives, share, and in points of AUC ×
        100 and in nats: auc and log_loss (of the model as it is), auc_change and log_loss_change
        (after minus before) with _low and _high.
        """
        shape = self.auc_change.shape
        x, s, t = (axis.ravel() for axis in np.indices(shape))

        def spread(values: np.ndarray) -> np.ndarray:
            wide: np.ndarray = np.broadcast_to(values, shape).ravel()
            return wide

        columns: dict[str, object] = {
            "layer": [self.experts[i][0] for i in x],
            "expert": [self.experts[i][1] for i in x],
            "scope": [self.scopes[i][0] for i in s],
            "scenario": [self.scopes[i][1] for i in s],
            "task": [self.tasks[i] for i in t],
            "n": spread(self.n),
            "positives": spread(self.positives),
            "share": spread(self.share[:, :, None]),
        }
        for name in ("auc", "auc_change", "auc_low", "auc_high"):
            columns[name] = 100.0 * spread(getattr(self, name))
        for name in ("log_loss", "log_loss_change", "log_loss_low", "log_loss_high"):
            columns[name] = spread(getattr(self, name))
        return pd.DataFrame(columns)


def knockouts(model: Model, batch: Batch, progress: Progress | None = None) -> Knockouts:
    """Knock out every expert of every layer, one at a time, and measure what changes.

    batch: labelled rows. Memory grows with experts × rows.
    Raises InputError for a model without selection, and for rows without labels.
    """
    if batch.labels is None or not len(batch):
        raise InputError("knocking out needs rows with labels: what changes is measured on them")
    told = progress or (lambda _: None)
    found = without_each(model, batch, lambda share: told(PREDICTING * share))
    return _measured(model.schema, layer_specs(model), batch, found, told)


class Without(NamedTuple):
    """Predictions as they are, and where each of the X experts is knocked out.

    before: (rows, T) float32. after: (X, rows, T) float32. chosen: who chose the expert, (X, rows);
    the others' predictions are those before.
    """

    before: np.ndarray
    after: np.ndarray
    chosen: np.ndarray


def without_each(model: Model, batch: Batch, progress: Progress | None = None) -> Without:
    """Predict rows as they are and without each expert, X as in `Knockouts`.

    Memory grows with experts × rows. Raises InputError for a model without selection.
    """
    if not isinstance(model, AESM2):
        raise InputError(f"model '{model.config.name}' has no expert selection to knock out of")
    told = progress or (lambda _: None)
    experts = [(spec, k) for spec in layer_specs(model) for k in range(spec.experts)]
    before = np.empty((len(batch), len(model.schema.tasks)), np.float32)
    after = np.empty((len(experts), *before.shape), np.float32)
    chosen = np.zeros((len(experts), len(batch)), bool)
    start = 0
    chunk = _chunk(model)
    for part, output in outputs(model, batch, chunk):
        rows = slice(start, start + len(part))
        before[rows] = output.log_probability.exp().cpu()
        after[:, rows] = before[rows]
        for x, own, changed in _without_each(model, part, output):
            chosen[x, rows] = own.cpu()
            after[x, rows][chosen[x, rows]] = changed.cpu()
        start += len(part)
        told(start / len(batch))
    return Without(before, after, chosen)


def _chunk(model: AESM2) -> int:
    """Rows a chunk, so that the outputs of all experts of a layer take 128 MB at most."""
    most = max(spec.experts * spec.width for spec in layer_specs(model)) * len(model.schema.tasks)
    return min(CHUNK, max(1, MOST_NUMBERS // most))


@torch.no_grad()
def _without_each(
    model: AESM2, part: Batch, output: Output
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (x, mask of the rows that chose expert x, their probabilities without it)."""
    x, inputs = 0, _first_input(model, part)
    experts = [layer.experts for layer in (*model.scenario_layers, *model.task_layers)]
    for number, (spec, routing) in enumerate(zip(layer_specs(model), output.routings, strict=True)):
        made = _expert_outputs(experts[number], inputs)
        target = _target(spec, routing)
        more = select(routing.gate_logits, target, *_one_more(spec))
        own = torch.where(target.unsqueeze(-2), routing.gate_logits, 0.0).sum(-1)  # g_j
        both = routing.selection.specific | routing.selection.shared
        chosen = both.view(-1, *both.shape[-2:]).any(0)  # by any task, (rows, n)
        for expert, taken in enumerate(chosen.t()):
            rows = taken.nonzero().flatten()
            if len(rows) and spec.experts > 1:
                old, spare = _of(routing.selection, rows), _of(more, rows)
                weights = _weights(own.index_select(-2, rows), old, spare, expert)
                mixed = torch.einsum("...n,...nw->...w", weights, made.index_select(-3, rows))
                rest = model.from_layer(number + 1, mixed, part.scenarios[rows])
                yield x, taken, rest.log_probability.exp()
            x += 1
        inputs = routing.output


def _first_input(model: AESM2, part: Batch) -> Tensor:
    x: Tensor = model.embedding(part.fields, part.numbers)
    if not model.config.scenario_features:
        return x
    embedded = zip(model.scenario_embedding, part.scenarios.unbind(1), strict=True)
    return torch.cat([x, *(table(own) for table, own in embedded)], dim=1)


def _expert_outputs(experts: Experts, inputs: Tensor) -> Tensor:
    """What every expert makes of the layer's input: (…, rows, inputs) → (…, rows, n, width)."""
    made = experts.outputs(inputs.flatten(0, -2))
    return made.view(*inputs.shape[:-1], *made.shape[1:])


def _target(spec: LayerSpec, routing: Routing) -> Tensor:
    """p_j of a layer: (rows, m), or (T, 1, T) in a task layer."""
    one_hot = F.one_hot(routing.target.long(), len(spec.gates)).bool()
    return one_hot.unsqueeze(1) if spec.kind == "task" else one_hot


def _one_more(spec: LayerSpec) -> tuple[int, int]:
    """K + 1 in each role: so many are chosen that one is there for whoever goes."""
    return min(spec.specific + 1, spec.experts), min(spec.shared + 1, spec.experts)


def _weights(own: Tensor, old: Selection, more: Selection, expert: int) -> Tensor:
    """Mixing weights without an expert; own: g_j. old: K experts a role, more: K + 1."""
    specific = _dropped(old.specific, more.specific, expert)
    shared = _dropped(old.shared, more.shared, expert)
    return own.masked_fill(~(specific | shared), -math.inf).softmax(-1)


def _dropped(old: Tensor, more: Tensor, expert: int) -> Tensor:
    """Take an expert out of a set of K; where it was in, the K + 1st moves up."""
    mask = torch.where(old[..., expert : expert + 1], more, old)
    mask[..., expert] = False
    return mask


def _of(selection: Selection, rows: Tensor) -> Selection:
    return Selection(*(values.index_select(-2, rows) for values in selection))


def _measured(
    schema: Schema,
    specs: Sequence[LayerSpec],
    batch: Batch,
    found: Without,
    told: Progress,
) -> Knockouts:
    before, after, chosen = found
    experts = [(spec, k) for spec in specs for k in range(spec.experts)]
    labels = np.asarray(batch.labels)
    groups = scope_groups(schema, batch.scenarios.numpy())
    tasks = [paired(labels[:, t], before[:, t], groups) for t in range(labels.shape[1])]
    changes = np.empty((2, 3, len(experts), len(scopes(schema)), len(tasks)))
    for x, (spec, _) in enumerate(experts):
        for t, own in enumerate(tasks):
            changes[:, :, x, :, t] = _joined(own.against(after[x, :, t]))
        if spec.experts == 1:
            changes[:, :, x] = np.nan
        told(PREDICTING + (1 - PREDICTING) * (x + 1) / len(experts))
    rows = np.concatenate([np.bincount(own, minlength=count) for own, count in groups])
    takes = [
        np.stack([np.bincount(own, taken, count) for taken in chosen], 0) for own, count in groups
    ]
    with np.errstate(invalid="ignore"):
        share = np.concatenate(takes, axis=1) / rows
    n, positives, auc, log_loss = (
        _figure(tasks, name) for name in ("n", "positives", "auc", "log_loss")
    )
    (auc_change, auc_low, auc_high), (log_loss_change, log_loss_low, log_loss_high) = changes
    return Knockouts(
        tuple((spec.name, expert) for spec, expert in experts), scopes(schema), schema.tasks,
        rows, n, positives, auc, log_loss, share, auc_change, auc_low, auc_high,
        log_loss_change, log_loss_low, log_loss_high,
    )  # fmt: skip


def _figure(tasks: list[Paired], name: str) -> np.ndarray:
    """Return a figure of the rows as they are, (S, T)."""
    columns = [np.concatenate([getattr(g, name) for g in own.groupings]) for own in tasks]
    return np.stack(columns, axis=1)


def _joined(found: list[tuple[Change, Change]]) -> np.ndarray:
    """Put the changes of all groupings together: (AUC and log loss, value and low and high, S)."""
    return np.concatenate([np.asarray(pair) for pair in found], axis=-1)
