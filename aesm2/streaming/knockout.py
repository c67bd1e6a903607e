"""What every expert is worth, over any number of rows: a summary that parts add up to.

A part's rows are predicted without each expert as in `routing.knockout`. Kept are the scores in
bins: as they are, and, for each expert, how many scores left a bin and came to it. So the AUC of
all rows before and after is known as well as that of a streamed evaluation.

The interval of the AUC's change is DeLong's for two correlated AUC. It needs the variance of how
far a row's structural component moves, among positives and among negatives. A part knows the
components among its own rows; their variance within parts is pooled over the parts. It is that over
all rows but for the sampling of the part's other class, which widens the interval by a share of
about one over its rows: use parts of thousands of rows. These sums are of floats, added in the
order of the parts; all others are of integers.

Axes: X experts of all layers, in order; S scenarios, see `data.scenarios.scopes`; T tasks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aesm2.data.batch import Batch
from aesm2.data.scenarios import scope_groups, scopes
from aesm2.data.schema import Schema
from aesm2.metrics import Z95
from aesm2.packing import pack, unpack
from aesm2.paired import Grouping, Paired, paired
from aesm2.routing.grouped import UNIT, added, fixed
from aesm2.routing.knockout import Knockouts, Without
from aesm2.routing.trace import LayerSpec
from aesm2.streaming.scores import MANTISSA, ScoreCounts, auc_of_bins, mantissa_for

MOST_MOVES = 2**24  # entries that a summary is meant to hold
COUNTS = ("rows", "takes", "n", "positives", "losses")
MOVES = ("keys", "left", "came")
FLOATS = ("loss_moved", "loss_squares", "spread", "freedom")


@dataclass(frozen=True)
class KnockoutSummary:
    """What is kept of labelled rows predicted with and without each expert.

    rows: (S,). takes: rows that chose the expert, (X, S). n, positives, losses: as of the model as
    it is, (S, T), losses in units of 1/UNIT. scores: of each scenario, task and class, in bins.
    keys, left, came: expert, scenario, task, class and bin, and how many scores of rows that chose
    the expert are in that bin with it, and without it. loss_moved, loss_squares: sums of the change
    of a row's log loss and of its square, (X, S, T). spread, freedom: of the move of the AUC
    components, sum of squares around their part's mean and its degrees of freedom, of negatives and
    of positives, (2, X, S, T).
    """

    schema: Schema
    specs: tuple[LayerSpec, ...]
    rows: np.ndarray
    takes: np.ndarray
    n: np.ndarray
    positives: np.ndarray
    losses: np.ndarray
    scores: ScoreCounts
    keys: np.ndarray
    left: np.ndarray
    came: np.ndarray
    loss_moved: np.ndarray
    loss_squares: np.ndarray
    spread: np.ndarray
    freedom: np.ndarray

    @staticmethod
    def of(
        schema: Schema, specs: tuple[LayerSpec, ...], batch: Batch, found: Without
    ) -> "KnockoutSummary":
        """Summarise labelled rows; found: their predictions, see `without_each`."""
        labels = np.asarray(batch.labels)
        groups = scope_groups(schema, batch.scenarios.numpy())
        tasks = [paired(labels[:, t], found.before[:, t], groups) for t in range(labels.shape[1])]
        mantissa = _mantissa(schema, len(found.after))
        cells = [_cells(own, t, len(tasks)) for t, own in enumerate(tasks)]
        scores = [
            ScoreCounts.of(
                np.concatenate(own), np.tile(found.before[p.rows, t], len(own)), mantissa
            )
            for t, (p, own) in enumerate(zip(tasks, cells, strict=True))
        ]
        shape = (len(found.after), len(scopes(schema)), len(tasks))
        keys, left, came = _moves(tasks, cells, found, mantissa, _cell_count(schema))
        return KnockoutSummary(
            schema,
            specs,
            rows=np.concatenate([np.bincount(own, minlength=count) for own, count in groups]),
            takes=np.concatenate([_counted(found.chosen, *own) for own in groups], axis=1),
            n=_column(tasks, lambda g: g.n),
            positives=_column(tasks, lambda g: g.positives),
            losses=_column(tasks, lambda g: _summed(fixed(g.losses), g.groups, len(g.n))),
            scores=sum(scores[1:], scores[0]),
            keys=keys,
            left=left,
            came=came,
            **_spreads(tasks, found, shape),
        )

    def __add__(self, other: "KnockoutSummary") -> "KnockoutSummary":
        joined = [np.concatenate([getattr(self, n), getattr(other, n)]) for n in MOVES]
        moves = dict(zip(MOVES, _together(*joined), strict=True))
        counts = {name: added(getattr(self, name), getattr(other, name)) for name in COUNTS}
        floats = {name: getattr(self, name) + getattr(other, name) for name in FLOATS}
        scores = self.scores + other.scores
        return KnockoutSummary(self.schema, self.specs, scores=scores, **counts, **moves, **floats)

    def total(self) -> tuple[Knockouts, np.ndarray]:
        """Return the changes, and a bound on the error of each change of AUC, (X, S, T)."""
        experts = [(spec.name, k) for spec in self.specs for k in range(spec.experts)]
        before, change, error = self._areas(len(experts))
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.stack([self.n - self.positives, self.positives])[:, None]
            half = Z95 * np.sqrt((self.spread / self.freedom / each).sum(0))
            loss = self.loss_moved / self.n
            variance = (self.loss_squares - self.n * loss**2) / (self.n - 1) / self.n
            loss_half = Z95 * np.sqrt(np.where(self.n > 1, variance.clip(min=0), math.nan))
            share, log_loss = self.takes / self.rows, self.losses / UNIT / self.n
        only = np.repeat([s.experts == 1 for s in self.specs], [s.experts for s in self.specs])
        changes = [change, change - half, change + half, loss, loss - loss_half, loss + loss_half]
        for values in changes:
            values[only] = math.nan
        found = Knockouts(
            tuple(experts), scopes(self.schema), self.schema.tasks, self.rows, self.n,
            self.positives, before, log_loss, share, *changes,
        )  # fmt: skip
        return found, error

    def _areas(self, experts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """AUC before, (S, T), its change, (X, S, T), and the bound on the error of the change.

        The change is between bins before and after, whose pairs count half whatever their order.
        Pairs of two rows that stay where they are do so in both, and are no part of the bound.
        """
        scenarios, tasks = self.n.shape
        before = np.empty((scenarios, tasks))
        change, error = np.empty((2, experts, scenarios, tasks))
        shift = 32 - (MANTISSA - self.scores.mantissa)
        cell, bin_of = self.keys >> shift, self.keys & ((np.int64(1) << shift) - 1)
        for s, t in np.ndindex(scenarios, tasks):
            own = 2 * (s * tasks + t)
            values, counts, bounds = self.scores.bins(np.array([own]), np.array([own + 1]))
            before[s, t] = auc_of_bins(counts, bounds).value
            for x in range(experts):
                first = x * _cell_count(self.schema) + own
                spans = [_span(cell, first), _span(cell, first + 1)]
                where = np.union1d(values, np.concatenate([bin_of[span] for span in spans]))
                stay = np.zeros((2, len(where)), np.int64)
                stay[:, np.searchsorted(where, values)] = counts
                left, came = np.zeros_like(stay), np.zeros_like(stay)
                for number, span in enumerate(spans):
                    place = np.searchsorted(where, bin_of[span])
                    left[number, place], came[number, place] = self.left[span], self.came[span]
                change[x, s, t], error[x, s, t] = _change(stay - left, left, came)
        return before, change, error

    def to_bytes(self) -> bytes:
        """Write it as bytes."""
        named = {name: getattr(self, name) for name in (*COUNTS, *FLOATS, *MOVES)}
        return pack(named | self.scores.arrays())

    @staticmethod
    def from_bytes(
        schema: Schema, specs: tuple[LayerSpec, ...], content: bytes
    ) -> "KnockoutSummary":
        """Read back what `to_bytes` wrote."""
        arrays = unpack(content)
        experts = sum(spec.experts for spec in specs)
        scores = ScoreCounts.of_arrays(_mantissa(schema, experts), arrays)
        plain = {name: arrays[name] for name in (*COUNTS, *MOVES, *FLOATS)}
        return KnockoutSummary(schema, specs, scores=scores, **plain)


def _change(stay: np.ndarray, left: np.ndarray, came: np.ndarray) -> tuple[float, float]:
    """Change of AUC from bins stay + left to stay + came, (2, V), and the bound on its error."""
    areas = []
    for counts in (stay + left, stay + came):
        unknown = np.tile(np.array([[-1], [2**32], [-1], [2**32]], np.int64), counts.shape[1])
        areas.append(auc_of_bins(counts, unknown))
    pairs = float(np.prod((stay + left).sum(1, dtype=np.float64)))
    fixed_pairs = float(stay[0].astype(np.float64) @ stay[1])
    error = sum(area.error for area in areas) - (fixed_pairs / pairs if pairs else math.nan)
    return areas[1].value - areas[0].value, max(error, 0.0) if pairs else math.nan


def _span(cells: np.ndarray, cell: int) -> slice:
    """Where a cell is among rising cells."""
    return slice(*np.searchsorted(cells, [cell, cell + 1]))


def _mantissa(schema: Schema, experts: int) -> int:
    return mantissa_for(experts * _cell_count(schema), MOST_MOVES)


def _cell_count(schema: Schema) -> int:
    return 2 * len(scopes(schema)) * len(schema.tasks)


def _cells(own: Paired, task: int, tasks: int) -> list[np.ndarray]:
    """Cell of each row with a label in each grouping: its scenario, task and class."""
    found, offset = [], 0
    for grouping in own.groupings:
        found.append(2 * ((offset + grouping.groups) * tasks + task) + own.labels)
        offset += len(grouping.n)
    return found


def _counted(chosen: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Rows of each group that chose each expert: (X, rows) → (X, groups)."""
    member = np.zeros((len(groups), count), np.int64)
    member[np.arange(len(groups)), groups] = 1
    return np.stack([member[own].sum(0) for own in chosen])


def _summed(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros(count, np.int64)
    np.add.at(total, groups, values)
    return total


def _column(tasks: list[Paired], figure: Callable[[Grouping], np.ndarray]) -> np.ndarray:
    """Return a figure of all groupings and tasks, (S, T)."""
    columns = [np.concatenate([figure(g) for g in own.groupings]) for own in tasks]
    return np.stack(columns, axis=1).astype(np.int64)


def _moves(
    tasks: list[Paired], cells: list[list[np.ndarray]], found: Without, mantissa: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys of the bins that rows left or came to, rising, and how many did."""
    shift = 32 - (MANTISSA - mantissa)
    keys, signs = [], []
    for x, chosen in enumerate(found.chosen):
        for t, own in enumerate(tasks):
            rows = np.flatnonzero(chosen[own.rows])
            for sign, scores in enumerate((found.before[:, t], found.after[x, :, t])):
                bits = scores[own.rows[rows]].view(np.uint32).astype(np.int64)
                bins = bits >> (MANTISSA - mantissa)
                for cell in cells[t]:
                    keys.append(((x * count + cell[rows]) << shift) | bins)
                    signs.append(np.full(len(rows), sign, bool))
    came = np.concatenate(signs).astype(np.int64)
    return _together(np.concatenate(keys), 1 - came, came)


def _together(
    keys: np.ndarray, left: np.ndarray, came: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up what has the same key."""
    order = np.argsort(keys, kind="stable")
    first = np.flatnonzero(np.diff(keys[order], prepend=-1))
    if not len(first):
        return keys, left, came
    left, came = (np.add.reduceat(values[order], first) for values in (left, came))
    return keys[order][first], left, came


def _spreads(
    tasks: list[Paired], found: Without, shape: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """Sums that the intervals need; see `KnockoutSummary`."""
    loss, squares = np.zeros((2, *shape))
    spread, freedom = np.zeros((2, 2, *shape))
    for x, after in enumerate(found.after):
        for t, own in enumerate(tasks):
            start = 0
            for grouping, moved, losses in own.moved(after[:, t]):
                scenarios = slice(start, start := start + len(grouping.n))
                groups, count = grouping.groups, len(grouping.n)
                loss[x, scenarios, t] = np.bincount(groups, losses, count)
                squares[x, scenarios, t] = np.bincount(groups, losses**2, count)
                for number, members in enumerate((~own.labels, own.labels)):
                    ss, df = _within(moved[members], groups[members], count)
                    spread[number, x, scenarios, t], freedom[number, x, scenarios, t] = ss, df
    return dict(zip(FLOATS, (loss, squares, spread, freedom), strict=True))


def _within(values: np.ndarray, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum of squares around each group's mean, and degrees of freedom; 0 where undefined."""
    n = np.bincount(groups, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(groups, values, count) / n
        total = np.bincount(groups, (values - mean[groups]) ** 2, count)
    known = ~np.isnan(total) & (n > 1)
    return np.where(known, total, 0.0), np.where(known, n - 1.0, 0.0)
