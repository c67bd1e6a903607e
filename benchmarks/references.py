"""Test AUC on KuaiRand-Pure: AESM² beside gradient boosting and a plain MLP.

python -m benchmarks.references [--seeds 5] [--out benchmarks/results/kuairand_references.json]

All see the features of dataset.toml and its split, and the scenario: LightGBM and the MLP as
features. Everything is chosen on the validation split; the test split is measured at the end.
"""

import argparse
import itertools
import json
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from aesm2 import Dataset, load, train
from aesm2.config import read_config
from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, SplitName, rows_of
from aesm2.data.encoder import Encoder
from aesm2.data.scenarios import OVERALL
from aesm2.evaluation import measure, overall_score
from benchmarks.harness import ROOT, header, machine, table

NEURAL = {"MLP": "configs/mlp_kuairand.toml", "AESM²": "configs/kuairand.toml"}
BOOSTED, REFITTED = "LightGBM", "LightGBM, refitted on train + validation"
IDS = ("user_id", "video_id", "author_id")
FIXED: dict[str, Any] = {
    "objective": "binary",
    "metric": "auc",
    "learning_rate": 0.05,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "cat_smooth": 50,
    "cat_l2": 50,
    "lambda_l2": 10,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
    "seed": 0,
}
GRID: dict[str, Sequence[Any]] = {  # searched in full, on validation AUC
    "num_leaves": (15, 31),
    "min_data_in_leaf": (100, 400),
    "feature_fraction": (0.4,),
    "ids": (False, True),  # whether the ids are inputs beside the history made from them
}


@dataclass(frozen=True)
class Data:
    """The dataset in both forms: encoded for networks, raw numbers and categories for trees."""

    encoder: Encoder
    batches: Mapping[SplitName, Batch]
    inputs: Mapping[SplitName, pd.DataFrame]

    @staticmethod
    def read(dataset: Dataset) -> "Data":
        """Read and encode all splits; vocabularies come from the training split."""
        frame = dataset.frame()
        parts = {split: rows_of(frame, split) for split in SPLITS}
        encoder = Encoder.fit(dataset.description, parts["train"])
        batches = {split: encoder.encode(part, labels=True) for split, part in parts.items()}
        inputs = {split: tree_inputs(encoder, parts[split], batches[split]) for split in SPLITS}
        return Data(encoder, batches, inputs)

    def labels(self, split: SplitName, task: int) -> np.ndarray:
        """Labels of one task, multiplied along the chain."""
        labels = self.batches[split].labels
        if labels is None:
            raise ValueError("references need labels")
        return labels[:, task].contiguous().numpy()


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    dataset = Dataset.open(chosen.data)
    data = Data.read(dataset)
    measured, settings = boosting(data, chosen.trees, chosen.threads)
    for name, config in NEURAL.items():
        measured[name] = networks(dataset, ROOT / config, range(chosen.seeds), chosen.epochs)
        settings[name] = config
    lines = summary(measured, {OVERALL, data.encoder.schema.level_names[0]})
    print(f"{header()}\n\n{as_markdown(lines)}\n\n{NOTE}")
    if chosen.out:
        result = machine() | {"settings": settings, "test_auc": lines}
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=1, ensure_ascii=False)
        chosen.out.write_text(text + "\n", encoding="utf-8")


NOTE = (
    "Test AUC × 100: one run with its 95 % interval (DeLong), or mean ± standard deviation over n"
    " seeds."
)


def tree_inputs(encoder: Encoder, frame: pd.DataFrame, batch: Batch) -> pd.DataFrame:
    """Numeric features as they are; categories, rare ones together, and scenarios as codes."""
    columns: dict[str, Any] = {}
    for position, (name, feature) in enumerate(encoder.description.fields.items()):
        if feature.kind == "numeric":
            columns[name] = frame[feature.column or name].to_numpy(np.float64, na_value=np.nan)
        else:
            size = encoder.schema.fields[position]
            columns[name] = _category(batch.fields[:, position], size)
    for position, level in enumerate(encoder.schema.levels):
        name = f"scenario_{encoder.schema.level_names[position]}"
        columns[name] = _category(batch.scenarios[:, position], len(level))
    return pd.DataFrame(columns, index=frame.index)


def _category(codes: torch.Tensor, size: int) -> "pd.Categorical[int]":
    return pd.Categorical.from_codes(codes.numpy(), categories=pd.RangeIndex(size))


def boosting(
    data: Data, trees: int, threads: int
) -> tuple[dict[str, list[pd.DataFrame]], dict[str, Any]]:
    """Search GRID on validation; measure the best on test, and refitted on train + validation."""
    fixed = FIXED | {"num_threads": threads}
    grid = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    best, score, models = {}, -np.inf, []
    for settings in tqdm(grid, desc=BOOSTED, unit="setting"):
        fitted = [fit_trees(data, task, fixed | settings, trees) for task in _tasks(data)]
        found = overall_score(measure_trees(data, fitted, "validation", settings["ids"]))
        if found > score:
            best, score, models = settings, found, fitted
    rounds = [model.best_iteration for model in models]
    again = [refit(data, task, fixed | best, rounds[task]) for task in _tasks(data)]
    measured = {
        BOOSTED: [measure_trees(data, models, "test", best["ids"])],
        REFITTED: [measure_trees(data, again, "test", best["ids"])],
    }
    return measured, {BOOSTED: fixed | best | {"trees": rounds, "validation_auc": score}}


def fit_trees(data: Data, task: int, settings: Mapping[str, Any], trees: int) -> lightgbm.Booster:
    """Fit one task on the training split, stopped early by validation AUC."""
    parameters, columns = _split_settings(data, settings)
    train_set = lightgbm.Dataset(data.inputs["train"][columns], data.labels("train", task))
    validation = train_set.create_valid(
        data.inputs["validation"][columns], data.labels("validation", task)
    )
    stop = lightgbm.early_stopping(50, verbose=False)
    return lightgbm.train(parameters, train_set, trees, [validation], callbacks=[stop])


def refit(data: Data, task: int, settings: Mapping[str, Any], trees: int) -> lightgbm.Booster:
    """Fit one task on train and validation, with more trees as there are more rows."""
    parameters, columns = _split_settings(data, settings)
    parts: tuple[SplitName, ...] = ("train", "validation")
    rows = pd.concat([data.inputs[part][columns] for part in parts])
    labels = np.concatenate([data.labels(part, task) for part in parts])
    more = round(trees * len(rows) / len(data.inputs["train"]))
    return lightgbm.train(parameters, lightgbm.Dataset(rows, labels), more)


def measure_trees(
    data: Data, models: Sequence[lightgbm.Booster], split: SplitName, ids: bool
) -> pd.DataFrame:
    """Measure one model a task on a split."""
    rows = data.inputs[split][_columns(data, ids)]
    predicted = np.stack([np.asarray(model.predict(rows)) for model in models], axis=1)
    return measure(predicted, data.batches[split], data.encoder.schema, paths=False)


def networks(
    dataset: Dataset, config: Path, seeds: Sequence[int], epochs: int | None
) -> list[pd.DataFrame]:
    """Train by the library's own loop once a seed; the test metrics are those it stores."""
    configured, found = read_config(config), []
    for seed in seeds:
        change = {"seed": seed} | ({"epochs": epochs} if epochs else {})
        training = configured.training.model_copy(update=change)
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / f"seed{seed}"
            seeded = configured.model_copy(update={"training": training})
            metrics = load(train(dataset, seeded, run, device="cpu"), device="cpu").evaluation
            found.append(metrics[metrics["split"] == "test"])
    return found


def summary(
    measured: Mapping[str, Sequence[pd.DataFrame]], scopes: set[str]
) -> list[dict[str, Any]]:
    """One line a model, scenario and task: AUC × 100 of every run, and DeLong's interval of one."""
    lines = []
    for model, runs in measured.items():
        together = pd.concat(runs)
        together = together[together["scope"].isin(scopes)].astype({"scenario": str})
        for (scenario, task), rows in together.groupby(["scenario", "task"], sort=False):
            line: dict[str, Any] = {"model": model, "scenario": scenario, "task": task}
            line["n"] = int(rows["n"].iloc[0])
            line["runs"] = [_points(value) for value in rows["auc"]]
            if len(rows) == 1:
                line["interval"] = [_points(rows[end].iloc[0]) for end in ("auc_low", "auc_high")]
            lines.append(line)
    return lines


def as_markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """One line a scenario and task, one column a model."""
    models = list(dict.fromkeys(line["model"] for line in lines))
    cells: dict[tuple[str, str, int], dict[str, str]] = {}
    for line in lines:
        key = (line["scenario"], line["task"], line["n"])
        cells.setdefault(key, {})[line["model"]] = _cell(line)
    body = [
        (scenario, task, f"{n:,}", *(row[model] for model in models))
        for (scenario, task, n), row in cells.items()
    ]
    return table(["scenario", "task", "rows", *models], body, words=2)


def _cell(line: Mapping[str, Any]) -> str:
    runs = line["runs"]
    if None in runs:
        return "undefined"
    if len(runs) > 1:
        return f"{statistics.mean(runs):.2f} ± {statistics.stdev(runs):.2f} (n = {len(runs)})"
    low, high = line["interval"]
    if low is None:  # too few rows for one
        return f"{runs[0]:.2f}"
    return f"{runs[0]:.2f} ({low:.2f}–{high:.2f})"


def _points(area: float) -> float | None:
    return None if math.isnan(area) else round(100 * area, 3)


def _tasks(data: Data) -> range:
    return range(len(data.encoder.schema.tasks))


def _columns(data: Data, ids: bool) -> list[str]:
    return [name for name in data.inputs["train"].columns if ids or name not in IDS]


def _split_settings(data: Data, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Separate what LightGBM takes from which columns it is given."""
    parameters = {key: value for key, value in settings.items() if key != "ids"}
    return parameters, _columns(data, settings["ids"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data_samples/kuairand_pure")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each network")
    parser.add_argument("--epochs", type=int, help="instead of the configured ones")
    parser.add_argument("--trees", type=int, default=800, help="at most, before early stopping")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser


if __name__ == "__main__":
    main()
