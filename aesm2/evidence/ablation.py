"""The ablation of AESM² (Table 6), and named changes to it that the paper does not have."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from aesm2.config import AESM2Config, Config, ExpertGroup
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.study import Study, matched

FULL, WITHOUT = "AESM²", "w/o auxiliary loss"
NO_AUXILIARY = {"lambda_specific": 0.0, "lambda_shared": 0.0}
STRONG_AUXILIARY = {"lambda_specific": 1e-2, "lambda_shared": 1e-2}


def mean_curves(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Average divergences over seeds, with and without auxiliary loss, in the form of figures.

    curves: the table `ablation_curves`. Returns frames with columns layer, role, step, value and
    smooth by what they are called; only those that were recorded.
    """
    own = curves[curves["variant"].isin([FULL, WITHOUT])]
    means = own.groupby(["variant", "layer", "role", "step"], sort=False)["value"].mean()
    frame = means.reset_index().assign(smooth=lambda f: f["value"])
    names = {FULL: "with auxiliary loss", WITHOUT: "without"}
    parts = {t: frame[frame["variant"] == n].drop(columns="variant") for n, t in names.items()}
    return {title: part for title, part in parts.items() if len(part)}


def ablations(store: Store, study: Study, trial: int, jobs: int) -> dict[str, list[Cell]]:
    """Run AESM² with a trial's settings, and what each change makes of it; one run a seed.

    The first three are the paper's; those that begin with "+" are not in the paper.
    """
    model = study.model(matched("aesm2", study.size, len(store.rows.schema.levels)), trial)
    if not isinstance(model, AESM2Config):
        raise TypeError("only AESM² has these variants")
    changes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        FULL: ({}, {}),
        WITHOUT: ({}, NO_AUXILIARY),
        "w/o noise and auxiliary loss": ({"noise_scale": 0.0}, NO_AUXILIARY),
        "w/o noise": ({"noise_scale": 0.0}, {}),
        "+ each gate sees its own scenario": ({"scenario_context": "gate"}, {}),
        "+ experts see scenario ids": ({"scenario_features": True}, {}),
        "+ strong auxiliary loss": ({}, STRONG_AUXILIARY),
        "+ twice the experts, half as wide": (_finer(model), {}),
        "+ all experts at work": (_all_at_work(model), NO_AUXILIARY),
    }
    rows = len(store.rows.batches["train"])
    runs = {}
    for name, (of_model, of_training) in changes.items():
        own = model.model_copy(update=of_model)
        runs[name] = [
            Cell(
                Config(
                    model=own,
                    training=study.training(rows, seed, trial).model_copy(update=of_training),
                )
            )
            for seed in range(study.seeds)
        ]
    store.compute([cell for cells in runs.values() for cell in cells], jobs, "ablation")
    return runs


def _finer(model: AESM2Config) -> dict[str, Any]:
    """Twice the experts and twice K, each half as wide: as many units at work, chosen finer."""
    return _each_group(
        model,
        lambda group: {
            "experts": 2 * group.experts,
            "specific": 2 * group.specific,
            "shared": 2 * group.shared,
            "width": max(1, group.width // 2),
        },
    )


def _all_at_work(model: AESM2Config) -> dict[str, Any]:
    """K = n: nothing is selected, and every expert is mixed in by the raw column of its gate."""
    return _each_group(model, lambda group: {"specific": group.experts, "shared": 0})


def _each_group(
    model: AESM2Config, change: Callable[[ExpertGroup], dict[str, int]]
) -> dict[str, Any]:
    groups = {"scenario": model.scenario, "task": model.task}
    return {
        name: group.model_copy(update=change(group))
        for name, group in groups.items()
        if not isinstance(group, tuple)
    }
