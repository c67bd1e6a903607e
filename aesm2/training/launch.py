"""Several processes on this machine that train one model, started again when one of them dies.

torch's elastic launcher, which `torchrun` is a face of, starts and watches them. A process that is
killed, or that fails otherwise than by unusable input, ends the others; all then start again and go
on from the state saved last.
"""

import contextlib
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from aesm2.config import Config
from aesm2.data.dataset import Dataset
from aesm2.device import flush_subnormals
from aesm2.errors import InputError
from aesm2.training.group import Group, joined, own_device
from aesm2.training.interrupt import interrupts
from aesm2.training.run import Run
from aesm2.training.train import Interrupted, train


@dataclass(frozen=True)
class Work:
    """What every process is told, in plain values; see `train`.

    dataset: folder or description, which every process reads. config: as JSON. launch: a name for
    this start, by which a process that is started again knows the run as its own.
    """

    dataset: str
    folder: str
    config: str | None = None
    resume: bool = False
    device: str = "auto"
    progress: bool = True
    tensorboard: bool = False
    save_every: int | None = None
    launch: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def configured(self) -> Config | None:
        """The configuration."""
        return None if self.config is None else Config.model_validate_json(self.config)


@dataclass(frozen=True)
class Outcome:
    """How a process ended that was not killed.

    said: why the input was unusable, "" where it was not.
    """

    said: str = ""
    interrupted: bool = False

    def checkpoint(self, folder: Path) -> Path:
        """Return the folder of the checkpoint, or raise what `train` would."""
        if self.said:
            raise InputError(self.said)
        if self.interrupted:
            raise Interrupted
        return Run(folder).checkpoint


def train_together(work: Work, processes: int, restarts: int = 3) -> Path:
    """Train in several processes of this machine; return the folder of the checkpoint.

    restarts: how often all are started again after one of them died. Raises what `train` does, and
    InputError where that many restarts did not help. A script that calls this needs
    `if __name__ == "__main__":`, since each process imports it.
    """
    own_device(work.device, 0, processes)
    folder = Path(work.folder)

    def halt() -> None:
        folder.mkdir(parents=True, exist_ok=True)  # it may be early: they are still reading
        Run(folder).ask_to_halt(work.launch)

    with interrupts(halt), _launching():
        return _launched(work, processes, restarts).checkpoint(folder)


def outcome(work: Work, group: Group) -> Outcome:
    """Train in this process, one of a group, and return how it ended rather than raise it.

    What is raised all the same is worth another start.
    """
    try:
        with warnings.catch_warnings():  # an axis of one value may have any stride
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            train(
                Dataset.open(work.dataset), work.configured, Path(work.folder), work.resume,
                work.device, work.progress, work.tensorboard, work.save_every, group, work.launch,
            )  # fmt: skip
    except Interrupted:
        return Outcome(interrupted=True)
    except InputError as error:
        return Outcome(str(error))
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        return Outcome(f"{where}{error.strerror or error}")
    return Outcome()


def _process(work: Work, environment: dict[str, str]) -> dict[str, object]:
    """Be one of the processes that the launcher starts."""
    flush_subnormals()
    os.environ.update(environment)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    rank, run = int(os.environ["RANK"]), Run(Path(work.folder))
    again = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if again and rank == 0:
        position = run.position() if run.marked(work.launch) else None
        step = position.step if position else 0
        sys.stderr.write(f"a process died; all start again (restart {again}) from step {step}\n")
    try:
        with joined(work.device) as group:
            return asdict(outcome(work, group))
    except Exception as error:  # another process has died, or this is worth another start
        words = (str(error).splitlines() or [""])[0]
        if "by peer" not in words:  # "connection closed by peer": what that one has died of counts
            sys.stderr.write(f"process {rank}: {type(error).__name__}: {words}\n")
        raise


def _launched(work: Work, processes: int, restarts: int) -> Outcome:
    """Start the processes and return how they ended: all in the same way."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="aesm2-launch-") as logs:
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=work.launch,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=restarts,
            monitor_interval=0.1,
            start_method="forkserver",  # torch is imported once, not by each process
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            signals_to_handle="SIGTERM,SIGHUP,SIGQUIT",  # Ctrl-C halts the run, see `interrupts`
        )
        try:
            ended = elastic_launch(settings, _process)(work, _environment(processes))
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            code = failure.exitcode
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise InputError(
                f"{work.folder}: a process ended {how} after {restarts} restarts; once the cause is"
                " mended go on with --resume"
            ) from None
    return Outcome(**ended[0])


def _environment(processes: int) -> dict[str, str]:
    """Return what the processes find in their environment."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    found = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    for _, name in socket.if_nameindex():
        if name in ("lo", "lo0"):
            found["GLOO_SOCKET_IFNAME"] = name  # the loopback: nobody else can join
    return found


@contextlib.contextmanager
def _launching() -> Iterator[None]:
    """Prepare this process to launch others, and take back what was changed for that."""
    multiprocessing.set_forkserver_preload([__name__])
    # With one store for both, half of the restarted runs waited for one another without end.
    name = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    logs = [logging.getLogger(f"torch.{of}") for of in ("distributed.elastic", "multiprocessing")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)  # the processes say in one line what these say in forty
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
