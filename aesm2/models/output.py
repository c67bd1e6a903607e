"""What every model returns."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aesm2.layers.mixture import Mixture
from aesm2.layers.moe import Routing


@dataclass(frozen=True)
class Output:
    """A model's answer for a batch.

    logits: log-odds of each task given the task it follows, (rows, tasks).
    log_probability: log of each task's probability along its chain, (rows, tasks), e.g.
    log pCTCVR = log pCTR + log pCVR.
    routings: one Routing a layer in order of computation; empty for models without selection.
    mixtures: one Mixture a layer in order of computation; empty for models without gates, and for
    those that select.
    """

    logits: Tensor
    log_probability: Tensor
    routings: tuple[Routing, ...] = ()
    mixtures: tuple[Mixture, ...] = ()


def along_chain(logits: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Log of each task's probability as the product along its chain (§4.1, ESMM).

    logits: (rows, tasks). parents: index of the task each follows, earlier than itself, or -1.
    """
    conditional = F.logsigmoid(logits).unbind(-1)
    total: list[Tensor] = []
    for own, parent in zip(conditional, parents, strict=True):
        total.append(own if parent < 0 else own + total[parent])
    return torch.stack(total, dim=-1)
