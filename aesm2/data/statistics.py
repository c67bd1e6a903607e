"""How many impressions and positives each scenario has, as in Tables 1 and 2 of the paper."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.dataset import SplitName
from aesm2.data.schema import Schema


def scenario_statistics(batches: Mapping[SplitName, Batch], schema: Schema) -> pd.DataFrame:
    """Count rows and positives of each split and fine-grained scenario.

    batches: split name → labelled rows. Columns: split, one a level, impressions, one a task with
    its positives, NaN where no row has a label. Scenarios without rows are left out.
    """
    parts = []
    for split, batch in batches.items():
        if batch.labels is None:
            raise ValueError(f"the {split} rows have no labels")
        frame = pd.DataFrame(batch.scenarios.numpy(), columns=list(schema.level_names))
        frame[list(schema.tasks)] = batch.labels.numpy().astype(np.float64)
        grouped = frame.groupby(list(schema.level_names))
        counted = grouped[list(schema.tasks)].sum(min_count=1).assign(impressions=grouped.size())
        parts.append(counted.reset_index().assign(split=split))
    statistics = pd.concat(parts, ignore_index=True)
    for task in schema.tasks:
        if statistics[task].notna().all():
            statistics[task] = statistics[task].astype(int)
    for level, names in zip(schema.level_names, schema.levels, strict=True):
        statistics[level] = statistics[level].map(dict(enumerate(names)))
    return statistics[["split", *schema.level_names, "impressions", *schema.tasks]]
