"""A plain multilayer perceptron for all scenarios and tasks: the control of every comparison."""

import itertools

from torch import nn

from aesm2.config import MLPConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.models.output import Output, along_chain


class MLP(nn.Module):
    """One network for everything, with one output a task.

    Scenario ids are features like any other; without `scenario_features` they reach nothing.
    """

    def __init__(self, config: MLPConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        seen = [len(level) for level in schema.levels] if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        sizes = [self.embedding.width, *config.hidden, len(schema.tasks)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        logits = last(x).to(self.embedding.fields.weight.dtype)
        return Output(logits, along_chain(logits, self.schema.parents))
