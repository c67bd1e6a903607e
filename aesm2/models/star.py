"""STAR (Sheng et al., CIKM 2021) for the scenarios of each level, with a second star for the tasks.

Axes: m arms, one a scenario of the level or a task; rows; T tasks.
"""

import itertools
import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesm2.config import STARConfig, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import of_own
from aesm2.layers.partitioned_norm import PartitionedNorm
from aesm2.layers.paths import path_of
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class STAR(nn.Module):
    """Each layer's weights are a shared centre times a factor of the row's scenario, or the task's.

    Scenario ids choose the factors and the statistics of the input, and reach the auxiliary
    network as inputs; with `scenario_features` all layers.
    """

    def __init__(self, config: STARConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        self.levels, tasks = [len(level) for level in schema.levels], len(schema.tasks)
        seen = self.levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        dim, width = config.context_dim, self.embedding.width
        self.scenario_embedding = nn.ModuleList(nn.Embedding(n, dim) for n in self.levels)
        paths = math.prod(self.levels)
        self.norm = PartitionedNorm(paths, width) if config.partitioned_norm else None
        sizes = [width + dim * len(self.levels), *config.auxiliary, tasks]
        self.auxiliary = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.scenario_layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(per_level(config.scenario, len(self.levels))):
            for _ in range(group.layers):
                self.scenario_layers.append(_Star(self.levels[level], width, group.width))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            self.task_layers.append(_Star(tasks, width, config.task.width))
            width = config.task.width
        self.towers = Towers(tasks, width, config.tower)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        added = self._auxiliary(x, batch.scenarios)
        if self.norm is not None:
            x = self.norm(x, path_of(batch.scenarios, self.levels))
        for level, layer in zip(self.layer_level, self.scenario_layers, strict=True):
            x = layer(x, batch.scenarios[:, level])
        z = x.expand(len(self.schema.tasks), -1, -1)  # (T, rows, width)
        for layer in self.task_layers:
            z = layer(z)
        logits = self.towers(z) + added
        return Output(logits, along_chain(logits, self.schema.parents))

    def _auxiliary(self, x: Tensor, scenarios: Tensor) -> Tensor:
        """What the scenario itself adds to every logit, (rows, T)."""
        embedded = [e(scenarios[:, i]) for i, e in enumerate(self.scenario_embedding)]
        y = torch.cat([x, *embedded], dim=1)
        *hidden, last = self.auxiliary
        for layer in hidden:
            y = layer(y).relu()
        logits: Tensor = last(y).to(x.dtype)
        return logits


class _Star(nn.Module):
    """A rectified layer for each of m arms, of weights W ⊙ W_i and biases b + b_i.

    The factors start at one and the arms' biases at zero: every arm then starts as the centre,
    whose own start (He et al., 2015) keeps its scale, and departs only as its own rows ask.
    """

    def __init__(self, arms: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.own_weight = nn.Parameter(torch.ones(arms, outputs, inputs))
        self.own_bias = nn.Parameter(torch.zeros(arms, outputs))

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """Row r through arm own[r], (rows, inputs); without `own`, x[i] through arm i."""
        weight, bias = self.weight * self.own_weight, self.bias + self.own_bias
        if own is None:  # (m, rows, inputs)
            return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2)).relu()
        arms = zip(weight, bias, strict=True)
        return of_own(x, own, [partial(F.linear, weight=w, bias=b) for w, b in arms]).relu()
