"""How AUC and log loss change where the same rows are predicted in another way.

Both predictions see the same rows, so their errors go together and the change is known far better
than either figure: its intervals are paired. Rows come in groups, such as scenarios, that are
measured at once. Intervals are of independent rows; those of one user are alike, which makes true
ones wider.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aesm2.metrics import Z95


class Change(NamedTuple):
    """How much a figure changed, with its 95 % interval; each (groups,), NaN where undefined."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Grouping:
    """A division of rows into groups, and how well the rows are predicted as they are.

    groups: group of each row, (rows,). n, positives: rows and positives of each group, (groups,).
    auc, log_loss: of each group, NaN where undefined.
    components, losses: of each row, see `metrics.structural`; in nats.
    """

    groups: np.ndarray
    n: np.ndarray
    positives: np.ndarray
    auc: np.ndarray
    log_loss: np.ndarray
    components: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class Paired:
    """Rows of one task, predicted once, to which other predictions of them are compared.

    rows: positions of those with a label. labels: theirs, bool.
    """

    rows: np.ndarray
    labels: np.ndarray
    groupings: tuple[Grouping, ...]

    def against(self, predicted: np.ndarray) -> list[tuple[Change, Change]]:
        """Return the changes of AUC and of log loss from before to `predicted`, a grouping each.

        predicted: probabilities of all rows, those without a label as well. The interval of the
        AUC's change is DeLong's for two correlated AUC (1988), that of the log loss's is of the
        mean of a row's differences. An AUC is undefined where a class is missing.
        """
        found = []
        for own, moved, losses in self.moved(predicted):
            count = len(own.n)
            mean, variance = _moments(moved, own.groups, count, self.labels)
            of_negatives = _moments(moved, own.groups, count, ~self.labels)[1]
            loss, loss_variance = _moments(losses, own.groups, count)
            found.append((_interval(mean, variance + of_negatives), _interval(loss, loss_variance)))
        return found

    def moved(self, predicted: np.ndarray) -> Iterator[tuple[Grouping, np.ndarray, np.ndarray]]:
        """Yield for each grouping how far the AUC component and the loss of each row moved.

        predicted: see `against`. Both arrays are (rows with a label,).
        """
        scores = predicted[self.rows]
        order, losses = np.argsort(scores, kind="stable"), row_losses(self.labels, scores)
        for own in self.groupings:
            components = auc_components(self.labels, scores, own.groups, order)
            yield own, components - own.components, losses - own.losses


def paired(
    labels: np.ndarray, predicted: np.ndarray, groups: Sequence[tuple[np.ndarray, int]]
) -> Paired:
    """Measure rows of one task as they are predicted, in several divisions into groups.

    labels: 0 or 1, NaN where unknown, (rows,). predicted: probabilities, (rows,).
    groups: for each division, the group of each row and the number of groups.
    """
    rows = np.flatnonzero(~np.isnan(labels))
    known, scores = labels[rows] > 0.5, predicted[rows]
    order, losses = np.argsort(scores, kind="stable"), row_losses(known, scores)
    found = []
    for all_own, count in groups:
        own = all_own[rows]
        components = auc_components(known, scores, own, order)
        found.append(
            Grouping(
                own,
                np.bincount(own, minlength=count),
                np.bincount(own[known], minlength=count),
                _moments(components, own, count, known)[0],
                _moments(losses, own, count)[0],
                components,
                losses,
            )
        )
    return Paired(rows, known, tuple(found))


def auc_components(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Structural components of the AUC within each group, in the order of the rows, (rows,).

    As `metrics.structural`: for a positive the share of its group's negatives that score lower, for
    a negative the share of its positives that score higher, ties counted half; NaN where the other
    class is missing. labels: bool. order: rows by score, as np.argsort gives.
    """
    order = order[np.argsort(groups[order], kind="stable")]  # by group, within it by score
    own, score, positive = groups[order], scores[order], labels[order]
    new_group = np.diff(own, prepend=-1) != 0
    new_value = new_group | (np.diff(score, prepend=math.nan) != 0)
    upto = np.concatenate([[0], np.cumsum(positive)])
    ends = np.append(np.flatnonzero(new_value), len(own))  # where equal values begin, and the end
    groups_end = np.append(np.flatnonzero(new_group), len(own))
    value, group = np.cumsum(new_value) - 1, np.cumsum(new_group) - 1
    first, last = groups_end[group], groups_end[group + 1]
    rows = ends[value] + ends[value + 1] - 2 * first  # lower and lower or equal, added up
    positives = upto[ends[value]] + upto[ends[value + 1]] - 2 * upto[first]
    all_positives = upto[last] - upto[first]
    all_negatives = last - first - all_positives
    components = np.empty(len(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        components[order] = np.where(
            positive,
            np.where(all_negatives > 0, (rows - positives) / (2 * all_negatives), math.nan),
            np.where(all_positives > 0, 1 - positives / (2 * all_positives), math.nan),
        )
    return components


def row_losses(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row in nats, probabilities clipped to 1e-7; labels: bool, (rows,)."""
    p = np.clip(predicted.astype(np.float64), 1e-7, 1 - 1e-7)
    losses: np.ndarray = -np.log(np.where(labels, p, 1 - p))
    return losses


def _moments(
    values: np.ndarray, groups: np.ndarray, count: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each group's values, and the variance of that mean; NaN without rows, or with one."""
    if among is not None:
        values, groups = values[among], groups[among]
    n = np.bincount(groups, minlength=count).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(groups, values, count) / n
        variance = np.bincount(groups, (values - mean[groups]) ** 2, count) / (n - 1) / n
    return mean, np.where(n > 1, variance, math.nan)


def _interval(mean: np.ndarray, variance: np.ndarray) -> Change:
    spread = Z95 * np.sqrt(variance)
    return Change(mean, mean - spread, mean + spread)
