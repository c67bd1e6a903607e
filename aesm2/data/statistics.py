"""How many impressions and positives each scenario has, as in Tables 1 and 2 of the paper."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.counts import GIVEN, IMPRESSIONS, LABELLED, Counts, count
from aesm2.data.dataset import SplitName
from aesm2.data.schema import Schema


def scenario_statistics(batches: Mapping[SplitName, Batch], schema: Schema) -> pd.DataFrame:
    """Count rows and positives of each split and fine-grained scenario.

    batches: split name → labelled rows. Columns: split, one a level, impressions, one a task with
    its positives, NaN where no row has a label. A task that only some rows of a scenario have a
    label for has two more: TASK:labelled, the rows that have one, and TASK:given, those of them
    that are positive in the task it follows. Scenarios without rows are left out.
    """
    for split, batch in batches.items():
        if batch.labels is None:
            raise ValueError(f"the {split} rows have no labels")
    return statistics_of({split: count(batch, schema) for split, batch in batches.items()})


def statistics_of(counts: Mapping[SplitName, Counts]) -> pd.DataFrame:
    """Return `scenario_statistics` of rows that were counted before."""
    parts = [_lines(counted).assign(split=split) for split, counted in counts.items()]
    schema = next(iter(counts.values())).schema
    statistics = pd.concat(parts, ignore_index=True)
    columns = ["split", *schema.level_names, IMPRESSIONS, *schema.tasks]
    for task in schema.tasks:
        if statistics[task].notna().all():
            statistics[task] = statistics[task].astype(int)
        labelled = statistics[task + LABELLED]
        if ((labelled > 0) & (labelled < statistics[IMPRESSIONS])).any():
            columns += [task + LABELLED, task + GIVEN]
    return statistics[columns]


def _lines(counts: Counts) -> pd.DataFrame:
    """Return one line a scenario that has rows."""
    schema, there = counts.schema, np.flatnonzero(counts.impressions)
    places = np.unravel_index(there, tuple(len(level) for level in schema.levels))
    named = zip(schema.level_names, schema.levels, places, strict=True)
    columns = {name: np.array(names, object)[place] for name, names, place in named}
    columns[IMPRESSIONS] = counts.impressions[there]
    for number, task in enumerate(schema.tasks):
        labelled = counts.labelled[there, number]
        positives = counts.positives[there, number]
        columns[task] = np.where(labelled > 0, positives, np.nan)
        columns |= {task + LABELLED: labelled, task + GIVEN: counts.given[there, number]}
    return pd.DataFrame(columns)
