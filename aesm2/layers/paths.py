"""Fine-grained scenarios: a row's scenarios of all levels together."""

from collections.abc import Sequence

import torch
from torch import Tensor


def path_of(scenarios: Tensor, sizes: Sequence[int]) -> Tensor:
    """Number the combinations of the levels' scenarios, the last level fastest.

    scenarios: (rows, levels) integer. sizes: scenarios of each level. Returns (rows,) integer
    below the product of sizes.
    """
    path = torch.zeros_like(scenarios[:, 0])
    for level, size in enumerate(sizes):
        path = path * size + scenarios[:, level]
    return path
