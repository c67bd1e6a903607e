"""AUC, log loss and calibration of any number of rows, as a summary that parts add up to.

Axes: P paths (fine-grained scenarios, see `data.scenarios`); T tasks.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.data.batch import Batch
from aesm2.data.scenarios import OVERALL, PATH, path_index, scenario_names, scenario_of_path
from aesm2.data.schema import Schema
from aesm2.packing import pack, unpack
from aesm2.paired import row_losses
from aesm2.routing.grouped import UNIT, added, fixed
from aesm2.streaming.scores import ScoreCounts, mantissa_for

SUMS = ("n", "positives", "predicted", "losses")


@dataclass(frozen=True)
class EvaluationSummary:
    """What is kept of labelled rows and their predictions, (P, T) int64 each.

    n: rows with a label. positives: those of label 1. predicted, losses: sums of the probabilities
    and of the log loss, in units of 1/UNIT (see `routing.grouped`). scores: those of each path,
    task and class, in bins.
    """

    schema: Schema
    n: np.ndarray
    positives: np.ndarray
    predicted: np.ndarray
    losses: np.ndarray
    scores: ScoreCounts

    @staticmethod
    def of(schema: Schema, batch: Batch, predicted: np.ndarray) -> "EvaluationSummary":
        """Summarise labelled rows; predicted: probabilities, (rows, T) float32."""
        labels = np.asarray(batch.labels)
        paths, tasks = _paths(schema), labels.shape[1]
        path = path_index(batch.scenarios.numpy(), schema)
        rows, task = np.nonzero(~np.isnan(labels))
        positive, scores = labels[rows, task] > 0.5, predicted[rows, task]
        cell = path[rows] * tasks + task

        def summed(values: np.ndarray) -> np.ndarray:
            total = np.zeros(paths * tasks, np.int64)
            np.add.at(total, cell, values)
            return total.reshape(paths, tasks)

        return EvaluationSummary(
            schema,
            n=summed(np.ones(len(cell), np.int64)),
            positives=summed(positive.astype(np.int64)),
            predicted=summed(fixed(scores)),
            losses=summed(fixed(row_losses(positive, scores))),
            scores=ScoreCounts.of(2 * cell + positive, scores, mantissa_for(2 * paths * tasks)),
        )

    def __add__(self, other: "EvaluationSummary") -> "EvaluationSummary":
        sums = {name: added(getattr(self, name), getattr(other, name)) for name in SUMS}
        return EvaluationSummary(self.schema, scores=self.scores + other.scores, **sums)

    def to_frame(self) -> pd.DataFrame:
        """Return one line a scope, scenario and task, as `evaluation.measure` does.

        One column more: auc_error, a bound on the distance of auc to the exact one.
        """
        levels = self.schema.level_names
        scopes = [OVERALL, *levels, *([PATH] if len(levels) > 1 else [])]
        lines = [
            {"scope": scope, "scenario": name, "task": task}
            | self._measured(np.flatnonzero(scenario_of_path(self.schema, scope) == place), number)
            for scope in scopes
            for place, name in enumerate(scenario_names(self.schema, scope))
            for number, task in enumerate(self.schema.tasks)
        ]
        return pd.DataFrame(lines)

    def _measured(self, paths: np.ndarray, task: int) -> dict[str, float]:
        n, positives, predicted, losses = (
            int(getattr(self, name)[paths, task].sum()) for name in SUMS
        )
        cells = 2 * (paths * len(self.schema.tasks) + task)
        area = self.scores.auc(cells, cells + 1)
        return {
            "n": n,
            "positives": positives,
            "rate": positives / n if n else math.nan,
            "mean_prediction": predicted / UNIT / n if n else math.nan,
            "auc": area.value,
            "auc_low": area.low,
            "auc_high": area.high,
            "auc_error": area.error,
            "log_loss": losses / UNIT / n if n else math.nan,
        }

    def to_bytes(self) -> bytes:
        """Write it as bytes."""
        sums = {name: getattr(self, name) for name in SUMS}
        return pack(sums | self.scores.arrays())

    @staticmethod
    def from_bytes(schema: Schema, content: bytes) -> "EvaluationSummary":
        """Read back what `to_bytes` wrote."""
        arrays = unpack(content)
        mantissa = mantissa_for(2 * _paths(schema) * len(schema.tasks))
        scores = ScoreCounts.of_arrays(mantissa, arrays)
        return EvaluationSummary(schema, scores=scores, **{name: arrays[name] for name in SUMS})


def _paths(schema: Schema) -> int:
    return int(np.prod([len(level) for level in schema.levels]))
