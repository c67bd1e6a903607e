"""Training on a Ray cluster: Ray Train places the processes, each runs the one training loop.

The run folder has to lie on storage that every node sees, under the same path, and so does the
dataset. A process that dies has all of them placed anew; they go on from the state saved last.
"""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from aesm2.data.dataset import Dataset
from aesm2.device import flush_subnormals
from aesm2.errors import InputError
from aesm2.files import read_json, write_atomically
from aesm2.training.group import PATIENCE, Group
from aesm2.training.launch import Outcome, Work, outcome

STORE, OUTCOME = "ray", "outcome.json"  # in the run folder


def train_on_ray(work: Work, processes: int, restarts: int) -> Path:
    """Train in so many processes of the cluster that `ray.init` finds; see `train_by`.

    Where none runs, Ray starts one on this machine. With device "cpu" no process asks for a GPU.
    """
    check_installed()
    Dataset.open(work.dataset)  # what is wrong here is told here
    import ray  # type: ignore[import-not-found, unused-ignore]
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # type: ignore[import-not-found, unused-ignore]
    from ray.train.torch import TorchConfig, TorchTrainer  # type: ignore[import-not-found, unused-ignore]

    work = absolute(work)
    folder = Path(work.folder)
    said = folder / STORE / OUTCOME
    said.unlink(missing_ok=True)
    ray.init(ignore_reinit_error=True, log_to_driver=True, logging_level="error")
    gpus = work.device != "cpu" and bool(ray.cluster_resources().get("GPU"))
    trainer = TorchTrainer(
        in_process,
        train_loop_config=asdict(work),
        torch_config=TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=gpus),
        run_config=RunConfig(
            name=work.launch,
            storage_path=str(folder / STORE),
            failure_config=FailureConfig(max_failures=restarts),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray has one exception a layer
        raise InputError(
            f"{folder}: Ray gave up after {restarts} restarts: {_first_line(error)}; once the cause"
            " is mended go on with --resume"
        ) from None
    return Outcome(**read_json(said)).checkpoint(folder)


def check_installed() -> None:
    """Raise InputError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray needs Ray: pip install 'aesm2[ray]'")


def absolute(work: Work) -> Work:
    """Return the work with paths that mean the same in another process."""
    dataset, folder = (str(Path(path).resolve()) for path in (work.dataset, work.folder))
    return replace(work, dataset=dataset, folder=folder)


def in_process(values: dict[str, Any]) -> None:
    """Be one of the processes that Ray has placed and made known to one another."""
    flush_subnormals()
    work = Work(**values)
    device = torch.device("cpu")
    if dist.get_backend() != "gloo":
        device = torch.device("cuda", torch.cuda.current_device())
    group = Group(dist.get_rank(), dist.get_world_size(), device)
    ended = outcome(work, group)
    if group.leader:
        store = Path(work.folder) / STORE
        store.mkdir(parents=True, exist_ok=True)
        write_atomically(store / OUTCOME, json.dumps(asdict(ended)))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
