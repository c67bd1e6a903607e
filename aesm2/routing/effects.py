"""What interventions do to a set of rows: predictions, chosen sets, AUC and log loss.

Axes: S scenarios, see `data.scenarios.scopes`; T tasks, or targets of a layer (1 in a scenario
layer). Rows are counted in the scenario they come from, also where it is swapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from aesm2.data.batch import Batch
from aesm2.data.scenarios import scope_groups, scopes
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.metrics import wilson
from aesm2.models import Model
from aesm2.models.aesm2 import InterveneIn
from aesm2.paired import paired
from aesm2.routing.interventions import Interventions, intervene, swapped, validate
from aesm2.routing.trace import LayerSpec, RoutingTrace, layer_specs, trace


@dataclass(frozen=True)
class Moved:
    """Whose chosen sets changed in one layer: specific (T, rows) and shared (rows,), bool."""

    spec: LayerSpec
    specific: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True)
class Effect:
    """Rows before and after. before, after: probabilities along the chain, (rows, T).

    scenarios: the rows' own, (rows, levels). labels: (rows, T), or None. moved: one a layer.
    """

    schema: Schema
    scenarios: np.ndarray
    labels: np.ndarray | None
    before: np.ndarray
    after: np.ndarray
    moved: tuple[Moved, ...]

    def __len__(self) -> int:
        return len(self.before)

    def flips(self) -> pd.DataFrame:
        """Return the flip rate: the share of rows whose chosen sets changed.

        One line a layer, target (task, or "") and scenario. Columns: layer, target, scope,
        scenario, rows, specific and shared (rows whose E_sp or E_sh changed), flipped (either),
        share, low and high (Wilson's 95 % interval); NaN without rows.
        """
        groups = scope_groups(self.schema, self.scenarios)
        rows = _counted(np.ones(len(self), bool), groups)
        lines = []
        for own in self.moved:
            targets = own.spec.gates if own.spec.kind == "task" else ("",)
            for target, specific in zip(targets, own.specific, strict=True):
                flipped = _counted(specific | own.shared, groups)
                low, high = wilson(flipped, rows)
                with np.errstate(invalid="ignore"):
                    share = flipped / rows
                columns = {
                    "rows": rows, "specific": _counted(specific, groups),
                    "shared": _counted(own.shared, groups), "flipped": flipped,
                    "share": share, "low": low, "high": high,
                }  # fmt: skip
                named = pd.DataFrame(scopes(self.schema), columns=["scope", "scenario"])
                named.insert(0, "target", target)
                named.insert(0, "layer", own.spec.name)
                lines.append(named.assign(**columns))
        return pd.concat(lines, ignore_index=True)

    def measures(self) -> pd.DataFrame:
        """Return how AUC × 100 and log loss (nats) change: one line a scenario and task.

        Columns: scope, scenario, task, n, positives, auc, auc_change with _low and _high,
        log_loss, log_loss_change with _low and _high; see `Paired.against`.
        Raises InputError for rows without labels.
        """
        if self.labels is None:
            raise InputError("these rows have no labels, so there is nothing to measure on them")
        groups = scope_groups(self.schema, self.scenarios)
        parts = []
        for t, task in enumerate(self.schema.tasks):
            own = paired(self.labels[:, t], self.before[:, t], groups)
            found = own.against(self.after[:, t])
            area, loss = (np.concatenate(kind, axis=-1) for kind in zip(*found, strict=True))
            one = pd.DataFrame(scopes(self.schema), columns=["scope", "scenario"]).assign(task=task)
            for name, factor in (("n", 1), ("positives", 1), ("auc", 100.0), ("log_loss", 1.0)):
                one[name] = factor * np.concatenate([getattr(g, name) for g in own.groupings])
            for name, values in (("auc", 100.0 * area), ("log_loss", loss)):
                one[f"{name}_change"], one[f"{name}_low"], one[f"{name}_high"] = values
            parts.append(one)
        return pd.concat(parts, ignore_index=True)


def effect(
    model: Model, batch: Batch, interventions: Interventions, positions: np.ndarray | None = None
) -> Effect:
    """Predict rows as they are and under interventions; positions: see `intervene`.

    Raises InputError for a model without selection, no rows, or what `validate` refuses.
    """
    specs = _specs(model, interventions)
    if not len(batch):
        raise InputError("no rows to intervene on")
    before, masks = _run(model, batch, None)
    other = swapped(batch, specs, interventions)
    after, new_masks = _run(model, other, intervene(specs, interventions, positions))
    pairs = zip(specs, masks, new_masks, strict=True)
    moved = tuple(
        Moved(spec, *(_differs(old, new) for old, new in zip(a, b, strict=True)))
        for spec, a, b in pairs
    )
    labels = None if batch.labels is None else batch.labels.cpu().numpy()
    return Effect(model.schema, batch.scenarios.cpu().numpy(), labels, before, after, moved)


def traces(
    model: Model,
    batch: Batch,
    index: pd.Index,
    interventions: Interventions,
    positions: np.ndarray | None = None,
) -> tuple[RoutingTrace, RoutingTrace]:
    """Trace rows as they are and under interventions; positions: see `intervene`.

    Raises InputError for a model without selection, no rows, or what `validate` refuses.
    """
    specs = _specs(model, interventions)
    other = swapped(batch, specs, interventions)
    choose = intervene(specs, interventions, positions)
    return trace(model, batch, index), trace(model, other, index, choose)


def _specs(model: Model, interventions: Interventions) -> tuple[LayerSpec, ...]:
    specs = layer_specs(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to intervene in")
    validate(specs, interventions)
    return specs


Masks = list[tuple[torch.Tensor, torch.Tensor]]  # of a layer: (T, rows, n) and (rows, n)


def _run(model: Model, batch: Batch, choose: InterveneIn | None) -> tuple[np.ndarray, Masks]:
    probabilities, chunks = [], []
    for _, output in outputs(model, batch, intervene=choose):
        probabilities.append(output.log_probability.exp().cpu())
        chosen = [routing.selection for routing in output.routings]
        chunks.append(
            [(s.specific.view(-1, *s.shared.shape).cpu(), s.shared.cpu()) for s in chosen]
        )
    layers = zip(*chunks, strict=True)
    masks = [
        (torch.cat([sp for sp, _ in own], 1), torch.cat([sh for _, sh in own])) for own in layers
    ]
    return torch.cat(probabilities).numpy(), masks


def _differs(old: torch.Tensor, new: torch.Tensor) -> np.ndarray:
    differs: np.ndarray = (old != new).any(-1).numpy()
    return differs


def _counted(marked: np.ndarray, groups: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Count marked rows of each scenario, (S,)."""
    return np.concatenate([np.bincount(own[marked], minlength=count) for own, count in groups])
