"""From labels to tasks: which follows which, where each exists, which values count as 1.

A label follows another where it is 1 (nearly) only where the other is 1, beyond what chance gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

NEARLY = 0.02  # share of positives that may lie outside, mistakes of a log
BEYOND = 3.0  # positives that chance alone would put outside, at least, to say that none is there
EXPECTED = 10.0  # positives a scenario would have at the label's rate, to say that it has no task


@dataclass(frozen=True)
class Parent:
    """The label that another follows; outside: positives outside it, which will count as 0."""

    name: str
    outside: int


def contains(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Whether `inner` is 1 (nearly) only where `outer` is 1, and not by chance.

    Both are 0, 1 or NaN, (rows,). By chance, a share 1 − rate of outer of the positives would lie
    outside it.
    """
    positives = int((inner == 1).sum())
    outside = int(((inner == 1) & (outer != 1)).sum())
    chance = positives * (1 - _rate(outer))
    return chance >= BEYOND and outside <= min(NEARLY * positives, 0.1 * chance)


def parents(flags: Mapping[str, np.ndarray]) -> dict[str, Parent | None]:
    """For each label the rarest more frequent one that contains it; parents come first."""
    counts = {name: int((flag == 1).sum()) for name, flag in flags.items()}
    order = sorted(flags, key=lambda name: -counts[name])
    found: dict[str, Parent | None] = {}
    for position, name in enumerate(order):
        outer = [o for o in order[:position] if counts[o] > counts[name]]
        around = [o for o in outer if contains(flags[o], flags[name])]
        found[name] = _parent(around[-1], flags, name) if around else None
    return found


def _parent(outer: str, flags: Mapping[str, np.ndarray], name: str) -> Parent:
    return Parent(outer, int(((flags[name] == 1) & (flags[outer] != 1)).sum()))


def duplicates(flags: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Labels that are 1 in the very rows of an earlier one → that one."""
    found: dict[str, str] = {}
    names = list(flags)
    for position, name in enumerate(names):
        for other in names[:position]:
            if other not in found and np.array_equal(flags[name] == 1, flags[other] == 1):
                found[name] = other
                break
    return found


def absent_in(flag: np.ndarray, scenarios: np.ndarray, count: int) -> np.ndarray:
    """Scenarios in which a task seems not to exist, (scenarios,) bool.

    There the label is always missing, or always 0 where its rate elsewhere would have given at
    least EXPECTED positives. None where that would leave no scenario.
    flag: 0, 1 or NaN, (rows,), of the rows that are 1 in the task it follows: others tell nothing.
    scenarios: index of each row's scenario, (rows,).
    """
    known, rows = ~np.isnan(flag), np.bincount(scenarios, minlength=count)
    labelled = np.bincount(scenarios[known], minlength=count)
    positive = np.bincount(scenarios[flag == 1], minlength=count)
    some = positive > 0
    rate = positive[some].sum() / max(labelled[some].sum(), 1)
    never = (positive == 0) & (labelled * rate >= EXPECTED)
    absent: np.ndarray = (rows > 0) & ((labelled == 0) | never)
    return absent if (some & ~absent).any() else np.zeros(count, bool)


def lacks(flag: np.ndarray, exists: np.ndarray, parent: np.ndarray | None) -> int:
    """Count rows without a label that need one: where the task exists, and not after a 0."""
    after_zero = parent == 0 if parent is not None else np.zeros(len(flag), bool)
    return int((np.isnan(flag) & exists & ~after_zero).sum())


def _rate(flag: np.ndarray) -> float:
    known = flag[~np.isnan(flag)]
    return float(known.mean()) if len(known) else 0.0
