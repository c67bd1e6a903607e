"""What the masking rule of the authors' released code would mix, on the logits of a model here.

Eq. 14 masks g_j, the column of the row's own gate, with −∞ off E_sp ∪ E_sh; so does this model. The
released TensorFlow code multiplies instead: g_j[k] times 2 where expert k is chosen in both roles,
1 where in one, −10⁹ where in none. An unselected expert whose logit is negative then has the
largest entry there is, and takes the softmax; one whose logit is positive is as good as masked.

Only this rule is recomputed, with the logits and the choice that the model here has. What else the
released code does differently (noise for the selection alone, an averaged divergence, normalised
gates, experts shared across depths) is not: what follows is about the rule, not about that code's
results.

Axes: rows; T targets (the tasks in a task layer, 1 in a scenario layer); n experts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.selection import Gates, Selection, select
from aesm2.metrics import wilson
from aesm2.models import Model
from aesm2.routing.trace import LayerSpec, LayerTrace, layer_specs

UNSELECTED = -1e9  # what the rule multiplies the logit of an unselected expert by
SOME = 1e-6  # weight on unselected experts above which the rule is said to put weight on them
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class LayerAudit:
    """The rule's mixing weights against those of Eq. 14, in one layer.

    on_unselected: weight that the rule puts on experts outside E_sp ∪ E_sh, (T, rows). moved: half
    the sum of the absolute differences of both weights (total variation), (T, rows), in [0, 1]; it
    holds what doubling moves among the chosen as well.
    """

    spec: LayerSpec
    on_unselected: np.ndarray
    moved: np.ndarray


def released_weights(own: Tensor, specific: Tensor, shared: Tensor) -> Tensor:
    """softmax(g_j · mask) with the released code's mask: (…, n) each → (…, n).

    own: g_j. specific, shared: E_sp and E_sh as masks.
    """
    times = specific.to(own.dtype) + shared.to(own.dtype)  # 2: in both roles
    return (own * times.masked_fill(times == 0, UNSELECTED)).softmax(-1)


def released(gates: Gates) -> tuple[Tensor, Selection]:
    """Return the rule's mixing weights, (…, rows, n), and the selection of the model here."""
    chosen = select(*gates)
    own = torch.where(gates.target.unsqueeze(-2), gates.logits, 0.0).sum(-1)  # g_j
    return released_weights(own, chosen.specific, chosen.shared), chosen


def released_rule(_: int, gates: Gates) -> tuple[Gates, Selection]:
    """Mix by the released rule in every layer: an `InterveneIn`.

    The model was not trained so: what comes out is another model's prediction. Experts that get
    weight count as specific, so that they are computed; a row may then have more than K.
    """
    weights, chosen = released(gates)
    computed = chosen.specific | ((weights > 0) & ~chosen.shared)
    return gates, Selection(chosen.kl_specific, chosen.kl_shared, computed, chosen.shared, weights)


def released_probabilities(model: Model, batch: Batch) -> np.ndarray:
    """Each task's probability were all layers to mix by the released rule, (rows, tasks)."""
    parts = [
        output.log_probability.exp().cpu()
        for _, output in outputs(model, batch, intervene=released_rule)
    ]
    result: np.ndarray = torch.cat(parts).numpy()
    return result


def audit(model: Model, batch: Batch) -> tuple[LayerAudit, ...]:
    """Recompute the rule on the gate logits of every layer, as the model here computes them.

    A deeper layer's logits are those of Eq. 14 above it, not of the rule: each layer stands alone.
    Raises InputError for a model without selection, or without rows.
    """
    specs = layer_specs(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to audit")
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in specs]

    def recompute(number: int, gates: Gates) -> tuple[Gates, Selection]:
        weights, chosen = released(gates)
        weights, ours = (w if w.dim() == 3 else w[None] for w in (weights, chosen.mixing_weights))
        off = ~(chosen.specific | chosen.shared)
        moved = (weights - ours).abs().sum(-1) / 2
        parts[number].append(((weights * off).sum(-1).cpu(), moved.cpu()))
        return gates, chosen

    for _ in outputs(model, batch, intervene=recompute):
        pass
    if not len(batch):
        raise InputError("no rows to audit")
    return tuple(
        LayerAudit(spec, *(torch.cat(list(each), 1).numpy() for each in zip(*own, strict=True)))
        for spec, own in zip(specs, parts, strict=True)
    )


def audit_table(
    layers: Iterable[LayerAudit], scopes: Iterable[tuple[str, str, np.ndarray]],
    exists: np.ndarray | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return what the rule moves: one line a layer, task, scope and scenario.

    scopes: (scope, scenario, mask of its rows), see `paired.scopes`. exists: whether the row's
    scenario has each task, (rows, T); in a task layer only such rows count. Columns: layer, task,
    scope, scenario, rows, affected (share of rows with more than SOME weight on unselected
    experts), low, high (Wilson, 95 %), on_unselected and moved (means), moved_p10, moved_p50,
    moved_p90.
    """
    lines, named = [], list(scopes)
    for layer in layers:
        tasks = layer.spec.gates if layer.spec.kind == "task" else ("",)
        for target, task in enumerate(tasks):
            for scope, scenario, mask in named:
                rows = mask & exists[:, target] if task and exists is not None else mask
                lines.append(
                    {"layer": layer.spec.name, "task": task, "scope": scope, "scenario": scenario}
                    | _summary(layer.on_unselected[target, rows], layer.moved[target, rows])
                )
    return pd.DataFrame(lines)


def audit_case(layer: LayerTrace, row: int, task: int = 0) -> pd.DataFrame:
    """Return one row's case in a layer: one line an expert.

    Columns: expert, logit (g_j), specific, shared, factor (of the rule), product, weight (Eq. 14),
    rule_weight (softmax of the products).
    """
    own = layer.of_task(task)
    logit = own.gate_logits[row, :, int(own.target[row])]
    specific, shared = own.specific[row], own.shared[row]
    times = specific.to(logit.dtype) + shared.to(logit.dtype)
    factor = times.masked_fill(times == 0, UNSELECTED)
    return pd.DataFrame({
        "expert": np.arange(layer.experts), "logit": logit.numpy(), "specific": specific.numpy(),
        "shared": shared.numpy(), "factor": factor.numpy(), "product": (logit * factor).numpy(),
        "weight": own.mixing_weights[row].numpy(),
        "rule_weight": released_weights(logit, specific, shared).numpy(),
    })  # fmt: skip


def _summary(on_unselected: np.ndarray, moved: np.ndarray) -> dict[str, float]:
    n = len(moved)
    affected = int((on_unselected > SOME).sum())
    low, high = wilson(np.array([affected]), np.array([n]))
    low_q, middle, high_q = np.quantile(moved, QUANTILES) if n else (np.nan,) * 3
    return {
        "rows": n, "affected": affected / n if n else np.nan, "low": low[0], "high": high[0],
        "on_unselected": float(on_unselected.mean()) if n else np.nan,
        "moved": float(moved.mean()) if n else np.nan,
        "moved_p10": low_q, "moved_p50": middle, "moved_p90": high_q,
    }  # fmt: skip
