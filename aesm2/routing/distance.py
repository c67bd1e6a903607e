"""Distance between scenarios: how differently they use the experts.

Jensen–Shannon divergence in bits between the distributions of their choices over the experts, from
0 (the same use) to 1 (no expert in common); its square root is a metric, the distance shown.
Axes: S scenarios; n experts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import chi2

from aesm2.routing.shares import LayerShares, RoleName, layer_shares
from aesm2.routing.utilisation import Utilisation

FEW = 30  # rows; below, a scenario's distribution is hardly known
LEVEL = 0.95  # of the noise


@dataclass(frozen=True)
class Distances:
    """Distances between scenarios that have rows.

    by: name of a level or "path". scenarios, rows: names and numbers of rows, (S,). missing: names
    of scenarios without rows. distance: (S, S). noise: what LEVEL of such distances stay below if
    both scenarios use the experts alike, (S, S). tree: average linkage in scipy's form, (S − 1, 4),
    its leaves ordered so that neighbours are close; None for fewer than two scenarios.
    """

    by: str
    scenarios: tuple[str, ...]
    rows: np.ndarray
    missing: tuple[str, ...]
    distance: np.ndarray
    noise: np.ndarray
    tree: np.ndarray | None

    @property
    def order(self) -> list[int]:
        """Scenarios in the order of the tree's leaves."""
        return list(range(len(self.scenarios))) if self.tree is None else _leaves(self.tree)

    @property
    def few(self) -> tuple[str, ...]:
        """Scenarios of fewer than FEW rows."""
        return tuple(s for s, n in zip(self.scenarios, self.rows, strict=True) if n < FEW)


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence in bits, (..., n) and (..., n) → (...)."""
    middle = (p + q) / 2
    bits: np.ndarray = (_kl(p, middle) + _kl(q, middle)) / 2
    return bits.clip(0.0, 1.0)


def scenario_distances(
    utilisation: Utilisation, layers: Sequence[str], roles: Sequence[RoleName], by: str
) -> Distances:
    """Measure the distances between scenarios by their use of the experts of some layers.

    Over several layers, roles and tasks the divergences are averaged: each layer counts the same,
    and so does each role and task within it. by: name of a level or "path".
    """
    parts = [layer_shares(utilisation, name, by) for name in layers]
    rows = parts[0].rows
    there = rows > 0
    count = int(there.sum())
    squared, noise = np.zeros((count, count)), np.zeros((count, count))
    used = [blocks for part in parts if (blocks := _blocks(part, roles))]
    for blocks in used:
        for counts in blocks:
            weight = 1 / (len(blocks) * len(used))
            p = counts[there] / counts[there].sum(-1, keepdims=True)
            squared += weight * divergence(p[:, None], p[None, :])
            noise += weight * _noise(counts[there])
    distance = np.sqrt(squared)
    names = parts[0].scenarios
    return Distances(
        by,
        tuple(name for name, here in zip(names, there, strict=True) if here),
        rows[there],
        tuple(name for name, here in zip(names, there, strict=True) if not here),
        distance,
        np.sqrt(np.minimum(noise, 1.0)),
        _tree(distance),
    )


def _blocks(shares: LayerShares, roles: Sequence[RoleName]) -> list[np.ndarray]:
    """Counts, (S, n), of each role and task; the shared choice is the same for every task."""
    blocks: list[np.ndarray] = []
    for role in roles:
        if shares.chosen(role):
            counts = shares.values(role, "count")
            blocks += list(counts) if role == "specific" else [counts[0]]
    return blocks


def _noise(counts: np.ndarray) -> np.ndarray:
    """Divergence in bits that LEVEL of pairs stay below if their true distributions are equal.

    For small differences the divergence is χ² with s − 1 degrees of freedom, times
    (1/N₁ + 1/N₂) / 8 nats, for N choices over s experts. A row's K choices differ, which lowers
    the variance: counting them as independent is on the safe side.
    """
    total = counts.sum(-1)
    support = ((counts[:, None] + counts[None, :]) > 0).sum(-1)  # (S, S)
    quantile = chi2.ppf(LEVEL, np.maximum(support - 1, 1)) * (support > 1)
    nats = quantile * (1 / total[:, None] + 1 / total[None, :]) / 8
    level: np.ndarray = nats / math.log(2)
    return level * ~np.eye(len(total), dtype=bool)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, q, out=np.ones_like(p + q), where=p > 0)
    total: np.ndarray = (p * np.log2(ratio)).sum(-1)
    return total


def _tree(distance: np.ndarray) -> np.ndarray | None:
    if len(distance) < 2:
        return None
    condensed = squareform(distance, checks=False)
    tree: np.ndarray = linkage(condensed, "average", optimal_ordering=True)
    return tree


def _leaves(tree: np.ndarray) -> list[int]:
    order: list[int] = leaves_list(tree).tolist()
    return order
