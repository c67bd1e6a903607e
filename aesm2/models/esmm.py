"""ESMM (Ma et al., SIGIR 2018): tasks learn over all rows and share nothing but the embedding."""

from torch import nn

from aesm2.config import ESMMConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class ESMM(nn.Module):
    """One perceptron a task on a shared embedding, their probabilities multiplied along the chain.

    Without `scenario_features` scenario ids reach nothing; with them, every perceptron as inputs.
    """

    def __init__(self, config: ESMMConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        seen = [len(level) for level in schema.levels] if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        self.towers = Towers(len(schema.tasks), self.embedding.width, config.hidden)

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        logits = self.towers(x.expand(len(self.schema.tasks), -1, -1))
        return Output(logits, along_chain(logits, self.schema.parents))
