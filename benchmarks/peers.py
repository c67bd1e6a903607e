"""AESM² beside public MMoE and PLE: a training step, a prediction, a whole epoch.

python -m benchmarks.peers [--rows 4096] [--epoch-rows 32768] [--rounds 9] [--clock cpu]

The peers come with `pip install -e .[peers]`. Same rows, same widths, one process, one thread;
every figure of speed is a ratio within a round, all having run in it in turn.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.contenders import Contender, Task, absent, contenders, versions
from benchmarks.harness import Timer, Timing, header, interleaved, report, spread, table
from benchmarks.model import Sizes, random_batch

WHAT = {
    "step": "training step",
    "predict": "forward alone",
    "epoch": "epoch with its own loader",
    "predict_all": "prediction with its own loader",
}
LONG = ("epoch", "predict_all")
TARGET = {"AESM², fp32": {"step": 2, "predict": 2, "epoch": 3, "predict_all": 2}}
TARGET["AESM², bf16"] = {"step": 3, "predict": 3, "epoch": 3, "predict_all": 3}


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    timer = Timer(chosen.rounds, chosen.seconds, chosen.clock)
    found = [f"{header()}; {versions() or 'no peers'}; {timer.rounds} rounds, {timer.clock} time"]
    if missing := absent():
        found.append(f"Not installed here, so left out: {', '.join(missing)}.")
    for numeric in chosen.numeric:
        found += sections(chosen, numeric, timer)
    report(chosen.out, "\n\n".join(found))


def sections(chosen: argparse.Namespace, numeric: int, timer: Timer) -> list[str]:
    """All there is to say on one shape of data, in Markdown."""
    sizes = Sizes(chosen.width, chosen.rows, chosen.fields, chosen.dim, numeric=numeric)
    task = Task(sizes, sizes.schema, random_batch(sizes), random_batch(sizes, chosen.epoch_rows))
    everybody = list(contenders(task))
    title = f"## {sizes.fields - numeric} embedded fields"
    title += f", {numeric} numbers straight into the first layer" if numeric else ""
    about = f"Batches of {sizes.rows:,} rows, epochs of {chosen.epoch_rows:,}, {sizes.vocabulary:,}"
    about += f" table rows of {sizes.dim} numbers. The peers have the scenario as one more field."
    found = [title, about, "What each computes:", described(everybody, task)]
    timings = {what: timed(everybody, what, timer) for what in WHAT}
    rows = {what: chosen.epoch_rows if what in LONG else sizes.rows for what in WHAT}
    found += ["Rows a second (median):", speeds(everybody, timings, rows)]
    for mine in (c.name for c in everybody if c.name in TARGET):
        found += [f"How many times faster {mine} is, median (range over rounds):"]
        found += [ratios(mine, everybody, timings)]
    return found


def timed(everybody: Sequence[Contender], what: str, timer: Timer) -> dict[str, Timing]:
    """Time one thing for all; what takes long runs once a round, and in a third of the rounds."""
    print(f"timing: {WHAT[what]}", file=sys.stderr)
    if what in LONG:
        timer = timer._replace(rounds=max(1, timer.rounds // 3), at_least=0)
    return interleaved({c.name: getattr(c, what) for c in everybody}, timer)


def described(everybody: Sequence[Contender], task: Task) -> str:
    """One line a model: layers, parameters and work, so that the ratios can be judged."""
    lines = []
    for one in everybody:
        tables, other = one.parameters
        flops = one.flops(len(task.batch)) / 1e6
        lines.append((one.name, one.layers, f"{tables:,}", f"{other:,}", f"{flops:.2f}"))
    columns = ("", "layers of experts", "in tables", "other parameters", "MFLOP a row, forward")
    return table(columns, lines, words=2)


def speeds(
    everybody: Sequence[Contender], timings: dict[str, dict[str, Timing]], rows: dict[str, int]
) -> str:
    lines = [
        (c.name, *(f"{rows[what] / timings[what][c.name].median:,.0f}" for what in WHAT))
        for c in everybody
    ]
    return table(("", *WHAT.values()), lines)


def ratios(mine: str, everybody: Sequence[Contender], timings: dict[str, dict[str, Timing]]) -> str:
    others = [c.name for c in everybody if not c.name.startswith("AESM²")]
    lines = [
        (other, *(spread(found[mine].speedup_over(found[other])) for found in timings.values()))
        for other in others
    ]
    lines.append(("target", *(f"≥ {TARGET[mine][what]}" for what in WHAT)))
    return table(("than", *WHAT.values()), lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default, timer = Sizes(), Timer(9)
    for name in ("width", "rows", "fields", "dim"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--numeric", type=int, nargs="+", default=[0, 63], help="of the fields")
    parser.add_argument("--epoch-rows", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=timer.rounds)
    parser.add_argument("--seconds", type=float, default=timer.at_least, help="a model and round")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


if __name__ == "__main__":
    main()
