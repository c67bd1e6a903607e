"""The planted truth: factors, the true probabilities they make, and the best AUC there is.

Axes: P fine-grained scenarios (paths); T tasks, click and conversion given a click; F factors;
U, I, Q cells of users, items, queries; "cells" is U · I · Q flattened.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from aesm2.metrics import soft_auc
from aesm2.simulation.population import TOPICS, Entities
from aesm2.simulation.presets import Preset, SimulatedLevel

Scope = Literal["shared", "branch", "leaf", "conflict", "task"]
TASKS = ("ctr", "ctcvr")
CARRY = 0.5  # of a factor's effect on clicks, what conversions feel
LATENT = 2  # dimensions of the latent factors of users, items and queries
BITS = 15  # of a regime, so that 16 hold it and a sign


@dataclass(frozen=True)
class Factor:
    """One planted factor: a product of latent factors of two kinds of entity.

    effect: standardised effect of each cell, (U, I, Q) or broadcastable to it.
    paths: signed weight in each path, (P,); 0 where the factor does not act.
    tasks: weight on each task's log-odds, (T,).
    topics: the query topics on which it acts, as they are numbered; all of them for "shared" and
    "task". level: level whose scenarios it tells apart, "" for shared, leaf and task factors.
    """

    name: str
    scope: Scope
    level: str
    paths: np.ndarray
    tasks: np.ndarray
    topics: np.ndarray
    effect: np.ndarray


@dataclass(frozen=True)
class Truth:
    """Everything that is true of a simulated world.

    share: of the impressions in each path, (P,). cells: share of each cell in a path's traffic,
    (P, cells). interaction: log-odds of each task without the intercept, (T, P, cells).
    intercept: (T, P), so that rates are those of the preset.
    """

    preset: Preset
    factors: tuple[Factor, ...]
    share: np.ndarray
    cells: np.ndarray
    interaction: np.ndarray
    intercept: np.ndarray

    @property
    def probability(self) -> np.ndarray:
        """True probability of a click, and of a conversion given one, (T, P, cells)."""
        result: np.ndarray = expit(self.interaction + self.intercept[..., None])
        return result

    def probability_at(self, path: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability of a click, and of a conversion given one, of rows; each (rows,)."""
        click, conversion = (
            expit(self.interaction[task][path, cell] + self.intercept[task][path])
            for task in range(len(TASKS))
        )
        return click, conversion

    def bayes(self) -> np.ndarray:
        """AUC of the true probabilities in each path, then overall; for each task, (T, P + 1)."""
        along = np.cumprod(self.probability, axis=0)  # of clicks, of conversions
        pooled = self.share[:, None] * self.cells
        return np.array(
            [
                [*(soft_auc(p, p, w) for p, w in zip(task, self.cells, strict=True)),
                 soft_auc(task.ravel(), task.ravel(), pooled.ravel())]
                for task in along
            ]
        )  # fmt: skip

    def distance(self) -> np.ndarray:
        """Root mean square difference of two paths' log-odds of a click, (P, P).

        Over the traffic of all paths together; intercepts do not count.
        """
        click, traffic = self.interaction[0], self.share @ self.cells
        difference = click[:, None] - click[None, :]  # (P, P, cells)
        distance: np.ndarray = np.sqrt((difference**2 * traffic).sum(-1))
        return distance

    def sensitivity(self, level: int) -> np.ndarray:
        """How much a click's log-odds would change in another scenario of a level, (P, cells).

        Mean absolute difference over the scenarios of that level that exist beside the row's own,
        other levels being kept; 0 where there is none. Intercepts do not count.
        """
        paths = [line.path for line in self.preset.traffic]
        found: np.ndarray = np.zeros_like(self.interaction[0])
        for number, path in enumerate(paths):
            others = [
                i for i, other in enumerate(paths)
                if other[:level] + other[level + 1 :] == path[:level] + path[level + 1 :]
                and i != number
            ]  # fmt: skip
            if others:
                change = self.interaction[0][others] - self.interaction[0][number]
                found[number] = np.abs(change).mean(0)
        return found

    def regime(self, level: int) -> np.ndarray:
        """Which factors of a level act, as a number with one bit for each, (P, topics).

        Where a level has more than BITS factors, sets of them are numbered as they come in order.
        """
        own = [f for f in self.factors if f.level == self.preset.levels[level].name]
        acting = np.stack([(f.paths != 0)[:, None] & f.topics for f in own], axis=-1)
        if len(own) <= BITS:
            return np.asarray(acting @ (1 << np.arange(len(own))))
        numbers = np.unique(acting.reshape(-1, len(own)), axis=0, return_inverse=True)[1]
        return np.asarray(numbers.reshape(acting.shape[:2]))


def plant(preset: Preset, users: Entities, items: Entities, queries: Entities, seed: int) -> Truth:
    """Plant factors as a preset's dials say, and set intercepts so that its rates come out."""
    shape = (users.kind.cells, items.kind.cells, queries.kind.cells)
    impressions = np.array([line.impressions for line in preset.traffic], np.float64)
    share = impressions / impressions.sum()
    of_kind = (users.cell_share, items.cell_share, queries.cell_share)
    cells = np.einsum("pu,pi,pq->puiq", *of_kind)
    traffic = np.einsum("p,puiq->uiq", share, cells)
    factors = _factors(preset, shape, traffic, np.random.default_rng((seed, 3)))
    paths = np.array([f.paths for f in factors])  # (F, P)
    tasks = np.array([f.tasks for f in factors])  # (F, T)
    interaction = np.zeros((len(TASKS), len(share), *shape))
    for factor, path, task in zip(factors, paths, tasks, strict=True):
        interaction += np.multiply.outer(np.multiply.outer(task, path), factor.effect)
    flat = interaction.reshape(len(TASKS), len(share), -1)
    weights = cells.reshape(len(share), -1)
    intercept = _calibrate(preset, flat, weights)
    return Truth(preset, factors, share, weights, flat, intercept)


def _factors(
    preset: Preset, shape: tuple[int, int, int], traffic: np.ndarray, rng: np.random.Generator
) -> tuple[Factor, ...]:
    """Draw every factor; its order decides its random numbers, whatever the dials."""
    dials, both = preset.dials, np.array([1.0, CARRY])
    everywhere, paths = np.ones(len(preset.traffic)), [line.path for line in preset.traffic]

    def made(
        name: str, scope: Scope, level: str, where: np.ndarray, tasks: np.ndarray, dial: float
    ) -> Factor:
        always = scope in ("shared", "task")
        topics = np.ones(TOPICS, bool) if always else rng.permutation(TOPICS) < TOPICS // 2
        effect = _effect(shape, topics, traffic, rng)
        return Factor(name, scope, level, where, dial * tasks, topics, effect)

    factors = [made("shared", "shared", "", everywhere, both, dials.shared)]
    for level, at in _scenarios_of(preset.levels if len(preset.levels) > 1 else ()):
        for scenario in level.scenarios:
            where = np.array([float(path[at] == scenario) for path in paths])
            name = f"{level.name} {scenario}"
            factors.append(made(name, "branch", level.name, where, both, dials.branch))
    innermost = preset.levels[-1].name
    for number, path in enumerate(paths):
        where = np.eye(len(paths))[number]
        factors.append(made(" → ".join(path), "leaf", innermost, where, both, dials.leaf))
    for level, at in _scenarios_of(preset.levels):
        sign = np.array([(-1.0) ** level.scenarios.index(path[at]) for path in paths])
        name = f"conflict of {level.name}"
        factors.append(made(name, "conflict", level.name, sign, both, dials.conflict))
    for task, weights in zip(TASKS, np.eye(len(TASKS)), strict=True):
        factors.append(made(f"{task} alone", "task", "", everywhere, weights, dials.task))
    return tuple(factors)


def _scenarios_of(levels: tuple[SimulatedLevel, ...]) -> list[tuple[SimulatedLevel, int]]:
    return [(level, position) for position, level in enumerate(levels)]


def _effect(
    shape: tuple[int, int, int], topics: np.ndarray, traffic: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A standardised effect, (U, I, Q): of items, and of users' and queries' affinity to them.

    Mean 0 and variance 1 over the traffic of the topics on which it acts; 0 on the others.
    """
    user, item, query = (rng.normal(size=(cells, LATENT)) for cells in shape)
    affinity = (user @ item.T)[:, :, None] + item @ query.T  # (U, I, 1) + (I, Q)
    effect = affinity / np.sqrt(LATENT) + rng.normal(size=(shape[1], 1))
    acts = np.repeat(topics, shape[2] // TOPICS)
    weight = traffic * acts
    weight = weight / weight.sum()
    centred = effect - (weight * effect).sum()
    result: np.ndarray = acts * centred / np.sqrt((weight * centred**2).sum())
    return result


def _calibrate(preset: Preset, interaction: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Intercepts, (T, P), with which each path has its click and conversion rate exactly."""
    intercept = np.empty(interaction.shape[:2])
    for number, line in enumerate(preset.traffic):
        click, conversion = interaction[:, number]
        intercept[0, number] = _solve(click, cells[number], line.clicks / line.impressions)
        clicks = cells[number] * expit(click + intercept[0, number])
        intercept[1, number] = _solve(conversion, clicks, line.conversions / line.clicks)
    return intercept


def _solve(log_odds: np.ndarray, weight: np.ndarray, rate: float) -> float:
    """Intercept with which the weighted mean probability is `rate`."""

    def excess(intercept: float) -> float:
        return float(weight @ expit(log_odds + intercept) / weight.sum()) - rate

    return float(brentq(excess, -60.0, 60.0, xtol=1e-12))
