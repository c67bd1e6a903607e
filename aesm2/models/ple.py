"""PLE (Tang et al., RecSys 2020), with progressive layers for the scenarios of each level as well.

Axes: rows; T tasks; m gates (the scenarios of a level, or the tasks); a specific experts of each
gate; b shared experts; n = m · a + b. A column is what one gate feeds to the next layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesm2.config import PLEConfig, SplitGroup, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import ParallelLinear
from aesm2.layers.mixture import Mixture
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class PLE(nn.Module):
    """A gate mixes experts of its own with those of all; a shared column learns from everybody.

    In its mixtures experts are numbered gate by gate, then the shared ones.
    Scenario ids choose the column; with `scenario_features` they reach experts and gates as inputs.
    """

    def __init__(self, config: PLEConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, levels = len(schema.tasks), [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        width = self.embedding.width
        self.scenario_levels = nn.ModuleList()
        for count, group in zip(levels, per_level(config.scenario, len(levels)), strict=True):
            self.scenario_levels.append(_Level(group, count, width))
            width = group.width
        self.task_layers = _Level(config.task, tasks, width)
        self.towers = Towers(tasks, config.task.width, config.tower)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        mixtures: list[Mixture] = []
        for level, layers in enumerate(self.scenario_levels):
            mixtures += layers(x, batch.scenarios[:, level])
            x = mixtures[-1].output
        mixtures += self.task_layers(x)
        logits = self.towers(mixtures[-1].output)
        return Output(logits, along_chain(logits, self.schema.parents), mixtures=tuple(mixtures))


class _Level(nn.ModuleList):
    """The layers of a scenario level, or of the tasks; the last has no shared column to feed."""

    def __init__(self, group: SplitGroup, gates: int, inputs: int) -> None:
        super().__init__()
        for layer in range(group.layers):
            width = group.width if layer else inputs
            self.append(_Extraction(group, gates, width, last=layer == group.layers - 1))

    def forward(self, x: Tensor, scenario: Tensor | None = None) -> list[Mixture]:
        """Return what every layer did; scenario: (rows,), None for the tasks."""
        columns, mixtures = x.unsqueeze(0), []
        for layer in self:
            columns, mixture = layer(columns, scenario)
            mixtures.append(mixture)
        return mixtures


class _Extraction(nn.Module):
    """One layer of all columns: experts of each gate and of all, and the gates that mix them.

    Columns come in as (m + 1, rows, inputs), the shared one last, or as (1, rows, inputs) in the
    first layer of a level, where all are the same.
    """

    def __init__(self, group: SplitGroup, gates: int, inputs: int, last: bool) -> None:
        super().__init__()
        self.gates, self.a, self.width = gates, group.specific, group.width
        self.specific = ParallelLinear(gates, inputs, group.specific * group.width)
        self.shared = ParallelLinear(1, inputs, group.shared * group.width)
        self.gate = ParallelLinear(gates, inputs, group.specific + group.shared)
        every = gates * group.specific + group.shared
        self.shared_gate = None if last else nn.Linear(inputs, every)

    def forward(self, columns: Tensor, scenario: Tensor | None) -> tuple[Tensor, Mixture]:
        """Return the columns of the next layer, (m + 1, rows, width), and what the layer did.

        At the end of a scenario level that is the column of each row's own scenario alone,
        (1, rows, width); at the end of the tasks' there is no shared one, (T, rows, width).
        """
        if scenario is not None and self.shared_gate is None:
            mixture = self._own(columns, scenario)
            return mixture.output.unsqueeze(0), mixture
        columns, weights = self._all(columns)
        if scenario is None:
            tasks = torch.arange(self.gates, device=columns.device)
            return columns, self._mixture(tasks, weights, columns[: self.gates])
        own = _of_own(weights, scenario), _of_own(columns, scenario)
        return columns, self._mixture(scenario, *own)

    def _all(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Compute every column, and the weights of each gate over its own and the shared experts.

        Returns (m + 1, rows, width), or (m, …) in the last layer, and (m, rows, a + b).
        """
        specific = self._experts(_each(self.specific, columns))  # (m, rows, a, width)
        shared = self._shared(columns)  # (rows, b, width)
        weights = _each(self.gate, columns).softmax(-1)
        mixed = torch.einsum("mra,mraw->mrw", weights[..., : self.a], specific)
        mixed = mixed + torch.einsum("mrb,rbw->mrw", weights[..., self.a :], shared)
        if self.shared_gate is None:
            return mixed, weights
        of_all = self.shared_gate(columns[-1]).softmax(-1)  # (rows, n)
        by_gate = of_all[:, : self.gates * self.a].view(-1, self.gates, self.a)
        common = torch.einsum("rma,mraw->rw", by_gate, specific)
        common = common + torch.einsum("rb,rbw->rw", of_all[:, self.gates * self.a :], shared)
        return torch.cat([mixed, common.unsqueeze(0)]), weights

    def _own(self, columns: Tensor, scenario: Tensor) -> Mixture:
        """Compute the column of each row's own scenario only; scenario: (rows,)."""
        x = columns[0] if len(columns) == 1 else _of_own(columns, scenario)
        specific = self._experts(self.specific.of_own(x, scenario))  # (rows, a, width)
        weights = self.gate.of_own(x, scenario).softmax(-1)  # (rows, a + b)
        mixed = torch.einsum("ra,raw->rw", weights[:, : self.a], specific)
        mixed = mixed + torch.einsum("rb,rbw->rw", weights[:, self.a :], self._shared(columns))
        return self._mixture(scenario, weights, mixed)

    def _mixture(self, target: Tensor, weights: Tensor, output: Tensor) -> Mixture:
        """Place the weights of the targets' gates, (..., rows, a + b), among all n experts."""
        own = F.one_hot(target.long(), self.gates)  # (rows, m), or (T, T) in a task layer
        own = own.unsqueeze(1) if weights.ndim == 3 else own
        placed = own.unsqueeze(-1) * weights[..., : self.a].unsqueeze(-2)  # (..., rows, m, a)
        return Mixture(target, torch.cat([placed.flatten(-2), weights[..., self.a :]], -1), output)

    def _shared(self, columns: Tensor) -> Tensor:
        flat: Tensor = self.shared(columns[-1:])
        return self._experts(flat[0])

    def _experts(self, flat: Tensor) -> Tensor:
        count = flat.shape[-1] // self.width
        return flat.relu().view(*flat.shape[:-1], count, self.width)


def _each(linear: ParallelLinear, columns: Tensor) -> Tensor:
    """Apply map i to column i, (m, rows, outputs): at once where all columns are the same."""
    count, outputs, inputs = linear.weight.shape
    if len(columns) > 1:
        of_all: Tensor = linear(columns[:count])
        return of_all
    flat = F.linear(columns[0], linear.weight.view(-1, inputs), linear.bias.view(-1))
    return flat.view(-1, count, outputs).transpose(0, 1)


def _of_own(columns: Tensor, scenario: Tensor) -> Tensor:
    """Take each row from the column of its own scenario: (m, rows, k) → (rows, k)."""
    return columns[scenario, torch.arange(len(scenario), device=scenario.device)]
