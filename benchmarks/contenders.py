"""The models of `benchmarks.peers`: ours, and those of public libraries, on the same rows.

A library that is not installed is left out and named. Each is built and fed as its documentation
shows: its own model, its own loader, its own training loop or that loop's body. What would be
extra work for it is switched off: weight decay, regularisation, metrics while training.
"""

import contextlib
import importlib.util
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from aesm2.config import AESM2Config, Config, ModelConfig, PLEConfig, SplitGroup, TrainingConfig
from aesm2.config import MMoEConfig as OurMMoEConfig
from aesm2.data.batch import Batch
from aesm2.data.dataset import SplitName
from aesm2.inference import probabilities
from aesm2.models import Schema, build
from aesm2.training.group import ALONE
from aesm2.training.loop import fit
from aesm2.training.run import Run
from aesm2.training.step import Steps
from benchmarks.model import Sizes, autocast, dense, labels_of

LEARNING_RATE = 1e-3
Call = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What all are given: the shape of the data, rows to step and predict on, rows of an epoch."""

    sizes: Sizes
    schema: Schema
    batch: Batch
    epoch: Batch


@dataclass(frozen=True)
class Contender:
    """One model and what is timed.

    step, predict: on one batch that is in memory. epoch, predict_all: on many rows, with the
    loader that comes with the library.
    """

    name: str
    layers: str
    model: nn.Module
    step: Call
    predict: Call
    epoch: Call
    predict_all: Call
    forward: Call

    @property
    def parameters(self) -> tuple[int, int]:
        """Number of parameters: in embedding tables, and elsewhere."""
        tables = other = 0
        for name, parameter in self.model.named_parameters():
            if "embed" in name:
                tables += parameter.numel()
            else:
                other += parameter.numel()
        return tables, other

    def flops(self, rows: int) -> float:
        """Multiply-adds of all matrix products of one prediction, counted as two, a row."""
        self.model.eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.forward()
        total: int = counter.get_total_flops()
        return total / rows


def contenders(task: Task) -> Iterator[Contender]:
    """All that can run here, ours first."""
    yield from ours(task)
    for library, made in PEERS.items():
        if importlib.util.find_spec(library.replace("-", "_")) is not None:
            with silence():
                found = list(made(task))
            yield from found


def absent() -> list[str]:
    """Libraries that are not installed here."""
    return [p for p in PEERS if importlib.util.find_spec(p.replace("-", "_")) is None]


def ours(task: Task) -> Iterator[Contender]:
    """AESM² in fp32 and bf16, and this library's own MMoE and PLE."""
    s = task.sizes
    group = {"embedding_dim": s.dim}
    aesm2 = AESM2Config(scenario=s.scenario, task=s.task, **group)
    mmoe = OurMMoEConfig(scenario=dense(s.scenario), task=dense(s.task), **group)
    split = SplitGroup(layers=2, specific=2, shared=2, width=s.width)
    ple = PLEConfig(
        scenario=split, task=SplitGroup(layers=2, specific=1, shared=1, width=s.width // 2), **group
    )
    yield _own("AESM², fp32", "2 × 10 experts (≤ 4 a row), 2 × 3 (≤ 3)", aesm2, task, "float32")
    yield _own("AESM², bf16", "the same", aesm2, task, "bf16")
    yield _own("our MMoE, fp32", "2 × 10 experts, 2 × 3", mmoe, task, "float32")
    yield _own("our PLE, fp32", "2 × 10 experts, 2 × 3", ple, task, "float32")


def _own(name: str, layers: str, model: ModelConfig, task: Task, precision: str) -> Contender:
    """One of this library's models, trained and run by the functions its commands call."""
    training = TrainingConfig(
        learning_rate=LEARNING_RATE, precision=precision, epochs=1, batch_size=task.sizes.rows,
        record_every=10**6,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(model, task.schema)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, fused=True)
    steps = Steps(net, training, optimizer, ALONE)
    noise = torch.Generator().manual_seed(0)

    def step() -> None:
        net.train()
        steps.take(task.batch, noise, len(task.batch))

    def predict() -> None:
        with autocast(precision == "bf16"):
            probabilities(net, task.batch)

    def epoch() -> None:
        fresh = build(model, task.schema)
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder) / "run")
            run.start(Config(model=model, training=training), "")
            splits: dict[SplitName, Batch] = {"train": task.epoch, "validation": task.batch[:512]}
            fit(run, fresh, training, splits, [], progress=False)

    def predict_all() -> None:
        with autocast(precision == "bf16"):
            probabilities(net, task.epoch)

    return Contender(name, layers, net, step, predict, epoch, predict_all, lambda: net(task.batch))


def rechub(task: Task) -> Iterator[Contender]:
    """torch-rechub: MMOE, and PLE of two levels, as in its examples of multi-task ranking."""
    from torch_rechub.models.multi_task import MMOE, PLE

    s, features = task.sizes, _rechub_features(task)
    kinds, tower = ["classification"] * 2, [{"dims": [s.width // 2]}] * 2
    w, h = s.width, s.width // 2
    mmoe = MMOE(features, kinds, 10, {"dims": [w, w, h, h]}, tower)
    yield _rechub("MMoE of torch-rechub", "10 experts of 4 layers", mmoe, task)
    ple = PLE(_rechub_features(task), kinds, 2, 4, 2, {"dims": [w, h]}, tower)
    yield _rechub("PLE of torch-rechub", "2 levels × 10 experts of 2 layers", ple, task)


def _rechub_features(task: Task) -> list[Any]:
    from torch_rechub.basic.features import DenseFeature, SparseFeature

    sparse = {name: size for name, size in _columns(task.schema).items() if size}
    numeric = [name for name, size in _columns(task.schema).items() if not size]
    return [
        *(
            SparseFeature(name, vocab_size=n, embed_dim=task.sizes.dim)
            for name, n in sparse.items()
        ),
        *(DenseFeature(name) for name in numeric),
    ]


def _rechub(name: str, layers: str, model: nn.Module, task: Task) -> Contender:
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import DataGenerator, PredictDataset

    trainer = MTLTrainer(
        model, task_types=["classification"] * 2, optimizer_params={"lr": LEARNING_RATE},
        n_epoch=1, device="cpu", model_path=tempfile.gettempdir(),
    )  # fmt: skip
    x = {n: torch.from_numpy(c) for n, c in _arrays(task.batch, task.schema).items()}
    labels = labels_of(task.batch)
    one = [(x, labels)]

    def step() -> None:
        with silence():
            trainer.train_one_epoch(one)

    def predict() -> None:
        model.eval()
        with torch.no_grad():
            model(x).numpy()

    def epoch() -> None:
        rows = DataGenerator(_arrays(task.epoch, task.schema), labels_of(task.epoch).numpy())
        few = _arrays(task.batch[:512], task.schema), labels_of(task.batch[:512]).numpy()
        loader, *_ = rows.generate_dataloader(*few, *few, batch_size=task.sizes.rows)
        with silence():
            trainer.train_one_epoch(loader)

    def predict_all() -> None:
        rows = PredictDataset(_arrays(task.epoch, task.schema))
        with silence():
            trainer.predict(model, DataLoader(rows, batch_size=task.sizes.rows))

    return Contender(name, layers, model, step, predict, epoch, predict_all, lambda: model(x))


def deepctr(task: Task) -> Iterator[Contender]:
    """DeepCTR-Torch: MMOE, and PLE of two levels."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models.multitask import MMOE, PLE

    s, columns = task.sizes, _columns(task.schema)
    features = [
        SparseFeat(name, vocabulary_size=n, embedding_dim=s.dim) if n else DenseFeat(name, 1)
        for name, n in columns.items()
    ]
    w, h = s.width, s.width // 2
    same: dict[str, Any] = {
        "gate_dnn_hidden_units": (), "tower_dnn_hidden_units": (h,), "l2_reg_embedding": 0,
        "l2_reg_linear": 0, "device": "cpu",
    }  # fmt: skip
    mmoe = MMOE(features, num_experts=10, expert_dnn_hidden_units=(w, w, h, h), **same)
    yield _deepctr("MMoE of DeepCTR-Torch", "10 experts of 4 layers", mmoe, task)
    # It makes as many shared experts as specific ones and uses `shared_expert_num` of them.
    ple = PLE(
        features, shared_expert_num=2, specific_expert_num=4, num_levels=2,
        expert_dnn_hidden_units=(w, h), **same,
    )  # fmt: skip
    yield _deepctr("PLE of DeepCTR-Torch", "2 levels × 10 experts of 2 layers", ple, task)


def _deepctr(name: str, layers: str, model: Any, task: Task) -> Contender:
    model.compile(torch.optim.Adam(model.parameters(), LEARNING_RATE), ["binary_crossentropy"] * 2)
    columns = _arrays(task.batch, task.schema)
    x = torch.from_numpy(np.stack([columns[n] for n in model.feature_index], 1).astype(np.float32))
    y = labels_of(task.batch)

    def step() -> None:  # the body of its `fit`
        model.train()
        predicted = model(x)
        model.optim.zero_grad()
        losses = [
            f(predicted[:, i], y[:, i], reduction="sum") for i, f in enumerate(model.loss_func)
        ]
        loss = sum(losses)
        total = loss + model.get_regularization_loss() + model.aux_loss
        loss.item(), total.item()
        total.backward()
        model.optim.step()

    def predict() -> None:
        model.eval()
        with torch.no_grad():
            model(x).numpy()

    def epoch() -> None:
        with silence():
            model.fit(
                _arrays(task.epoch, task.schema), labels_of(task.epoch).numpy(),
                batch_size=task.sizes.rows, epochs=1, verbose=0,
            )  # fmt: skip

    def predict_all() -> None:
        model.predict(_arrays(task.epoch, task.schema), batch_size=task.sizes.rows)

    return Contender(name, layers, model, step, predict, epoch, predict_all, lambda: model(x))


PEERS: Mapping[str, Callable[[Task], Iterator[Contender]]] = {
    "torch-rechub": rechub,
    "deepctr-torch": deepctr,
}


def versions() -> str:
    """Name the libraries that are here."""
    return ", ".join(f"{peer} {version(peer)}" for peer in PEERS if peer not in absent())


def _columns(schema: Schema) -> dict[str, int]:
    """Columns of a table for libraries that know no scenarios: size of each, 0 where numeric."""
    numbers = set(schema.numbers)
    fields = {f"f{i}": 0 if i in numbers else size for i, size in enumerate(schema.fields)}
    levels = {f"s{i}": len(level) for i, level in enumerate(schema.levels)}
    return fields | levels


def _arrays(batch: Batch, schema: Schema) -> dict[str, np.ndarray]:
    fields = {f"f{i}": batch.fields[:, i] for i in range(len(schema.fields))}
    if batch.numbers is not None:
        of_column = zip(schema.numbers, batch.numbers.unbind(1), strict=True)
        fields |= {f"f{i}": column for i, column in of_column}
    levels = {f"s{i}": batch.scenarios[:, i] for i in range(len(schema.levels))}
    return {name: column.contiguous().numpy() for name, column in (fields | levels).items()}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep progress bars and greetings off the screen."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
