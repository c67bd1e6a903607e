"""Two predictions of the same rows: how differently they rank and fit, with intervals.

Both are measured on the same rows, so their errors go together: the interval of the difference
comes from the rows' own differences, and is narrower than two intervals beside each other tell.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, scope_groups
from aesm2.data.scenarios import scopes as named_scopes
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.paired import Paired, paired

POINTS = 100  # AUC × 100


def paired_differences(
    a: np.ndarray, b: np.ndarray, batch: Batch, schema: Schema, tasks: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare two predictions, b minus a: one line a scope, scenario and task.

    a, b: probabilities, (rows, all tasks). tasks: those to compare, by default all. scope: "all" or
    the name of a level. Columns: scope, scenario, task, n (rows with a label), positives, auc_a,
    auc_b, delta_auc, low, high (AUC × 100, the latter three in points), log_loss_a, log_loss_b,
    delta_log_loss, log_loss_low, log_loss_high (nats). NaN where undefined. Raises InputError for
    rows without labels.
    """
    if batch.labels is None:
        raise InputError("these rows have no labels: AUC and log loss need rows with labels")
    labels, groups = batch.labels.numpy(), scope_groups(schema, batch.scenarios.numpy())
    frames = [
        _of_task(name, paired(labels[:, t], a[:, t], groups), b[:, t], schema)
        for t, name in enumerate(schema.tasks)
        if tasks is None or name in tasks
    ]
    return pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)


def scope_masks(scenarios: np.ndarray, schema: Schema) -> list[tuple[str, str, np.ndarray]]:
    """Return (scope, scenario, mask of its rows): all rows, then the scenarios of each level."""
    found = [(OVERALL, OVERALL, np.ones(len(scenarios), bool))]
    for position, (level, names) in enumerate(zip(schema.level_names, schema.levels, strict=True)):
        own = scenarios[:, position]
        found += [(level, name, own == index) for index, name in enumerate(names)]
    return found


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their middle rank; NaN where either is constant."""
    ranks = [rankdata(x) - (len(x) + 1) / 2 for x in (a, b)]
    spread = math.sqrt(float((ranks[0] ** 2).sum()) * float((ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / spread if spread > 0 else math.nan


def _of_task(task: str, before: Paired, after: np.ndarray, schema: Schema) -> pd.DataFrame:
    """Return one line a scope and scenario, in the order of `scenarios.scopes`."""
    parts = []
    for own, (area, loss) in zip(before.groupings, before.against(after), strict=True):
        parts.append({
            "n": own.n, "positives": own.positives,
            "auc_a": POINTS * own.auc, "auc_b": POINTS * (own.auc + area.value),
            "delta_auc": POINTS * area.value, "low": POINTS * area.low, "high": POINTS * area.high,
            "log_loss_a": own.log_loss, "log_loss_b": own.log_loss + loss.value,
            "delta_log_loss": loss.value, "log_loss_low": loss.low, "log_loss_high": loss.high,
        })  # fmt: skip
    found = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    names = pd.DataFrame(list(named_scopes(schema)), columns=["scope", "scenario"])
    return pd.concat([names.assign(task=task), found], axis=1)
