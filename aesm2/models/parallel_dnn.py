"""Parallel DNN (baseline of §4.1 of the AESM² paper): a transformation a scenario, then a task.

Axes: rows; T tasks.
"""

from torch import Tensor, nn

from aesm2.config import ParallelDNNConfig, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import ParallelLinear
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class ParallelDNN(nn.Module):
    """Each layer of a level has a map a scenario of that level, and a row goes through its own.

    Scenario ids choose the map; with `scenario_features` they reach the maps as inputs too. The
    scenarios of a level share what is before and after it, the tasks all that is before theirs.
    """

    def __init__(self, config: ParallelDNNConfig, schema: Schema) -> None:
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
                self.scenario_layers.append(_ScenarioLayer(levels[level], width, group.width))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            self.task_layers.append(ParallelLinear(tasks, width, config.task.width))
            width = config.task.width
        self.towers = Towers(tasks, width, config.tower)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        for level, layer in zip(self.layer_level, self.scenario_layers, strict=True):
            x = layer(x, batch.scenarios[:, level])
        z = x.expand(len(self.schema.tasks), -1, -1)  # (T, rows, width)
        for layer in self.task_layers:
            z = layer(z).relu()
        logits = self.towers(z)
        return Output(logits, along_chain(logits, self.schema.parents))


class _ScenarioLayer(nn.Module):
    """A rectified linear map a scenario, of which a row goes through its own."""

    def __init__(self, scenarios: int, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = ParallelLinear(scenarios, inputs, width)

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:
        return self.linear.of_own(x, scenario).relu()
