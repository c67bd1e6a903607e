"""A small dataset folder and a model trained on it in about a second, for tests of whole runs."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aesm2.config import Config, parse
from aesm2.data.dataset import Dataset
from aesm2.training.run import RECORDS
from aesm2.training.train import train

DESCRIPTION = """
name = "shop"
title = "A small shop"
provenance = "simulated"
licence = "CC0"
citation = "Nobody, 2026"
notes = ["Invented from a seed."]
never_features = ["watched"]

[source]
table = "log.parquet"
join = [{ table = "items.csv", on = "item" }]
keep = { country = ["fr", "it", "xx"] }
time = "time"

[split]
column = "day"
train = { last = 6 }
validation = { first = 7, last = 8 }
test = { first = 9 }

[[level]]
name = "country"
column = "country"
values = ["fr", "it"]
other = "elsewhere"

[[level]]
name = "page"
column = "page"
values = [0, 1]

[[task]]
name = "ctr"
label = "click"

[[task]]
name = "ctcvr"
label = "buy"
follows = "ctr"
conditional = "cvr"

[[history]]
name = "user_past"
keys = ["user"]
outcomes = ["click"]
delay = 2
smoothing = 5

[features.user]
user = { kind = "categorical", min_count = 3 }
age = { kind = "numeric", buckets = 4 }
user_past_count = { kind = "numeric", buckets = 4 }
user_past_click = { kind = "numeric", buckets = 4 }

[features.item]
brand = { kind = "categorical" }
price = { kind = "numeric", buckets = 8 }
"""

CONFIG: dict[str, Any] = {
    "model": {
        "name": "aesm2",
        "embedding_dim": 4,
        "context_dim": 3,
        "scenario": {"layers": 1, "experts": 5, "specific": 2, "shared": 2, "width": 8},
        "task": {"layers": 1, "experts": 3, "specific": 1, "shared": 1, "width": 6},
        "tower": [4],
        "noise_scale": 0.05,
    },
    "training": {
        "epochs": 3,
        "batch_size": 64,
        "learning_rate": 1e-2,
        "l2": 1e-4,
        "evaluate_every": 5,
        "patience": 100,
        "record_every": 4,
    },
}
ROWS, KEPT = 640, 600  # of which KEPT are in the countries that are kept
WEIGHTS = "model.safetensors"


def rows(count: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """The log: clicks depend on the price, the page and the user; a sale needs a click."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 40, count), rng.integers(0, 30, count)
    page = rng.integers(0, 2, count)
    country = np.array(["fr", "it", "xx"])[rng.integers(0, 3, count)]
    country[KEPT:] = "zz"
    age = np.where(rng.random(count) < 0.1, np.nan, 20.0 + user)
    strength = 2 * page + (user % 5) / 2 - (item % 6) / 2 - 0.5
    click = rng.random(count) < 1 / (1 + np.exp(-strength))
    buy = click & (rng.random(count) < np.where(country == "fr", 0.6, 0.3))
    return pd.DataFrame(
        {
            "user": user,
            "item": item,
            "country": country,
            "page": page,
            "age": age,
            "day": 1 + np.arange(count) * 10 // count,
            "time": np.arange(count),
            "click": click.astype(int),
            "buy": buy.astype(int),
            "watched": click * rng.random(count),
        }
    )


def write_dataset(folder: Path, description: str = DESCRIPTION) -> Path:
    """Write the dataset into a new folder and return it."""
    folder.mkdir(parents=True)
    log = rows().sample(frac=1, random_state=1)  # rows of a log are in no particular order
    log.to_parquet(folder / "log.parquet", index=False)
    item = np.arange(30)
    items = pd.DataFrame({"item": item, "brand": item % 4, "price": 1.5 * (item % 6)})
    items.to_csv(folder / "items.csv", index=False)
    (folder / "dataset.toml").write_text(description, encoding="utf-8")
    return folder


def config(**changes: Any) -> Config:
    """CONFIG with changes to [training]; `model` replaces [model]."""
    model = changes.pop("model", CONFIG["model"])
    values = {"model": model, "training": CONFIG["training"] | changes}
    return parse(Config, values, "config")


@functools.cache
def folder() -> Path:
    """A folder for this process, removed at its end."""
    made = tempfile.TemporaryDirectory(prefix="aesm2-small-")
    atexit.register(made.cleanup)
    return Path(made.name)


@functools.cache
def dataset() -> Path:
    """The dataset's folder; for reading only."""
    return write_dataset(folder() / "shop")


@functools.cache
def run() -> Path:
    """Folder of a finished run of `config()`; for reading only."""
    fit(folder() / "run", config())
    return folder() / "run"


def fit(target: Path, configured: Config | None, **options: Any) -> Path:
    """Train on the dataset and return the checkpoint's folder."""
    opened = Dataset.open(options.pop("dataset", None) or dataset())
    return train(opened, configured, target, device="cpu", progress=False, **options)


def copy_run(target: Path) -> Path:
    """A copy of `run()` that may be changed."""
    shutil.copytree(run(), target)
    return target


def copy_checkpoint(target: Path) -> Path:
    """A copy of the checkpoint of `run()` that may be changed."""
    shutil.copytree(run() / "checkpoint", target)
    return target


def lines(file: Path) -> list[dict[str, Any]]:
    """Every line of a JSON lines file, without what depends on the clock."""
    values = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    clock = ("seconds", "rows_per_second", "peak_mb")
    return [{k: v for k, v in value.items() if k not in clock} for value in values]


def result(of: Path) -> dict[str, Any]:
    """Everything a run leaves that must not depend on whether it was interrupted."""
    made = of / "checkpoint"
    names = (WEIGHTS, "encoder.json", "evaluation.jsonl", "statistics.jsonl", "README.md")
    found: dict[str, Any] = {name: (made / name).read_bytes() for name in names}
    found |= {name: lines(made / name) for name in ("history.jsonl", "utilisation.jsonl")}
    found["reference"] = (made / "reference.safetensors").read_bytes()
    found["records"] = [lines(of / name) for name in RECORDS]
    found["steps"] = json.loads((made / "checkpoint.json").read_text(encoding="utf-8"))["steps"]
    return found


def command(*arguments: str | Path, **options: Any) -> "subprocess.Popen[str]":
    """Start the command line in another process, with one thread as in the tests."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "aesm2.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        **options,
    )
