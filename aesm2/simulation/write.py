"""Writing a simulated dataset: a described folder, its truth beside it, in bounded memory.

dataset.toml            the description; only training and looking at rows need it
log/part-*.parquet      the rows
users.parquet, items.parquet, queries.parquet
truth/part-*.parquet    the truth of each row of log/, in the same order
truth.json              the planted structure, the best AUC there is, the rates asked for
"""

import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from aesm2.errors import InputError
from aesm2.simulation.describe import describe
from aesm2.simulation.presets import Preset
from aesm2.simulation.world import BLOCK, World

FEWEST, MOST = 1_000, 100_000_000
PER_FILE = 16 * BLOCK  # rows
TRUTH = "truth.json"
TABLES = ("users", "items", "queries")


def simulate(
    preset: Preset,
    rows: int,
    out: Path,
    seed: int = 0,
    progress: bool = True,
    per_file: int = PER_FILE,
) -> World:
    """Write `rows` rows of a preset's world into a new folder `out`; it is there whole or not.

    Row i does not depend on `rows` or `per_file`.
    Raises InputError where `rows` is out of bounds or `out` exists.
    """  # fmt: skip
    if not FEWEST <= rows <= MOST:
        raise InputError(f"rows is {rows:,}; expected {FEWEST:,} to {MOST:,}")
    if out.exists():
        raise InputError(f"{out}: exists already; choose another folder, or remove it first")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        world = World.make(preset, seed)
        (part / "log").mkdir(parents=True)
        (part / "truth").mkdir()
        for name, entities in zip(TABLES, world.entities, strict=True):
            entities.table.to_parquet(part / f"{name}.parquet", index=False)
        _write_rows(world, rows, part, per_file, progress)
        (part / TRUTH).write_text(json.dumps(_structure(world, rows), indent=1), encoding="utf-8")
        (part / "dataset.toml").write_text(describe(preset), encoding="utf-8")
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return world


def _write_rows(world: World, rows: int, folder: Path, per_file: int, progress: bool) -> None:
    files = math.ceil(rows / per_file)
    with tqdm(
        total=rows, unit="row", unit_scale=True, disable=not progress, file=sys.stderr
    ) as bar:
        blocks = _pieces(world, rows, per_file)
        for number in range(files):
            name = f"part-{number:05d}.parquet"
            left = min(per_file, rows - number * per_file)
            writers: dict[str, pq.ParquetWriter] = {}
            while left:
                frames = next(blocks)
                for kind, frame in zip(("log", "truth"), frames, strict=True):
                    table = pa.Table.from_pandas(frame, preserve_index=False)
                    if kind not in writers:
                        writers[kind] = pq.ParquetWriter(
                            folder / kind / name, table.schema, compression="zstd"
                        )
                    writers[kind].write_table(table)
                left -= len(frames[0])
                bar.update(len(frames[0]))
            for writer in writers.values():
                writer.close()


def _pieces(world: World, rows: int, per_file: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield blocks in order, cut where a file or the log ends."""
    start = 0
    for number in range(math.ceil(rows / BLOCK)):
        log, truth = world.block(number)
        end = min((number + 1) * BLOCK, rows)
        while start < end:
            cut = min(end, (start // per_file + 1) * per_file)
            own = slice(start - number * BLOCK, cut - number * BLOCK)
            yield log.iloc[own], truth.iloc[own]
            start = cut


def _structure(world: World, rows: int) -> dict[str, Any]:
    """The planted truth as plain data."""
    truth, preset = world.truth, world.preset
    bayes = truth.bayes()
    return {
        "format": 1,
        "rows": rows,
        "seed": world.seed,
        "preset": preset.model_dump(mode="json"),
        "paths": [list(line.path) for line in preset.traffic],
        "share": truth.share.tolist(),
        "click_rate": [line.clicks / line.impressions for line in preset.traffic],
        "conversion_rate": [line.conversions / line.clicks for line in preset.traffic],
        "bayes_auc": {task: bayes[i].tolist() for i, task in enumerate(("ctr", "ctcvr"))},
        "distance": truth.distance().tolist(),
        "factors": [
            {
                "name": factor.name,
                "scope": factor.scope,
                "level": factor.level,
                "paths": factor.paths.tolist(),
                "tasks": factor.tasks.tolist(),
                "topics": factor.topics.nonzero()[0].tolist(),
            }
            for factor in truth.factors
        ],
    }
