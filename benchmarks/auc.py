"""Exact AUC beside scikit-learn's, at growing numbers of rows.

python -m benchmarks.auc [--rows 100000 1000000 10000000] [--rounds 5] [--clock cpu]

`auc_value` computes what `roc_auc_score` does, the value alone; `auc` its interval as well.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from aesm2.metrics import Auc, auc, auc_value
from benchmarks.harness import Timer, header, interleaved, report, spread, table

OURS: dict[str, Callable[[np.ndarray, np.ndarray], float | Auc]] = {
    "auc_value": auc_value,
    "auc, with its interval": auc,
}
TARGET = 10


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    timer = Timer(chosen.rounds, chosen.seconds, chosen.clock)
    lines = [line for rows in chosen.rows for line in measured(rows, chosen.rate, timer)]
    columns = ("rows", "", "ms", "× scikit-learn", "largest difference")
    target = f"Target: auc_value ≥ {TARGET} × scikit-learn at 10,000,000 rows."
    about = f"{header()}; {timer.rounds} interleaved rounds, {timer.clock} time;"
    about += f" float32 scores, {chosen.rate:.0%} positives"
    report(chosen.out, "\n\n".join([about, table(columns, lines, words=2), target]))


def measured(rows: int, rate: float, timer: Timer) -> list[tuple[str, ...]]:
    """One line a function, on scores that tell the classes apart a little."""
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < rate).astype(np.float32)
    scores = 1 / (1 + np.exp(-(rng.standard_normal(rows) + 0.9 * labels - 2)))
    scores = scores.astype(np.float32)
    calls: dict[str, Callable[[], float | Auc]]
    calls = {"scikit-learn": partial(roc_auc_score, labels, scores)}
    calls |= {name: partial(f, labels, scores) for name, f in OURS.items()}
    timed, wanted = interleaved(calls, timer), roc_auc_score(labels, scores)
    lines: list[tuple[str, ...]] = []
    for name, call in calls.items():
        found = call()
        difference = abs((found[0] if isinstance(found, tuple) else found) - wanted)
        ratio = spread(timed[name].speedup_over(timed["scikit-learn"]))
        ms = f"{1e3 * timed[name].median:,.1f}"
        lines.append((f"{rows:,}", name, ms, ratio, f"{difference:.0e}"))
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rate", type=float, default=0.1, help="share of positives")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="a function and round")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


if __name__ == "__main__":
    main()
