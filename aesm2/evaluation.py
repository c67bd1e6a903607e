"""AUC, log loss and calibration for each scenario and task."""

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, PATH, path_index, path_names
from aesm2.inference import probabilities
from aesm2.metrics import auc, log_loss
from aesm2.models import Model, Schema


def evaluate(model: Model, batch: Batch) -> pd.DataFrame:
    """Measure a model on labelled rows; see `measure`."""
    return measure(probabilities(model, batch), batch, model.schema)


def measure(
    predicted: np.ndarray, batch: Batch, schema: Schema, paths: bool = True
) -> pd.DataFrame:
    """Measure predictions on labelled rows: one line a scope, scenario and task.

    predicted: (rows, tasks) in [0, 1]. scope is "all", the name of a level, or "path" for
    fine-grained scenarios (left out where `paths` is False). Columns: n (rows with a label),
    positives, rate, mean_prediction, auc with its 95 % interval auc_low and auc_high (undefined,
    NaN, where a class is missing), log_loss in nats.
    """
    if batch.labels is None:
        raise ValueError("evaluation needs labels")
    labels, scenarios = batch.labels.numpy(), batch.scenarios.numpy()
    groups = [(OVERALL, OVERALL, np.ones(len(batch), bool))]
    for position, (level, names) in enumerate(zip(schema.level_names, schema.levels, strict=True)):
        for index, name in enumerate(names):
            groups.append((level, name, scenarios[:, position] == index))
    if paths and len(schema.levels) > 1:
        own = path_index(scenarios, schema)
        for index, name in enumerate(path_names(schema)):
            groups.append((PATH, name, own == index))
    lines = [
        {"scope": scope, "scenario": scenario, "task": task}
        | _measure(labels[rows, position], predicted[rows, position])
        for scope, scenario, rows in groups
        for position, task in enumerate(schema.tasks)
    ]
    return pd.DataFrame(lines)


def overall_score(metrics: pd.DataFrame) -> float:
    """What early stopping maximises: the mean over the tasks of the AUC over all rows.

    Where no task has both classes it is minus the mean log loss, so that the best weights are
    still told apart.
    """
    overall = metrics[metrics["scope"] == OVERALL]
    defined = overall["auc"].notna().any()
    return float(overall["auc"].mean() if defined else -overall["log_loss"].mean())


def _measure(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    known = ~np.isnan(labels)
    labels, predicted = labels[known], predicted[known]
    area = auc(labels, predicted)
    some = len(labels) > 0
    return {
        "n": len(labels),
        "positives": int(labels.sum()),
        "rate": float(labels.mean()) if some else np.nan,
        "mean_prediction": float(predicted.mean()) if some else np.nan,
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
        "log_loss": log_loss(labels, predicted),
    }
