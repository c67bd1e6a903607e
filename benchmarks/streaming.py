"""Looking at large logs: rows a second and peak memory of the engines, at several sizes.

The log is made on the fly: rows of a dataset's test split drawn with a seed, block by block, in a
process of its own, into parquet files of a temporary folder that is deleted at the end. Each
measurement runs in a new process; its memory is the sum over that process and all it started,
looked at ten times a second (proportional set size, so that shared pages count once). Every engine
must give the same summary, byte for byte, at the smallest size.

python -m benchmarks.streaming [--rows 1000000 10000000] [--engines single pool ray]
    [--works evaluate utilisation] [--workers 2] [--folder DIR] [--out FILE]

A hundred million rows need about 3 GB of disk: --rows 100000000 --folder /big/disk. What was
measured is kept in --out as it comes; run again with the same --out to go on where it stopped.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2 import Dataset, load
from aesm2.streaming.engines import ENGINES, merged
from aesm2.streaming.files import of_files
from aesm2.streaming.works import Counting, Measuring, input_columns
from benchmarks.harness import ROOT, header, table

WORKS = {"evaluate": Measuring, "utilisation": Counting}
BLOCK = 250_000  # rows made at a time, and of a row group
FILE_ROWS = 2_500_000
CHECKED = 40_000  # rows on which the engines are compared byte for byte
SEED = 0


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    if chosen.one:
        sys.stdout.write(json.dumps(measured(json.loads(chosen.one))) + "\n")
        return
    if chosen.make:
        write_log(Path(chosen.make), chosen.checkpoint, chosen.data, chosen.rows[0])
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="aesm2-stream-") as folder:
        same = engines_agree(chosen, Path(folder))
        lines = [line for rows in chosen.rows for line in sizes(chosen, Path(folder), rows)]
    print(
        f"{header()}; checkpoint {chosen.checkpoint.name}, rows a part {chosen.rows_per_part:,}\n"
    )
    columns = ["work", "engine", "rows", "workers", "seconds", "rows/s", "peak memory, MB"]
    print(table(columns, lines, words=2))
    print(f"\n{same}")


def engines_agree(chosen: argparse.Namespace, folder: Path) -> str:
    """Compare the engines on CHECKED rows; RuntimeError where a byte differs."""
    log = folder / "check"
    make(chosen, log, CHECKED)
    for work in chosen.works:
        digests = {
            engine: run_one(chosen, log, work, engine, CHECKED // 8)["digest"]
            for engine in chosen.engines
        }
        if len(set(digests.values())) > 1:
            raise RuntimeError(f"{work}: the engines differ: {digests}")
    named = ", ".join(chosen.engines)
    return f"Of {CHECKED:,} rows in parts of {CHECKED // 8:,}, {named} give the same bytes."


def sizes(chosen: argparse.Namespace, folder: Path, rows: int) -> list[tuple[object, ...]]:
    """Measure every work and engine on a log of so many rows."""
    log = folder / str(rows)
    lines: list[tuple[object, ...]] = []
    for work in chosen.works:
        for engine in chosen.engines:
            key = [work, engine, rows, chosen.workers, chosen.rows_per_part]
            found = _kept(chosen.out, key)
            if found is None:
                if not log.exists():
                    make(chosen, log, rows)
                found = run_one(chosen, log, work, engine, chosen.rows_per_part)
                _keep(chosen.out, key, found)
            workers = 1 if engine == "single" else chosen.workers
            lines.append(
                (work, engine, f"{rows:,}", workers, f"{found['seconds']:.1f}",
                 f"{rows / found['seconds']:,.0f}", f"{found['peak_mb']:,.0f}")
            )  # fmt: skip
    return lines


def make(chosen: argparse.Namespace, log: Path, rows: int) -> None:
    """Write a log in a process of its own, whose memory then is no part of any measurement."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.streaming", "--make", str(log), "--rows", str(rows),
         "--checkpoint", str(chosen.checkpoint), "--data", str(chosen.data)],
        check=True, cwd=ROOT,
    )  # fmt: skip


def write_log(folder: Path, checkpoint: Path, data: Path, rows: int) -> None:
    """Write `rows` rows drawn from the test split; the same rows for the same seed."""
    frame = Dataset.open(data).split("test")
    columns = list(input_columns(load(checkpoint, "cpu"), labels=True))
    source = pa.Table.from_pandas(frame[columns], preserve_index=False)
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        end = min(first + FILE_ROWS, rows)
        with pq.ParquetWriter(folder / f"log-{number:05d}.parquet", source.schema) as writer:
            for start in range(first, end, BLOCK):
                random = np.random.default_rng([SEED, start])
                writer.write_table(
                    source.take(random.integers(0, len(frame), min(BLOCK, end - start)))
                )


def run_one(
    chosen: argparse.Namespace, log: Path, work: str, engine: str, rows_per_part: int
) -> dict[str, Any]:
    """Run one measurement in a new process and watch the memory of all it starts."""
    told = {
        "log": str(log), "work": work, "engine": engine, "rows_per_part": rows_per_part,
        "workers": None if engine == "single" else chosen.workers,
        "checkpoint": str(chosen.checkpoint),
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.streaming", "--one", json.dumps(told)]
    peak = 0.0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, tree_megabytes(process.pid))
            time.sleep(0.1)
        out = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{work} with {engine} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found | {"peak_mb": peak}


def measured(told: dict[str, Any]) -> dict[str, Any]:
    """Work through a log; seconds, without the imports and the plan, and a hash of the summary."""
    checkpoint = load(told["checkpoint"], "cpu")
    columns = input_columns(checkpoint, labels=told["work"] == "evaluate")
    log = of_files(told["log"], columns, told["rows_per_part"])
    work = WORKS[told["work"]](checkpoint.path)
    started = time.perf_counter()
    total = merged(log, work, told["engine"], told["workers"])
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "digest": hashlib.sha256(total.to_bytes()).hexdigest()}


def tree_megabytes(root: int) -> float:
    """Proportional memory of a process and all below it, in MB; Linux only."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    waiting, total = [root], 0.0
    while waiting:
        own = waiting.pop()
        waiting += children.get(own, [])
        total += _proportional(own)
    return total


def _proportional(process: int) -> float:
    try:
        lines = (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def _kept(out: Path | None, key: list[Any]) -> dict[str, Any] | None:
    if out is None or not out.exists():
        return None
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] | None = next((own["found"] for own in lines if own["key"] == key), None)
    return found


def _keep(out: Path | None, key: list[Any], found: dict[str, Any]) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "found": found}) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/kuairand")
    parser.add_argument("--data", type=Path, default=ROOT / "data_samples/kuairand_pure")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["single", "pool"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows-per-part", type=int, default=262_144)
    parser.add_argument("--folder", type=Path, help="where the log is written")
    parser.add_argument("--out", type=Path, help="file of what was measured, one JSON a line")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
