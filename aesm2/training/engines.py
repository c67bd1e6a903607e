"""Who starts the processes of a training: nobody for one, torch's launcher, or Ray."""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from aesm2.data.dataset import Dataset
from aesm2.training.launch import Work, train_together
from aesm2.training.ray_engine import train_on_ray
from aesm2.training.train import train


class Engine(StrEnum):
    """What starts several processes: torch's launcher on this machine, or Ray on a cluster."""

    TORCH = "torch"
    RAY = "ray"


def train_by(engine: Engine, processes: int, restarts: int, work: Work) -> Path:
    """Train in so many processes; return the folder of the checkpoint.

    restarts: how often all are started again after one of them died. Raises what `train` does, and
    InputError where the engine is not installed or the processes died too often.
    """
    if engine is Engine.RAY:
        return train_on_ray(work, processes, restarts)
    if processes > 1:
        return train_together(work, processes, restarts)
    return train(
        Dataset.open(work.dataset), work.configured, Path(work.folder), work.resume, work.device,
        work.progress, work.tensorboard, work.save_every,
    )  # fmt: skip


def launch_name(environment: Mapping[str, str] = os.environ) -> str:
    """Name the launch of torchrun that this process belongs to: the same after a restart."""
    return f"{environment.get('TORCHELASTIC_RUN_ID', '')}:{os.getppid()}"
