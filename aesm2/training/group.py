"""The processes that train one model together; one process alone is a group of one.

Every process runs the same loop and calls the same methods of its `Group` in the same order: each
is a meeting where all wait for one another. The leader, rank 0, is the only one that touches the
run folder, measures and writes. Only JSON and tensors travel between processes, never pickles.

Gradients are averaged by torch's DistributedDataParallel, which sends some while others are still
being computed. It averages over processes, not rows, so the loop gives it the sum over a process's
rows, divided by the rows of the whole batch and multiplied by the processes: exact however unevenly
the rows of a batch are spread.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aesm2.device import resolve_device
from aesm2.errors import InputError

T = TypeVar("T")
PATIENCE = timedelta(
    hours=12
)  # others wait while the leader measures; a dead process is told apart


@dataclass(frozen=True)
class Group:
    """A place among the processes: `rank` of `size`.

    device: what this process computes on; None leaves it open.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    @property
    def leader(self) -> bool:
        """Whether this process reads and writes the run folder."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients become the mean over the processes in `backward`.

        Every parameter has to have a gradient in every process, as those of our models have: that
        of an expert nobody chose, and that of a process without a row in the batch, is zero, not
        missing. Adam then moves the same parameters as in one process.
        """
        if self.size == 1:
            return module
        return DistributedDataParallel(
            module,
            forward_sync_buffers=False,  # no model that is trained here changes any
            gradient_as_bucket_view=True,  # one copy of the gradients less
        )

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor of one shape over the processes; the same for all, also its rounding."""
        if self.size == 1:
            return values
        total = self._here(values).clone()
        dist.all_reduce(total)
        return total.to(values.device)

    def most(self, value: float) -> float:
        """Return the largest of the processes' values."""
        return max(self._all_told(value)) if self.size > 1 else value

    def any(self, flag: bool) -> bool:
        """Whether it is so for any process: what all then agree on."""
        if self.size == 1:
            return flag
        raised = torch.tensor([float(flag)], device=self._on)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised.item())

    def lead(self, work: Callable[[], T]) -> T:
        """Let the leader do something; every process returns its result, which JSON can hold.

        Where it fails every process raises: the leader its exception, the others an InputError with
        the same words.
        """
        if self.size == 1:
            return work()
        value: T | None = None
        said: str | None = None
        failure: Exception | None = None
        if self.leader:
            try:
                value = work()
            except Exception as error:  # told to those who wait, and raised again below
                said, failure = _words(error), error
        told: T
        told, said = self._told([value, said])
        if failure is not None:
            raise failure
        if said is not None:
            raise InputError(said)
        return told

    def each(self, work: Callable[[], T]) -> T:
        """Do one's own part; where that of any process fails every process raises InputError."""
        if self.size == 1:
            return work()
        said: str | None = None
        try:
            value = work()
        except Exception as error:  # told to those who wait, and raised by all
            said = _words(error)
        errors = [words for words in self._all_told(said) if words is not None]
        if errors:
            raise InputError(errors[0])
        return value

    def same(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the leader's tensors on every process, on the CPU."""
        if self.size == 1:
            return dict(tensors)
        shapes = [[name, list(t.shape), _dtype(t)] for name, t in tensors.items()]
        found: dict[str, Tensor] = {}
        for name, shape, dtype in self._told(shapes):
            empty = torch.empty(shape, dtype=getattr(torch, dtype))
            value = self._here(tensors[name] if self.leader else empty).contiguous()
            dist.broadcast(value, 0)
            found[name] = value.cpu()
        return found

    def gather(self, rows: Tensor) -> list[Tensor]:
        """Return every process's rows to the leader, by rank; an empty list to the others."""
        if self.size == 1:
            return [rows]
        lengths = self._all_told(len(rows))
        if not self.leader:
            self._send(rows, 0)
            return []
        others = [self._receive(rows, n, rank) for rank, n in enumerate(lengths) if rank]
        return [rows, *others]

    def deal(self, rows: Tensor) -> Tensor:
        """Give row i of the leader to process i mod size; from the others take kind and width."""
        if self.size == 1:
            return rows
        count = self._told(len(rows))
        if not self.leader:
            return self._receive(rows, len(range(self.rank, count, self.size)), 0)
        for rank in range(1, self.size):
            self._send(rows[rank :: self.size], rank)
        return rows[:: self.size].clone()

    def told(self, value: Any) -> list[Any]:
        """Return what every process says, by rank; JSON must be able to hold it."""
        return self._all_told(value) if self.size > 1 else [value]

    @property
    def _on(self) -> torch.device:
        """Where messages lie: NCCL carries only what lies on a GPU."""
        gpu = dist.get_backend() == "nccl" and self.device is not None
        return self.device if gpu else torch.device("cpu")  # type: ignore[return-value]

    def _here(self, values: Tensor) -> Tensor:
        return values.to(self._on)

    def _send(self, rows: Tensor, to: int) -> None:
        if len(rows):
            dist.send(self._here(rows).contiguous(), to)

    def _receive(self, like: Tensor, count: int, source: int) -> Tensor:
        rows = self._here(like.new_empty(count, *like.shape[1:]))
        if count:
            dist.recv(rows, source)
        return rows.to(like.device)

    def _told(self, value: Any) -> Any:
        """Return what the leader says."""
        data = self._spelt(value)
        length = torch.tensor([len(data)], device=self._on)
        dist.broadcast(length, 0)
        if not self.leader:
            data = torch.empty(int(length), dtype=torch.uint8, device=self._on)
        dist.broadcast(data, 0)
        return json.loads(bytes(data.cpu().numpy()))

    def _all_told(self, value: Any) -> list[Any]:
        data = self._spelt(value)
        lengths = [torch.zeros(1, dtype=torch.int64, device=self._on) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(data)], device=self._on))
        longest = int(max(int(length) for length in lengths))
        padded = torch.zeros(longest, dtype=torch.uint8, device=self._on)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        pairs = zip(parts, lengths, strict=True)
        return [json.loads(bytes(part[: int(n)].cpu().numpy())) for part, n in pairs]

    def _spelt(self, value: Any) -> Tensor:
        return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(
            self._on
        )


ALONE = Group()


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or what does as it does, started this process as one of several."""
    return int(environment.get("WORLD_SIZE", 1)) > 1


@contextlib.contextmanager
def joined(device: str) -> Iterator[Group]:
    """Meet the other processes of the launch, and part at the end of the block.

    device: "auto", "cuda" and "cpu". A GPU each where there are any, by nccl; else gloo on CPUs.
    Raises InputError where there are fewer GPUs on this machine than processes.
    """
    if not launched():
        yield ALONE
        return
    own = own_device(device, int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()


def own_device(name: str, rank: int, size: int) -> torch.device:
    """Return the device of process `rank` of the `size` on this machine; InputError if too few."""
    chosen = resolve_device(name)
    if chosen.type == "cpu":
        return chosen
    if chosen.index is not None:
        raise InputError(f"device '{name}' is one GPU; several processes take --device cuda or cpu")
    if torch.cuda.device_count() < size:
        raise InputError(
            f"{size} processes need a GPU each, there are {torch.cuda.device_count()};"
            " start fewer, or add --device cpu"
        )
    return torch.device("cuda", rank)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _words(error: Exception) -> str:
    """Return one line for those who were not there."""
    said = str(error).splitlines()
    return said[0] if isinstance(error, InputError) and said else f"{type(error).__name__}: {error}"
