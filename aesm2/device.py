"""Which device to compute on."""

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
