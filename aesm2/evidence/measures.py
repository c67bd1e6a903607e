"""What is measured of every run on the test rows.

Axes: rows; tasks; P fine-grained scenarios (paths).
"""

import numpy as np
import pandas as pd

from aesm2.data.scenarios import OVERALL, PATH, path_index, path_names
from aesm2.evaluation import measure
from aesm2.evidence.rows import Rows
from aesm2.metrics import calibration_error, soft_auc

WEIGHTED = "weighted"  # scope of the means over fine-grained scenarios, weighted by their rows


def measures(predicted: np.ndarray, rows: Rows) -> pd.DataFrame:
    """Measure predictions, (rows, tasks), on the test rows: one line a scope, scenario and task.

    Columns of `measure`, and: calibration_error; truth_auc, the AUC expected over labels drawn
    from the true probabilities; truth_log_loss, the log loss expected over them, in nats, above
    that of the true probabilities themselves. The last two are NaN where no truth is known. Scope
    "weighted" has the mean of the AUCs of the fine-grained scenarios where they are defined,
    weighted by their rows.
    """
    batch = rows.batches["test"]
    lines = measure(predicted, batch, rows.schema)
    if batch.labels is None:
        raise ValueError("a study needs labels")
    labels, inside = batch.labels.numpy(), groups(rows)
    more = []
    for line in lines.itertuples():
        own = inside[(str(line.scope), str(line.scenario))]
        task = rows.schema.tasks.index(str(line.task))
        known = own & ~np.isnan(labels[:, task])
        p, score = labels[known, task], predicted[known, task]
        more.append(
            {"calibration_error": calibration_error(p, score)}
            | _truth(None if rows.truth is None else rows.truth[known, task], score)
        )
    full = pd.concat([lines, pd.DataFrame(more, index=lines.index)], axis=1)
    return pd.concat([full, _weighted(full)], ignore_index=True)


def groups(rows: Rows) -> dict[tuple[str, str], np.ndarray]:
    """Return which test rows are in each scope and scenario, (rows,) bool.

    Fine-grained scenarios are there where there are several levels: those of one would be its own.
    """
    scenarios = rows.batches["test"].scenarios.numpy()
    path = path_index(scenarios, rows.schema)
    found = {(OVERALL, OVERALL): np.ones(len(path), bool)}
    for position, level in enumerate(rows.schema.level_names):
        for index, name in enumerate(rows.schema.levels[position]):
            found[(level, name)] = scenarios[:, position] == index
    if len(rows.schema.levels) > 1:
        for index, name in enumerate(path_names(rows.schema)):
            found[(PATH, name)] = path == index
    return found


def _truth(true: np.ndarray | None, score: np.ndarray) -> dict[str, float]:
    if true is None or len(true) == 0:
        return {"truth_auc": np.nan, "truth_log_loss": np.nan}
    p = true.astype(np.float64)
    q = np.clip(score.astype(np.float64), 1e-12, 1 - 1e-7)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return {"truth_auc": soft_auc(p, score), "truth_log_loss": float(divergence.mean())}


def _weighted(lines: pd.DataFrame) -> pd.DataFrame:
    """Means over the innermost scenarios, weighted by their rows, one line a task."""
    scope = PATH if (lines["scope"] == PATH).any() else lines["scope"].iloc[-1]
    found = []
    for task, own in lines[lines["scope"] == scope].groupby("task", sort=False):
        line = {"scope": WEIGHTED, "scenario": WEIGHTED, "task": task, "n": int(own["n"].sum()),
                "positives": int(own["positives"].sum())}  # fmt: skip
        for column in ("auc", "log_loss", "calibration_error", "truth_auc", "truth_log_loss"):
            known = own[own[column].notna()]
            some = known["n"].sum() > 0
            line[column] = float(np.average(known[column], weights=known["n"])) if some else np.nan
        found.append(line)
    return pd.DataFrame(found)
