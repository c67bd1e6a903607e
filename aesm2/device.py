"""Which device to compute on, and how its smallest numbers are taken."""

import contextlib
from collections.abc import Iterator

import torch

from aesm2.errors import InputError


def resolve_device(name: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device; "auto" is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device '{name}' is none of auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device '{name}' is none of auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(
            f"device '{name}' is not there: {found} CUDA devices found; use --device cpu"
        )
    return device


def device_label(device: torch.device) -> str:
    """Name a device for people: the GPU's product name, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def flush_subnormals(flush: bool = True) -> None:
    """Take numbers below 1.2e-38 as 0 in this thread and in those it starts from now on.

    A processor takes up to a hundred times as long for them, and L2 leaves many in a model that was
    trained for long. Results of float32 differ by less than that number. For whoever starts a
    process, before it computes: torch's own threads keep what was set when they began.
    """
    torch.set_flush_denormal(flush)


def flushes_subnormals() -> bool:
    """Whether this thread takes numbers below 1.2e-38 as 0."""
    return float(torch.full((), torch.finfo(torch.float32).tiny) / 2) == 0


@contextlib.contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Let a block flush them, as `flush_subnormals` does, and put things back as they were."""
    before = flushes_subnormals()
    flush_subnormals()
    try:
        yield
    finally:
        flush_subnormals(before)
