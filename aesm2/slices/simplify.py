"""The same rows in fewer words."""

from collections.abc import Sequence

from aesm2.slices.conditions import Condition, Missing, OneOf, Range, Slice


def conjoined(first: Slice, second: Slice) -> Slice:
    """Return the rows that are in both slices."""
    return simplified(Slice((*first.conditions, *second.conditions)))


def simplified(of: Slice) -> Slice:
    """Return a slice of the same rows whose conditions are merged, column by column.

    Bounds become an interval, lists of values one list, and what follows from another condition is
    dropped. Conditions that contradict each other stay as they are.
    """
    by_column: dict[str, list[Condition]] = {}
    for condition in of.conditions:
        by_column.setdefault(condition.column, []).append(condition)
    return Slice(tuple(c for group in by_column.values() for c in _merged(group)))


def _merged(group: list[Condition]) -> list[Condition]:
    """Merge conditions on one column."""
    values = _values([c for c in group if isinstance(c, OneOf)])
    ranges = _range([c for c in group if isinstance(c, Range)])
    missing = {c.negated for c in group if isinstance(c, Missing)}
    positive = any(not c.negated for c in values)
    if missing == {False} and not positive and all(r.or_missing for r in ranges):
        return [Missing(group[0].column)]
    if missing == {True}:
        ranges = [_present(r) for r in ranges]
        missing = set() if positive or ranges else missing
    elif positive:  # a value that is listed is there
        ranges = [_present(r) for r in ranges]
    return [*values, *ranges, *(Missing(group[0].column, own) for own in sorted(missing))]


def _values(found: Sequence[OneOf]) -> list[OneOf]:
    taken = [set(c.members) for c in found if not c.negated]
    left = tuple(dict.fromkeys(v for c in found if c.negated for v in c.members))
    if not taken:
        return [OneOf(found[0].column, left, True)] if left else []
    order = next(c.members for c in found if not c.negated)
    common = set.intersection(*taken) - set(left)
    rest = tuple(value for value in order if value in common)
    return [OneOf(found[0].column, rest)] if rest else list(found)


def _range(found: Sequence[Range]) -> list[Range]:
    if len(found) < 2:
        return list(found)
    lows = [(c.low, not c.low_included) for c in found if c.low is not None]
    highs = [(c.high, c.high_included) for c in found if c.high is not None]
    low, excluded = max(lows, default=(None, False))
    high, included = min(highs, default=(None, False))
    both = all(c.or_missing for c in found)
    return [Range(found[0].column, low, high, not excluded, included, both)]


def _present(of: Range) -> Range:
    return Range(of.column, of.low, of.high, of.low_included, of.high_included)
