"""Expert selection: which experts are specific to a gate, which are shared, and their weights.

Axes: rows; n experts, indexed k; m gates, indexed j. "..." stands for optional leading axes (the
tasks of a task layer) that broadcast.

With p_j one-hot and q uniform, both divergences have closed forms in the gate logits g = G[k, :]:

    KL(p_j, softmax g) = -log softmax(g)_j = softplus(-margin),  margin = g_j - logsumexp_{i≠j} g_i
    KL(q,   softmax g) = logsumexp(g - mean g) - log m

They are ranked through forms that stay strictly monotone in float32. The log of a softmax would
not do: it saturates once logits differ by some tens, and experts then tie that are not equal.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Gates(NamedTuple):
    """What a selection is made from; the arguments of `select`.

    logits: G, (rows, n, m). target: p_j as a boolean one-hot mask, (..., rows or 1, m).
    specific, shared: K of Eq. 10 and of Eq. 12.
    """

    logits: Tensor
    target: Tensor
    specific: int
    shared: int


class Selection(NamedTuple):
    """The choice of experts for every row (§3.3).

    kl_specific: KL(p_j, G̃[k, :]), nats, (..., rows, n) (Eq. 11).
    kl_shared: KL(q, G̃[k, :]), nats, (rows, n); it does not depend on j (Eq. 13).
    specific: E_sp as a mask, exactly K true in a row, (..., rows, n) (Eq. 10).
    shared: E_sh as a mask, exactly K true in a row, (rows, n) (Eq. 12).
    mixing_weights: softmax(ĝ_j), 0 off E_sp ∪ E_sh, (..., rows, n) (Eq. 14 and 1).
    """

    kl_specific: Tensor
    kl_shared: Tensor
    specific: Tensor
    shared: Tensor
    mixing_weights: Tensor


def select(gate_logits: Tensor, target: Tensor, specific: int, shared: int) -> Selection:
    """Select experts for each row and weigh them (Eq. 9–14).

    gate_logits: G, (rows, n, m).
    target: p_j as a boolean one-hot mask, (..., rows or 1, m); true at the gate the row belongs to.
    specific, shared: K of Eq. 10 and of Eq. 12.
    """
    own = torch.where(target.unsqueeze(-2), gate_logits, 0.0).sum(-1)  # g_j, (..., rows, n)
    if gate_logits.shape[-1] == 1:  # p_j = q = G̃[k, :] = (1,): both divergences are 0
        kl_specific = margin = torch.zeros_like(own)
        kl_shared = torch.zeros_like(gate_logits[..., 0])
    else:
        others = gate_logits.masked_fill(target.unsqueeze(-2), -math.inf).logsumexp(-1)
        margin = own - others
        kl_specific = F.softplus(-margin)
        kl_shared = shared_divergence(gate_logits)
    specific_mask = lowest(-margin, specific)
    shared_mask = lowest(kl_shared, shared)
    masked = own.masked_fill(~(specific_mask | shared_mask), -math.inf)  # ĝ_j
    return Selection(
        kl_specific, kl_shared.clamp(min=0), specific_mask, shared_mask, masked.softmax(-1)
    )


Intervene = Callable[[Gates], tuple[Gates, Selection]]
"""What replaces `select` in a layer: returns the gates as they were used, and the choice."""


def chosen(gates: Gates, intervene: Intervene | None) -> tuple[Gates, Selection]:
    """Select as the model does, or as somebody who intervenes wants it."""
    return (gates, select(*gates)) if intervene is None else intervene(gates)


def shared_divergence(gate_logits: Tensor) -> Tensor:
    """KL(q, softmax(G[k, :])) in nats, up to rounding below 0: (rows, n, m) → (rows, n)."""
    centred = gate_logits - gate_logits.mean(-1, keepdim=True)
    return centred.logsumexp(-1) - math.log(gate_logits.shape[-1])


def lowest(score: Tensor, k: int) -> Tensor:
    """Mask of the k lowest scores along the last axis; of equal ones, the lower index first."""
    order = score.detach().argsort(dim=-1, stable=True)[..., :k]
    return torch.zeros_like(score, dtype=torch.bool).scatter_(-1, order, True)
