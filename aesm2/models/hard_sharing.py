"""Hard parameter sharing (Caruana, "Multitask Learning", Machine Learning 1997).

Axes: rows; T tasks; P paths, the combinations of the levels' scenarios.
"""

import itertools
import math
from functools import partial

from torch import Tensor, nn

from aesm2.config import HardSharingConfig
from aesm2.data.batch import Batch
from aesm2.data.schema import Schema
from aesm2.layers.embedding import InputEmbedding
from aesm2.layers.experts import of_own
from aesm2.layers.paths import path_of
from aesm2.layers.towers import Towers
from aesm2.models.output import Output, along_chain


class HardSharing(nn.Module):
    """One bottom for everything, then a tower for each fine-grained scenario and task.

    Scenario ids choose the tower; with `scenario_features` they reach the bottom as inputs too.
    """

    def __init__(self, config: HardSharingConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        self.levels = [len(level) for level in schema.levels]
        seen = self.levels if config.scenario_features else []
        self.embedding = InputEmbedding(schema.fields, seen, config.embedding_dim, schema.numbers)
        sizes = [self.embedding.width, *config.hidden]
        self.bottom = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        paths = range(math.prod(self.levels))
        self.towers = nn.ModuleList(
            Towers(len(schema.tasks), sizes[-1], config.tower) for _ in paths
        )

    def forward(self, batch: Batch, generator: object = None) -> Output:  # noqa: ARG002
        """Predict every task for every row; there is no noise, so `generator` is not used."""
        x = self.embedding(batch.fields, batch.scenarios, batch.numbers)
        for layer in self.bottom:
            x = layer(x).relu()
        path = path_of(batch.scenarios, self.levels)
        logits = of_own(x, path, [partial(self._of_path, towers) for towers in self.towers])
        return Output(logits, along_chain(logits, self.schema.parents))

    def _of_path(self, towers: nn.Module, x: Tensor) -> Tensor:
        """Logits of every task by the towers of one path: (rows, width) → (rows, T)."""
        logits: Tensor = towers(x.expand(len(self.schema.tasks), -1, -1))
        return logits
