"""Routing drift: do the rows of two logs use the experts alike, beyond what chance would do?

A cell is a layer, a target and a scenario. Its rows spread over the experts in some shares; the
drift of the cell is the Jensen–Shannon divergence between the shares of the two logs, in nats: 0
where they are alike, log 2 where no expert is used by both. What chance would do is in
`routing.drift_chance`. Over all cells, p become q (Benjamini and Hochberg, 1995).

Axes: B groups; T targets (the tasks in a task layer, 1 in a scenario layer); S scenarios;
n experts.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from aesm2.data.scenarios import OVERALL, scenario_names, scenario_of_path
from aesm2.errors import InputError
from aesm2.routing.drift_chance import Draws, adjusted, compared, draws
from aesm2.routing.grouped import GroupedLayer, RoutingSummary
from aesm2.routing.shares import own_grouping
from aesm2.routing.trace import LayerSpec

Use = Literal["weight", "specific", "shared"]
USES: tuple[Use, ...] = ("weight", "specific", "shared")
OWN = "own"  # each layer by its own level, a task layer by the first
FEWEST_GROUPS = 8  # with rows of a cell, in each log; fewer do not tell its noise
FEWEST_ROWS = 30


@dataclass(frozen=True)
class LayerDrift:
    """The drift of one layer.

    use: what is spread over the experts: mixing weight (the headline: it adds up to 1 in a row, and
    the output is made with it), specific or shared choices. by: what the scenarios are of.
    rows: of both logs, (2, T, S). shares: (2, T, S, n), NaN without rows. divergence: nats, (T, S).
    chance: its mean over the draws where nothing drifted. p, q: NaN where not tested: fewer than
    FEWEST_ROWS rows or FEWEST_GROUPS groups of them in a log.
    """

    spec: LayerSpec
    use: Use
    by: str
    scenarios: tuple[str, ...]
    rows: np.ndarray
    shares: np.ndarray
    divergence: np.ndarray
    chance: np.ndarray
    p: np.ndarray
    q: np.ndarray

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets: the tasks, or one empty name in a scenario layer."""
        return self.spec.gates if self.spec.kind == "task" else ("",)


@dataclass(frozen=True)
class MixDrift:
    """How the traffic divides among scenarios: rows of both logs, (2, S); see `LayerDrift`."""

    by: str
    scenarios: tuple[str, ...]
    rows: np.ndarray
    divergence: float
    chance: float
    p: float


@dataclass(frozen=True)
class RoutingDrift:
    """Drift of every layer in one use, and of the traffic.

    A cell drifted where q is at most `level` and the divergence beyond chance at least `least`: of
    a billion rows any difference is certain, but it need not matter.
    """

    use: Use
    level: float
    least: float
    layers: tuple[LayerDrift, ...]
    mix: MixDrift

    @property
    def found(self) -> int:
        """Number of cells that drifted."""
        return int(sum(self.drifted(own).sum() for own in self.layers))

    def drifted(self, own: LayerDrift) -> np.ndarray:
        """Whether each cell of a layer drifted, (T, S) bool."""
        return np.asarray((own.q <= self.level) & (own.divergence - own.chance >= self.least))

    @property
    def tested(self) -> int:
        """Number of cells that could be tested."""
        return int(sum((~np.isnan(own.q)).sum() for own in self.layers))

    def to_frame(self) -> pd.DataFrame:
        """Return one line a cell, those that drifted most first.

        Columns: layer, use, target, by, scenario, rows_a, rows_b, js (nats), js_share (of log 2),
        js_chance (nats), p, q, drift.
        """
        lines = [line for own in self.layers for line in _lines(own, self.drifted(own))]
        return pd.DataFrame(lines).sort_values("js", ascending=False, ignore_index=True)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data; NaN is null."""
        mix = self.mix
        cells = self.to_frame().astype(object)
        return {
            "use": self.use,
            "level": self.level,
            "least": self.least,
            "found": self.found,
            "tested": self.tested,
            "cells": cells.where(cells.notna(), None).to_dict(orient="records"),
            "mix": {
                "by": mix.by,
                "scenarios": list(mix.scenarios),
                "rows_a": mix.rows[0].tolist(),
                "rows_b": mix.rows[1].tolist(),
                "js": _plain(mix.divergence),
                "js_chance": _plain(mix.chance),
                "p": _plain(mix.p),
            },
        }


def routing_drift(
    a: RoutingSummary,
    b: RoutingSummary,
    use: Use = "weight",
    by: str = OWN,
    exists: np.ndarray | None = None,
    level: float = 0.05,
    replicates: int = 2000,
    seed: int = 0,
    least: float = 0.0,
) -> RoutingDrift:
    """Compare the routing of two logs; see the heads of this file and of `routing.drift_chance`.

    by: OWN, the name of a level, "path" or "all". exists: whether each task exists in each path,
    (P, T), by default everywhere. least: see `RoutingDrift`.
    Raises InputError for a wrong option, a log without rows, or a model without such choices.
    """
    if not 0 < level < 1 or replicates < 100:
        raise InputError("drift needs a level between 0 and 1 and at least 100 replicates")
    if not a.rows.sum() or not b.rows.sum():
        raise InputError("drift needs rows in both logs")
    draw = draws(a, b, replicates, seed)
    layers = []
    for own_a, own_b in zip(a.layers, b.layers, strict=True):
        if k := per_row(own_a.spec, use):
            grouping = _grouping(own_a.spec, a, by)
            member = _member(a, grouping)
            there = _there(own_a.spec, exists, len(member.T))
            layers.append(_layer_drift((a, b), (own_a, own_b), use, k, grouping, there, draw))
    if not layers:
        raise InputError(f"no layer of this model makes {use} choices; compare another use")
    names = by if by != OWN else a.schema.level_names[0]
    return RoutingDrift(use, level, least, tuple(_with_q(layers)), _mix_drift(a, b, names, draw))


def per_row(spec: LayerSpec, use: Use) -> int:
    """Return how many experts of a layer one row spreads over the shares: 1 of mixing weight."""
    return {"specific": spec.specific, "shared": spec.shared}.get(use, 1)


def drift_words(found: RoutingDrift, most: int = 3) -> list[str]:
    """Say in a few sentences what drifted, the largest first, and how the traffic changed."""
    cells = found.to_frame()
    if not found.tested:
        first = "No cell has rows enough in both logs to be tested."
    elif not found.found:
        first = (
            f"No drift: none of {found.tested} cells differs beyond chance (q ≤ {found.level:g})."
        )
    else:
        first = f"Drift in {found.found} of {found.tested} cells (q ≤ {found.level:g})."
    lines = [first]
    for cell in cells[cells["drift"]].head(most).to_dict(orient="records"):
        target = f", {cell['target']}" if cell["target"] else ""
        lines.append(
            f"{cell['layer']}{target}, {cell['by']} {cell['scenario']}: JS {cell['js']:.2g} nats"
            f" ({100 * cell['js_share']:.3g} % of log 2; by chance {cell['js_chance']:.2g}),"
            f" q = {cell['q']:.2g}."
        )
    mix = found.mix
    p = "undefined" if math.isnan(mix.p) else f"{mix.p:.2g}"
    if len(mix.scenarios) > 1:
        lines.append(
            f"Traffic by {mix.by}: JS {mix.divergence:.2g} nats (by chance {mix.chance:.2g}),"
            f" p = {p}; it is no part of the count above."
        )
    return lines


def _layer_drift(
    logs: tuple[RoutingSummary, RoutingSummary],
    layers: tuple[GroupedLayer, GroupedLayer],
    use: Use,
    k: int,
    by: str,
    there: np.ndarray,
    draw: Draws,
) -> LayerDrift:
    spec, member = layers[0].spec, _member(logs[0], by)
    amounts, rows = [], []
    for log, layer in zip(logs, layers, strict=True):
        own = getattr(layer, use).astype(np.float64) * there[:, :, None]
        amounts.append(np.einsum("sp,btpn->btsn", member, own))
        rows.append(np.einsum("sp,bp,tp->bts", member, log.rows, there))
    targets, scenarios = rows[0].shape[1:]
    found = np.full((3, targets, scenarios), math.nan)
    for t, s in np.ndindex(targets, scenarios):
        held = [own[:, t, s] for own in rows]
        if not all(own.sum() for own in held):
            continue
        cell = compared(amounts[0][:, t, s], amounts[1][:, t, s], draw)
        enough = all(own.sum() >= FEWEST_ROWS and (own > 0).sum() >= FEWEST_GROUPS for own in held)
        found[:, t, s] = cell if enough and spec.experts > k else (cell[0], math.nan, math.nan)
    totals = np.stack([own.sum(0) for own in amounts])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = totals / totals.sum(-1, keepdims=True)
    nothing = np.full((targets, scenarios), math.nan)
    counted = np.stack([own.sum(0) for own in rows]).astype(np.int64)
    names = scenario_names(logs[0].schema, by)
    divergence, chance, p = found
    return LayerDrift(spec, use, by, names, counted, shares, divergence, chance, p, q=nothing)


def _mix_drift(a: RoutingSummary, b: RoutingSummary, by: str, draw: Draws) -> MixDrift:
    """Compare how rows divide among scenarios."""
    own = [log.rows @ _member(log, by).T for log in (a, b)]  # (B, S)
    found = compared(own[0].astype(np.float64), own[1].astype(np.float64), draw)
    names = scenario_names(a.schema, by)
    rows = np.stack([counted.sum(0) for counted in own]).astype(np.int64)
    groups = min(int((log.rows.sum(1) > 0).sum()) for log in (a, b))
    p = found[2] if groups >= FEWEST_GROUPS and len(names) > 1 else math.nan
    return MixDrift(by, names, rows, found[0], found[1], p)


def _grouping(spec: LayerSpec, log: RoutingSummary, by: str) -> str:
    if by != OWN:
        return by
    own = own_grouping(spec, log.schema)
    return log.schema.level_names[0] if own == OVERALL else own


def _member(log: RoutingSummary, by: str) -> np.ndarray:
    """Whether a path belongs to a scenario, (S, P) as numbers."""
    own = scenario_of_path(log.schema, by)
    places = np.arange(len(scenario_names(log.schema, by)))
    return np.asarray(own == places[:, None], np.float64)


def _there(spec: LayerSpec, exists: np.ndarray | None, paths: int) -> np.ndarray:
    """Whether each target exists in each path, (T, P) as numbers."""
    targets = len(spec.gates) if spec.kind == "task" else 1
    if exists is None or spec.kind != "task":
        return np.ones((targets, paths))
    return np.asarray(exists).T.astype(np.float64)


def _with_q(layers: list[LayerDrift]) -> list[LayerDrift]:
    """Adjust p over the cells of all layers."""
    if not layers:
        return []
    q = adjusted(np.concatenate([own.p.ravel() for own in layers]))
    cuts = np.cumsum([own.p.size for own in layers])[:-1]
    parts = np.split(q, cuts)
    return [
        replace(own, q=part.reshape(own.p.shape)) for own, part in zip(layers, parts, strict=True)
    ]


def _lines(own: LayerDrift, drifted: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "layer": own.spec.name,
            "use": own.use,
            "target": own.targets[t],
            "by": own.by,
            "scenario": own.scenarios[s],
            "rows_a": int(own.rows[0, t, s]),
            "rows_b": int(own.rows[1, t, s]),
            "js": float(own.divergence[t, s]),
            "js_share": float(own.divergence[t, s]) / math.log(2),
            "js_chance": float(own.chance[t, s]),
            "p": float(own.p[t, s]),
            "q": float(own.q[t, s]),
            "drift": bool(drifted[t, s]),
        }
        for t, s in np.ndindex(own.p.shape)
    ]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
