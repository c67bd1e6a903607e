"""How cost grows with rows, experts, scenarios and fields, as slopes of log time over log size.

python -m benchmarks.scaling [--rounds 3]

A slope of 1 is cost in proportion, 0 no cost. All else is as in `benchmarks.model`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.layers.experts import Compute
from aesm2.models import AESM2
from benchmarks.harness import Timer, header, interleaved, report, table
from benchmarks.model import Sizes, prediction, random_batch, training_step

AXES: dict[str, tuple[int, ...]] = {
    "rows": (1024, 2048, 4096, 8192),
    "experts": (8, 16, 32, 64),
    "scenarios": (2, 4, 8, 16, 32),
    "fields": (20, 40, 80, 160),
}


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    timer = Timer(chosen.rounds, 0, chosen.clock)
    base = Sizes(chosen.width, chosen.rows)
    lines = []
    for axis, values in AXES.items():
        own = sorted({max(2, round(value * chosen.share)) for value in values})
        lines += measured(base, axis, tuple(own), timer)
    columns = ("", "sizes", "what", "ms", "slope")
    about = f"{header()}; {timer.rounds} interleaved rounds, {timer.clock} time; fp32"
    report(chosen.out, f"{about}\n\n{table(columns, lines, words=3)}")


def measured(
    base: Sizes, axis: str, values: tuple[int, ...], timer: Timer
) -> list[tuple[str, ...]]:
    """Two lines an axis: prediction and a training step."""
    made = {value: calls(base, axis, value) for value in values}
    lines: list[tuple[str, ...]] = []
    for place, what in enumerate(("predict", "train")):
        timed = interleaved({str(v): pair[place] for v, pair in made.items()}, timer)
        medians = [timed[str(value)].median for value in values]
        ms = ", ".join(f"{1e3 * median:,.0f}" for median in medians)
        sizes = ", ".join(map(str, values))
        lines.append((axis, sizes, what, ms, f"{slope(values, medians):.2f}"))
    return lines


def slope(sizes: tuple[int, ...], times: list[float]) -> float:
    """Least-squares slope of log time over log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def calls(base: Sizes, axis: str, value: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Prediction and a training step where one size is another."""
    experts = value if axis == "experts" else base.scenario.experts
    sizes = Sizes(
        base.width,
        value if axis == "rows" else base.rows,
        value if axis == "fields" else base.fields,
        base.dim,
        value if axis == "scenarios" else base.scenarios,
    )
    k = min(2, experts)
    group = ExpertGroup(layers=2, experts=experts, specific=k, shared=k, width=base.width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AESM2Config(embedding_dim=sizes.dim, scenario=group, task=sizes.task)
        model = AESM2(config, sizes.schema)
    batch = random_batch(sizes)
    form: tuple[str, Compute, bool] = ("aesm2", "auto", False)
    return prediction(model, batch, form), training_step(model, batch, form)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--share", type=float, default=1.0, help="of every size, for a quick look")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


if __name__ == "__main__":
    main()
