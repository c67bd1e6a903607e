"""The training loss (Eq. 19–22), term by term."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aesm2.layers.moe import Routing
from aesm2.models.output import Output


class LossTerms(NamedTuple):
    """Means over the rows of a batch; of a share of them, what it adds to those of the batch.

    tasks: L_k of each task (Eq. 19), (tasks,), summed over the rows that have its label and divided
    by all rows, so that a row weighs the same whatever its batch. specific, shared: Σ_{k ∈ E} KL of
    each layer (Eq. 20), (layers,); in a task layer also summed over its tasks.
    """

    tasks: Tensor
    specific: Tensor
    shared: Tensor

    def total(self, task_weights: Tensor, lambda_specific: float, lambda_shared: float) -> Tensor:
        """Σ λ_k L_k + λ_sp L_sp + λ_sh L_sh (Eq. 22 without its last term); scalar."""
        loss = (task_weights * self.tasks).sum()
        if lambda_specific:
            loss = loss + lambda_specific * self.specific.sum()
        if lambda_shared:
            loss = loss + lambda_shared * self.shared.sum()
        return loss


def loss_terms(output: Output, labels: Tensor, rows: int | None = None) -> LossTerms:
    """Compute every term for one batch; labels: (rows, tasks) of 0 and 1, NaN where unknown.

    rows: what the sums are divided by; those of the whole batch where these are a share of it.
    """
    rows, known = len(labels) if rows is None else rows, ~labels.isnan()
    tasks = (cross_entropy(output.log_probability, labels.nan_to_num(0)) * known).sum(0) / rows
    specific, shared = auxiliary_terms(output.routings, output.logits, rows)
    return LossTerms(tasks, specific, shared)


def cross_entropy(log_probability: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of probabilities given by their logs (Eq. 19), elementwise, in nats."""
    return -(labels * log_probability + (1 - labels) * log1mexp(log_probability))


def auxiliary_terms(
    routings: Sequence[Routing], like: Tensor, rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """L_sp and L_sh of every layer (Eq. 20), averaged over rows: two (layers,) tensors.

    Summed over the chosen experts. A task layer sums over its tasks too, since the paper adds up
    one such loss for each gate that a row uses; its shared set is the same for every task and
    counts once for each.
    """
    specific, shared = [like.new_zeros(0)], [like.new_zeros(0)]
    for routing in routings:
        chosen = routing.selection
        count = len(routing.gate_logits) if rows is None else rows
        gates = len(chosen.specific) if chosen.specific.dim() == 3 else 1  # tasks of a task layer
        specific.append((chosen.kl_specific * chosen.specific).sum().view(1) / count)
        shared.append((chosen.kl_shared * chosen.shared).sum().view(1) * gates / count)
    return torch.cat(specific), torch.cat(shared)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, accurate at both ends."""
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    small = x > -0.693147
    near_zero = torch.log(-torch.expm1(torch.where(small, x, -1.0)))
    far = torch.log1p(-torch.exp(torch.where(small, -1.0, x)))
    return torch.where(small, near_zero, far)


def squared_norm(model: nn.Module) -> Tensor:
    """‖Θ‖² over all parameters (Eq. 22); scalar."""
    return torch.stack([p.detach().square().sum() for p in model.parameters()]).sum()
