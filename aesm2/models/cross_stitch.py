"""Cross-stitch networks (Misra et al., CVPR 2016), for the scenarios of each level, then the tasks.

Axes: m columns, one a scenario of the level or a task; rows.
"""

import itertools

import torch
from torch import Tensor, nn

from aesm2.config import CrossStitchConfig, per_level
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import ParallelLinear
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class CrossStitch(nn.Module):
    """Every row goes through the columns of all scenarios, which exchange activations.

    Scenario ids choose the column that a level hands on; with `scenario_features` they reach the
    columns as inputs too.
    """

    def __init__(self, config: CrossStitchConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, levels = len(schema.tasks), [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        width, groups = self.embedding.width, per_level(config.scenario, len(levels))
        self.levels = nn.ModuleList()
        for columns, group in zip([*levels, tasks], [*groups, config.task], strict=True):
            self.levels.append(_Level(columns, width, [group.width] * group.layers, config.keep))
            width = group.width
        self.towers = Towers(tasks, width, config.tower)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        rows = torch.arange(len(x), device=x.device)
        *levels, tasks = self.levels
        for index, level in enumerate(levels):
            x = level(x)[batch.scenarios[:, index], rows]  # the row's own column goes on
        logits = self.towers(tasks(x))
        return Output(logits, along_chain(logits, self.schema.parents))


class _Level(nn.Module):
    """Columns of stitched layers that start from one input. widths: of the layers."""

    def __init__(self, columns: int, inputs: int, widths: list[int], keep: float) -> None:
        super().__init__()
        self.columns = columns
        pairs = itertools.pairwise([inputs, *widths])
        self.layers = nn.ModuleList(_StitchedLayer(columns, a, b, keep) for a, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, inputs) → (m, rows, width)."""
        z = x.expand(self.columns, -1, -1)
        for layer in self.layers:
            z = layer(z)
        return z


class _StitchedLayer(nn.Module):
    """A rectified linear layer of each column, whose outputs a matrix then mixes.

    keep: initial weight of a column's own activation; the rest is divided among the others.
    stitch: what column j gives to column i, (m, m).
    """

    def __init__(self, columns: int, inputs: int, width: int, keep: float) -> None:
        super().__init__()
        self.linear = ParallelLinear(columns, inputs, width)
        own = keep if columns > 1 else 1.0
        stitch = torch.full((columns, columns), (1 - own) / max(columns - 1, 1))
        self.stitch = nn.Parameter(stitch.fill_diagonal_(own))

    def forward(self, z: Tensor) -> Tensor:
        """(m, rows, inputs) → (m, rows, width)."""
        activations: Tensor = self.linear(z).relu()
        return (self.stitch @ activations.flatten(1)).view_as(activations)
