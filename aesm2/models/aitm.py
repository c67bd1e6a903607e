"""AITM (Xi et al., KDD 2021): what a task's network knows is passed to the task it leads to.

Axes: rows; T tasks; k width of the passed vectors.
"""

import itertools

import torch
from torch import Tensor, nn

from aesm2.config import AITMConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import ParallelLinear
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class AITM(nn.Module):
    """A perceptron a task, whose result is mixed with what the task before it passes on.

    The widths `hidden` are followed by one of `transfer`, so that all passed vectors are of one
    width. The paper's calibrator punishes a task that is likelier than the one it follows; here a
    task's probability is its parent's times its own (Output), never more, and the term is zero.
    Scenario ids are features like any other; without `scenario_features` they reach nothing.
    """

    def __init__(self, config: AITMConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, k = len(schema.tasks), config.transfer
        seen = [len(level) for level in schema.levels] if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        sizes = itertools.pairwise([self.embedding.width, *config.hidden, k])
        self.layers = nn.ModuleList(ParallelLinear(tasks, a, b) for a, b in sizes)
        followers = sum(parent >= 0 for parent in schema.parents)
        self.transfers = nn.ModuleList(_Transfer(k) for _ in range(followers))
        self.towers = Towers(tasks, k, ())

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        q = x.expand(len(self.schema.tasks), -1, -1)  # (T, rows, width)
        for layer in self.layers:
            q = layer(q).relu()
        z: list[Tensor] = []
        transfers = iter(self.transfers)
        for own, parent in zip(q, self.schema.parents, strict=True):
            z.append(own if parent < 0 else next(transfers)(z[parent], own))
        logits = self.towers(torch.stack([part.to(q.dtype) for part in z]))
        return Output(logits, along_chain(logits, self.schema.parents))


class _Transfer(nn.Module):
    """Adaptive information transfer: attention between what is passed on and a task's own."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.passed = nn.Linear(k, k)
        self.value, self.key, self.query = nn.Linear(k, k), nn.Linear(k, k), nn.Linear(k, k)

    def forward(self, before: Tensor, own: Tensor) -> Tensor:
        """What the task before knows and the task's own, both (rows, k) → (rows, k)."""
        both = torch.stack([self.passed(before).relu(), own.to(before.dtype)])  # (2, rows, k)
        scores = (self.key(both) * self.query(both)).sum(-1) / both.shape[-1] ** 0.5
        mixed: Tensor = (scores.softmax(0).unsqueeze(-1) * self.value(both)).sum(0)
        return mixed
