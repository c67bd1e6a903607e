"""From the label columns of a draft to its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aesm2.data.description import RESERVED, Level, Scalar, Task
from aesm2.data.draft.labels import Parent, absent_in, lacks, parents
from aesm2.data.draft.levels import identifier
from aesm2.data.draft.names import SALE, says
from aesm2.data.draft.value import Draft
from aesm2.data.encoder import encode_scenario
from aesm2.errors import InputError

Only = Mapping[str, Sequence[Scalar]]  # level → scenarios in which a task exists
RARE = 100  # positives below which a task is said to be uncertain


@dataclass(frozen=True)
class TaskDraft:
    """A task, notes on how it came about, and warnings about what may be wrong with it."""

    task: Task
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def tasks(draft: Draft, levels: list[Level]) -> list[TaskDraft]:
    """Draft the tasks, each after the one it follows; InputError where there is no label."""
    columns = {column.name: column for column in draft.of("label")}
    if not columns:
        raise InputError(
            "no column is a label: give that role to a column of yes and no (click, purchase, …)"
        )
    flags = {name: draft.flag(column) for name, column in columns.items()}
    codes = {level.name: encode_scenario(draft.frame, level) for level in levels}
    taken, drafted = {*RESERVED}, {}  # type: ignore[var-annotated]
    valued = _valued(list(parents(flags)))
    for name, parent in parents(flags).items():
        after = drafted[parent.name] if parent else None
        outer = flags[parent.name] if parent else None
        only = _only(flags[name], outer, levels, codes, after.task.only if after else {})
        lacking = lacks(flags[name], _exists(only, levels, codes), outer)
        task = Task(
            name=identifier(name, taken),
            label=name,
            positive=columns[name].profile.positive,
            follows=after.task.name if after else None,
            only=only,
            may_be_missing=lacking > 0,
            value=draft.value if name == valued else None,
        )
        taken.add(task.name)
        notes, warnings = _notes(flags[name], task, parent), _warnings(flags[name], task, parent)
        if lacking:
            warnings.append(f"{task.name}: {lacking:,} of the rows looked at have no label")
        drafted[name] = TaskDraft(task, tuple(notes), tuple(warnings))
    return list(drafted.values())


def _only(
    flag: np.ndarray,
    parent: np.ndarray | None,
    levels: list[Level],
    codes: dict[str, np.ndarray],
    before: Only,
) -> dict[str, tuple[str, ...]]:
    """The scenarios in which a task exists, by level; before: those of the task it follows."""
    found = {name: tuple(map(str, values)) for name, values in before.items()}
    for level in levels:
        telling = _exists(found, levels, codes) & (True if parent is None else parent == 1)
        own = codes[level.name]
        absent = absent_in(flag[telling], own[telling], len(level.scenarios))
        if absent.any():
            here = found.get(level.name, level.scenarios)
            kept = [s for s, gone in zip(level.scenarios, absent, strict=True) if not gone]
            found[level.name] = tuple(name for name in kept if name in here)
    return found


def _exists(only: Only, levels: list[Level], codes: dict[str, np.ndarray]) -> np.ndarray:
    """Whether a task exists in each row, (rows,) bool."""
    exists = np.ones(len(next(iter(codes.values()))), bool)
    for level in levels:
        if level.name in only:
            inside = np.array([name in only[level.name] for name in level.scenarios])
            exists &= inside[codes[level.name]]
    return exists


def _valued(names: list[str]) -> str:
    """The label that a value belongs to: the last sale, else the last label."""
    return next((name for name in reversed(names) if says(SALE, name)), names[-1])


def _notes(flag: np.ndarray, task: Task, parent: Parent | None) -> list[str]:
    known = flag[~np.isnan(flag)]
    notes = [f"{100 * known.mean():.3g} % of {len(known):,} labelled rows are positive"]
    if parent is not None:
        notes.append(f"1 only where {parent.name} is")
    for level, names in task.only.items():
        notes.append(f"only in {level} {', '.join(map(str, names))}: elsewhere it is never 1")
    return notes


def _warnings(flag: np.ndarray, task: Task, parent: Parent | None) -> list[str]:
    positives, found = int((flag == 1).sum()), []
    if positives < RARE:
        found.append(
            f"{task.name} has only {positives} positives: what is learnt of it is uncertain"
        )
    if parent is not None and parent.outside:
        found.append(
            f"{task.name} is 1 in {parent.outside:,} rows where {parent.name} is not 1: these count"
            " as 0"
        )
    return found
