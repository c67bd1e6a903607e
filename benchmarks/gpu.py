"""AESM² on a GPU: correctness against the CPU, and the share of the card's own floor.

python -m benchmarks.gpu [--device cuda] [--rows 65536 4096] [--compile] [--profile]

Float32 with TensorFloat-32 off. Prediction and a training step are also replayed as CUDA graphs,
training by the same lines as `aesm2 train`. `--device cpu --rows 4096` runs all but that.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from aesm2.config import TrainingConfig
from aesm2.data.batch import Batch
from aesm2.device import device_label
from aesm2.inference import probabilities
from aesm2.layers import selection
from aesm2.losses import LossTerms
from aesm2.models import AESM2, Model
from aesm2.routing.gap import selection_gap
from aesm2.training.group import ALONE
from aesm2.training.step import WARM, RecordedSteps, Steps
from benchmarks.floor import Speeds, seconds, speeds, work
from benchmarks.harness import header, report, table
from benchmarks.model import Sizes, build, random_batch

COMPILED = ", selection compiled"
TOLERANCE, CLEAR = 1e-5, 1e-4  # of a probability; nats by which a choice is no near-tie


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes = Sizes(chosen.width, max(chosen.rows))
    batch = random_batch(sizes)
    own = speeds(chosen.device, chosen.size)
    about = (
        f"{header()}; {device_label(torch.device(chosen.device))}: {own.flops[False] / 1e12:.2f}"
        f" TFLOP/s float32, {own.flops[True] / 1e12:.2f} bfloat16, {own.bytes / 1e9:,.0f} GB/s"
    )
    checks = [f"- {line}" for line in correct(sizes, batch, chosen.device)]
    lines = [line for rows in chosen.rows for line in measured(sizes, batch[:rows], own, chosen)]
    columns = ("", "rows", "precision", "form", "ms", "rows/s", "floor, ms", "share of floor")
    report(chosen.out, "\n\n".join([about, table(columns, lines, words=4), "\n".join(checks)]))


def correct(sizes: Sizes, batch: Batch, device: str) -> Iterator[str]:
    """Compare a device with the CPU: probabilities, choices, and choices between equal experts."""
    few = batch[:4096]
    for ties in (False, True):
        model = tied(build(sizes, "aesm2", "dense", False).eval(), ties)
        with torch.no_grad():
            wanted = model(few)
            found = model.to(device)(few.to(device))
        difference = (wanted.log_probability.exp() - found.log_probability.exp().cpu()).abs().max()
        clear = selection_gap([r.selection for r in wanted.routings], len(few)) > CLEAR
        clear = torch.ones_like(clear) if ties else clear
        pairs = zip(wanted.routings, found.routings, strict=True)
        differ = sum(
            int((getattr(a.selection, role) != getattr(b.selection, role).cpu())
                .any(-1).view(-1, len(few))[:, clear].sum())
            for a, b in pairs for role in ("specific", "shared")
        )  # fmt: skip
        what = "experts alike, so every choice a tie" if ties else "float32"
        good = "as on the CPU" if difference <= TOLERANCE and differ == 0 else "NOT as on the CPU"
        yield (
            f"{what}: {good}: largest difference of a probability {float(difference):.1e} (allowed"
            f" {TOLERANCE:g}), {differ} choices differ of {int(clear.sum()):,} rows"
        )


def tied(model: AESM2, ties: bool) -> AESM2:
    """Make all experts of a layer score the same, exactly, where asked to."""
    with torch.no_grad():
        for name, weight in model.named_parameters() if ties else ():
            if "gate" in name:
                weight.zero_()
    return model


def measured(
    sizes: Sizes, batch: Batch, own: Speeds, chosen: argparse.Namespace
) -> Iterator[tuple[str, ...]]:
    """One line a call and form."""
    own_batch = batch.to(chosen.device)
    for bf16 in (False, True):
        model = build(sizes, "aesm2", "auto", bf16).to(chosen.device)
        x = len(batch) * model.embedding.width
        forms = predictions(model, own_batch, batch, bf16), trainings(model, own_batch, bf16)
        for what, calls in zip(("predict", "train"), forms, strict=True):
            needed = work(calls["eager"], model, x, what == "train")
            for form, run in calls.items():
                if chosen.profile and form == "eager":
                    profiled(f"{what}, {'bf16' if bf16 else 'float32'}", run)
                with selection_compiled(form.endswith(COMPILED)):
                    if form.endswith(COMPILED) and not chosen.compile:
                        continue
                    taken = statistics.median(seconds(run, chosen.device, chosen.rounds))
                floor = needed.floor(own, bf16)
                yield (
                    what, f"{len(batch):,}", "bf16" if bf16 else "float32", form,
                    f"{1e3 * taken:.2f}", f"{len(batch) / taken:,.0f}", f"{1e3 * floor:.2f}",
                    f"{floor / taken:.0%}",
                )  # fmt: skip


@contextlib.contextmanager
def selection_compiled(compiled: bool) -> Iterator[None]:
    """Let torch compile the choice of experts, which is many small kernels, in a block."""
    plain = selection.select
    selection.select = torch.compile(plain, dynamic=False) if compiled else plain
    try:
        yield
    finally:
        selection.select = plain


def predictions(
    model: Model, batch: Batch, host: Batch, bf16: bool
) -> dict[str, Callable[[], object]]:
    """Forms of predicting a batch on the device, and as the library does it, from the host."""
    device = batch.fields.device

    def predict() -> Tensor:
        model.eval()
        with torch.no_grad(), precision(device, bf16):
            found: Tensor = model(batch).log_probability.exp()
        return found

    def from_host() -> np.ndarray:
        with precision(device, bf16):
            return probabilities(model, host)

    found = {"eager": predict, "eager, from host memory and back": from_host}
    if batch.fields.is_cuda:
        found |= {"CUDA graph": Recorded(predict), f"CUDA graph{COMPILED}": Recorded(predict)}
    return found


def trainings(model: Model, batch: Batch, bf16: bool) -> dict[str, Callable[[], object]]:
    """Forms of a training step, embeddings and Adam included."""
    config = TrainingConfig(precision="bf16" if bf16 else "float32", batch_size=len(batch))
    device = batch.fields.device

    def training(recorded: bool) -> Callable[[], object]:
        adam = torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)
        plain = Steps(model, config, adam, ALONE)
        steps = RecordedSteps(plain, len(batch)) if recorded else plain

        def call() -> LossTerms:
            model.train()
            noise = torch.Generator(device).manual_seed(0)
            return steps.take(batch, noise, len(batch))

        return call

    found = {"eager": training(recorded=False)}
    if device.type == "cuda":
        found["CUDA graph"] = training(recorded=True)
        found[f"CUDA graph{COMPILED}"] = training(recorded=True)
    return found


def profiled(what: str, call: Callable[[], object], kernels: int = 16) -> None:
    """Print which kernels a call spends its time in."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        call()
    print(what, seen.key_averages().table(sort_by="self_device_time_total", row_limit=kernels,
          max_name_column_width=70))  # fmt: skip


class Recorded:
    """What a call does on the card, recorded when it is first called, played from then on."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._graph = call, torch.cuda.CUDAGraph()
        self._recorded = False

    def __call__(self) -> None:
        """Play it."""
        if not self._recorded:
            self._record()
            self._recorded = True
        self._graph.replay()

    def _record(self) -> None:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                self._call()
        with torch.cuda.graph(self._graph, stream=aside):
            self._call()


def precision(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    """bf16 autocast as training uses it, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[65_536], help="of a batch")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, help="of the matrices that measure the device's rate")
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    parser.add_argument(
        "--compile", action="store_true", help="let torch.compile make the selection, too"
    )
    parser.add_argument("--profile", action="store_true", help="print what takes the time")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


if __name__ == "__main__":
    main()
