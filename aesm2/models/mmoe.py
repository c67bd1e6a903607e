"""MMoE (Ma et al., KDD 2018; Eq. 1–4 of the AESM² paper), stacked like AESM².

Axes: rows; T tasks; n experts; m gates.
"""

import torch
from torch import Tensor, nn

from aesm2.config import MixtureGroup, MMoEConfig, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import Experts, ParallelLinear
from aesm2.layers.mixture import Mixture
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class MMoE(nn.Module):
    """Every expert contributes to every row; the row's scenario, then each task, has its own gate.

    Scenario ids choose the gate; with `scenario_features` they reach experts and gates as inputs.
    """

    def __init__(self, config: MMoEConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, levels = len(schema.tasks), [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        width = self.embedding.width
        self.scenario_layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(per_level(config.scenario, len(levels))):
            for _ in range(group.layers):
                self.scenario_layers.append(_ScenarioMixture(group, levels[level], width))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            self.task_layers.append(_TaskMixture(config.task, tasks, width))
            width = config.task.width
        self.towers = Towers(tasks, width, config.tower)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        mixtures: list[Mixture] = []
        for level, layer in zip(self.layer_level, self.scenario_layers, strict=True):
            mixtures.append(layer(x, batch.scenarios[:, level]))
            x = mixtures[-1].output
        z = x.unsqueeze(0)  # (1, rows, width): the same for all tasks
        for layer in self.task_layers:
            mixtures.append(layer(z))
            z = mixtures[-1].output  # (T, rows, width)
        logits = self.towers(z)
        return Output(logits, along_chain(logits, self.schema.parents), mixtures=tuple(mixtures))


class _ScenarioMixture(nn.Module):
    """Mixes all experts of a layer by the gate of the row's scenario."""

    def __init__(self, group: MixtureGroup, gates: int, inputs: int) -> None:
        super().__init__()
        self.gate = ParallelLinear(gates, inputs, group.experts)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, x: Tensor, scenario: Tensor) -> Mixture:
        weights = self.gate.of_own(x, scenario).softmax(-1)  # (rows, n)
        output = torch.einsum("rn,rnw->rw", weights, self.experts.outputs(x))
        return Mixture(scenario, weights, output)


class _TaskMixture(nn.Module):
    """Mixes all experts of a layer once for each task, by the task's own gate."""

    def __init__(self, group: MixtureGroup, tasks: int, inputs: int) -> None:
        super().__init__()
        self.gate = ParallelLinear(tasks, inputs, group.experts)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, z: Tensor) -> Mixture:
        tasks = len(self.gate.weight)
        weights = self.gate(z.expand(tasks, -1, -1)).softmax(-1)  # (T, rows, n)
        if len(z) == 1:  # the first task layer: one input for all tasks
            output = torch.einsum("trn,rnw->trw", weights, self.experts.outputs(z[0]))
        else:
            outputs = self.experts.outputs(z.flatten(0, 1)).view(*weights.shape, -1)
            output = torch.einsum("trn,trnw->trw", weights, outputs)
        return Mixture(torch.arange(tasks, device=z.device), weights, output)
