"""Test AUC on KuaiRand-Pure with its numbers in buckets, and with the same numbers as they are.

python -m benchmarks.numbers [--seeds 3] [--epochs N] [--scale log]
"""

import argparse
import re
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from aesm2 import Dataset
from aesm2.data.description import DESCRIPTION
from aesm2.data.scenarios import OVERALL
from benchmarks.harness import ROOT, header, report, table
from benchmarks.references import networks

BUCKETS = "buckets"


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    found: dict[str, list[pd.DataFrame]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in (BUCKETS, *chosen.scale):
            opened = Dataset.open(described(chosen.data, Path(folder) / form, form))
            found[form] = networks(opened, chosen.config, range(chosen.seeds), chosen.epochs)
    about = (
        f"{header()}\n\nTest AUC × 100 over all rows of {chosen.config.name}, mean ± standard"
        f" deviation over {chosen.seeds} seeds; in the last column of points against buckets, pairs"
        " of one seed."
    )
    report(chosen.out, f"{about}\n\n{summary(found)}")


def described(data: Path, folder: Path, form: str) -> Path:
    """A folder with the dataset's tables, whose every number is scaled as `form` says."""
    folder.mkdir()
    for file in data.iterdir():
        if file.name != DESCRIPTION:
            (folder / file.name).symlink_to(file.resolve())
    text = (data / DESCRIPTION).read_text(encoding="utf-8")
    if form != BUCKETS:
        text = re.sub(r'kind = "numeric"', f'kind = "numeric", scale = "{form}"', text)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return folder


def summary(found: dict[str, list[pd.DataFrame]]) -> str:
    """One line a form and task."""
    lines = []
    for form, runs in found.items():
        for task in runs[0]["task"].unique():
            areas, base = of_task(runs, task), of_task(found[BUCKETS], task)
            more = [a - b for a, b in zip(areas, base, strict=True)]
            lines.append((form, task, spread(areas), "" if form == BUCKETS else spread(more, "+")))
    return table(("numbers", "task", "AUC × 100", "difference"), lines, words=2)


def of_task(runs: Sequence[pd.DataFrame], task: str) -> list[float]:
    """AUC × 100 over all rows, a run each."""
    rows = (run[(run["scope"] == OVERALL) & (run["task"] == task)] for run in runs)
    return [100 * float(row["auc"].iloc[0]) for row in rows]


def spread(values: Sequence[float], sign: str = "") -> str:
    """Write mean ± standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):{sign}.2f} ± {deviation:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data_samples/kuairand_pure")
    parser.add_argument("--config", type=Path, default=ROOT / "configs/kuairand.toml")
    parser.add_argument("--scale", nargs="+", default=["standard", "log"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the configured ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


if __name__ == "__main__":
    main()
