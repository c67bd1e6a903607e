"""Small models and batches for the tests, at random weights that spread the gates apart."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from hypothesis import strategies as st

from aesm2.config import AESM2Config, ExpertGroup, per_level
from aesm2.data.batch import Batch
from aesm2.layers.experts import Experts
from aesm2.models import AESM2, Model, Schema
from tests import oracle

ModelT = TypeVar("ModelT", bound=Model)


def schema(
    levels: tuple[int, ...] = (3,),
    parents: tuple[int, ...] = (-1, 0),
    fields: tuple[int, ...] = (4, 5),
) -> Schema:
    """A dataset whose level i has levels[i] scenarios."""
    return Schema(
        fields=fields,
        levels=tuple(tuple(f"s{i}" for i in range(count)) for count in levels),
        level_names=tuple(f"level{i}" for i in range(len(levels))),
        tasks=tuple(f"task{i}" for i in range(len(parents))),
        parents=parents,
    )


def spread(model: ModelT, seed: int = 0) -> ModelT:
    """Redraw every weight; wide enough that gates differ, narrow enough that none saturates."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            table = "embedding" in name
            std = 0.8 if table or name.endswith("bias") else 1.3 / p.shape[-1] ** 0.5
            p.normal_(std=std, generator=generator)
    return model.eval()


def batch(shape: Schema, rows: int, seed: int = 0) -> Batch:
    """Random rows; labels are multiplied along the chain as a dataset's are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, len(shape.tasks)))
    for task, parent in enumerate(shape.parents):
        if parent >= 0:
            labels[:, task] *= labels[:, parent]
    fields = [rng.integers(0, size, rows) for size in shape.fields]
    scenarios = [rng.integers(0, len(level), rows) for level in shape.levels]
    return Batch(
        torch.from_numpy(np.stack(fields, 1).astype(np.int32)),
        torch.from_numpy(np.stack(scenarios, 1)),
        torch.from_numpy(labels.astype(np.float32)),
    )


def compute(model: torch.nn.Module, how: str) -> None:
    """Make every expert layer compute "dense" or "sparse"."""
    for module in model.modules():
        if isinstance(module, Experts):
            module.compute = how


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The state_dict as float64 arrays, for the oracle."""
    return {name: value.double().numpy().copy() for name, value in model.state_dict().items()}


def input_of(model: Model, fields: Sequence[int], scenarios: Sequence[int]) -> np.ndarray:
    """x of one row, by hand, for a model with an InputEmbedding."""
    w, shape = weights(model), model.schema
    x = oracle.embed(w["embedding.fields.weight"], shape.fields, list(fields))
    if not model.config.scenario_features:
        return x
    counts = [len(level) for level in shape.levels]
    seen = oracle.embed(w["embedding.scenarios.weight"], counts, list(scenarios))
    return np.concatenate([x, seen])


def oracle_shape(config: AESM2Config, shape: Schema) -> oracle.Shape:
    groups = [*per_level(config.scenario, len(shape.levels)), config.task]
    return oracle.Shape(
        field_sizes=shape.fields,
        groups=[(g.layers, g.experts, g.specific, g.shared) for g in groups],
        gates=[len(level) for level in shape.levels],
        parents=shape.parents,
        own=config.scenario_context == "gate",
    )


@st.composite
def groups(draw: st.DrawFn) -> ExpertGroup:
    experts = draw(st.integers(1, 6))
    pairs = [
        (a, b) for a in range(min(experts, 3) + 1) for b in range(min(experts, 3) + 1) if a + b
    ]
    specific, shared = draw(st.sampled_from(pairs))
    return ExpertGroup(
        layers=draw(st.integers(1, 3)),
        experts=experts,
        specific=specific,
        shared=shared,
        width=draw(st.integers(1, 5)),
    )


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    levels = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    parents = [draw(st.integers(-1, task - 1)) for task in range(draw(st.integers(1, 3)))]
    fields = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    return schema(tuple(levels), tuple(parents), tuple(fields))


@st.composite
def aesm2_cases(draw: st.DrawFn) -> tuple[AESM2, Batch]:
    """A random AESM² and rows for it: levels, gates, layers, experts, K, task graph, context."""
    shape = draw(schemas())
    count = len(shape.levels)
    config = AESM2Config(
        embedding_dim=draw(st.integers(1, 3)),
        context_dim=draw(st.integers(1, 3)),
        scenario=tuple(draw(st.lists(groups(), min_size=count, max_size=count))),
        task=draw(groups()),
        tower=tuple(draw(st.lists(st.integers(1, 4), max_size=2))),
        scenario_context=draw(st.sampled_from(["record", "gate"])),
    )
    seed = draw(st.integers(0, 10_000))
    return spread(AESM2(config, shape), seed), batch(shape, draw(st.integers(1, 6)), seed)
