"""Arrays as bytes: what travels between machines and into files; nothing of it is a pickle."""

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from aesm2.errors import InputError


def pack(arrays: dict[str, np.ndarray], about: dict[str, str] | None = None) -> bytes:
    """Write arrays, and words about them, as safetensors."""
    plain = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    content: bytes = safetensors.numpy.save(plain, about)
    return content


def unpack(content: bytes, what: str = "a result") -> dict[str, np.ndarray]:
    """Read arrays back; InputError where the bytes are cut off or something else."""
    try:
        arrays: dict[str, np.ndarray] = safetensors.numpy.load(content)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{what}: cannot be read: {str(error).splitlines()[0]}") from None
    return arrays
