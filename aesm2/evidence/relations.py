"""Relations of scenarios: by transfer, by use of the experts, and whether the two agree.

Axes: P scenarios; F ways to flip the inner nodes of a tree.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from aesm2.errors import InputError
from aesm2.routing.distance import Distances

EXACT = 7  # scenarios, up to which every relabelling is tried
SAMPLES = 9_999
LARGEST = 12  # scenarios of which every flip of a tree is tried


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ between two sets of distances, and p by relabelling scenarios.

    p: share of relabellings, the own labels counted, whose ρ is as high or higher. NaN, both, where
    the distances of one set are all equal. relabellings: how many were tried. exact: all of them.
    """

    rho: float
    p: float
    relabellings: int
    exact: bool


@dataclass(frozen=True)
class Tanglegram:
    """Leaf orders of two trees drawn face to face with the fewest crossings between equal leaves.

    left, right: scenarios from top to bottom. crossings: pairs of scenarios that change places.
    """

    left: list[int]
    right: list[int]
    crossings: int


@dataclass(frozen=True)
class Relations:
    """Distances of the same scenarios by transfer and by use of the experts, and their agreement.

    transfer, use: (P, P). transfer_tree, use_tree: (P − 1, 4), see `tree`. distances, trees:
    agreement of the distances themselves and of the heights at which the trees join scenarios.
    tanglegram: transfer left, use right; None for more scenarios than LARGEST.
    """

    scenarios: tuple[str, ...]
    transfer: np.ndarray
    use: np.ndarray
    transfer_tree: np.ndarray
    use_tree: np.ndarray
    distances: Correlation
    trees: Correlation
    tanglegram: Tanglegram | None


def relations(auc: pd.DataFrame, used: Distances, seed: int = 0) -> Relations:
    """Relate scenarios that are both in a transfer table and in distances of utilisation.

    auc: trained on the index, tested on the columns. Raises InputError where fewer than two
    scenarios are in both, or a figure between them is undefined.
    """
    names = tuple(n for n in auc.index if n in auc.columns and n in used.scenarios)
    if len(names) < 2:
        raise InputError(
            f"{len(names)} scenarios are in the transfer table and have rows; expected 2 or more"
        )
    transfer = transfer_distance(auc.loc[list(names), list(names)].to_numpy(np.float64))
    own = [used.scenarios.index(name) for name in names]
    use = used.distance[np.ix_(own, own)]
    trees = tree(transfer), tree(use)
    return Relations(
        names, transfer, use, *trees,
        agreement(transfer, use, seed),
        agreement(cophenetic(trees[0]), cophenetic(trees[1]), seed),
        tanglegram(*trees) if len(names) <= LARGEST else None,
    )  # fmt: skip


def transfer_distance(auc: np.ndarray) -> np.ndarray:
    """Distance of scenarios by what a model loses on another's rows, in the units of the AUC.

    Mean over both directions of the AUC on a scenario of the model trained there, minus that of the
    model trained on the other. Both are measured on the same rows, so that a scenario that is hard
    for every model is not far from all. Where foreign models do better on average, it is 0.
    auc: trained on row i, tested on column j, (P, P) → (P, P), symmetric with diagonal 0.
    Raises InputError where it is not square or has an undefined figure.
    """
    if auc.ndim != 2 or auc.shape[0] != auc.shape[1] or np.isnan(auc).any():
        raise InputError(
            f"expected a square table of AUCs without gaps; found {auc.shape} with "
            f"{int(np.isnan(auc).sum())} undefined; leave out scenarios without both classes"
        )
    loss = np.diag(auc) - auc
    distance: np.ndarray = np.maximum((loss + loss.T) / 2, 0.0)
    return distance


def tree(distance: np.ndarray) -> np.ndarray:
    """Average-linkage tree of a distance, (P, P) → (P − 1, 4) in scipy's form; P ≥ 2."""
    joined: np.ndarray = linkage(squareform(distance, checks=False), "average")
    return joined


def agreement(one: np.ndarray, other: np.ndarray, seed: int = 0) -> Correlation:
    """Correlate two distances of the same scenarios, each (P, P) and symmetric.

    Distances share scenarios and are not independent, so p is Mantel's (1967): scenarios of `other`
    are relabelled in all P! ways where P ≤ EXACT, else in SAMPLES ways drawn by `seed`. With few
    scenarios p has a floor: 1 / P! times the relabellings that change nothing.
    """
    upper = np.triu_indices(len(one), 1)
    fixed, moving = _centred_ranks(one), _centred_ranks(other)
    norm = math.sqrt(float((fixed[upper] ** 2).sum() * (moving[upper] ** 2).sum()))
    exact = len(one) <= EXACT
    labels = _all_labels(len(one)) if exact else _drawn_labels(len(one), seed)
    if norm == 0:
        return Correlation(math.nan, math.nan, len(labels), exact)
    relabelled = moving[labels[:, upper[0]], labels[:, upper[1]]]  # (relabellings, pairs)
    rho = relabelled @ fixed[upper] / norm
    return Correlation(float(rho[0]), float((rho >= rho[0] - 1e-9).mean()), len(labels), exact)


def cophenetic(tree: np.ndarray) -> np.ndarray:
    """Heights at which a tree joins two scenarios, (P − 1, 4) → (P, P)."""
    heights: np.ndarray = squareform(cophenet(tree))
    return heights


def tanglegram(left: np.ndarray, right: np.ndarray) -> Tanglegram:
    """Find the leaf orders of two trees with the fewest crossings; P ≤ LARGEST.

    Every flip of the left tree is tried. For each, nodes of the right tree are flipped one by one:
    a node decides on the crossings between its two sides alone, whatever the others do. Among
    equally good orders the one with the trees as given comes first.
    Raises InputError for more scenarios, or trees of different numbers of them.
    """
    if len(left) != len(right) or len(left) >= LARGEST:
        raise InputError(
            f"trees of {len(left) + 1} and {len(right) + 1} scenarios; expected as many in both, "
            f"and at most {LARGEST}: join some, or choose a coarser level"
        )
    orders = _every_order(left)  # (F, P)
    place, sides = np.argsort(orders, axis=1), _sides(right)
    kept = [  # pairs of a node's sides that do not cross as long as it is not flipped
        (place[:, one, None] < place[:, None, other]).sum((1, 2)) for one, other in sides
    ]
    uncrossed = np.stack(kept, axis=1)  # (F, inner nodes)
    pairs = np.array([len(one) * len(other) for one, other in sides])
    crossings = np.minimum(uncrossed, pairs - uncrossed).sum(1)
    best = int(crossings.argmin())
    flipped = (2 * uncrossed[best] < pairs).tolist()
    return Tanglegram(orders[best].tolist(), _order(right, flipped), int(crossings[best]))


def _centred_ranks(distance: np.ndarray) -> np.ndarray:
    """Ranks of the distances of pairs, ties averaged, mean 0, (P, P)."""
    ranks = rankdata(squareform(distance, checks=False))
    centred: np.ndarray = squareform(ranks - ranks.mean(), checks=False)
    return centred


def _all_labels(count: int) -> np.ndarray:
    """Every relabelling, the own labels first, (count!, count)."""
    return np.array(list(itertools.permutations(range(count))))


def _drawn_labels(count: int, seed: int) -> np.ndarray:
    """The own labels and SAMPLES drawn ones, (1 + SAMPLES, count)."""
    own = np.arange(count)
    drawn = np.random.default_rng(seed).permuted(np.tile(own, (SAMPLES, 1)), axis=1)
    return np.concatenate([own[None], drawn])


def _sides(tree: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Scenarios on the two sides of each inner node, from the leaves to the root."""
    under, sides = [[leaf] for leaf in range(len(tree) + 1)], []
    for one, other in tree[:, :2].astype(int).tolist():
        sides.append((under[one], under[other]))
        under.append(under[one] + under[other])
    return sides


def _order(tree: np.ndarray, flipped: Sequence[bool]) -> list[int]:
    """Leaves from top to bottom where some inner nodes are flipped."""
    under = [[leaf] for leaf in range(len(tree) + 1)]
    for (one, other), flip in zip(tree[:, :2].astype(int).tolist(), flipped, strict=True):
        under.append(under[other] + under[one] if flip else under[one] + under[other])
    return under[-1]


def _every_order(tree: np.ndarray) -> np.ndarray:
    """Leaf orders of every combination of flips, none first, (F, P)."""
    flips = itertools.product((False, True), repeat=len(tree))
    return np.array([_order(tree, flipped) for flipped in flips])
