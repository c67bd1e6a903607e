"""Knocking out every expert: one sweep against a whole prediction for each expert.

Both measure AUC and log loss per scenario and task with their intervals, and must agree.
python -m benchmarks.knockout [--rows 100000] [--checkpoint checkpoints/kuairand] [--threads 1]
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from aesm2 import Dataset, load
from aesm2.data.batch import Batch
from aesm2.data.scenarios import scope_groups
from aesm2.inference import outputs
from aesm2.models import AESM2
from aesm2.paired import paired
from aesm2.routing.interventions import KnockOut, intervene
from aesm2.routing.knockout import knockouts
from aesm2.routing.trace import layer_specs
from benchmarks.harness import ROOT, Timer, header, interleaved, spread, table
from benchmarks.trace import repeated

CLOSE = 1e-4  # of an AUC: rounding may turn near-ties


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    checkpoint = load(chosen.checkpoint, device="cpu")
    model = checkpoint.model
    if not isinstance(model, AESM2):
        raise SystemExit(f"{checkpoint.name} has no expert selection")
    frame = repeated(Dataset.open(chosen.data).split("test"), chosen.rows)
    batch = checkpoint.encode(frame, labels=True)
    check_equal(model, batch)
    calls = {"whole prediction an expert": lambda: naive(model, batch),
             "one sweep": lambda: knockouts(model, batch).auc_change}  # fmt: skip
    timed = interleaved(calls, Timer(chosen.rounds, at_least=0, clock=chosen.clock))
    experts = sum(spec.experts for spec in layer_specs(model))
    print(
        f"{header()}; checkpoint {checkpoint.name} ({checkpoint.hash[:8]}), {chosen.threads}"
        f" threads, {chosen.clock} seconds, median (fastest–slowest) of {chosen.rounds}\n"
    )
    first = timed["whole prediction an expert"]
    lines = [
        (name, f"{len(batch):,}", experts, spread(own.seconds), spread(own.speedup_over(first)))
        for name, own in timed.items()
    ]
    print(table(["", "rows", "experts", "seconds", "times as fast"], lines))


def naive(model: AESM2, batch: Batch) -> np.ndarray:
    """Change of AUC where each expert is knocked out, (X, S, T), predicting all rows each time."""
    labels = np.asarray(batch.labels)
    groups = scope_groups(model.schema, batch.scenarios.numpy())
    before = _predicted(model, batch, ())
    tasks = [paired(labels[:, t], before[:, t], groups) for t in range(labels.shape[1])]
    specs, found = layer_specs(model), []
    for out in (KnockOut(spec.name, k) for spec in specs for k in range(spec.experts)):
        after = _predicted(model, batch, (out,))
        of_tasks = [own.against(after[:, t]) for t, own in enumerate(tasks)]
        areas = [np.concatenate([area.value for area, _ in own]) for own in of_tasks]
        found.append(np.stack(areas, axis=1))
    return np.stack(found)


def check_equal(model: AESM2, batch: Batch, rows: int = 2000) -> None:
    """Raise RuntimeError where the two forms differ on some rows."""
    a, b = naive(model, batch[:rows]), knockouts(model, batch[:rows]).auc_change
    if not np.allclose(a, b, rtol=0, atol=CLOSE, equal_nan=True):
        raise RuntimeError(f"the sweep differs by up to {np.nanmax(np.abs(a - b)):.2g}")


def _predicted(model: AESM2, batch: Batch, interventions: tuple[KnockOut, ...]) -> np.ndarray:
    choose = intervene(layer_specs(model), interventions)
    parts = [o.log_probability.exp() for _, o in outputs(model, batch, intervene=choose)]
    whole: np.ndarray = torch.cat(parts).numpy()
    return whole


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/kuairand")
    parser.add_argument("--data", type=Path, default=ROOT / "data_samples/kuairand_pure")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    return parser


if __name__ == "__main__":
    main()
