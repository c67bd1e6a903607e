"""AESM² (Zou et al., SIGIR 2022): scenario layers, task layers, towers, on one page.

Axes: rows; L scenario levels; T tasks; n experts; m gates.
"""

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aesm2.config import AESM2Config, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import FieldEmbedding
from aesm2.layers.moe import Draw, GateNoise, Routing, ScenarioLayer, TaskLayer
from aesm2.layers.selection import Gates, Intervene, Selection
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain

InterveneIn = Callable[[int, Gates], tuple[Gates, Selection]]
"""`Intervene` for all layers: the first argument is the layer's number."""


class AESM2(nn.Module):
    """Automatic expert selection for multi-scenario and multi-task ranking (Fig. 3).

    Scenario ids reach the gates; with `scenario_features` the first experts as well.
    The layers of level l see [s_1 … s_l]; the task layers see all scenario embeddings and t_k.
    """

    def __init__(self, config: AESM2Config, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        dim = config.context_dim
        self.embedding = FieldEmbedding(schema.fields, config.embedding_dim, numbers=schema.numbers)
        self.scenario_embedding = nn.ModuleList(nn.Embedding(len(s), dim) for s in schema.levels)
        self.task_embedding = nn.Parameter(torch.randn(len(schema.tasks), dim))

        own = dim if config.scenario_context == "gate" else 0
        width = self.embedding.width
        if config.scenario_features:
            width += len(schema.levels) * dim
        self.scenario_layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(per_level(config.scenario, len(schema.levels))):
            seen = dim * (level + 1) if own == 0 else dim * level
            for _ in range(group.layers):
                gates = len(schema.levels[level])
                self.scenario_layers.append(ScenarioLayer(group, gates, width, seen, own))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            context = dim * len(schema.levels)
            self.task_layers.append(TaskLayer(config.task, len(schema.tasks), width, context, dim))
            width = config.task.width
        self.towers = Towers(len(schema.tasks), width, config.tower)

    def forward(
        self,
        batch: Batch,
        generator: torch.Generator | Draw | None = None,
        intervene: InterveneIn | None = None,
    ) -> Output:
        """Predict every task for every row.

        generator: source of the noise of Eq. 8; needed in training mode where noise_scale > 0,
        and ignored in evaluation mode; a Draw where the batch is part of a larger one.
        intervene: called with a layer's number and its gates, it chooses instead of `select`; see
        `aesm2.routing.interventions`.
        """
        x = self.embedding(batch.fields, batch.numbers)
        return self.from_embedding(x, batch.scenarios, generator, intervene)

    def from_embedding(
        self,
        x: Tensor,
        scenarios: Tensor,
        generator: torch.Generator | Draw | None = None,
        intervene: InterveneIn | None = None,
    ) -> Output:
        """Predict from the embedded fields x, (rows, width), and scenarios, (rows, L)."""
        if self.config.scenario_features:
            x = torch.cat([x, *self._embedded(scenarios)], dim=1)
        return self.from_layer(0, x, scenarios, generator, intervene)

    def from_layer(
        self,
        first: int,
        x: Tensor,
        scenarios: Tensor,
        generator: torch.Generator | Draw | None = None,
        intervene: InterveneIn | None = None,
    ) -> Output:
        """Predict from the input of layer number `first`, running it and those after it.

        x: (rows, width); of a task layer after the first, (T, rows, width). The output has the
        routings of the layers that ran.
        """
        noise = self._noise(generator)
        embedded = self._embedded(scenarios)  # s_1 … s_L
        own: list[Intervene | None] = [None] * len(self.layers)
        if intervene is not None:
            own = [functools.partial(intervene, number) for number in range(len(own))]
        routings: list[Routing] = []
        levels = zip(self.layer_level, self.scenario_layers, own, strict=False)
        for level, layer, choice in itertools.islice(levels, first, None):
            gates = self.scenario_embedding[level].weight if layer.gate_own is not None else None
            seen = embedded[: level + 1] if gates is None else embedded[:level]
            context = torch.cat(seen, dim=1) if seen else None
            routings.append(layer(x, context, scenarios[:, level], gates, noise, choice))
            x = routings[-1].output
        z = x.unsqueeze(0) if x.dim() == 2 else x  # (1, rows, width): for all tasks
        context = torch.cat(embedded, dim=1)
        scenario_layers = len(self.scenario_layers)
        tasks = zip(self.task_layers, own[scenario_layers:], strict=True)
        for layer, choice in itertools.islice(tasks, max(0, first - scenario_layers), None):
            routings.append(layer(z, context, self.task_embedding, noise, choice))
            z = routings[-1].output  # (T, rows, width)
        logits = self.towers(z)
        return Output(logits, along_chain(logits, self.schema.parents), tuple(routings))

    @property
    def layers(self) -> list[nn.Module]:
        """All layers that select, in order of computation."""
        return [*self.scenario_layers, *self.task_layers]

    def _embedded(self, scenarios: Tensor) -> list[Tensor]:
        return [e(scenarios[:, level]) for level, e in enumerate(self.scenario_embedding)]

    def _noise(self, generator: torch.Generator | Draw | None) -> GateNoise | None:
        if not self.training or self.config.noise_scale == 0:
            return None
        if generator is None:
            raise ValueError("training with noise_scale > 0 needs a torch.Generator for the noise")
        return GateNoise(self.config.noise_scale, generator)
