"""What numbers below 1.2e-38 cost: the shipped AliPay model with and without `flush_subnormals`.

python -m benchmarks.subnormals [--rounds 5] [--checkpoint FOLDER] [--data FOLDER]

Each measurement is a process of its own, in turns, since torch's threads keep what was set when
they began. The largest difference between the predictions of both is printed beside the ratio.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.device import flush_subnormals
from aesm2.inference import probabilities
from benchmarks.harness import ROOT, header, spread, table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", default=str(ROOT / "checkpoints" / "alipay-sim"))
    parser.add_argument("--data", default=str(ROOT / "data_samples" / "alipay_sim"))
    parser.add_argument("--one", type=int, choices=(0, 1), help="measure once in this process")
    asked = parser.parse_args(arguments)
    if asked.one is not None:
        print(json.dumps(measured(Path(asked.checkpoint), Path(asked.data), bool(asked.one))))
        return
    seconds: dict[bool, list[float]] = {False: [], True: []}
    predicted: dict[bool, list[float]] = {}
    for number in range(asked.rounds):
        for flush in (False, True) if number % 2 else (True, False):
            took, predicted[flush] = _apart(asked, flush)
            seconds[flush].append(took)
    ratios = [a / b for a, b in zip(seconds[False], seconds[True], strict=True)]
    apart = np.abs(np.subtract(predicted[False], predicted[True])).max()
    lines = [[name, spread(seconds[flush])] for name, flush in
             (("as they are", False), ("taken as 0", True))]  # fmt: skip
    print(f"{header()}\n\n{table(['numbers below 1.2e-38', 'seconds'], lines)}\n")
    print(f"times as fast: {spread(ratios)}; largest difference of a probability {apart:.1e}")


def measured(folder: Path, data: Path, flush: bool) -> tuple[float, list[float]]:
    """Predict the test split; return the seconds of the second time, and the probabilities."""
    flush_subnormals(flush)
    checkpoint = aesm2.load(folder, "cpu")
    batch = checkpoint.encode(Dataset.open(data).split("test"))
    probabilities(checkpoint.model, batch)
    began = time.perf_counter()
    found = probabilities(checkpoint.model, batch)
    return time.perf_counter() - began, found.ravel().tolist()


def _apart(asked: argparse.Namespace, flush: bool) -> tuple[float, list[float]]:
    command = [
        sys.executable, "-m", "benchmarks.subnormals", "--one", str(int(flush)), "--checkpoint",
        asked.checkpoint, "--data", asked.data,
    ]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    seconds, found = json.loads(said)
    return seconds, found


if __name__ == "__main__":
    main()
