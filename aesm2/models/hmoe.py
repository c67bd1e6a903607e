"""HMoE (Li et al., 2020, "Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting
Task Relationships in the Label Space"): an expert a scenario, gradients of the others cut.

Axes: rows; T tasks; m scenarios of a level, which are its gates and its experts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesm2.config import HMoEConfig, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import Experts, ParallelLinear
from aesm2.layers.mixture import Mixture
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class HMoE(nn.Module):
    """One network a task, nothing in common; a row hears every scenario's expert, trains its own.

    Scenario ids choose the gate and the expert that learns; with `scenario_features` they reach
    experts and gates as inputs. The plain layers and the tower of a task see neither.
    """

    def __init__(self, config: HMoEConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        self.networks = nn.ModuleList(_Network(config, schema) for _ in schema.tasks)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        found = [network(batch) for network in self.networks]
        logits = torch.cat([of_task for of_task, _ in found], dim=1)
        by_layer = zip(*(mixtures for _, mixtures in found), strict=True)
        mixtures = tuple(_of_all_tasks(*layers) for layers in by_layer)
        return Output(logits, along_chain(logits, self.schema.parents), mixtures=mixtures)


class _Network(nn.Module):
    """The whole model of one task: embedding, layers of each level, plain layers and tower."""

    def __init__(self, config: HMoEConfig, schema: Schema) -> None:
        super().__init__()
        levels = [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        width = self.embedding.width
        self.layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each layer
        for level, group in enumerate(per_level(config.scenario, len(levels))):
            for _ in range(group.layers):
                self.layers.append(_ScenarioExperts(levels[level], width, group.width))
                self.layer_level.append(level)
                width = group.width
        plain = (config.task.width,) * config.task.layers
        self.tower = Towers(1, width, (*plain, *config.tower))

    def forward(self, batch: Batch) -> tuple[Tensor, list[Mixture]]:
        """Return the task's logits, (rows, 1), and what each scenario layer did."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        mixtures: list[Mixture] = []
        for level, layer in zip(self.layer_level, self.layers, strict=True):
            mixtures.append(layer(x, batch.scenarios[:, level]))
            x = mixtures[-1].output
        return self.tower(x.unsqueeze(0)), mixtures


class _ScenarioExperts(nn.Module):
    """Mixes the experts of all scenarios by the gate of the row's own, which alone it trains."""

    def __init__(self, scenarios: int, inputs: int, width: int) -> None:
        super().__init__()
        self.gate = ParallelLinear(scenarios, inputs, scenarios)
        self.experts = Experts(scenarios, inputs, width, scenarios)

    def forward(self, x: Tensor, scenario: Tensor) -> Mixture:
        weights = self.gate.of_own(x, scenario).softmax(-1)  # (rows, m)
        with torch.no_grad():
            others = self.experts.outputs(x)  # (rows, m, width)
        own = F.one_hot(scenario.long(), weights.shape[1])  # (rows, m)
        trained = self.experts.linear.of_own(x, scenario).relu()  # (rows, width)
        output = torch.einsum("rm,rmw->rw", weights * (1 - own), others)
        output = output + (weights * own).sum(1, keepdim=True) * trained
        return Mixture(scenario, weights, output)


def _of_all_tasks(*mixtures: Mixture) -> Mixture:
    """Stack what one layer did in the networks of all tasks."""
    weights, outputs = ([m.weights for m in mixtures], [m.output for m in mixtures])
    return Mixture(mixtures[0].target, torch.stack(weights), torch.stack(outputs))
