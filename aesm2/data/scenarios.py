"""Names of scenarios: all rows, those of a level, and the fine-grained ones that levels make.

Axes: P fine-grained scenarios, called paths, the last level changing fastest; S scenarios; T tasks.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from aesm2.data.description import Description
from aesm2.data.encoder import tasks_exist
from aesm2.data.schema import Schema
from aesm2.errors import InputError

OVERALL = "all"
PATH = "path"
SEPARATOR = " → "


def path_names(schema: Schema) -> list[str]:
    """Names of all fine-grained scenarios, the last level changing fastest."""
    return [SEPARATOR.join(names) for names in itertools.product(*schema.levels)]


def path_index(scenarios: np.ndarray, schema: Schema) -> np.ndarray:
    """Index of each row in `path_names`: (rows, levels) → (rows,)."""
    sizes = tuple(len(level) for level in schema.levels)
    index: np.ndarray = np.ravel_multi_index(tuple(scenarios.T), sizes)
    return index


def scenario_names(schema: Schema, by: str) -> tuple[str, ...]:
    """Names of the scenarios by a level, by fine-grained scenario ("path"), or of all rows."""
    if by == OVERALL:
        return (OVERALL,)
    if by == PATH:
        return tuple(path_names(schema))
    return schema.levels[_level(schema, by)]


def scenario_of_path(schema: Schema, by: str) -> np.ndarray:
    """Index, in `scenario_names`, of the scenario each path belongs to, (P,)."""
    sizes = tuple(len(level) for level in schema.levels)
    paths = np.arange(int(np.prod(sizes)))
    if by == OVERALL:
        return np.zeros_like(paths)
    if by == PATH:
        return paths
    index: np.ndarray = np.unravel_index(paths, sizes)[_level(schema, by)]
    return index


def summed_by(schema: Schema, by: str, values: np.ndarray) -> np.ndarray:
    """Add up values over the paths of each scenario: (P, …) → (S, …)."""
    total = np.zeros((len(scenario_names(schema, by)), *values.shape[1:]), values.dtype)
    np.add.at(total, scenario_of_path(schema, by), values)
    return total


def existing(description: Description, schema: Schema, by: str) -> np.ndarray:
    """Whether each task exists in some row of each scenario, (S, T) bool."""
    sizes = tuple(len(level) for level in schema.levels)
    paths = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)
    exists = tasks_exist(description, paths).astype(np.int64)
    some: np.ndarray = summed_by(schema, by, exists) > 0
    return some


def paths_within(schema: Schema, path: Sequence[int | None]) -> np.ndarray:
    """Mark the paths that pass through a scenario at each level, (P,) bool; None: any scenario."""
    kept = np.ones(int(np.prod([len(level) for level in schema.levels])), bool)
    for level, scenario in zip(schema.level_names, path, strict=True):
        if scenario is not None:
            kept &= scenario_of_path(schema, level) == scenario
    return kept


def scopes(schema: Schema) -> tuple[tuple[str, str], ...]:
    """Return all rows, then the scenarios of each level, as (scope, scenario)."""
    levels = zip(schema.level_names, schema.levels, strict=True)
    return ((OVERALL, OVERALL), *((level, name) for level, names in levels for name in names))


def scope_groups(schema: Schema, scenarios: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Divide rows as `scopes` does: each time the group of each row, and the number of groups.

    scenarios: (rows, levels).
    """
    levels = [(scenarios[:, i].astype(np.int64), len(s)) for i, s in enumerate(schema.levels)]
    return [(np.zeros(len(scenarios), np.int64), 1), *levels]


def _level(schema: Schema, by: str) -> int:
    if by not in schema.level_names:
        known = ", ".join([*schema.level_names, PATH, OVERALL])
        raise InputError(f"no scenario level '{by}' (there are: {known})")
    return schema.level_names.index(by)
