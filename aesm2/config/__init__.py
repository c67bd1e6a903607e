"""Configuration of models and training, as frozen values that refuse what they do not know."""

from pathlib import Path

from aesm2.config.models import (
    AESM2Config,
    AITMConfig,
    CrossStitchConfig,
    DSelectKConfig,
    ESMMConfig,
    ExpertGroup,
    GatedGroup,
    Group,
    HardSharingConfig,
    HMoEConfig,
    LayerGroup,
    MixtureGroup,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    ParallelDNNConfig,
    PEPNetConfig,
    PLEConfig,
    SplitGroup,
    StackedConfig,
    STARConfig,
    per_level,
)
from aesm2.config.strict import Strict, parse, read_toml
from aesm2.config.training import TrainingConfig
from aesm2.files import read_json

__all__ = [
    "AESM2Config", "AITMConfig", "Config", "CrossStitchConfig", "DSelectKConfig", "ESMMConfig",
    "ExpertGroup", "GatedGroup", "Group", "HMoEConfig", "HardSharingConfig", "LayerGroup",
    "MLPConfig", "MMoEConfig", "MixtureGroup", "ModelConfig", "PEPNetConfig", "PLEConfig",
    "ParallelDNNConfig", "STARConfig", "SplitGroup", "StackedConfig", "Strict", "TrainingConfig",
    "parse", "per_level", "read_config", "read_toml",
]  # fmt: skip


class Config(Strict):
    """A whole configuration file: [model] and [training]."""

    model: ModelConfig = AESM2Config()
    training: TrainingConfig = TrainingConfig()


def read_config(path: Path) -> Config:
    """Read a configuration: a file such as `configs/kuairand.toml`, or a run's `config.json`."""
    values = read_json(path) if path.suffix == ".json" else read_toml(path)
    return parse(Config, values, str(path))
