"""A plain multilayer perceptron that is given the scenario as a feature: the control."""

import itertools

import torch
from torch import nn

from aesm2.config import MLPConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import FieldEmbedding
from aesm2.models.output import Output, along_chain


class MLP(nn.Module):
    """One network for all scenarios and tasks; scenario ids are embedded like any feature."""

    def __init__(self, config: MLPConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        dim = config.embedding_dim
        self.embedding = FieldEmbedding(schema.fields, dim)
        scenarios = [len(level) for level in schema.levels]
        self.scenario_embedding = FieldEmbedding(scenarios, dim, placeholders=False)
        inputs = (len(schema.fields) + len(schema.levels)) * dim
        sizes = [inputs, *config.hidden, len(schema.tasks)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        scenario = self.scenario_embedding(batch.scenarios)
        x = torch.cat([self.embedding(batch.fields), scenario], dim=1)
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        logits = last(x).to(self.embedding.weight.dtype)
        return Output(logits, along_chain(logits, self.schema.parents))
