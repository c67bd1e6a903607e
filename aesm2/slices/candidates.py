"""Conjunctions worth a test: the nodes of a regression tree over rows.

Numeric features go in as the order of buckets, cut where training cuts them but at round numbers,
so that a split is a bound a person can read; categories and scenarios one against the rest, the
frequent ones only.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeRegressor

from aesm2.data.batch import Batch
from aesm2.data.encoder import Encoder, as_numbers
from aesm2.layers.embedding import FIRST_VALUE, MISSING
from aesm2.slices.conditions import Condition, Missing, OneOf, Range, Slice
from aesm2.slices.rows import source_of
from aesm2.slices.simplify import simplified

FREQUENT = 12  # categories of one feature that are tried, the most frequent ones


@dataclass(frozen=True)
class Column:
    """What a column of the tree's input is about.

    edges: of the buckets of a number, () otherwise. value: the category whose indicator it is, ""
    for "missing". otherwise: what the rest is called where it is one scenario.
    """

    name: str
    edges: tuple[float, ...] = ()
    value: str = ""
    otherwise: str = ""

    def condition(self, threshold: float, left: bool, missing: bool) -> Condition:
        """What holds on one side of a split; missing: missing values go to this side."""
        if self.edges:
            if not np.isfinite(threshold):  # those that have a value against those that have none
                return Missing(self.name, negated=not missing)
            edge = self.edges[int(np.floor(threshold))]
            low, high = (None, edge) if left else (edge, None)
            return Range(self.name, low, high, or_missing=missing)
        if not self.value:
            return Missing(self.name, negated=left)
        if left and self.otherwise:
            return OneOf(self.name, (self.otherwise,))
        return OneOf(self.name, (self.value,), negated=left)


@dataclass(frozen=True)
class Inputs:
    """The tree's input: table, (rows, columns) float32, NaN where a number is missing."""

    table: np.ndarray
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Candidate:
    """A node of the tree: its slice, its depth, and its rows as a mask."""

    slice: Slice
    depth: int
    rows: np.ndarray


def inputs(frame: pd.DataFrame, batch: Batch, encoder: Encoder, fewest: int) -> Inputs:
    """Encode rows for the tree; a category or scenario counts with `fewest` rows or more.

    frame, batch: the same rows. Of two columns that split these rows alike the first is taken,
    scenarios before features, so that rounding does not decide which of them a slice names.
    """
    made: list[tuple[Column, np.ndarray]] = []
    scenarios, fields = batch.scenarios.numpy(), batch.fields.numpy()
    for position, level in enumerate(encoder.description.level):
        made += _of_level(level.name, level.scenarios, scenarios[:, position])
    for position, (name, feature) in enumerate(encoder.description.fields.items()):
        source = source_of(name, encoder.description)
        if source.level is not None or source.column != (feature.column or name):
            continue  # the name stands for a level, whose scenarios are there already
        index = fields[:, position]
        if feature.kind == "numeric":
            edges = round_edges(encoder.edges[name])
            numbers = as_numbers(frame[source.column], source.column)
            bucket = np.searchsorted(edges, numbers, side="right")
            bucket = np.where(np.isnan(numbers), np.nan, bucket)
            made += [(Column(name, edges), bucket)] if edges else []
        else:
            made += _of_category(name, encoder.categories[name], index, fewest)
    kept = [(c, v) for c, v in made if c.edges or fewest <= v.sum() <= len(v) - fewest]
    kept = _told_apart(kept)
    table = np.empty((len(batch), len(kept)), np.float32)
    for position, (_, own) in enumerate(kept):
        table[:, position] = own
    return Inputs(table, tuple(column for column, _ in kept))


def _told_apart(made: list[tuple[Column, np.ndarray]]) -> list[tuple[Column, np.ndarray]]:
    """Leave out what splits the rows as an earlier column does, numbers aside."""
    kept, seen = list[tuple[Column, np.ndarray]](), set[frozenset[bytes]]()
    for column, own in made:
        sides = frozenset((own.tobytes(), np.logical_not(own).tobytes()))
        if column.edges or sides not in seen:
            kept.append((column, own))
            seen.add(sides)
    return kept


def round_edges(edges: tuple[float, ...]) -> tuple[float, ...]:
    """Round rising edges to as few decimals as move each by at most a tenth of a bucket."""
    if len(edges) < 2:
        return tuple(float(f"{edge:.3g}") for edge in edges)
    width = np.diff(edges)
    least = np.minimum(np.append(width, np.inf), np.append(np.inf, width))  # of both neighbours
    decimals = np.ceil(-np.log10(0.2 * least)).astype(int)  # half a last digit is a tenth of it
    rounded = [round(edge, digits) for edge, digits in zip(edges, decimals.tolist(), strict=True)]
    return tuple(dict.fromkeys(rounded))


def candidates(
    of: Inputs, target: np.ndarray, depth: int, fewest: int, seed: int
) -> list[Candidate]:
    """Grow a tree on the target, (rows,), and return its nodes but the root.

    Of the root's two children, which are each other's rest, only the smaller one is returned.
    seed: orders ties between columns.
    """
    if not of.columns or len(target) < 2 * fewest:
        return []
    grown = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=fewest, random_state=seed).fit(
        of.table, target
    )
    tree, found = grown.tree_, list[Candidate]()
    waiting = [(0, Slice(), 0, np.ones(len(target), bool))]
    while waiting:
        node, own, level, rows = waiting.pop(0)
        if node:
            found.append(Candidate(simplified(own), level, rows))
        if tree.children_left[node] < 0:
            continue
        column, threshold = of.columns[tree.feature[node]], float(tree.threshold[node])
        numbers = of.table[:, tree.feature[node]]
        gone, missing_left = np.isnan(numbers), bool(tree.missing_go_to_left[node])
        below = np.where(gone, missing_left, numbers <= threshold)
        some = bool((gone & rows).any())
        for child, left in ((tree.children_left[node], True), (tree.children_right[node], False)):
            missing = some and missing_left == left
            conditions = (*own.conditions, column.condition(threshold, left, missing))
            side = rows & (below if left else ~below)
            waiting.append((child, Slice(conditions), level + 1, side))
    return _without_larger_half(found)


def _without_larger_half(found: list[Candidate]) -> list[Candidate]:
    halves = [candidate for candidate in found if candidate.depth == 1]
    larger = max(halves, key=lambda own: int(own.rows.sum()), default=None)
    return [candidate for candidate in found if candidate is not larger]


def _of_level(
    name: str, scenarios: tuple[str, ...], own: np.ndarray
) -> list[tuple[Column, np.ndarray]]:
    if len(scenarios) == 2:
        return [(Column(name, value=scenarios[1], otherwise=scenarios[0]), own == 1)]
    return [(Column(name, value=scenario), own == i) for i, scenario in enumerate(scenarios)]


def _of_category(
    name: str, categories: tuple[str, ...], index: np.ndarray, fewest: int
) -> list[tuple[Column, np.ndarray]]:
    counts = np.bincount(index, minlength=FIRST_VALUE + len(categories))
    order = np.argsort(-counts[FIRST_VALUE:], kind="stable")[:FREQUENT] + FIRST_VALUE
    frequent = [int(i) for i in order if counts[i] >= fewest and categories[i - FIRST_VALUE]]
    made = [(Column(name, value=categories[i - FIRST_VALUE]), index == i) for i in frequent]
    return [*made, (Column(name), index == MISSING)]
