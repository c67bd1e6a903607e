"""How close each call was: from the last expert taken to the first one left.

Axes: rows; n experts; m gates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.selection import shared_divergence
from aesm2.models import Model
from aesm2.routing.trace import LayerSpec, LayerTrace, layer_specs

Choosing = Literal["specific", "shared"]
CHOOSING: tuple[Choosing, ...] = ("specific", "shared")


@dataclass(frozen=True)
class Scores:
    """What both choices rank experts by, in float64; each (rows, n), lower is chosen.

    against: logsumexp_{i≠j} g_i − g_j, in gate logits: the order of the specific choice, which
    never saturates. kl_specific, kl_shared: nats (Eq. 11 and 13).
    """

    against: Tensor
    kl_specific: Tensor
    kl_shared: Tensor

    def of(self, choosing: Choosing) -> Tensor:
        """Return the divergence of a choice."""
        return self.kl_specific if choosing == "specific" else self.kl_shared


@dataclass(frozen=True)
class Calls:
    """How close one choice of one layer was, for every row; each array is (rows,).

    task: index of the task it is made for, None where it is the same for all. taken: the expert
    taken last, K-th best. left: the first one left, K+1-th best. nats: difference of their
    divergences, which rounding may put at 0. logits: difference of their own gate logit over the
    logsumexp of the others, NaN in the shared choice, which has no gate of its own.
    """

    spec: LayerSpec
    task: int | None
    choosing: Choosing
    taken: np.ndarray
    left: np.ndarray
    nats: np.ndarray
    logits: np.ndarray


def has_choice(spec: LayerSpec, choosing: Choosing) -> bool:
    """Whether there is something to choose: more than one gate, and an expert taken and one left.

    One gate makes every divergence 0, so that each row takes the first experts.
    """
    return len(spec.gates) > 1 and 0 < k_of(spec, choosing) < spec.experts


def k_of(spec: LayerSpec, choosing: Choosing) -> int:
    """Return K of a choice."""
    return spec.specific if choosing == "specific" else spec.shared


def scores(gate_logits: Tensor, target: Tensor) -> Scores:
    """Score every expert in float64 by the closed forms of `layers.selection`.

    gate_logits: G, (rows, n, m), m ≥ 2. target: j, (rows,) integer.
    """
    logits = gate_logits.double()
    own = F.one_hot(target.long(), logits.shape[-1]).bool().unsqueeze(1)  # (rows, 1, m)
    others = logits.masked_fill(own, -torch.inf).logsumexp(-1)
    against = others - logits.masked_fill(~own, 0.0).sum(-1)
    return Scores(against, F.softplus(against), shared_divergence(logits).clamp(min=0))


def layer_calls(layer: LayerTrace, task: int) -> tuple[Calls, ...]:
    """Return how close the choices of a traced layer were, for task `task` in a task layer."""
    own = layer.of_task(task)
    named = task if layer.kind == "task" else None
    return _both(layer.spec, named, own.gate_logits, own.target, own.specific, own.shared)


def calls(model: Model, batch: Batch) -> tuple[Calls, ...]:
    """Return how close every choice of every layer was; memory does not grow with the width.

    In order of computation; a task layer has a specific choice a task, and one shared by all.
    Raises InputError for a model without expert selection.
    """
    specs = layer_specs(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to measure")
    parts: list[list[Calls]] = []
    for _, output in outputs(model, batch):
        found: list[Calls] = []
        for spec, routing in zip(specs, output.routings, strict=True):
            logits, selection = routing.gate_logits, routing.selection
            if spec.kind == "scenario":
                masks = selection.specific, selection.shared
                found += _both(spec, None, logits, routing.target, *masks)
                continue
            for task in range(len(spec.gates)):
                target = torch.full((len(logits),), task, device=logits.device)
                both = _both(spec, task, logits, target, selection.specific[task], selection.shared)
                found += [call for call in both if call.choosing == "specific"]
            found += [replace(call, task=None) for call in both if call.choosing == "shared"]
        parts.append(found)
    if not parts:
        raise InputError("no rows to measure")
    return tuple(_joined(same) for same in zip(*parts, strict=True))


def closest(found: Sequence[Calls], kept: Sequence[np.ndarray], count: int) -> pd.DataFrame:
    """Return the `count` closest of some calls, the closest first; of equal ones the earlier row.

    kept: for each of `found`, which of its rows count, (rows,) bool. Columns: position (of the
    row), layer, task (None where it is the same for all), choice, taken, left, nats, logits.
    """
    parts = []
    for call, rows in zip(found, kept, strict=True):
        position = np.flatnonzero(rows)
        first = position[np.argsort(call.nats[position], kind="stable")[:count]]
        parts.append(
            pd.DataFrame(
                {
                    "position": first, "layer": call.spec.name,
                    "task": pd.Series([call.task] * len(first), dtype=object),
                    "choice": call.choosing, "taken": call.taken[first], "left": call.left[first],
                    "nats": call.nats[first], "logits": call.logits[first],
                }
            )
        )  # fmt: skip
    every = pd.concat(parts, ignore_index=True)
    return every.sort_values(["nats", "position"], kind="stable", ignore_index=True).head(count)


def _both(
    spec: LayerSpec, task: int | None, logits: Tensor, target: Tensor, specific: Tensor,
    shared: Tensor,
) -> tuple[Calls, ...]:  # fmt: skip
    kept = [choosing for choosing in CHOOSING if has_choice(spec, choosing)]
    if not kept:
        return ()
    scored = scores(logits, target)
    make: dict[Choosing, Callable[[], Calls]] = {
        "specific": lambda: _calls(spec, task, "specific", scored, scored.against, specific),
        "shared": lambda: _calls(spec, task, "shared", scored, scored.kl_shared, shared),
    }
    return tuple(make[choosing]() for choosing in kept)


def _calls(
    spec: LayerSpec, task: int | None, choosing: Choosing, scored: Scores, order: Tensor,
    mask: Tensor,
) -> Calls:  # fmt: skip
    taken = order.masked_fill(~mask, -torch.inf).argmax(-1, keepdim=True)
    left = order.masked_fill(mask, torch.inf).argmin(-1, keepdim=True)

    def difference(of: Tensor) -> np.ndarray:
        gap: np.ndarray = (of.gather(-1, left) - of.gather(-1, taken)).squeeze(-1).cpu().numpy()
        return gap.clip(min=0)  # float32 may have ranked what float64 tells apart by a hair

    nats = difference(scored.of(choosing))
    logits = difference(order) if choosing == "specific" else np.full_like(nats, np.nan)
    last, first = (part.squeeze(-1).cpu().numpy() for part in (taken, left))
    return Calls(spec, task, choosing, last, first, nats, logits)


def _joined(parts: tuple[Calls, ...]) -> Calls:
    first = parts[0]
    taken, left, nats, logits = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("taken", "left", "nats", "logits")
    )
    return replace(first, taken=taken, left=left, nats=nats, logits=logits)
