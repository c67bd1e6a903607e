"""Eq. 19–22 of some rows: what training would add up, without the noise of training."""

from collections.abc import Iterator

import numpy as np
import torch

from aesm2.audit import reference
from aesm2.audit.findings import SMALL, About, Axis, Finding, compared, exact
from aesm2.config import TrainingConfig
from aesm2.data.batch import Batch
from aesm2.layers.moe import Routing
from aesm2.layers.selection import Selection
from aesm2.losses import cross_entropy, loss_terms, squared_norm
from aesm2.models import AESM2, Output
from aesm2.routing.trace import RoutingTrace

NO_LABELS = "these rows have no labels"


def loss_findings(
    model: AESM2, batch: Batch, traced: RoutingTrace, training: TrainingConfig
) -> Iterator[Finding]:
    """Audit L_k of every known label, L_sp and L_sh of every layer, L_aux, and the whole loss."""
    names = model.schema.tasks
    known = batch.labels is not None
    labels = torch.full_like(traced.logits, torch.nan) if batch.labels is None else batch.labels
    labels = labels.cpu()
    terms = loss_terms(_output(traced), labels)
    tasks = _tasks(traced, labels)
    if known and not np.isnan(tasks).all():
        rows, of_task = Axis("row", list(traced.index)), Axis("task", names)
        told = exact(cross_entropy(traced.log_probability, labels))
        told, audited = (np.where(np.isnan(tasks), 0.0, values) for values in (told, tasks))
        yield compared(About(19, "L_k"), audited, told, (rows, of_task), size=SMALL)
    auxiliary = _auxiliary(traced)
    for number, layer in enumerate(traced.layers):
        for role, own in (("sp", terms.specific), ("sh", terms.shared)):
            about = About(20, f"L_{role} of the layer", layer.name)
            yield compared(about, auxiliary[role][number], exact(own[number]))
    strengths = (training.lambda_specific, training.lambda_shared)
    lost = strengths[0] * auxiliary["sp"].sum() + strengths[1] * auxiliary["sh"].sum()
    none = torch.zeros(len(names))
    told = exact(terms.total(none, *strengths))
    yield compared(About(21, "L_aux"), np.asarray(lost), told, size=sum(strengths) or 1.0)
    if known:
        weights = np.array([training.task_weights.get(name, 1.0) for name in names])
        of_tasks = np.nansum(tasks, axis=0) / len(tasks)  # over all rows, those unlabelled too
        decay = np.asarray(training.l2 * sum((exact(p) ** 2).sum() for p in model.parameters()))
        told = training.l2 * exact(squared_norm(model))
        yield compared(About(22, "γ‖Θ‖²"), decay, told, size=training.l2 or 1.0)
        whole = (weights * of_tasks).sum() + lost + decay
        total = terms.total(torch.from_numpy(weights).to(terms.tasks), *strengths)
        yield compared(About(22, "L"), np.asarray(whole), exact(total) + told)


def _tasks(traced: RoutingTrace, labels: torch.Tensor) -> np.ndarray:
    """Eq. 19, (R, T); NaN where the label is unknown."""
    known = exact(labels)
    loss = reference.cross_entropy(exact(traced.log_probability), known)
    return np.where(np.isnan(known), np.nan, loss)


def _auxiliary(traced: RoutingTrace) -> dict[str, np.ndarray]:
    """Eq. 20 of every layer, averaged over rows: {"sp": (layers,), "sh": (layers,)}.

    A task layer adds up its tasks, since every row goes through each of their gates.
    """
    specific, shared = [], []
    for layer in traced.layers:
        log_rows = reference.log_softmax(exact(layer.gate_logits))  # (R, n, m)
        m = log_rows.shape[-1]
        targets = range(m) if layer.kind == "task" else [0]
        uniform = reference.divergence(np.full(m, 1 / m), log_rows)
        of_layer = np.zeros(2)
        for target in targets:
            seen = layer.of_task(target)
            one_hot = np.eye(m)[seen.target.numpy()][:, None, :]
            kl = reference.divergence(one_hot, log_rows)
            of_layer += [kl[seen.specific.numpy()].sum(), uniform[seen.shared.numpy()].sum()]
        specific.append(of_layer[0] / len(log_rows))
        shared.append(of_layer[1] / len(log_rows))
    return {"sp": np.array(specific), "sh": np.array(shared)}


def _output(traced: RoutingTrace) -> Output:
    """Return a trace as the output that a loss is computed from."""
    routings = [
        Routing(
            layer.gate_logits,
            layer.target,
            Selection(
                layer.kl_specific, layer.kl_shared, layer.specific, layer.shared,
                layer.mixing_weights,
            ),
            layer.output,
        )
        for layer in traced.layers
    ]  # fmt: skip
    return Output(traced.logits, traced.log_probability, tuple(routings))
