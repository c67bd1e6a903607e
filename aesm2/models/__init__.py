"""Models: all take a Batch and return an Output."""

from aesm2.config import AESM2Config, MLPConfig, MMoEConfig, ModelConfig
from aesm2.data.schema import Schema
from aesm2.models.aesm2 import AESM2
from aesm2.models.mlp import MLP
from aesm2.models.mmoe import MMoE
from aesm2.models.output import Output

__all__ = ["AESM2", "MLP", "MMoE", "Model", "Output", "Schema", "build"]

Model = AESM2 | MMoE | MLP


def build(config: ModelConfig, schema: Schema) -> Model:
    """Build the model that `config` describes for a dataset of shape `schema`."""
    match config:
        case AESM2Config():
            return AESM2(config, schema)
        case MMoEConfig():
            return MMoE(config, schema)
        case MLPConfig():
            return MLP(config, schema)
        case _:
            raise NotImplementedError(config.title)
