"""How interventions choose experts, in the place of `select`."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.layers.selection import Gates, Selection, select
from aesm2.models.aesm2 import InterveneIn
from aesm2.routing.interventions.plan import Plan, level_of, place_of, plans
from aesm2.routing.interventions.values import Interventions, Noise, Swap
from aesm2.routing.shares import RoleName
from aesm2.routing.trace import LayerSpec

NOISE_BLOCK = 1024  # rows whose noise is drawn together, wherever chunks begin


def intervene(
    layers: Sequence[LayerSpec],
    interventions: Interventions,
    positions: np.ndarray | None = None,
) -> InterveneIn:
    """Return what takes the place of `select` in `AESM2.forward(…, intervene=…)`.

    It serves one pass over rows in their order, however they are cut into chunks: make a new one
    for the next pass. positions: of the rows among those of which they are a part, which decide
    their noise; by default 0, 1, 2, … A Swap changes the batch, see `swapped`, and nothing here.
    Raises InputError as `validate` does.
    """
    planned = plans(layers, interventions)
    noises = [own for own in interventions if isinstance(own, Noise)]
    seen = [0] * len(layers)

    def choose(number: int, gates: Gates) -> tuple[Gates, Selection]:
        start, rows = seen[number], len(gates.logits)
        seen[number] += rows
        where = np.arange(start, start + rows) if positions is None else positions[start:][:rows]
        for noise in noises:
            added = noise.scale * gates.logits.shape[1] * draw(noise, number, where, gates.logits)
            gates = gates._replace(logits=gates.logits + added)
        plan = planned[number]
        return (gates, select(*gates)) if plan is None else _chosen(gates, plan)

    return choose


def swapped(batch: Batch, layers: Sequence[LayerSpec], interventions: Interventions) -> Batch:
    """Return the batch with every Swap made to all its rows."""
    scenarios = batch.scenarios.clone()
    for own in interventions:
        if isinstance(own, Swap):
            spec = level_of(layers, own.level)
            scenarios[:, spec.level] = place_of(own.scenario, spec.gates, own.level)
    return replace(batch, scenarios=scenarios)


def draw(noise: Noise, layer: int, positions: np.ndarray, like: Tensor) -> Tensor:
    """Draw standard normal noise for rows by their positions: (rows, n, m), on like's device."""
    shape = (NOISE_BLOCK, *like.shape[1:])
    drawn = np.empty((len(positions), *like.shape[1:]), np.float32)
    block, place = positions // NOISE_BLOCK, positions % NOISE_BLOCK
    for number in np.unique(block):
        generator = np.random.default_rng([noise.seed, layer, int(number)])
        own = block == number
        drawn[own] = generator.standard_normal(shape, np.float32)[place[own]]
    return torch.from_numpy(drawn).to(like)


def _chosen(gates: Gates, plan: Plan) -> tuple[Gates, Selection]:
    if plan.target is not None:
        target = torch.zeros_like(gates.target)
        target[..., plan.target] = True
        gates = gates._replace(target=target)
    gates = gates._replace(specific=plan.specific, shared=plan.shared)
    whole = select(*gates)  # for the divergences of all experts
    if plan.fixed is not None:
        sets = plan.fixed.specific, plan.fixed.shared
        gates = gates._replace(specific=len(set(sets[0])), shared=len(set(sets[1])))
        specific, shared = (
            _members(like, own)
            for like, own in zip((whole.specific, whole.shared), sets, strict=True)
        )
    else:
        specific, shared = _role(gates, plan, "specific"), _role(gates, plan, "shared")
    own = torch.where(gates.target.unsqueeze(-2), gates.logits, 0.0).sum(-1)  # g_j
    weights = own.masked_fill(~(specific | shared), -math.inf).softmax(-1)
    return gates, Selection(whole.kl_specific, whole.kl_shared, specific, shared, weights)


def _role(gates: Gates, plan: Plan, role: RoleName) -> Tensor:
    """Mask of a set: the forced, and the best of those that are free to be chosen."""
    n, forced = gates.logits.shape[1], plan.forced[role]
    free = [k for k in range(n) if k not in plan.out and k not in forced]
    k = plan.k(role) - len(forced)
    ks = (k, 0) if role == "specific" else (0, k)
    part = select(gates.logits[:, free], gates.target, *ks)
    mask = _widened(part.specific if role == "specific" else part.shared, free, n)
    mask[..., list(forced)] = True
    return mask


def _members(like: Tensor, experts: tuple[int, ...]) -> Tensor:
    mask = torch.zeros_like(like)
    mask[..., list(experts)] = True
    return mask


def _widened(values: Tensor, experts: list[int], n: int) -> Tensor:
    """Put values of some experts into their places among all, 0 or False elsewhere."""
    wide = values.new_zeros(*values.shape[:-1], n)
    wide[..., experts] = values
    return wide
