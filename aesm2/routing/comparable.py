"""What of two checkpoints can be compared on the same rows, and what cannot, in words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.words import listed
from aesm2.errors import InputError


@dataclass(frozen=True)
class Comparable:
    """What two checkpoints have in common.

    layers: names of the layers that select among the same gates in both. tasks: names of the tasks
    of both, in the first one's order. notes: sentences on what is not compared, and on what the
    comparison must not be taken for.
    """

    layers: tuple[str, ...]
    tasks: tuple[str, ...]
    notes: tuple[str, ...]


def comparable(a: Checkpoint, b: Checkpoint) -> Comparable:
    """Find what can be compared; InputError where the checkpoints have no task in common."""
    ours, theirs = a.encoder.schema, b.encoder.schema
    tasks = tuple(task for task in ours.tasks if task in theirs.tasks)
    if not tasks:
        raise InputError(
            f"these checkpoints have no task in common ({listed(ours.tasks)} against"
            f" {listed(theirs.tasks)}): pick two that were trained on the same dataset"
        )
    gates = {layer.name: layer.gates for layer in b.layers}
    layers = tuple(layer.name for layer in a.layers if gates.get(layer.name) == layer.gates)
    notes = [
        f"“{checkpoint.name}” has no expert selection: routing is not compared."
        for checkpoint in (a, b)
        if not checkpoint.layers
    ]
    if a.layers and b.layers:
        names = dict.fromkeys(layer.name for layer in (*a.layers, *b.layers))
        left_out = [name for name in names if name not in layers]
        if left_out:
            notes.append(f"Not in both with the same gates, so not compared: {listed(left_out)}.")
    other = [task for task in (*ours.tasks, *theirs.tasks) if task not in tasks]
    if other:
        notes.append(f"Only one of them has the task {listed(other)}: left out.")
    if a.description != b.description:
        notes.append(
            "They were trained on different descriptions of the dataset: rows that test one may"
            " have trained the other."
        )
    return Comparable(layers, tasks, tuple(notes))


def batch_of(checkpoint: Checkpoint, frame: pd.DataFrame) -> Batch:
    """Encode another checkpoint's rows; InputError says which checkpoint cannot read them."""
    try:
        return checkpoint.encode(frame)
    except InputError as error:
        raise InputError(f"“{checkpoint.name}” cannot read these rows: {error}") from None


def tasks_of(a: Checkpoint, b: Checkpoint, predicted: np.ndarray) -> np.ndarray:
    """Put b's probabilities in the order of a's tasks, (rows, tasks); NaN where b lacks one."""
    ours, theirs = a.encoder.schema.tasks, b.encoder.schema.tasks
    result = np.full((len(predicted), len(ours)), np.nan, predicted.dtype)
    for place, task in enumerate(ours):
        if task in theirs:
            result[:, place] = predicted[:, theirs.index(task)]
    return result
