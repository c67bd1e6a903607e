"""Users, items and queries: what is known of each, and how often each scenario draws it.

Everything that matters about a user, item or query is its cell: the combination of a category and
a band of a number. True probabilities depend on cells only, so that expectations over all traffic
are finite sums. Axes: P fine-grained scenarios (paths); E entities of a kind; C cells of a kind.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.simulation.presets import Preset

TAIL = 1.05  # exponent of the long tail (Zipf–Mandelbrot)
HEAD = 10.0  # its offset: how flat the head is
TOPICS = 12  # categories of queries


@dataclass(frozen=True)
class Kind:
    """How entities of a kind are described.

    name: "user", "item" or "query". category: name of the categorical attribute, of `categories`
    values. number: name of the numeric one, cut into bands at `edges`.
    """

    name: str
    category: str
    categories: int
    number: str
    edges: tuple[float, ...]

    @property
    def cells(self) -> int:
        """C: number of cells."""
        return self.categories * (len(self.edges) + 1)


USER = Kind("user", "segment", 8, "age", (28.0, 40.0, 55.0))
ITEM = Kind("item", "category", 10, "price", (12.0, 40.0))
QUERY = Kind("query", "topic", TOPICS, "words", (1.5, 2.5))


@dataclass(frozen=True)
class Entities:
    """All entities of a kind.

    table: one line an entity: its id, attributes, and attributes that do not matter.
    cell: cell of each, (E,). cumulative: running share of the draws of each path, (P, E).
    """

    kind: Kind
    table: pd.DataFrame
    cell: np.ndarray
    cumulative: np.ndarray

    @property
    def cell_share(self) -> np.ndarray:
        """Share of each cell in the draws of each path, (P, C)."""
        share = np.diff(self.cumulative, axis=1, prepend=0.0)
        return np.stack([np.bincount(self.cell, s, self.kind.cells) for s in share])

    def draw(self, path: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Entity of each row, (rows,), from its path and a uniform number."""
        paths = np.arange(len(self.cumulative))
        ladder = (self.cumulative + paths[:, None]).ravel()  # path p climbs from p to p + 1
        found = np.searchsorted(ladder, path + uniform, side="right")
        last = (path + 1) * self.cumulative.shape[1] - 1
        entity: np.ndarray = np.minimum(found, last) - path * self.cumulative.shape[1]
        return entity


def populate(preset: Preset, seed: int) -> tuple[Entities, Entities, Entities]:
    """Make the users, items and queries of a world."""
    homes = ((USER, preset.users, preset.users_of), (ITEM, preset.items, preset.items_of))
    users, items, queries = (
        _entities(kind, count, preset, home, np.random.default_rng((seed, number)))
        for number, (kind, count, home) in enumerate([*homes, (QUERY, preset.queries, "")])
    )
    return users, items, queries


def _entities(
    kind: Kind, count: int, preset: Preset, home: str, rng: np.random.Generator
) -> Entities:
    category = rng.integers(0, kind.categories, count)
    number = _numbers(kind, count, rng)
    band = np.searchsorted(kind.edges, number, side="right")
    cell = category * (len(kind.edges) + 1) + band
    table = pd.DataFrame(
        {
            f"{kind.name}_id": np.arange(count, dtype=np.int32),
            kind.category: category.astype(np.int8),
            kind.number: number,
            f"{kind.name}_trait": rng.integers(0, 30, count).astype(np.int8),
            f"{kind.name}_score": rng.normal(size=count).astype(np.float32).round(3),
        }
    )
    popularity = rng.permutation((np.arange(count) + HEAD) ** -TAIL)
    tilt = np.exp(preset.shift * rng.normal(size=(len(preset.traffic), kind.cells)))
    weight = popularity * tilt[:, cell] * _at_home(preset, home, count, rng)
    cumulative = np.cumsum(weight, axis=1)
    return Entities(kind, table, cell, cumulative / cumulative[:, -1:])


def _numbers(kind: Kind, count: int, rng: np.random.Generator) -> np.ndarray:
    """The numeric attribute of each entity."""
    if kind is USER:
        return rng.triangular(18, 30, 80, count).astype(np.int16)
    if kind is ITEM:
        return np.exp(rng.normal(3.0, 1.0, count)).round(2).astype(np.float32)
    return rng.geometric(0.45, count).astype(np.int16)


def _at_home(preset: Preset, level: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Whether each path may draw each entity, (P, E): entities of a level stay in one scenario."""
    if not level:
        return np.ones((len(preset.traffic), count), bool)
    names = [described.name for described in preset.levels]
    position = names.index(level)
    scenarios = preset.levels[position].scenarios
    home = rng.permutation(count) % len(scenarios)
    own = np.array([scenarios.index(line.path[position]) for line in preset.traffic])
    at_home: np.ndarray = own[:, None] == home
    return at_home
