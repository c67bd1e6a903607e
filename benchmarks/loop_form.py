"""AESM² in loop form, as one would write it at first: a module a field, a gate and an expert.

It is what the library's speed is measured against; `copy_weights` makes both compute the same.
Axes: rows; n experts; m gates; T tasks.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from aesm2.config import AESM2Config, ExpertGroup, per_level
from aesm2.data.batch import Batch
from aesm2.layers.moe import Routing, ScenarioLayer
from aesm2.layers.selection import Selection
from aesm2.models import AESM2, Output, Schema
from aesm2.models.output import along_chain


class LoopForm(nn.Module):
    """The same model as AESM2 with scenario_context "record"."""

    def __init__(self, config: AESM2Config, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        dim, tasks = config.context_dim, len(schema.tasks)
        self.fields = nn.ModuleList(nn.Embedding(s, config.embedding_dim) for s in schema.fields)
        self.scenarios = nn.ModuleList(nn.Embedding(len(s), dim) for s in schema.levels)
        self.tasks = nn.Parameter(torch.randn(tasks, dim))
        width = len(schema.fields) * config.embedding_dim
        layers: list[_Layer] = []
        self.level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(per_level(config.scenario, len(schema.levels))):
            for _ in range(group.layers):
                layers.append(_Layer(group, len(schema.levels[level]), width, dim * (1 + level)))
                self.level.append(level)
                width = group.width
        for _ in range(config.task.layers):
            context = dim * (len(schema.levels) + 1)
            layers.append(_Layer(config.task, tasks, width, context))
            width = config.task.width
        self.layers = cast(Sequence[_Layer], nn.ModuleList(layers))
        towers = nn.ModuleList(_tower([width, *config.tower, 1]) for _ in schema.tasks)
        self.towers = cast(Sequence[nn.Sequential], towers)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Output:
        """Predict every task for every row."""
        x = torch.cat([e(batch.fields[:, i]) for i, e in enumerate(self.fields)], dim=1)
        seen = [e(batch.scenarios[:, i]) for i, e in enumerate(self.scenarios)]
        noise = (self.config.noise_scale, generator) if self.training else (0.0, None)
        routings = []
        for level, layer in zip(self.level, self.layers, strict=False):
            gate_input = torch.cat([x, *seen[: level + 1]], dim=1)
            logits = layer.gate_logits([gate_input] * len(layer.gates), *noise)
            target = batch.scenarios[:, level]
            selection = layer.select(logits, target)
            x = layer.mix(x, selection.mixing_weights)
            routings.append(Routing(logits, target, selection, x))
        inputs = [x] * len(self.towers)  # of each task
        for layer in self.layers[len(self.level) :]:
            own = [t.expand(len(x), -1) for t in self.tasks]
            gate_inputs = [torch.cat([z, *seen, t], 1) for z, t in zip(inputs, own, strict=True)]
            logits = layer.gate_logits(gate_inputs, *noise)
            targets = torch.arange(len(inputs))
            selections = [layer.select(logits, t.expand(len(x))) for t in targets]
            weights = [selection.mixing_weights for selection in selections]
            inputs = [layer.mix(z, w) for z, w in zip(inputs, weights, strict=True)]
            routings.append(Routing(logits, targets, _together(selections), torch.stack(inputs)))
        logits = torch.cat([f(z) for f, z in zip(self.towers, inputs, strict=True)], dim=1)
        return Output(logits, along_chain(logits, self.schema.parents), tuple(routings))


class _Layer(nn.Module):
    """m gates, each a linear map from its own input to n logits, and n experts."""

    def __init__(self, group: ExpertGroup, gates: int, inputs: int, context: int) -> None:
        super().__init__()
        self.group = group
        self.gates = nn.ModuleList(
            nn.Linear(inputs + context, group.experts, bias=False) for _ in range(gates)
        )
        self.experts = nn.ModuleList(nn.Linear(inputs, group.width) for _ in range(group.experts))

    def gate_logits(
        self, inputs: Sequence[Tensor], scale: float, generator: torch.Generator | None
    ) -> Tensor:
        """G, (rows, n, m) (Eq. 7–8)."""
        logits = torch.stack([g(z) for g, z in zip(self.gates, inputs, strict=True)], dim=2)
        if scale:
            noise = torch.empty_like(logits).normal_(generator=generator)
            logits = logits + scale * len(self.experts) * noise
        return logits

    def select(self, logits: Tensor, target: Tensor) -> Selection:
        """Eq. 9–14 as they are written; target: (rows,)."""
        rows, log_softmax = torch.arange(len(logits)), logits.log_softmax(2)
        kl_specific = -log_softmax[rows, :, target]
        kl_shared = -math.log(logits.shape[2]) - log_softmax.mean(2)
        specific = _lowest(kl_specific, self.group.specific)
        shared = _lowest(kl_shared, self.group.shared)
        masked = logits[rows, :, target].masked_fill(~(specific | shared), -math.inf)
        return Selection(kl_specific, kl_shared, specific, shared, masked.softmax(1))

    def mix(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σ_k weights[:, k] f_k(x), every expert computed (Eq. 1–2)."""
        outputs = [expert(x).relu() for expert in self.experts]
        return torch.stack([weights[:, k, None] * f for k, f in enumerate(outputs)]).sum(0)


def _lowest(score: Tensor, k: int) -> Tensor:
    chosen = score.detach().topk(k, dim=1, largest=False).indices
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, chosen, True)


def _together(parts: Sequence[Selection]) -> Selection:
    """Selections of the tasks as one, with a task axis where a quantity depends on the task."""
    first, stacked = parts[0], Selection(*map(torch.stack, zip(*parts, strict=True)))
    return stacked._replace(kl_shared=first.kl_shared, shared=first.shared)


def _tower(sizes: Sequence[int]) -> nn.Sequential:
    pairs = itertools.pairwise(sizes)
    layers = [part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def copy_weights(loop: LoopForm, model: AESM2) -> None:
    """Give the loop form the weights of the library's model."""
    table = torch.split(model.embedding.weight, list(model.schema.fields))
    for field, part in zip(loop.fields, table, strict=True):
        field.load_state_dict({"weight": part})
    loop.scenarios.load_state_dict(model.scenario_embedding.state_dict())
    loop.tasks.copy_(model.task_embedding)
    for layer, source in zip(loop.layers, model.layers, strict=True):
        n, m = len(layer.experts), len(layer.gates)
        context = source.get_parameter("gate_context.weight").view(n, m, -1)
        for j, gate in enumerate(layer.gates):
            if isinstance(source, ScenarioLayer):  # its gates: (n · m, inputs)
                parts = [source.gate.weight.view(n, m, -1)[:, j], context[:, j]]
            else:  # a task layer: (T, n, inputs)
                own = source.get_parameter("gate_own")[:, j]
                parts = [source.get_parameter("gate")[j], context[:, j], own]
            gate.load_state_dict({"weight": torch.cat(parts, dim=1)})
        _copy_linear(layer.experts, source.get_submodule("experts.linear"))
    for number, source in enumerate(model.towers):
        _copy_linear([tower[2 * number] for tower in loop.towers], source)


def _copy_linear(parts: Iterable[nn.Module], source: nn.Module) -> None:
    weights, biases = source.get_parameter("weight"), source.get_parameter("bias")
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        part.load_state_dict({"weight": weight, "bias": bias})
