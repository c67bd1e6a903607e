"""Rows a second in training and in prediction: forms of AESM² and an MMoE, side by side.

python -m benchmarks.model [--sizes 64 256] [--rows 4096] [--rounds 15] [--threads 1]
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from aesm2.config import AESM2Config, ExpertGroup, MixtureGroup, MMoEConfig, TrainingConfig
from aesm2.data.batch import Batch
from aesm2.inference import probabilities
from aesm2.layers.experts import SPARSE_MAX_SHARE, SPARSE_MIN_ROWS, Compute, Experts
from aesm2.losses import loss_terms
from aesm2.models import AESM2, MMoE, Model, Schema
from benchmarks.harness import Timer, header, interleaved, spread, table
from benchmarks.loop_form import LoopForm, copy_weights

FORMS: dict[str, tuple[str, Compute, bool]] = {  # name → model, compute, bf16 autocast
    "loop form, fp32, default Adam": ("loop", "dense", False),
    "dense, fp32": ("aesm2", "dense", False),
    "sparse, fp32": ("aesm2", "sparse", False),
    "auto, fp32": ("aesm2", "auto", False),
    "dense, bf16 autocast": ("aesm2", "dense", True),
    "sparse, bf16 autocast": ("aesm2", "sparse", True),
    "MMoE of the same size, fp32": ("mmoe", "dense", False),
}
GRID_ROWS = (16, 32, 64, 128, 256, 1024, 4096, 8192)
GRID_CHOSEN = (2, 4, 5, 6, 8)
GRID_EXPERTS = 10


@dataclass(frozen=True)
class Sizes:
    """The AliExpress setting of the authors' released configuration."""

    width: int = 64
    rows: int = 4096
    fields: int = 79
    dim: int = 8
    scenarios: int = 4
    vocabulary: int = 200_000  # table rows over all fields
    numeric: int = 0  # how many of the fields the model takes as numbers

    @property
    def scenario(self) -> ExpertGroup:
        """Two layers of 10 experts, K 2 + 2."""
        return ExpertGroup(layers=2, experts=10, specific=2, shared=2, width=self.width)

    @property
    def task(self) -> ExpertGroup:
        """Two layers of 3 experts, K 1 + 1, half as wide."""
        return ExpertGroup(layers=2, experts=3, specific=1, shared=1, width=self.width // 2)

    @property
    def schema(self) -> Schema:
        """Equal fields, one level, click and conversion."""
        return Schema(
            fields=(max(3, self.vocabulary // self.fields),) * self.fields,
            levels=(tuple(f"scenario {i}" for i in range(self.scenarios)),),
            level_names=("country",),
            tasks=("ctr", "ctcvr"),
            parents=(-1, 0),
            numbers=tuple(range(self.fields - self.numeric, self.fields)),
        )


def main(arguments: list[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    timer = Timer(chosen.rounds, chosen.seconds, chosen.clock)
    print(f"{header()}; {timer.rounds} interleaved rounds, {timer.clock} time\n")
    lines = []
    for width in chosen.sizes:
        sizes = Sizes(width, chosen.rows, chosen.fields, chosen.dim, chosen.scenarios)
        lines += list(compare(sizes, timer))
    print(table(COLUMNS, lines, words=2))
    if chosen.crossover:
        for width in chosen.sizes:
            first = (chosen.fields * chosen.dim, width)
            for inputs, outputs_ in (first, (width, width)):
                print(f"\n{crossover_title(inputs, outputs_)}\n")
                print(crossover(inputs, outputs_, timer))


def compare(sizes: Sizes, timer: Timer) -> Iterator[tuple[object, ...]]:
    """One line a form: rows/s and speed relative to the loop form, in training and prediction."""
    batch = random_batch(sizes)
    models = {name: build(sizes, *form) for name, form in FORMS.items()}
    check_equal(models, batch)
    training = {name: training_step(m, batch, FORMS[name]) for name, m in models.items()}
    predicting = {name: prediction(m, batch, FORMS[name]) for name, m in models.items()}
    predicted = interleaved(predicting, timer)  # first: training moves the weights
    trained = interleaved(training, timer)
    first = next(iter(FORMS))
    for name in FORMS:
        yield (
            sizes.width, name,
            f"{sizes.rows / trained[name].median:,.0f}",
            spread(trained[name].speedup_over(trained[first])),
            f"{sizes.rows / predicted[name].median:,.0f}",
            spread(predicted[name].speedup_over(predicted[first])),
        )  # fmt: skip


COLUMNS = ("width", "form", "train rows/s", "× loop form", "predict rows/s", "× loop form")


def random_batch(sizes: Sizes, rows: int | None = None) -> Batch:
    """Rows with every value equally likely; rows: by default those of `sizes`."""
    schema, generator = sizes.schema, torch.Generator().manual_seed(0)

    def draw(high: int, columns: int) -> Tensor:
        return torch.randint(high, (rows or sizes.rows, columns), generator=generator)

    labels = draw(2, 2).cumprod(1)
    fields = draw(schema.fields[0], sizes.fields).int()
    numbers = None
    if sizes.numeric:
        numbers = torch.randn(len(fields), sizes.numeric, generator=generator)
    return Batch(fields, draw(sizes.scenarios, 1), labels.float(), numbers)


def labels_of(batch: Batch) -> Tensor:
    """Labels of a batch; ValueError where it has none."""
    if batch.labels is None:
        raise ValueError("training needs labels")
    return batch.labels


def dense(group: ExpertGroup) -> MixtureGroup:
    """As many experts of the same width, all of them at work."""
    return MixtureGroup(layers=group.layers, experts=group.experts, width=group.width)


@overload
def build(sizes: Sizes, kind: Literal["aesm2"], compute: Compute, bf16: bool) -> AESM2: ...
@overload
def build(sizes: Sizes, kind: str, compute: Compute, bf16: bool) -> Model: ...
def build(sizes: Sizes, kind: str, compute: Compute, bf16: bool) -> Model:  # noqa: ARG001
    """Build a form; all forms of AESM² have the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "mmoe":
            shape = {"scenario": dense(sizes.scenario), "task": dense(sizes.task)}
            return MMoE(MMoEConfig(embedding_dim=sizes.dim, **shape), sizes.schema)
        config = AESM2Config(embedding_dim=sizes.dim, scenario=sizes.scenario, task=sizes.task)
        model = AESM2(config, sizes.schema)
        for module in model.modules():
            if isinstance(module, Experts):
                module.compute = compute
        if kind == "aesm2":
            return model
        loop = LoopForm(config, sizes.schema)
    copy_weights(loop, model)
    return loop  # type: ignore[return-value]  # it takes and returns what a Model does


def check_equal(models: dict[str, Model], batch: Batch) -> None:
    """Raise RuntimeError unless every float32 form of AESM² predicts the same."""
    first, *others = (n for n, (kind, _, bf16) in FORMS.items() if kind != "mmoe" and not bf16)
    wanted = probabilities(models[first], batch)
    for name in others:
        difference = abs(probabilities(models[name], batch) - wanted).max()
        if not difference <= 1e-5:
            raise RuntimeError(f"{name} differs from {first} by {difference:.2g}")


def autocast(bf16: bool) -> AbstractContextManager[object]:
    """bf16 autocast as training uses it, or nothing."""
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def prediction(model: Model, batch: Batch, form: tuple[str, Compute, bool]) -> Callable[[], object]:
    """Return a function that predicts the batch."""

    def predict() -> None:
        with autocast(form[2]):
            probabilities(model, batch)

    return predict


def training_step(
    model: Model, batch: Batch, form: tuple[str, Compute, bool]
) -> Callable[[], object]:
    """Return a function that takes one step on the batch, as aesm2.training.loop does."""
    kind, _, bf16 = form
    config, weights = TrainingConfig(), torch.ones(2)
    adam = torch.optim.Adam(
        model.parameters(), config.learning_rate, fused=None if kind == "loop" else True
    )
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        model.train()
        with autocast(bf16):
            output = model(batch, generator)
        terms = loss_terms(output, labels_of(batch))
        adam.zero_grad(set_to_none=True)
        loss = terms.total(weights, config.lambda_specific, config.lambda_shared)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()

    return step


def crossover_title(inputs: int, width: int) -> str:
    return (
        f"Sparse over dense, one layer of {GRID_EXPERTS} experts, {inputs} → {width}, fp32: median"
        f" speed ratio in training / prediction, by experts chosen ('auto' is sparse from"
        f" {SPARSE_MIN_ROWS} rows, up to {SPARSE_MAX_SHARE:.0%} chosen)"
    )


def crossover(inputs: int, width: int, timer: Timer, grid: tuple[int, ...] = GRID_ROWS) -> str:
    """Measure the experts of one layer alone, with as many chosen as named for every row."""
    lines = []
    for rows in grid:
        cells = [cell(inputs, width, rows, chosen, timer) for chosen in GRID_CHOSEN]
        lines.append([rows, *(f"{train:.2f} / {predict:.2f}" for train, predict in cells)])
    return table(["rows", *(f"{k} of {GRID_EXPERTS}" for k in GRID_CHOSEN)], lines)


def cell(inputs: int, width: int, rows: int, chosen: int, timer: Timer) -> tuple[float, float]:
    """Median speed of sparse over dense: forward and backward, and forward alone."""
    generator = torch.Generator().manual_seed(0)
    experts = Experts(GRID_EXPERTS, inputs, width, chosen)
    x = torch.randn(rows, inputs, generator=generator).requires_grad_()
    order = torch.rand(1, rows, GRID_EXPERTS, generator=generator).argsort(-1)
    mask = order < chosen
    weights = torch.randn(order.shape, generator=generator).masked_fill(~mask, -torch.inf)
    weights = weights.softmax(-1).requires_grad_()

    def call(compute: Compute, grad: bool) -> Callable[[], object]:
        def run() -> None:
            experts.compute = compute
            with torch.set_grad_enabled(grad):
                mixed = experts(x, weights, mask)
                if grad:
                    mixed.sum().backward()

        return run

    def ratio(grad: bool) -> float:
        calls = {c: call(c, grad) for c in ("dense", "sparse")}
        timed = interleaved(calls, timer._replace(at_least=timer.at_least / 5))
        ratios = sorted(timed["sparse"].speedup_over(timed["dense"]))
        return ratios[len(ratios) // 2]

    return ratio(True), ratio(False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Sizes()
    parser.add_argument("--sizes", type=int, nargs="+", default=[default.width], metavar="WIDTH")
    for name in ("rows", "fields", "dim", "scenarios"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    timer = Timer()
    parser.add_argument("--rounds", type=int, default=timer.rounds)
    parser.add_argument("--seconds", type=float, default=timer.at_least, help="a form and round")
    parser.add_argument("--clock", choices=["wall", "cpu"], default=timer.clock)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-crossover", dest="crossover", action="store_false")
    return parser


if __name__ == "__main__":
    main()
