"""Does the learnt routing mirror what was planted in a simulated log?

Five measures, each beside the values it takes where the truth is permuted:

- roles: adjusted Rand index between the set of experts chosen as specific for a row and the set of
  planted factors of the layer's level that act on it; one line a scenario layer.
- roles within scenarios: the same within fine-grained scenarios, so that knowing the scenario alone
  earns nothing.
- sensitivity: rank correlation between how much a row's mixing weights would change in another
  scenario of the layer's level, and how much its true log-odds of a click would; within
  fine-grained scenarios; one line a scenario layer.
- distance: rank correlation between the distances of scenarios in utilisation and in truth.
- gap: share of the way from knowing the scenario only to the Bayes-optimal AUC; one line a task
  and scenario.

Axes: n rows; P fine-grained scenarios (paths); S scenarios of a level.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index, path_names
from aesm2.inference import outputs, probabilities
from aesm2.metrics import soft_auc
from aesm2.models import Model
from aesm2.routing.agreement import adjusted_rand, codes, within_ranks
from aesm2.routing.distance import scenario_distances
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.routing.utilisation import utilisation
from aesm2.simulation.planted import Planted

COLUMNS = ("measure", "of", "value", "null_mean", "null_95", "p", "n")
EXACT = 5040  # at most as many permutations of scenarios are all tried


def recovery(
    model: Model, batch: Batch, planted: Planted, permutations: int = 199, seed: int = 0
) -> pd.DataFrame:
    """Measure how well a model's routing mirrors the truth; one line a measure, see COLUMNS.

    null_mean, null_95: mean and 95th percentile of the value where the truth is permuted: among all
    rows for "roles", among scenarios for "distance", within fine-grained scenarios elsewhere.
    p: share of permutations, the value itself counted, that reach the value. n: rows, or pairs of
    scenarios.
    """
    path = path_index(batch.scenarios.numpy(), model.schema)
    within = _Shuffles(path, permutations, seed)
    among_all = _Shuffles(np.zeros_like(path), permutations, seed)
    lines = []
    for number, spec in enumerate(layer_specs(model)):
        if spec.level is None:
            continue
        chosen, regime = _chosen(model, batch, number), planted.regime[:, spec.level]
        lines.append(_roles("roles", spec, chosen, regime, among_all))
        lines.append(_roles("roles within scenarios", spec, chosen, regime, within))
        change = _change(model, batch, number, spec.level, planted.paths)
        lines.append(_sensitivity(spec, change, planted.sensitivity[:, spec.level], within))
    lines += _distance(model, batch, planted, permutations, seed)
    lines += _gaps(model, batch, planted, within)
    return pd.DataFrame(lines, columns=list(COLUMNS))


class _Shuffles:
    """Permutations of rows within strata, the same ones for every measure; (count, n)."""

    def __init__(self, strata: np.ndarray, count: int, seed: int) -> None:
        self.strata = strata
        rng, grouped = np.random.default_rng(seed), np.argsort(strata, kind="stable")
        self.orders = np.empty((count, len(strata)), np.int32)
        for order in self.orders:
            order[grouped] = np.lexsort((rng.random(len(strata), np.float32), strata))


def _chosen(model: Model, batch: Batch, layer: int) -> np.ndarray:
    """The set of experts chosen as specific by each row in a layer, as a code, (n,)."""
    masks = [o.routings[layer].selection.specific.cpu().numpy() for _, o in outputs(model, batch)]
    packed = np.ascontiguousarray(np.packbits(np.concatenate(masks), axis=1))
    return codes(packed.view([("", packed.dtype)] * packed.shape[1]).ravel())


def _change(
    model: Model, batch: Batch, layer: int, level: int, paths: Sequence[tuple[str, ...]]
) -> np.ndarray:
    """Total variation between a layer's mixing weights in a row's own scenario and in another.

    Averaged over the other scenarios of the level whose path exists; (n,), from 0 to 1.
    """
    own = _weights(model, batch, layer)
    total, count = np.zeros(len(batch)), np.zeros(len(batch))
    names = model.schema.levels
    known = {tuple(names[i].index(name) for i, name in enumerate(path)) for path in paths}
    for scenario in range(len(names[level])):
        moved = batch.scenarios.clone()
        moved[:, level] = scenario
        there = [row in known for row in map(tuple, np.unique(moved.numpy(), axis=0).tolist())]
        index = np.unique(moved.numpy(), axis=0, return_inverse=True)[1]
        counts = np.array(there)[index] & (batch.scenarios[:, level].numpy() != scenario)
        other = _weights(model, replace(batch, scenarios=moved), layer)
        total += counts * np.abs(other - own).sum(1) / 2
        count += counts
    change: np.ndarray = (total / np.maximum(count, 1)).round(5)
    return change  # float32 tells equal rows apart from the sixth digit on; as ranks they are ties


def _weights(model: Model, batch: Batch, layer: int) -> np.ndarray:
    found = [o.routings[layer].selection.mixing_weights for _, o in outputs(model, batch)]
    weights: np.ndarray = torch.cat(found).cpu().double().numpy()
    return weights


def _roles(
    measure: str, spec: LayerSpec, chosen: np.ndarray, regime: np.ndarray, shuffles: _Shuffles
) -> tuple[object, ...]:
    def value(order: np.ndarray | slice) -> float:
        return adjusted_rand(chosen, regime[order], shuffles.strata)

    return _line(measure, spec.name, value, shuffles, len(chosen))


def _sensitivity(
    spec: LayerSpec, change: np.ndarray, truth: np.ndarray, shuffles: _Shuffles
) -> tuple[object, ...]:
    learnt, planted = (within_ranks(values, shuffles.strata) for values in (change, truth))
    norm = math.sqrt(float(learnt @ learnt) * float(planted @ planted))

    def value(order: np.ndarray | slice) -> float:
        return float(learnt @ planted[order]) / norm if norm else math.nan

    return _line("sensitivity", spec.name, value, shuffles, len(change))


def _distance(
    model: Model, batch: Batch, planted: Planted, permutations: int, seed: int
) -> list[tuple[object, ...]]:
    """Correlate distances of scenarios; nothing where there are fewer than three."""
    layers = [spec.name for spec in layer_specs(model) if spec.kind == "scenario"]
    by = "path" if len(model.schema.levels) > 1 else model.schema.level_names[0]
    found = scenario_distances(utilisation(model, batch), layers, ("specific",), by)
    names = [" → ".join(path) for path in planted.paths]
    there = [names.index(name) for name in found.scenarios if name in names]
    if len(there) < 3:
        return []
    upper = np.triu_indices(len(there), 1)
    learnt = rankdata(found.distance[upper])
    truth = planted.distance[np.ix_(there, there)]

    def value(order: Sequence[int]) -> float:
        moved = rankdata(truth[np.ix_(order, order)][upper])
        if learnt.std() == 0 or moved.std() == 0:
            return math.nan
        return float(np.corrcoef(learnt, moved)[0, 1])

    null = [value(order) for order in _orders(len(there), permutations, seed)]
    own = value(range(len(there)))
    return [_summary("distance", by, own, np.array(null), len(upper[0]))]


def _orders(count: int, permutations: int, seed: int) -> Iterator[Sequence[int]]:
    """All other orders where they are few, else some drawn at random."""
    if math.factorial(count) <= EXACT:
        yield from itertools.islice(itertools.permutations(range(count)), 1, None)
        return
    rng = np.random.default_rng(seed)
    for _ in range(permutations):
        yield rng.permutation(count).tolist()


def _gaps(
    model: Model, batch: Batch, planted: Planted, shuffles: _Shuffles
) -> list[tuple[object, ...]]:
    predicted, path = probabilities(model, batch), shuffles.strata
    places = [(name, path == index) for index, name in enumerate(path_names(model.schema))]
    places = [("all", np.ones(len(path), bool)), *((n, rows) for n, rows in places if rows.any())]
    lines = []
    for position, task in enumerate(model.schema.tasks):
        truth = planted.probability[:, position]
        of_path = (np.bincount(path, truth) / np.maximum(np.bincount(path), 1))[path]
        lines += [
            _gap(f"{task}, {name}", predicted[:, position], truth, of_path, rows, shuffles)
            for name, rows in places
        ]
    return lines


def _gap(
    of: str,
    predicted: np.ndarray,
    truth: np.ndarray,
    of_path: np.ndarray,
    rows: np.ndarray,
    shuffles: _Shuffles,
) -> tuple[object, ...]:
    floor = soft_auc(truth[rows], of_path[rows])
    room = soft_auc(truth[rows], truth[rows]) - floor

    def value(order: np.ndarray | slice) -> float:
        return (soft_auc(truth[order][rows], predicted[rows]) - floor) / room if room else math.nan

    return _line("gap", of, value, shuffles, int(rows.sum()))


def _line(
    measure: str,
    of: str,
    value: Callable[[np.ndarray | slice], float],
    shuffles: _Shuffles,
    rows: int,
) -> tuple[object, ...]:
    null = np.array([value(order) for order in shuffles.orders])
    return _summary(measure, of, value(slice(None)), null, rows)


def _summary(
    measure: str, of: str, value: float, null: np.ndarray, count: int
) -> tuple[object, ...]:
    """One line of the result; undefined values have no null."""
    if math.isnan(value) or np.isnan(null).all():
        return (measure, of, value, math.nan, math.nan, math.nan, count)
    reached = 1 + int((null >= value - 1e-12).sum())
    return (
        measure, of, value, float(np.nanmean(null)), float(np.nanquantile(null, 0.95)),
        reached / (len(null) + 1), count,
    )  # fmt: skip
