"""MMoE (Ma et al., KDD 2018; Eq. 1–4 of the AESM² paper), stacked like AESM².

Axes: rows; T tasks; n experts; m gates.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesm2.config import ExpertGroup, MMoEConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import FieldEmbedding
from aesm2.layers.experts import Experts, ParallelLinear
from aesm2.models.output import Output, along_chain


class MMoE(nn.Module):
    """Every expert contributes to every row; the row's scenario, then each task, has its own gate.

    Scenario ids reach the gates (they choose which gate) and no expert.
    """

    def __init__(self, config: MMoEConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks = len(schema.tasks)
        self.embedding = FieldEmbedding(schema.fields, config.embedding_dim)
        width = len(schema.fields) * config.embedding_dim
        self.scenario_layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(config.levels(len(schema.levels))):
            for _ in range(group.layers):
                gates = len(schema.levels[level])
                self.scenario_layers.append(_ScenarioMixture(group, gates, width))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            self.task_layers.append(_TaskMixture(config.task, tasks, width))
            width = config.task.width
        sizes = [width, *config.tower, 1]
        self.towers = nn.ModuleList(
            ParallelLinear(tasks, a, b) for a, b in itertools.pairwise(sizes)
        )

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields)
        for level, layer in zip(self.layer_level, self.scenario_layers, strict=True):
            x = layer(x, batch.scenarios[:, level])
        z = x.unsqueeze(0)  # (1, rows, width): the same for all tasks
        for layer in self.task_layers:
            z = layer(z)  # (T, rows, width)
        *hidden, last = self.towers
        for layer in hidden:
            z = layer(z).relu()
        logits = last(z).squeeze(-1).t().to(self.embedding.weight.dtype)
        return Output(logits, along_chain(logits, self.schema.parents))


class _ScenarioMixture(nn.Module):
    """Mixes all experts of a layer by the gate of the row's scenario."""

    def __init__(self, group: ExpertGroup, gates: int, inputs: int) -> None:
        super().__init__()
        self.gate = ParallelLinear(gates, inputs, group.experts)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:
        flat = F.linear(x, self.gate.weight.flatten(0, 1), self.gate.bias.flatten())
        gates = flat.view(len(x), len(self.gate.weight), -1)  # (rows, m, n)
        own = gates[torch.arange(len(x), device=x.device), scenario]
        return torch.einsum("rn,rnw->rw", own.softmax(-1), self.experts.outputs(x))


class _TaskMixture(nn.Module):
    """Mixes all experts of a layer once for each task, by the task's own gate."""

    def __init__(self, group: ExpertGroup, tasks: int, inputs: int) -> None:
        super().__init__()
        self.gate = ParallelLinear(tasks, inputs, group.experts)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, z: Tensor) -> Tensor:
        tasks = len(self.gate.weight)
        weights = self.gate(z.expand(tasks, -1, -1)).softmax(-1)  # (T, rows, n)
        if len(z) == 1:  # the first task layer: one input for all tasks
            return torch.einsum("trn,rnw->trw", weights, self.experts.outputs(z[0]))
        outputs = self.experts.outputs(z.flatten(0, 1))  # (T · rows, n, width)
        return torch.einsum("rn,rnw->rw", weights.flatten(0, 1), outputs).view(
            tasks, -1, self.experts.width
        )
