"""MMoE with DSelect-k gates (Hazimeh et al., NeurIPS 2021), stacked like AESM².

Axes: rows; T tasks; n = 2^bits experts; m gates; k selectors of each gate. Expert i is the binary
code i, its lowest bit first.
"""

import torch
from torch import Tensor, nn

from aesm2.config import DSelectKConfig, GatedGroup, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import Experts, ParallelLinear
from aesm2.layers.mixture import Mixture
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain

SOFT_START = 0.01  # largest initial weight of a selector, in units of gamma


class DSelectK(nn.Module):
    """Every gate learns, by gradients alone, to mix at most k experts.

    Its gates are those computed from the input of each row. The regulariser of the original, which
    drives selectors towards binary codes by their entropy, is left out: how far they get is up to
    the tasks' losses. All experts are computed, also those of weight 0.
    Scenario ids choose the gate; with `scenario_features` they reach experts and gates as inputs.
    """

    def __init__(self, config: DSelectKConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, levels = len(schema.tasks), [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        width, gamma = self.embedding.width, config.gamma
        self.scenario_layers = nn.ModuleList()
        self.layer_level: list[int] = []  # the level of each scenario layer
        for level, group in enumerate(per_level(config.scenario, len(levels))):
            for _ in range(group.layers):
                self.scenario_layers.append(_ScenarioMixture(group, levels[level], width, gamma))
                self.layer_level.append(level)
                width = group.width
        self.task_layers = nn.ModuleList()
        for _ in range(config.task.layers):
            self.task_layers.append(_TaskMixture(config.task, tasks, width, gamma))
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
    """Mixes the experts of a layer by the gate of the row's scenario."""

    def __init__(self, group: GatedGroup, gates: int, inputs: int, gamma: float) -> None:
        super().__init__()
        self.gate = _Gates(group, gates, inputs, gamma)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, x: Tensor, scenario: Tensor) -> Mixture:
        weights = self.gate.of_own(x, scenario)  # (rows, n)
        output = torch.einsum("rn,rnw->rw", weights, self.experts.outputs(x))
        return Mixture(scenario, weights, output)


class _TaskMixture(nn.Module):
    """Mixes the experts of a layer once for each task, by the task's own gate."""

    def __init__(self, group: GatedGroup, tasks: int, inputs: int, gamma: float) -> None:
        super().__init__()
        self.tasks = tasks
        self.gate = _Gates(group, tasks, inputs, gamma)
        self.experts = Experts(group.experts, inputs, group.width, group.experts)

    def forward(self, z: Tensor) -> Mixture:
        weights = self.gate(z.expand(self.tasks, -1, -1))  # (T, rows, n)
        if len(z) == 1:  # the first task layer: one input for all tasks
            output = torch.einsum("trn,rnw->trw", weights, self.experts.outputs(z[0]))
        else:
            outputs = self.experts.outputs(z.flatten(0, 1)).view(*weights.shape, -1)
            output = torch.einsum("trn,trnw->trw", weights, outputs)
        return Mixture(torch.arange(self.tasks, device=z.device), weights, output)


class _Gates(nn.Module):
    """m DSelect-k gates. Their first steps are soft: every number starts well inside ±gamma/2."""

    def __init__(self, group: GatedGroup, gates: int, inputs: int, gamma: float) -> None:
        super().__init__()
        self.selected, self.gamma = group.selected, gamma
        bits = group.experts.bit_length() - 1
        self.code = ParallelLinear(gates, inputs, group.selected * bits)
        self.mix = ParallelLinear(gates, inputs, group.selected)
        bound = SOFT_START * gamma
        nn.init.uniform_(self.code.weight, -bound, bound)
        nn.init.uniform_(self.code.bias, -bound, bound)

    def forward(self, z: Tensor) -> Tensor:
        """Weights of gate i for z[i]: (m, rows, inputs) → (m, rows, n)."""
        return self._weights(self.code(z), self.mix(z))

    def of_own(self, x: Tensor, own: Tensor) -> Tensor:
        """Weights of gate own[r] for row r: (rows, inputs), (rows,) → (rows, n)."""
        return self._weights(self.code.of_own(x, own), self.mix.of_own(x, own))

    def _weights(self, code: Tensor, mix: Tensor) -> Tensor:
        count = code.shape[-1] // self.selected
        bits = smooth_step(code, self.gamma).view(*mix.shape, count)
        return torch.einsum("...k,...kn->...n", mix.softmax(-1), selector(bits))


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    """Rise from 0 to 1 along a cubic: exactly 0 below -gamma/2, exactly 1 above gamma/2."""
    u = (t / gamma).clamp(-0.5, 0.5)
    return (1.5 - 2 * u * u) * u + 0.5


def selector(bits: Tensor) -> Tensor:
    """Distribution over experts whose code has each bit with its probability: (..., bits) → n."""
    weights = torch.ones_like(bits[..., :1])
    for bit in bits.chunk(bits.shape[-1], dim=-1):
        weights = torch.cat([weights * (1 - bit), weights * bit], dim=-1)
    return weights
