"""Two predictions of the same rows: how differently they rank and fit, with intervals.

Both are measured on the same rows, so their errors go together: the interval of the difference
comes from the rows' own differences, and is narrower than two intervals beside each other tell.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL
from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.metrics import Z95, structural

POINTS = 100  # AUC × 100
CLIP = 1e-7  # of probabilities in the log loss, as in `metrics.log_loss`


class Paired(NamedTuple):
    """a's value, b's value, b minus a and its 95 % interval; NaN where it is not defined."""

    a: float
    b: float
    difference: float
    low: float
    high: float


def paired_auc(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> Paired:
    """Compare the AUC of two predictions of the same rows, in [0, 1] (DeLong et al., 1988).

    The variance of the difference is that of the differences of the structural components, which
    holds the covariance of both AUCs. All NaN where a class is missing; no interval where a class
    has one row. labels: 0 or 1, (rows,). a, b: (rows,).
    """
    (positive_a, negative_a), (positive_b, negative_b) = (
        structural(labels, a),
        structural(labels, b),
    )
    if len(positive_a) == 0 or len(negative_a) == 0:
        return Paired(*[math.nan] * 5)
    parts = (positive_b - positive_a, negative_b - negative_a)
    variance = sum(_mean_variance(part) for part in parts)
    return _paired(float(positive_a.mean()), float(positive_b.mean()), variance)


def paired_log_loss(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> Paired:
    """Compare the log loss of two predictions of the same rows, in nats; see `paired_auc`."""
    if len(labels) == 0:
        return Paired(*[math.nan] * 5)
    of_a, of_b = _losses(labels, a), _losses(labels, b)
    return _paired(float(of_a.mean()), float(of_b.mean()), _mean_variance(of_b - of_a))


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
    labels = batch.labels.numpy()
    lines = [
        {"scope": scope, "scenario": scenario, "task": task}
        | _line(labels[rows, t], a[rows, t], b[rows, t])
        for scope, scenario, rows in scopes(batch.scenarios.numpy(), schema)
        for t, task in enumerate(schema.tasks)
        if tasks is None or task in tasks
    ]
    return pd.DataFrame(lines)


def scopes(scenarios: np.ndarray, schema: Schema) -> list[tuple[str, str, np.ndarray]]:
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


def _line(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    known = ~np.isnan(labels)
    labels, a, b = labels[known], a[known], b[known]
    area, loss = paired_auc(labels, a, b), paired_log_loss(labels, a, b)
    return {
        "n": len(labels), "positives": int(labels.sum()),
        "auc_a": POINTS * area.a, "auc_b": POINTS * area.b, "delta_auc": POINTS * area.difference,
        "low": POINTS * area.low, "high": POINTS * area.high,
        "log_loss_a": loss.a, "log_loss_b": loss.b, "delta_log_loss": loss.difference,
        "log_loss_low": loss.low, "log_loss_high": loss.high,
    }  # fmt: skip


def _losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    p = np.clip(probabilities.astype(np.float64), CLIP, 1 - CLIP)
    losses: np.ndarray = -np.where(labels > 0.5, np.log(p), np.log1p(-p))
    return losses


def _paired(a: float, b: float, variance: float) -> Paired:
    spread = Z95 * math.sqrt(variance)
    return Paired(a, b, b - a, b - a - spread, b - a + spread)


def _mean_variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan
