"""The equations once more in NumPy float64, each from its own inputs.

Nothing of the model's code is used, and no closed form where the paper writes a sum, so that a
mistake there is not repeated here.

Axes: R rows; n experts, indexed k; m gates, indexed j; T tasks.
"""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
Linear = tuple[Array, Array]  # weight (outputs, inputs) and bias (outputs,)


def embedding(table: Array, sizes: Sequence[int], fields: Array) -> Array:
    """Eq. 5–6: each field's row of its part of the table, side by side; (R, fields · dim).

    table: parts of all fields, one below the other. fields: (R, fields), an index in each part.
    """
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate([table[start + own] for start, own in zip(starts, fields.T, strict=True)],
                          axis=1)  # fmt: skip


def gates(parts: Sequence[tuple[Array, Sequence[Array]]]) -> Array:
    """Eq. 7–8 and 16 without noise: G, one column a gate, (R, n, m).

    parts: of the gates' input, each with its weights (n, m, width) and, for every gate j, what that
    gate sees of it: (R, width), or (1, width) where it is the same for all rows.
    """
    columns = []
    for j in range(parts[0][0].shape[1]):
        columns.append(sum(seen[j] @ weights[:, j].T for weights, seen in parts))  # g_j, (R, n)
    return np.stack(columns, axis=-1)


def log_softmax(scores: Array) -> Array:
    """Eq. 9 and 4 in logs, over the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def divergence(p: Array, log_q: Array) -> Array:
    """KL(p, q) = Σ p (log p − log q) over the last axis, in nats; 0 log 0 = 0 (Eq. 11, 13)."""
    p = np.broadcast_to(p, log_q.shape)
    log_p = np.log(np.where(p > 0, p, 1.0))
    result: Array = np.where(p > 0, p * (log_p - np.where(p > 0, log_q, 0.0)), 0.0).sum(-1)
    return result


def top_k(divergences: Array, k: int) -> Array:
    """TopK of −KL as a mask (Eq. 10, 12): the k lowest; of equal ones, the lower index."""
    rank = divergences.argsort(-1, kind="stable").argsort(-1, kind="stable")
    result: Array = rank < k
    return result


def excess(divergences: Array, chosen: Array, k: int) -> Array:
    """How far a set is from a TopK, in nats: its worst member over the best left out; (R,).

    Divided by the latter where that is above 1. 0 for a set with the k lowest divergences; infinite
    where its size is not k.
    """
    worst = np.where(chosen, divergences, -np.inf).max(-1)
    best = np.where(chosen, np.inf, divergences).min(-1)
    over = np.maximum(worst - best, 0.0) / np.maximum(best, 1.0)
    return np.where(chosen.sum(-1) == k, over, np.inf)


def masked_softmax(scores: Array, members: Array) -> Array:
    """Eq. 14, then the softmax of Eq. 4: weights that are 0 off `members`."""
    kept = np.where(members, scores, -np.inf)
    powers = np.exp(kept - kept.max(-1, keepdims=True))
    result: Array = powers / powers.sum(-1, keepdims=True)
    return result


def experts(weight: Array, bias: Array, x: Array) -> Array:
    """Eq. 2: f_k(x) = relu(W_k x + b_k); (R, n, width)."""
    result: Array = np.maximum(np.einsum("kwi,ri->rkw", weight, x) + bias, 0.0)
    return result


def mixture(weights: Array, outputs: Array) -> Array:
    """Eq. 1: Σ_k g[k] f_k(x); (R, width)."""
    result: Array = (weights[:, :, None] * outputs).sum(1)
    return result


def perceptron(layers: Sequence[Linear], z: Array) -> Array:
    """The MLP of Eq. 18 before its sigmoid, rectified between its layers; (R,)."""
    *hidden, (last, bias) = layers
    for weight, own in hidden:
        z = np.maximum(z @ weight.T + own, 0.0)
    result: Array = (z @ last.T + bias)[:, 0]
    return result


def sigmoid(logits: Array) -> Array:
    """σ of Eq. 18."""
    result: Array = np.exp(-np.logaddexp(0.0, -logits))
    return result


def chain(conditional: Array, parents: Sequence[int]) -> Array:
    """Each task's probability times that of the task it follows (§4.1); (R, T)."""
    result = conditional.copy()
    for task, parent in enumerate(parents):
        if parent >= 0:
            result[:, task] *= result[:, parent]
    return result


def cross_entropy(log_probability: Array, labels: Array) -> Array:
    """Eq. 19, elementwise, of a probability given by its log."""
    positive = np.where(labels == 1, -log_probability, 0.0)
    with np.errstate(divide="ignore"):
        against = -np.log(-np.expm1(log_probability))
    return positive + np.where(labels == 0, against, 0.0)
