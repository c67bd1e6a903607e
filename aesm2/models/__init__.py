"""Models: all take a Batch and return an Output."""

from aesm2.config import (
    AESM2Config,
    AITMConfig,
    CrossStitchConfig,
    DSelectKConfig,
    ESMMConfig,
    HardSharingConfig,
    HMoEConfig,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    ParallelDNNConfig,
    PEPNetConfig,
    PLEConfig,
    STARConfig,
)
from aesm2.data.schema import Schema
from aesm2.models.aesm2 import AESM2
from aesm2.models.aitm import AITM
from aesm2.models.bounded import MOST, TooLarge, bounded
from aesm2.models.cross_stitch import CrossStitch
from aesm2.models.dselect_k import DSelectK
from aesm2.models.esmm import ESMM
from aesm2.models.hard_sharing import HardSharing
from aesm2.models.hmoe import HMoE
from aesm2.models.mlp import MLP
from aesm2.models.mmoe import MMoE
from aesm2.models.output import Output
from aesm2.models.parallel_dnn import ParallelDNN
from aesm2.models.pepnet import PEPNet
from aesm2.models.ple import PLE
from aesm2.models.star import STAR

__all__ = [
    "AESM2", "AITM", "ESMM", "MLP", "PLE", "STAR", "CrossStitch", "DSelectK", "HMoE", "HardSharing",
    "MMoE", "Model", "Output", "PEPNet", "ParallelDNN", "Schema", "TooLarge", "build",
]  # fmt: skip

Model = (
    AESM2 | MMoE | HMoE | PLE | DSelectK | MLP | HardSharing | ParallelDNN | CrossStitch | STAR
    | ESMM | AITM | PEPNet
)  # fmt: skip


def build(config: ModelConfig, schema: Schema, most: int = MOST) -> Model:
    """Build the model that `config` describes for a dataset of shape `schema`.

    most: numbers it may hold. Raises TooLarge, an InputError, before more are allocated.
    """
    with bounded(most, f"this '{config.name}' for {len(schema.fields)} features"):
        return _build(config, schema)


def _build(config: ModelConfig, schema: Schema) -> Model:
    match config:
        case AESM2Config():
            return AESM2(config, schema)
        case MMoEConfig():
            return MMoE(config, schema)
        case HMoEConfig():
            return HMoE(config, schema)
        case PLEConfig():
            return PLE(config, schema)
        case DSelectKConfig():
            return DSelectK(config, schema)
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
        case AITMConfig():
            return AITM(config, schema)
        case PEPNetConfig():
            return PEPNet(config, schema)
        case STARConfig():
            return STAR(config, schema)
