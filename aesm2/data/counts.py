"""Impressions, labels and positives of each scenario, and the rates they make.

Axes: P fine-grained scenarios, see `scenarios`; S scenarios of a grouping; T tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.scenarios import path_index, scenario_names, summed_by
from aesm2.data.schema import Schema
from aesm2.metrics import wilson

IMPRESSIONS = "impressions"
LABELLED, GIVEN = ":labelled", ":given"  # after a task's name, in what a checkpoint stores


@dataclass(frozen=True)
class Counts:
    """Counts over a set of rows; the sum of two of them is that of both sets.

    impressions: rows, (P,). labelled: rows with a label of the task, (P, T). given: of them, those
    positive in the task it follows; all where it follows none, (P, T). positives: (P, T).
    """

    schema: Schema
    impressions: np.ndarray
    labelled: np.ndarray
    given: np.ndarray
    positives: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.schema,
            self.impressions + other.impressions,
            self.labelled + other.labelled,
            self.given + other.given,
            self.positives + other.positives,
        )

    def by(self, grouping: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the four counts by the scenarios of a grouping: (S,) and (S, T)."""
        parts = (self.impressions, self.labelled, self.given, self.positives)
        impressions, labelled, given, positives = (
            summed_by(self.schema, grouping, part) for part in parts
        )
        return impressions, labelled, given, positives


def count(batch: Batch, schema: Schema) -> Counts:
    """Count labelled rows."""
    if batch.labels is None:
        raise ValueError("these rows have no labels")
    own, labels = path_index(batch.scenarios.numpy(), schema), batch.labels.numpy()
    known = ~np.isnan(labels)
    parent = [labels[:, p] == 1 if p >= 0 else np.ones(len(labels), bool) for p in schema.parents]
    paths = int(np.prod([len(level) for level in schema.levels]))

    def per_task(masks: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([np.bincount(own[mask], minlength=paths) for mask in masks], axis=1)

    return Counts(
        schema,
        np.bincount(own, minlength=paths),
        per_task(list(known.T)),
        per_task([k & p for k, p in zip(known.T, parent, strict=True)]),
        per_task(list((labels == 1).T)),
    )


def stored_counts(statistics: pd.DataFrame, schema: Schema, split: str) -> Counts:
    """Return the counts that a checkpoint holds, of one split or "all".

    statistics: see `scenario_statistics`.
    """
    rows = statistics if split == "all" else statistics[statistics["split"] == split]
    places = np.empty((len(rows), len(schema.levels)), np.int64)
    for level, (name, names) in enumerate(zip(schema.level_names, schema.levels, strict=True)):
        places[:, level] = rows[name].astype(str).map({n: i for i, n in enumerate(names)})
    own = path_index(places, schema)
    paths = int(np.prod([len(level) for level in schema.levels]))

    def per_path(values: list[np.ndarray]) -> np.ndarray:
        total = np.zeros((paths, len(values)), np.int64)
        np.add.at(total, own, np.stack(values, axis=1))
        return total

    impressions = rows[IMPRESSIONS].to_numpy(np.int64)
    stored = [_stored(rows, schema, task) for task in range(len(schema.tasks))]
    labelled, given, positives = (per_path(list(of)) for of in zip(*stored, strict=True))
    return Counts(schema, per_path([impressions])[:, 0], labelled, given, positives)


def _stored(
    rows: pd.DataFrame, schema: Schema, task: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled, given and positive rows of a task, one a line of `rows`."""
    name, parent = schema.tasks[task], schema.parents[task]
    if name + LABELLED in rows:
        columns = (name + LABELLED, name + GIVEN)
    else:
        columns = (IMPRESSIONS, schema.tasks[parent] if parent >= 0 else IMPRESSIONS)
    known = rows[name].notna()
    labelled, given, positives = (
        rows[column].where(known).fillna(0).to_numpy(np.int64) for column in (*columns, name)
    )
    return labelled, given, positives


def rates(counts: Counts, by: str) -> pd.DataFrame:
    """Rate of each task with its 95 % interval (Wilson): over its rows, and over those it follows.

    One line a rate and scenario, rates in the order of `rate_pairs`. Columns: task, of
    ("impressions" or the task it follows), scenario, n, positives, rate, low, high; NaN where n
    is 0.
    """
    schema = counts.schema
    _, labelled, given, positives = counts.by(by)
    parts = []
    for task, whole in rate_pairs(schema):
        k = schema.tasks.index(task)
        n = (labelled if whole == IMPRESSIONS else given)[:, k]
        low, high = wilson(positives[:, k], n)
        rate = positives[:, k] / np.where(n > 0, n, np.nan)
        columns = {"task": task, "of": whole, "scenario": scenario_names(schema, by), "n": n}
        parts.append(
            pd.DataFrame(
                columns | {"positives": positives[:, k], "rate": rate, "low": low, "high": high}
            )
        )
    return pd.concat(parts, ignore_index=True)


def rate_pairs(schema: Schema) -> list[tuple[str, str]]:
    """Return (part, whole): every task of its impressions, then each of the one it follows."""
    chain = zip(schema.tasks, schema.parents, strict=True)
    follows = [(task, schema.tasks[parent]) for task, parent in chain if parent >= 0]
    return [*((task, IMPRESSIONS) for task in schema.tasks), *follows]
