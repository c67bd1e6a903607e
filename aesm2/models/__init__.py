"""Models: all take a Batch and return an Output."""

from aesm2.config import (
    AESM2Config,
    CrossStitchConfig,
    ESMMConfig,
    HardSharingConfig,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    ParallelDNNConfig,
)
from aesm2.data.schema import Schema
from aesm2.models.aesm2 import AESM2
from aesm2.models.cross_stitch import CrossStitch
from aesm2.models.esmm import ESMM
from aesm2.models.hard_sharing import HardSharing
from aesm2.models.mlp import MLP
from aesm2.models.mmoe import MMoE
from aesm2.models.output import Output
from aesm2.models.parallel_dnn import ParallelDNN

__all__ = [
    "AESM2",
    "ESMM",
    "MLP",
    "CrossStitch",
    "HardSharing",
    "MMoE",
    "Model",
    "Output",
    "ParallelDNN",
    "Schema",
    "build",
]

Model = AESM2 | MMoE | MLP | HardSharing | ParallelDNN | CrossStitch | ESMM


def build(config: ModelConfig, schema: Schema) -> Model:
    """Build the model that `config` describes for a dataset of shape `schema`."""
    match config:
        case AESM2Config():
            return AESM2(config, schema)
        case MMoEConfig():
            return MMoE(config, schema)
        case MLPConfig():
            return MLP(config, schema)
        case HardSharingConfig():
            return HardSharing(config, schema)
        case ParallelDNNConfig():
            return ParallelDNN(config, schema)
        case CrossStitchConfig():
            return CrossStitch(config, schema)
        case ESMMConfig():
            return ESMM(config, schema)
        case _:
            raise NotImplementedError(config.title)
