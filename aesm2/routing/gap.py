"""How close the calls of a selection were."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aesm2.layers.selection import Selection
from aesm2.routing.trace import LayerTrace


def selection_gap(layers: Sequence[Selection | LayerTrace], rows: int) -> Tensor:
    """Distance between the worst expert taken and the best one left, in nats of KL, (rows,).

    It is the smallest over the given layers, their two roles and, in task layers, the tasks;
    infinite where nothing was left to take.
    """
    smallest = torch.full((rows,), torch.inf)
    for layer in layers:
        roles = ((layer.kl_specific, layer.specific), (layer.kl_shared, layer.shared))
        for score, mask in roles:
            best_left = score.masked_fill(mask, torch.inf).amin(-1)
            worst_taken = score.masked_fill(~mask, -torch.inf).amax(-1)
            gap = (best_left - worst_taken).view(-1, rows).amin(0).cpu()
            smallest = torch.minimum(smallest, gap)
    return smallest
