"""The comparison of models (Tables 3 and 4): search, final runs, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.config import Config, ModelConfig
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.measures import groups
from aesm2.evidence.significance import compare, holm
from aesm2.evidence.stored import empty
from aesm2.evidence.study import TRIAL_SEED, Study

Runs = Mapping[str, Sequence[Cell]]  # variant → its final runs, one a seed
REFERENCES = ("aesm2", "aesm2+ids")


@dataclass(frozen=True)
class Comparison:
    """What a comparison found. variant names are those of `Study.variants`.

    trials: one line a variant and trial: learning_rate, l2, auxiliary, noise_scale, score (on
    validation), steps, seconds, chosen. runs: the final runs.
    """

    trials: pd.DataFrame
    runs: Runs


def search(store: Store, study: Study, jobs: int) -> pd.DataFrame:
    """Run every trial of every variant, and mark the best of each on validation."""
    variants = study.variants(len(store.rows.schema.levels))
    cells = {
        (name, trial): Cell(_config(store, study, model, TRIAL_SEED, trial), test=False)
        for trial in range(study.search.trials)
        for name, model in variants.items()
    }
    store.compute(cells.values(), jobs, "search")
    lines = []
    for (name, trial), cell in cells.items():
        result = store.result(cell)
        rate, l2, auxiliary, noise = study.point(trial)
        drawn = {"learning_rate": rate, "l2": l2, "auxiliary": auxiliary, "noise_scale": noise}
        found = {key: result[key] for key in ("score", "steps", "seconds")}
        lines.append({"variant": name, "trial": trial} | drawn | found)
    trials = pd.DataFrame(lines).sort_values(["variant", "trial"], ignore_index=True)
    best = trials.groupby("variant")["score"].transform("max")
    return trials.assign(chosen=(trials["score"] == best))


def final_runs(store: Store, study: Study, trials: pd.DataFrame, jobs: int) -> Runs:
    """Run every variant with its best trial's settings, once a seed."""
    variants = study.variants(len(store.rows.schema.levels))
    best = chosen_trials(trials)
    runs = {
        name: [Cell(_config(store, study, model, seed, best[name])) for seed in range(study.seeds)]
        for name, model in variants.items()
    }
    cells = [runs[name][seed] for seed in range(study.seeds) for name in runs]
    store.compute(cells, jobs, "final runs")
    return runs


def chosen_trials(trials: pd.DataFrame) -> dict[str, int]:
    """Return the trial chosen for each variant."""
    chosen = trials[trials["chosen"]].drop_duplicates("variant")
    return dict(zip(chosen["variant"], chosen["trial"], strict=True))


def lines_of(store: Store, runs: Runs) -> pd.DataFrame:
    """Return what was measured of every run, one line a variant, seed, scope, scenario and task."""
    parts = [
        pd.DataFrame(store.result(cell)["lines"]).assign(variant=name, seed=seed)
        for name, cells in runs.items()
        for seed, cell in enumerate(cells)
    ]
    lines = pd.concat(parts, ignore_index=True)
    first = ["variant", "seed"]
    return lines[first + [column for column in lines.columns if column not in first]]


def curves_of(store: Store, runs: Runs) -> pd.DataFrame:
    """Σ KL of the chosen experts over training (Fig. 6) of every run that selects."""
    parts = [
        pd.DataFrame(store.result(cell)["curves"]).assign(variant=name, seed=seed)
        for name, cells in runs.items()
        for seed, cell in enumerate(cells)
        if store.result(cell)["curves"]
    ]
    columns = ["variant", "seed", "step", "layer", "role", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else empty("curves")


def comparisons(store: Store, runs: Runs, references: Sequence[str]) -> pd.DataFrame:
    """Compare each reference with every other variant in every scope, scenario and task.

    Columns: reference, variant, scope, scenario, task; difference of the mean AUC × 100 (reference
    minus variant) and what `significance.compare` tells of it; p_adjusted, by Holm over the
    cells of a pair; truth_difference and its p over seeds (paired t), where the truth is known.
    """
    predicted = {
        name: np.stack([store.predictions(cell) for cell in cells]) for name, cells in runs.items()
    }
    labels, inside = store.rows.batches["test"].labels, groups(store.rows)
    if labels is None:
        raise ValueError("a study needs labels")
    lines = []
    for reference in references:
        for name in runs:
            if name == reference:
                continue
            pair = _pair(predicted[reference], predicted[name], labels.numpy(), inside, store)
            lines.append(pair.assign(reference=reference, variant=name))
    return pd.concat(lines, ignore_index=True)


def _pair(
    a: np.ndarray,
    b: np.ndarray,
    labels: np.ndarray,
    inside: Mapping[tuple[str, str], np.ndarray],
    store: Store,
) -> pd.DataFrame:
    """Compare two variants' predictions, (seeds, rows, tasks), in every cell."""
    lines = []
    for (scope, scenario), own in inside.items():
        for task, task_name in enumerate(store.rows.schema.tasks):
            known = own & ~np.isnan(labels[:, task])
            found = compare(labels[known, task], a[:, known, task], b[:, known, task])
            where = {"scope": scope, "scenario": scenario, "task": task_name}
            lines.append(where | found._asdict())
    frame = pd.DataFrame(lines)
    return frame.assign(p_adjusted=holm(frame["p"].to_numpy()))


def _config(store: Store, study: Study, model: ModelConfig, seed: int, trial: int) -> Config:
    rows = len(store.rows.batches["train"])
    training = study.training(rows, seed, trial)
    return Config(model=study.model(model, trial), training=training)
