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

ROUNDS = 6  # up to this K the lowest are found one by one, above it by sorting
FAR = 1e30  # below every gate logit


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
    # Rows last while reducing over gates and experts: both are few, and a processor reduces over a
    # leading axis of few with all its lanes. (m, ..., n, rows), 1 in place of what broadcasts:
    own_gate = target.movedim(-1, 0).unsqueeze(-2).to(gate_logits.dtype).contiguous()
    g = gate_logits.permute(2, 1, 0).contiguous()
    g = g.view(g.shape[0], *[1] * (target.ndim - 2), *g.shape[1:])
    own = (g * own_gate).sum(0)  # g_j, (..., n, rows)
    if len(g) == 1:  # p_j = q = G̃[k, :] = (1,): both divergences are 0
        kl_specific = margin = torch.zeros_like(own)
        kl_shared = torch.zeros_like(gate_logits[..., 0]).t()
    else:
        margin = own - _logsumexp(g, 1 - own_gate)
        kl_specific = F.softplus(-margin)
        kl_shared = _shared_divergence(g).view(gate_logits.shape[1::-1])
    specific_mask = _lowest(-margin, specific)
    shared_mask = _lowest(kl_shared, shared)
    masked = own.masked_fill(~(specific_mask | shared_mask), -math.inf)  # ĝ_j
    weights = masked.softmax(-2)
    of_rows = kl_specific, kl_shared.clamp(min=0), specific_mask, shared_mask, weights
    return Selection(*(tensor.transpose(-1, -2) for tensor in of_rows))


Intervene = Callable[[Gates], tuple[Gates, Selection]]
"""What replaces `select` in a layer: returns the gates as they were used, and the choice."""


def chosen(gates: Gates, intervene: Intervene | None) -> tuple[Gates, Selection]:
    """Select as the model does, or as somebody who intervenes wants it."""
    return (gates, select(*gates)) if intervene is None else intervene(gates)


def shared_divergence(gate_logits: Tensor) -> Tensor:
    """KL(q, softmax(G[k, :])) in nats, up to rounding below 0: (rows, n, m) → (rows, n)."""
    return _shared_divergence(gate_logits.movedim(-1, 0))


def _shared_divergence(g: Tensor) -> Tensor:
    """`shared_divergence` over the first axis: (m, ...) → (...)."""
    return _logsumexp(g - g.mean(0)) - math.log(len(g))


def _logsumexp(x: Tensor, kept: Tensor | None = None) -> Tensor:
    """log Σ exp over the first axis, (few, ...) → (...), of what is kept (1, not 0) alone.

    Several times as fast as filling with -inf: the exponential of -inf is slow, and so is a mask.
    """
    if kept is None:
        top = x.detach().amax(0)
        return (x - top).exp().sum(0).log() + top
    top = (x.detach() - FAR * (1 - kept)).amax(0)
    return ((x - top).clamp(max=0).exp() * kept).sum(0).log() + top


def lowest(score: Tensor, k: int) -> Tensor:
    """Mask of the k lowest scores along the last axis; of equal ones, the lower index first."""
    if score.ndim == 1:
        return lowest(score.unsqueeze(0), k)[0]
    return _lowest(score.transpose(-1, -2), k).transpose(-1, -2)


def _lowest(score: Tensor, k: int) -> Tensor:
    """`lowest` along the axis before the last: (..., n, rows)."""
    score = score.detach()
    found = torch.zeros_like(score, dtype=torch.bool)
    if k > ROUNDS:
        return found.scatter_(-2, score.argsort(dim=-2, stable=True)[..., :k, :], True)
    first, n = found, score.shape[-2]
    left = score.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    index = torch.arange(n, dtype=torch.int16, device=score.device).unsqueeze(-1)
    for number in range(k):  # a round for each: minima are much faster than a sort
        if number:
            left = left.masked_fill(first, math.inf)
        least = (left == left.amin(-2, keepdim=True)) & ~found
        first = index == torch.where(least, index, n).amin(-2, keepdim=True)
        found |= first
    return found
