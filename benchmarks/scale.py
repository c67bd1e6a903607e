"""What training costs at scale: rows of the embedding table, processes, memory of a share.

    python -m benchmarks.scale                          all three tables, some minutes
    python -m benchmarks.scale --only table --sizes 1e5 1e6 1e7 1e8
    python -m benchmarks.scale --only processes --rounds 5
    python -m benchmarks.scale --only memory --rows 1000000

Each size of the table is measured in a process of its own, by the clock of the processor. One that
by computation needs more than what is free is not tried, and says so.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from aesm2.config import Config, parse
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.data.schema import Schema
from aesm2.files import read_lines
from aesm2.losses import loss_terms
from aesm2.simulation.presets import PRESETS
from aesm2.simulation.write import simulate
from aesm2.training.launch import Work, train_together
from aesm2.training.loop import build_seeded
from aesm2.training.meter import peak_megabytes
from aesm2.training.train import train
from benchmarks.harness import header, spread, table

GIB = 2**30
FIELDS, BATCH, BIG = (
    20,
    4096,
    2,
)  # fields of a row; rows of a step; fields that share the large table
COPIES = 4  # weights, gradient, and the two moments of Adam, in float32
STEPS, WARM = 6, 2
MODEL: dict[str, Any] = {
    "name": "aesm2",
    "scenario": {"layers": 2, "experts": 10, "specific": 2, "shared": 2, "width": 64},
    "task": {"layers": 2, "experts": 3, "specific": 1, "shared": 1, "width": 32},
}


def configured(dim: int, **training: Any) -> Config:
    values = {"model": MODEL | {"embedding_dim": dim}, "training": training}
    return parse(Config, values, "benchmark")


def needed(values: int, dim: int) -> float:
    """GiB of the table's weights, gradient and moments."""
    return COPIES * 4 * values * dim / GIB


def free() -> float:
    """GiB of memory that is free, or would be if asked for."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return sizes["MemAvailable"] / 2**20


def step_of_table(values: int, dim: int, seed: int) -> dict[str, float]:
    """Take steps with a table of so many values in this process; return seconds a step and peak."""
    before = peak_megabytes()
    sizes = [values // BIG] * BIG + [100] * (FIELDS - BIG)
    schema = Schema(
        tuple(sizes), (("a", "b"), ("c", "d", "e")), ("x", "y"), ("ctr", "ctcvr"), (-1, 0)
    )
    config = configured(dim, batch_size=BATCH)
    model = build_seeded(config, schema).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    source = torch.Generator().manual_seed(seed)
    weights, seconds = torch.ones(2), []
    for _ in range(WARM + STEPS):
        columns = [torch.randint(0, size, (BATCH,), generator=source) for size in sizes]
        scenarios = torch.randint(0, 2, (BATCH, 2), generator=source)
        labels = torch.randint(0, 2, (BATCH, 2), generator=source).float()
        labels[:, 1] *= labels[:, 0]
        batch = Batch(torch.stack(columns, 1).int(), scenarios, labels)
        began = time.process_time()
        terms = loss_terms(model(batch, source), labels)
        optimizer.zero_grad(set_to_none=True)
        terms.total(weights, 1e-3, 1e-3).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.process_time() - began)
    return {
        "seconds": statistics.median(seconds[WARM:]),
        "peak": peak_megabytes() / 1024,
        "before": before / 1024,
    }


def table_sizes(sizes: Sequence[int], dims: Sequence[int], seed: int) -> Iterator[str]:
    """Time a step and measure the peak for every size of the table, each in its own process."""
    columns = ["values", "dim", "GiB computed", "GiB measured", "ms a step"]
    yield table(columns, [], words=0)
    for dim, values in itertools.product(dims, sizes):
        computed = needed(values, dim)
        line = [f"{values:,}", dim, f"{computed:.2f}"]
        if computed > 0.9 * free():
            line += [f"not tried: {free():.0f} GiB are free", ""]
        elif (found := in_own_process("--one-table", str(values), str(dim), str(seed))) is None:
            line += ["ended: most likely the memory was full", ""]
        else:
            line += [f"{found['peak'] - found['before']:.2f}", f"{1000 * found['seconds']:.0f}"]
        yield "| " + " | ".join(map(str, line)) + " |"


def in_own_process(*arguments: str) -> dict[str, float] | None:
    """Run this file with other arguments; None where it was killed or could not get memory."""
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if done.returncode == -9 or "memory" in done.stderr:
            return None
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def dataset(folder: Path, rows: int) -> Path:
    simulate(PRESETS["alipay"], rows, folder / "log", progress=False, per_file=max(rows // 8, 1))
    return folder / "log"


def seconds_a_step(folder: Path, skip: int = 2) -> float:
    """Median over a run's records of the seconds a step took; the first ones are warm-up."""
    lines = [x for x in read_lines(folder / "history.jsonl") if x["kind"] == "train"][skip:]
    median: float = statistics.median(
        (b["seconds"] - a["seconds"]) / (b["step"] - a["step"])
        for a, b in itertools.pairwise(lines)
    )
    return median


def processes(rows: int, rounds: int, most: int) -> str:
    """Time a step of one process and of several, in turns, on the same batches."""
    found: dict[int, list[float]] = {n: [] for n in range(1, most + 1)}
    with tempfile.TemporaryDirectory() as made:
        log = dataset(Path(made), rows)
        config = configured(16, batch_size=BATCH, epochs=2, evaluate_every=10**6, record_every=2)
        for number in range(rounds):
            for count in sorted(found, reverse=number % 2 == 1):
                folder = Path(made) / f"run-{number}-{count}"
                trained(log, config, folder, count)
                found[count].append(seconds_a_step(folder))
    lines = []
    for count, seconds in found.items():
        faster = [one / own for one, own in zip(found[1], seconds, strict=True)]
        lines.append([count, spread([1000 * s for s in seconds]), spread(faster)])
    return table(["processes", "ms a step", "times as fast as one"], lines, words=0)


def trained(log: Path, config: Config, folder: Path, count: int) -> None:
    """Train in so many processes of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if count == 1:
        train(Dataset.open(log), config, folder, device="cpu", progress=False)
    else:
        written = config.model_dump_json()
        train_together(Work(str(log), str(folder), written, device="cpu", progress=False), count)


def memory(rows: int, most: int) -> str:
    """Peak memory of the largest process, for one that reads everything and for several."""
    lines = []
    with tempfile.TemporaryDirectory() as made:
        log = dataset(Path(made), rows)
        disk = sum(file.stat().st_size for file in (log / "log").glob("*.parquet")) / GIB
        for count in range(1, most + 1):
            found = in_own_process("--one-memory", str(log), str(count))
            if found is None:
                raise SystemExit("the memory was full: fewer --rows")
            own = found["peak"] - found["before"]
            lines.append([count, f"{rows:,}", f"{disk:.2f}", f"{found['peak']:.2f}", f"{own:.2f}"])
    columns = ["processes", "rows", "GiB on disk", "GiB peak a process", "of it for rows and model"]
    return table(columns, lines, words=0)


def one_memory(log: Path, count: int) -> dict[str, float]:
    """Train an epoch; return the peak of the largest process in GiB, and that of an idle one."""
    before = peak_megabytes()
    config = configured(8, batch_size=BATCH, epochs=1, evaluate_every=10**6, record_every=2)
    with tempfile.TemporaryDirectory() as made:
        trained(log, config, Path(made) / "run", count)
        history = read_lines(Path(made) / "run" / "history.jsonl")
    peaks = [line["peak_mb"] for line in history if line["kind"] == "train"]
    return {"peak": max(peaks) / 1024, "before": before / 1024}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=["table", "processes", "memory"])
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e5, 1e6, 1e7])
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-table", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one-memory", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.one_table:
        torch.set_num_threads(1)
        sys.stdout.write(json.dumps(step_of_table(*asked.one_table)))
        return
    if asked.one_memory:
        log, count = asked.one_memory
        sys.stdout.write(json.dumps(one_memory(Path(log), int(count))))
        return
    print(header())
    if asked.only in (None, "table"):
        sizes = [int(size) for size in asked.sizes]
        print(
            f"\nThe embedding table: {FIELDS} fields, batch {BATCH:,}, one thread; GiB of weights,"
        )
        print("gradient and Adam's two moments\n")
        for line in table_sizes(sizes, asked.dims, asked.seed):  # each as soon as it is known
            print(line, flush=True)
    if asked.only in (None, "processes"):
        print(f"\nProcesses of one thread each: global batch {BATCH:,}, {asked.rounds} rounds\n")
        print(processes(asked.rows, asked.rounds, asked.processes), flush=True)
    if asked.only in (None, "memory"):
        print("\nMemory of one process and of each of several\n")
        print(memory(asked.rows, asked.processes), flush=True)


if __name__ == "__main__":
    main()
