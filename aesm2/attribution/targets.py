"""What is attributed to features: one number that the model computes for a row.

Axes: rows; n experts; m gates; T tasks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from aesm2.errors import InputError, nearest
from aesm2.layers.moe import Routing
from aesm2.layers.selection import Selection, shared_divergence
from aesm2.models import AESM2, Model, Output
from aesm2.routing.shares import RoleName
from aesm2.routing.trace import LayerSpec, layer_specs


@dataclass(frozen=True)
class Probability:
    """A task's probability along its chain (Eq. 18 and §4.1)."""

    task: str


@dataclass(frozen=True)
class Logit:
    """Log-odds of a task given the task it follows: its tower before the sigmoid (Eq. 18)."""

    task: str


@dataclass(frozen=True)
class Score:
    """An expert's divergence, in nats: what the choice of experts goes by; the lower, the closer.

    role: "specific", KL(p_j, G̃[k, :]) (Eq. 11), or "shared", KL(q, G̃[k, :]) (Eq. 13).
    task: whose choice, in a task layer, where the role is "specific".
    """

    layer: str
    expert: int
    role: RoleName
    task: str = ""


@dataclass(frozen=True)
class GateLogit:
    """G[k, j], the raw score of an expert at a gate (Eq. 7–8).

    gate: its name, by default the row's own; a task layer needs one.
    """

    layer: str
    expert: int
    gate: str = ""


@dataclass(frozen=True)
class Margin:
    """How clearly the row's choice was made: the lowest score left out minus the highest chosen.

    At the row it is the (K+1)-th score minus the K-th, in the closed forms that selection ranks
    by: for "specific" the logit margin logsumexp_{i≠j} g_i − g_j, for "shared" KL in nats. The set
    chosen is the row's: elsewhere the margin is negative exactly where another one would be chosen.
    task: as in `Score`.
    """

    layer: str
    role: RoleName
    task: str = ""


Target = Probability | Logit | Score | GateLogit | Margin
Read = Callable[[Output, Sequence[Selection]], Tensor]


class Reader(NamedTuple):
    """A target of one model.

    read: (output, what the rows had chosen in each layer) → (rows,). layers: how many of the first
    layers make choices that it depends on. tasks: whose choices in the last task layer, None: all.
    unit: of its values, in words.
    """

    read: Read
    layers: int
    tasks: tuple[int, ...] | None
    unit: str


def reader(target: Target, model: Model) -> Reader:
    """Make a target readable; InputError where the model has no such thing."""
    if not isinstance(model, AESM2):
        raise InputError(
            f"model '{model.config.name}' has no expert selection to explain: attribution is for"
            " AESM² models"
        )
    match target:
        case Probability() | Logit():
            return _prediction(target, model)
        case Score():
            return _score(target, model)
        case GateLogit():
            return _gate_logit(target, model)
        case Margin():
            return _margin(target, model)


def _prediction(target: Probability | Logit, model: AESM2) -> Reader:
    task, layers = _task(target.task, model), len(model.layers)
    if isinstance(target, Logit):
        return Reader(lambda output, _: output.logits[:, task], layers, (task,), "log-odds")
    chain = [task]
    while (parent := model.schema.parents[chain[-1]]) >= 0:
        chain.append(parent)
    return Reader(
        lambda output, _: output.log_probability[:, task].exp(), layers, tuple(chain), "probability"
    )


def _score(target: Score, model: AESM2) -> Reader:
    number, spec = _layer(target.layer, model)
    expert = _expert(target.expert, spec)
    task = _chooser(target, spec, model)
    _several_gates(spec)

    def read(output: Output, _: Sequence[Selection]) -> Tensor:
        found = output.routings[number].selection
        if target.role == "shared":
            return found.kl_shared[:, expert]
        return (found.kl_specific if task is None else found.kl_specific[task])[:, expert]

    return Reader(read, number, None, "nats")


def _gate_logit(target: GateLogit, model: AESM2) -> Reader:
    number, spec = _layer(target.layer, model)
    expert = _expert(target.expert, spec)
    if target.gate not in spec.gates and (target.gate or spec.kind == "task"):
        raise InputError(
            f"layer '{spec.name}' has no gate '{target.gate}'{nearest(target.gate, spec.gates)}"
            f" (gates: {', '.join(spec.gates)})"
        )

    def read(output: Output, _: Sequence[Selection]) -> Tensor:
        routing = output.routings[number]
        row = routing.gate_logits[:, expert]  # (rows, m)
        if target.gate:
            return row[:, spec.gates.index(target.gate)]
        return row.gather(1, routing.target.unsqueeze(1)).squeeze(1)

    return Reader(read, number, None, "gate logit")


def _margin(target: Margin, model: AESM2) -> Reader:
    number, spec = _layer(target.layer, model)
    task = _chooser(target, spec, model)
    _several_gates(spec)
    k = spec.specific if target.role == "specific" else spec.shared
    if not 0 < k < spec.experts:
        raise InputError(
            f"layer '{spec.name}' chooses {k} of {spec.experts} experts as {target.role}: there is"
            " no margin between chosen and left out"
        )

    def read(output: Output, chosen: Sequence[Selection]) -> Tensor:
        routing, own = output.routings[number], chosen[number]
        if target.role == "shared":
            score, mask = shared_divergence(routing.gate_logits), own.shared
        else:
            score = _logit_margin(routing, task)
            mask = own.specific if task is None else own.specific[task]
        left_out = score.masked_fill(mask, math.inf).amin(-1)
        return left_out - score.masked_fill(~mask, -math.inf).amax(-1)

    return Reader(read, number, None, "nats" if target.role == "shared" else "logits")


def _logit_margin(routing: Routing, task: int | None) -> Tensor:
    """logsumexp of the other gates minus the own one, which ranks as KL(p_j, ·) does: (rows, n)."""
    logits = routing.gate_logits
    rows, experts, _ = logits.shape
    own = routing.target if task is None else torch.full((rows,), task, device=logits.device)
    index = own.view(-1, 1, 1).expand(-1, experts, 1)
    others = logits.scatter(2, index, -math.inf).logsumexp(-1)
    return others - logits.gather(2, index).squeeze(2)


def _layer(name: str, model: AESM2) -> tuple[int, LayerSpec]:
    specs = layer_specs(model)
    for number, spec in enumerate(specs):
        if spec.name == name:
            return number, spec
    raise InputError(f"no layer '{name}' (layers: {', '.join(spec.name for spec in specs)})")


def _task(name: str, model: AESM2) -> int:
    tasks = model.schema.tasks
    if name not in tasks:
        raise InputError(f"no task '{name}'{nearest(name, tasks)} (tasks: {', '.join(tasks)})")
    return tasks.index(name)


def _expert(number: int, spec: LayerSpec) -> int:
    if not 0 <= number < spec.experts:
        raise InputError(
            f"layer '{spec.name}' has no expert {number}: its experts are 0 to {spec.experts - 1}"
        )
    return number


def _chooser(target: Score | Margin, spec: LayerSpec, model: AESM2) -> int | None:
    """Whose choice is meant: the task in a task layer; None where a row has one choice."""
    if target.role not in ("specific", "shared"):
        raise InputError(f"no role '{target.role}': an expert is 'specific' or 'shared'")
    if spec.kind == "scenario" or target.role == "shared":
        return None
    return _task(target.task, model)


def _several_gates(spec: LayerSpec) -> None:
    if len(spec.gates) == 1:
        raise InputError(
            f"layer '{spec.name}' has one gate: every divergence is 0 whatever the features are;"
            " explain a gate logit, or another layer"
        )
