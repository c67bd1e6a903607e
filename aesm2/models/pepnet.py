"""PEPNet (Chang et al., KDD 2023): gates scale the embedding, and every layer's input.

Axes: rows; T tasks.
"""

import itertools

import torch
from torch import Tensor, nn

from aesm2.config import PEPNetConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import ParallelLinear
from aesm2.models.output import Output, along_chain


class PEPNet(nn.Module):
    """EPNet scales the embedded input by scenario; PPNet scales each layer's input of each task.

    The paper's second prior are ids of user, item and author. A Schema does not say which fields
    are such ids, so the prior of both networks is the scenario. Scenario ids reach all gates; with
    `scenario_features` the hidden layers as inputs too.
    """

    def __init__(self, config: PEPNetConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        tasks, levels = len(schema.tasks), [len(level) for level in schema.levels]
        seen = levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        self.scenario_embedding = nn.ModuleList(nn.Embedding(n, config.context_dim) for n in levels)
        sizes = [self.embedding.width, *config.hidden, 1]
        context = sizes[0] + len(levels) * config.context_dim
        self.input_gate = _Gate(1, context, config.gate, sizes[0])
        self.gates = nn.ModuleList(_Gate(tasks, context, config.gate, a) for a in sizes[:-1])
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList(ParallelLinear(tasks, a, b) for a, b in pairs)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        embedded = [e(batch.scenarios[:, i]) for i, e in enumerate(self.scenario_embedding)]
        prior = torch.cat(embedded, dim=1)  # (rows, levels · context_dim)
        x = x * self.input_gate(prior, x)[0]
        z = x.expand(len(self.schema.tasks), -1, -1)  # (T, rows, width)
        last = len(self.layers) - 1
        for number, (layer, gate) in enumerate(zip(self.layers, self.gates, strict=True)):
            z = layer(z * gate(prior, x))
            z = z if number == last else z.relu()
        logits = z.squeeze(-1).t().to(x.dtype)
        return Output(logits, along_chain(logits, self.schema.parents))


class _Gate(nn.Module):
    """Scales between 0 and 2 from a prior and an input, which learns nothing from it.

    count: independent gates. hidden: width of their hidden layer. outputs: scales of each.
    """

    def __init__(self, count: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = ParallelLinear(count, inputs, hidden)
        self.scale = ParallelLinear(count, hidden, outputs)

    def forward(self, prior: Tensor, x: Tensor) -> Tensor:
        """(rows, prior), (rows, width) → (count, rows, outputs)."""
        context = torch.cat([prior, x.detach()], dim=1).expand(len(self.hidden.weight), -1, -1)
        scales: Tensor = self.scale(self.hidden(context).relu())
        return 2 * scales.sigmoid()
