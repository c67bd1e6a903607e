"""Time and memory of prediction, utilisation, trace and its table, on many rows.

python -m benchmarks.trace [--rows 100000] [--checkpoint checkpoints/kuairand] [--threads 1]
"""

import argparse
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aesm2 import Checkpoint, Dataset, load
from aesm2.inference import outputs, probabilities
from aesm2.routing.trace import layer_specs
from aesm2.routing.utilisation import count
from benchmarks.harness import ROOT, Timer, Timing, header, interleaved, spread, table

TARGET = 0.95


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    checkpoint = load(chosen.checkpoint, device="cpu")
    frame = repeated(Dataset.open(chosen.data).split("test"), chosen.rows)
    print(
        f"{header()}; checkpoint {checkpoint.name} ({checkpoint.hash[:8]}), {len(frame):,} rows,"
        f" median of {chosen.rounds}\n"
    )
    columns = ["", "seconds", "fastest–slowest", "rows/s", "peak memory so far, MB"]
    lines: list[tuple[str, ...]] = [
        ("rows read, model loaded", "", "", "", f"{peak_megabytes():,.0f}")
    ]
    timer = Timer(chosen.rounds, at_least=0)
    for name, call in calls(checkpoint, frame).items():
        timing = interleaved({name: call}, timer)[name]
        lines.append(line(name, timing, len(frame)))
    print(table(columns, lines))
    print("\n" + beside(checkpoint, frame, timer._replace(rounds=max(3, chosen.rounds))))


def beside(checkpoint: Checkpoint, frame: pd.DataFrame, timer: Timer) -> str:
    """The model's own speed: predicting, and predicting while counting every choice."""
    model, batch = checkpoint.model, checkpoint.encoder.encode(frame)
    specs = layer_specs(model)

    def counted() -> None:
        for part, output in outputs(model, batch):
            output.log_probability.exp()
            count(model.schema, specs, part.scenarios, output.routings)

    names = {"predict": lambda: probabilities(model, batch), "predict and count": counted}
    timed = interleaved(names, timer._replace(clock="cpu"))
    ratio = spread(timed["predict and count"].speedup_over(timed["predict"]))
    return (
        "Rows encoded beforehand: predicting with utilisation runs at"
        f" {ratio} times the speed of predicting (target ≥ {TARGET}), processor time."
    )


def calls(checkpoint: Checkpoint, frame: pd.DataFrame) -> dict[str, Callable[[], object]]:
    """What is timed, the least memory first; each encodes the rows itself."""
    return {
        "predict": lambda: checkpoint.predict(frame),
        "utilisation": lambda: checkpoint.utilisation(frame),
        "trace": lambda: checkpoint.trace(frame),
        "trace and its to_frame": lambda: checkpoint.trace(frame).to_frame(),
    }


def line(name: str, timing: Timing, rows: int) -> tuple[str, ...]:
    """One line of the table, with the peak memory of the process by now."""
    low, high = min(timing.seconds), max(timing.seconds)
    speed = f"{rows / timing.median:,.0f}"
    return (
        name,
        f"{timing.median:.2f}",
        f"{low:.2f}–{high:.2f}",
        speed,
        f"{peak_megabytes():,.0f}",
    )


def repeated(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The rows of `frame` over and over, `rows` in all."""
    return frame.iloc[np.arange(rows) % len(frame)]


def peak_megabytes() -> float:
    """Largest resident memory of this process until now, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/kuairand")
    parser.add_argument("--data", type=Path, default=ROOT / "data_samples/kuairand_pure")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
