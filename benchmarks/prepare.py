"""Time and memory of preparing AliExpress from raw files, and of holding the rows for training.

python -m benchmarks.prepare [--rows 6000000] [--folder FOLDER] [--fraction 0.1]

The files are random numbers in the published shape: six decimals, nearly half of them 0, eight
items a page. They and the dataset are deleted at the end; 6 million rows need 2 GB of disk.
"""

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset, SplitName, rows_of
from aesm2.data.encoder import Encoder
from aesm2.prepare.aliexpress import prepare
from aesm2.prepare.columns import ITEM, USER, Layout
from benchmarks.harness import header, table
from benchmarks.trace import peak_megabytes

ITEMS = 8  # on a page
CHUNK = 2_500  # pages generated at a time; the memory this takes is far below what is measured
SHARES = {"train": 0.69, "test": 0.31}  # as in the Netherlands
T = TypeVar("T")


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    lines: list[tuple[str, ...]] = []

    def measured(name: str, call: Callable[[], T], rows: int, made: Path | None = None) -> T:
        before = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - before
        disk = f"{_megabytes(made):,.0f}" if made else ""
        speed = f"{rows / seconds:,.0f}"
        lines.append((name, f"{seconds:.1f}", speed, f"{peak_megabytes():,.0f}", disk))
        return result

    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder, rows = Path(name), chosen.rows
        source, whole, sample = (folder / part for part in ("NL", "whole", "sample"))
        lines.append(("before", "", "", f"{peak_megabytes():,.0f}", ""))
        measured("files generated", partial(generate, source, rows), rows, source)
        for out, fraction in ((whole, 1.0), (sample, chosen.fraction)):
            call = partial(prepare, source, out, fraction=fraction, progress=False)
            measured(f"prepare, fraction {fraction:g}", call, rows, out)
        batches = measured("sample read and encoded", partial(encoded, sample), rows)
    kept = sum(map(len, batches.values()))
    print(f"{header()}; {rows:,} raw rows, {kept:,} in the sample\n")
    print(table(["", "seconds", "raw rows/s", "peak memory so far, MB", "on disk, MB"], lines))


def generate(folder: Path, rows: int) -> None:
    """Write the raw files of the Netherlands, pages in no order in the user table."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split, share in SHARES.items():
        pages = np.arange(round(rows * share / ITEMS))
        for kind, layout, ids in (
            ("user", USER, generator.permutation(pages)),
            ("item", ITEM, np.repeat(pages, ITEMS)),
        ):
            stem = f"nl_{kind}_{split}"
            with (
                zipfile.ZipFile(folder / f"{stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive,
                archive.open(f"{stem}.csv", "w", force_zip64=True) as file,
            ):
                for start in range(0, len(ids), CHUNK * ITEMS):
                    chunk = cells(layout, ids[start : start + CHUNK * ITEMS], generator)
                    pacsv.write_csv(chunk, file, pacsv.WriteOptions(include_header=False))


def cells(layout: Layout, ids: np.ndarray, generator: np.random.Generator) -> pa.Table:
    """Random rows of a raw table."""
    key, *names = layout.columns
    columns = {key: ids}
    for name in names:
        kind = layout.columns[name]
        if name == "item_49":
            columns[name] = generator.choice(3, len(ids), p=[0.979, 0.02, 0.001])
        elif kind.values is None:
            numbers = generator.integers(0, 10**6, len(ids)) / 10**6
            columns[name] = numbers * (generator.random(len(ids)) < 0.55)
        else:
            columns[name] = generator.integers(0, 40, len(ids))
    return pa.table(columns)


def encoded(folder: Path) -> dict[SplitName, Batch]:
    """What training holds in memory of a dataset."""
    dataset = Dataset.open(folder)
    frame = dataset.frame()
    encoder = Encoder.fit(dataset.description, rows_of(frame, "train"))
    splits: tuple[SplitName, ...] = ("train", "validation", "test")
    return {split: encoder.encode(rows_of(frame, split), labels=True) for split in splits}


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--folder", type=Path, help="where to put the files, by default /tmp")
    return parser


if __name__ == "__main__":
    main()
