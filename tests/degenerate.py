"""Datasets and models at the edges of what a description allows, for tests of every page."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from tests import small

HEAD = """
name = "{name}"
title = "A degenerate shop, {name}"
provenance = "private"
licence = "none"

[source]
table = "log.parquet"

[split]
column = "day"
train = {{ last = 6 }}
validation = {{ first = 7, last = 8 }}
test = {{ first = 9 }}

[features.user]
age = {{ kind = "numeric", buckets = 4 }}

[features.item]
item = {{ kind = "categorical" }}
"""
COUNTRY = """
[[level]]
name = "country"
column = "country"
values = ["fr", "it", "xx", "zz"]
"""
CLICK, BUY = (
    """
[[task]]
name = "ctr"
label = "click"
""",
    """
[[task]]
name = "ctcvr"
label = "buy"
follows = "ctr"
conditional = "cvr"
value = "worth"
""",
)
PAGE = '[[level]]\nname = "page"\ncolumn = "page"\nvalues = [0, 1]\n'
BODIES = {
    "four_levels": COUNTRY + PAGE
    + '[[level]]\nname = "device"\ncolumn = "device"\nvalues = ["phone", "desk", "watch"]\n'
    + '[[level]]\nname = "hour"\ncolumn = "hour"\nvalues = [0, 1]\nother = "late"\n'
    + CLICK + BUY,
    "one_scenario": '[[level]]\nname = "everywhere"\nvalues = ["shop"]\n' + CLICK + BUY,
    "independent": COUNTRY + CLICK + '[[task]]\nname = "like"\nlabel = "like"\n',
    "chain": COUNTRY + CLICK + BUY
    + '[[task]]\nname = "paid"\nlabel = "paid"\nfollows = "ctcvr"\nconditional = "pay"\n'
    + '[[task]]\nname = "kept"\nlabel = "kept"\nfollows = "paid"\nconditional = "keep"\n',
    "some_scenarios": COUNTRY + PAGE + CLICK
    + BUY.replace("follows", 'only = { country = ["fr"] }\nfollows')
    + '[[task]]\nname = "like"\nlabel = "like"\nmay_be_missing = true\nonly = { page = [1] }\n',
}  # fmt: skip
NAMES = tuple(BODIES)


def rows() -> pd.DataFrame:
    """The small log with more labels, levels and a value; `like` lacks half of its labels."""
    rng, log = np.random.default_rng(1), small.rows()
    count = len(log)
    paid = log["click"] * log["buy"] * rng.integers(0, 2, count)
    return log.assign(
        device=np.array(["phone", "desk", "watch"])[rng.integers(0, 3, count)],
        hour=rng.integers(0, 4, count),
        like=pd.array(rng.integers(0, 2, count), dtype="Int64"),
        paid=paid,
        kept=paid * (rng.random(count) < 0.7),
        worth=np.where(log["buy"] == 1, 5 + 10 * rng.random(count), np.nan),
    )


def write(folder: Path, name: str) -> Path:
    """Write one of NAMES as a dataset folder and return it."""
    folder.mkdir(parents=True)
    log = rows()
    if name == "some_scenarios":
        log["like"] = log["like"].mask(np.arange(len(log)) % 2 == 0)
    log.to_parquet(folder / "log.parquet", index=False)
    head, body = HEAD.format(name=name), BODIES[name]
    (folder / "dataset.toml").write_text(head + body, encoding="utf-8")
    return folder


@functools.cache
def root() -> Path:
    """A folder like the repository's, with a trained checkpoint and the data of each of NAMES."""
    where = small.folder() / "degenerate"
    for name in NAMES:
        write(where / "data_samples" / name, name)
        run = where / "made" / name
        small.fit(run, small.config(epochs=1), dataset=where / "data_samples" / name)
        (where / "checkpoints").mkdir(exist_ok=True)
        (run / "checkpoint").rename(where / "checkpoints" / name)
    return where
