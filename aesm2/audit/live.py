"""Does this model follow the paper? Each equation from the model's own inputs to it, in float64.

An equation takes what the model gave it (G of its layer, the masks, the layer's input) and its
result is compared with the model's. A mistake so shows in the equation where it was made, not in
all that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.audit import reference
from aesm2.audit.findings import SMALL, About, Audit, Axis, Finding, compared, exact, sets, shapes
from aesm2.audit.losses import NO_LABELS, loss_findings
from aesm2.checkpoint import Checkpoint
from aesm2.config import TrainingConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.layers.moe import ScenarioLayer, TaskLayer
from aesm2.models import AESM2
from aesm2.routing.trace import LayerTrace, RoutingTrace, trace

NOT_HERE = "a gate of plain MMoE; AESM² has Eq. 8 and 16 in its place"


@dataclass(frozen=True)
class _Layer:
    """One layer under audit. inputs: z, one a task in a task layer, else one; (R, width) each."""

    module: ScenarioLayer | TaskLayer
    trace: LayerTrace
    inputs: tuple[np.ndarray, ...]
    rows: Axis

    def about(self, equation: int, quantity: str, task: int | None = None) -> About:
        name = self.trace.gates[task] if task is not None and self.task_layer else ""
        return About(equation, quantity, self.trace.name, name)

    @property
    def task_layer(self) -> bool:
        return self.trace.kind == "task"

    @property
    def gates(self) -> Axis:
        return Axis("gate", self.trace.gates)


def audit(checkpoint: Checkpoint, batch: Batch, index: pd.Index) -> Audit:
    """Audit a checkpoint on some rows, which `index` names.

    Raises InputError for a model that has no expert selection, and without rows.
    """
    if not isinstance(checkpoint.model, AESM2):
        raise InputError(f"model '{checkpoint.config.model.name}' has no expert selection to audit")
    traced = trace(checkpoint.model, batch, index)
    return check(checkpoint.model, batch, traced, checkpoint.config.training)


def check(model: AESM2, batch: Batch, traced: RoutingTrace, training: TrainingConfig) -> Audit:
    """Audit what `traced` says that `model` did with the rows of `batch`.

    training: has the λ and γ of Eq. 21–22.
    """
    rows = Axis("row", list(traced.index))
    layers = _layers(model, batch, traced, rows)
    findings = list(_embedded(model, batch, rows))
    for number, layer in enumerate(layers):
        findings += _gates(model, batch, layer, number)
        for target in range(len(layer.trace.gates) if layer.task_layer else 1):
            findings += _choice(batch, layer, model, number, target)
    findings += _towers(model, traced, rows)
    findings += loss_findings(model, batch, traced, training)
    audited = {finding.about.equation for finding in findings}
    left_out = {3: NOT_HERE} | {e: NO_LABELS for e in (19, 22) if e not in audited}
    return Audit(tuple(findings), left_out, len(traced))


def _layers(model: AESM2, batch: Batch, traced: RoutingTrace, rows: Axis) -> list[_Layer]:
    """Pair each layer with its input: x, then what the model gave out the layer before."""
    x = _audited_input(model, batch)
    if model.config.scenario_features:
        x = np.concatenate([x, *_scenarios(model, batch)], axis=1)
    inputs, found = (x,), []
    for module, layer in zip(model.layers, traced.layers, strict=True):
        if not isinstance(module, ScenarioLayer | TaskLayer):
            raise TypeError(f"no equation for {type(module).__name__}")
        found.append(_Layer(module, layer, inputs, rows))
        output = exact(layer.output)
        inputs = tuple(output) if layer.kind == "task" else (output,)
    return found


def _audited_input(model: AESM2, batch: Batch) -> np.ndarray:
    """Eq. 5–6 on the embedded features; numbers that are not embedded stand behind them."""
    embedded = model.embedding.embedded.tolist()
    sizes, fields = [model.schema.fields[i] for i in embedded], batch.fields.cpu().numpy()
    x = np.zeros((len(batch), 0))
    if embedded:
        x = reference.embedding(exact(model.embedding.weight), sizes, fields[:, embedded])
    return x if batch.numbers is None else np.concatenate([x, exact(batch.numbers)], axis=1)


def _embedded(model: AESM2, batch: Batch, rows: Axis) -> Iterator[Finding]:
    """Eq. 5–6: the embedding of each feature, and all of them side by side."""
    own = batch.to(model.embedding.weight.device)
    with torch.no_grad():
        x = exact(model.embedding(own.fields, own.numbers))
    audited = _audited_input(model, batch)
    component, dim = Axis("component"), model.embedding.weight.shape[1]
    embedded = len(model.embedding.embedded)
    if embedded:
        shape = (len(batch), embedded, dim)
        wanted, found = (part[:, : embedded * dim].reshape(shape) for part in (audited, x))
        about, axes = About(5, "W_i x_i"), (rows, Axis("feature"), component)
        yield compared(about, wanted, found, axes)
    yield compared(About(6, "x"), audited, x, (rows, component))


def _gates(model: AESM2, batch: Batch, layer: _Layer, number: int) -> Iterator[Finding]:
    """Eq. 7–9, 12, 13 and 16: what does not depend on the row's own gate."""
    rows, experts, spec = layer.rows, Axis("expert"), layer.trace.spec
    G = exact(layer.trace.gate_logits)
    audited = _task_gates(model, batch, layer) if layer.task_layer else _scenario_gates(
        model, batch, layer, model.layer_level[number]
    )  # fmt: skip
    axes = (rows, experts, layer.gates)
    yield shapes(layer.about(7, "G: rows × experts × gates"), audited.shape, G.shape)
    yield compared(layer.about(16 if layer.task_layer else 8, "G[k, j]"), audited, G, axes)
    log_rows = reference.log_softmax(G)
    row_softmax = exact(layer.trace.row_softmax)
    yield compared(layer.about(9, "G̃[k, j]"), np.exp(log_rows), row_softmax, axes)
    sums = row_softmax.sum(-1)
    yield compared(layer.about(9, "Σ_j G̃[k, j]"), np.ones_like(sums), sums, axes[:2])
    uniform = np.full(G.shape[-1], 1 / G.shape[-1])
    kl = reference.divergence(uniform, log_rows)
    yield compared(layer.about(13, "KL(q, G̃[k, :])"), kl, exact(layer.trace.kl_shared), axes[:2])
    yield _set(layer.about(12, "E_sh"), kl, layer.trace.shared, spec.shared, rows)


def _choice(
    batch: Batch, layer: _Layer, model: AESM2, number: int, target: int
) -> Iterator[Finding]:
    """Eq. 1, 2, 4, 10, 11, 14, 15 and 17: the row's own gate j; in a task layer, of one task."""
    seen, spec = layer.trace.of_task(target), layer.trace.spec
    axes = (layer.rows, Axis("expert"))
    G, weights = exact(seen.gate_logits), exact(seen.mixing_weights)
    own = np.full(len(G), target)
    if not layer.task_layer:
        own = batch.scenarios[:, model.layer_level[number]].cpu().numpy()

    def about(equation: int, quantity: str) -> About:
        return layer.about(equation, quantity, target)

    one_hot = np.eye(G.shape[-1])[own][:, None, :]
    kl = reference.divergence(one_hot, reference.log_softmax(G))
    yield compared(about(11, "KL(p_j, G̃[k, :])"), kl, exact(seen.kl_specific), axes)
    yield _set(about(10, "E_sp"), kl, seen.specific, spec.specific, layer.rows)
    members = (seen.specific | seen.shared).numpy()
    mixed = reference.masked_softmax(np.take_along_axis(G, own[:, None, None], 2)[..., 0], members)
    yield compared(about(14, "softmax(ĝ_j)[k]"), mixed, weights, axes)
    outside = np.where(members, 0.0, weights)
    yield compared(about(14, "weight off E_sp ∪ E_sh"), np.zeros_like(outside), outside, axes)
    sums = weights.sum(-1)
    yield compared(about(4, "Σ_k g[k]"), np.ones_like(sums), sums, axes[:1])
    x = layer.inputs[target if len(layer.inputs) > 1 else 0]
    linear = layer.module.experts.linear
    outputs = reference.experts(exact(linear.weight), exact(linear.bias), x)
    width = Axis("component")
    yield compared(about(2, "f_k(x)"), outputs, _model_experts(layer.module, x), (*axes, width))
    output, places = exact(seen.output), (layer.rows, width)
    yield compared(about(1, "Σ_k g[k] f_k(x)"), reference.mixture(weights, outputs), output, places)
    whole, name = (17, "z_k") if layer.task_layer else (15, "z_j")
    yield compared(about(whole, name), reference.mixture(mixed, outputs), output, places)


def _towers(model: AESM2, traced: RoutingTrace, rows: Axis) -> Iterator[Finding]:
    """Eq. 18, and the product along the chain of tasks (§4.1)."""
    z, tasks = exact(traced.layers[-1].output), Axis("task", model.schema.tasks)
    layers = [(exact(layer.weight), exact(layer.bias)) for layer in model.towers]  # type: ignore[arg-type]
    for task, name in enumerate(model.schema.tasks):
        logits = reference.perceptron([(w[task], b[task]) for w, b in layers], z[task])
        about = About(18, "MLP(z_k)", task=name)
        yield compared(about, logits, exact(traced.logits[:, task]), (rows,))
    conditional = reference.sigmoid(exact(traced.logits))
    probability = reference.chain(conditional, model.schema.parents)
    answered = np.exp(exact(traced.log_probability))
    about = About(18, "ŷ along the chain, §4.1")
    yield compared(about, probability, answered, (rows, tasks), size=SMALL)


def _scenario_gates(model: AESM2, batch: Batch, layer: _Layer, level: int) -> np.ndarray:
    """Eq. 8 with [s_1 … s_l]; with the "gate" context, gate j sees the embedding of scenario j."""
    module = layer.module
    if not isinstance(module, ScenarioLayer):
        raise TypeError("Eq. 8 is of scenario layers")
    n, m = layer.trace.experts, len(layer.trace.gates)
    parts = [(exact(module.gate.weight).reshape(n, m, -1), layer.inputs * m)]
    if module.gate_context is not None:
        seen = _scenarios(model, batch)[: level + (module.gate_own is None)]
        weights = exact(module.gate_context.weight).reshape(n, m, -1)
        parts.append((weights, (np.concatenate(seen, axis=1),) * m))
    if module.gate_own is not None:
        table = exact(model.scenario_embedding[level].weight)  # type: ignore[arg-type]
        parts.append((exact(module.gate_own), tuple(table[:, None])))
    return reference.gates(parts)


def _task_gates(model: AESM2, batch: Batch, layer: _Layer) -> np.ndarray:
    """Eq. 16: gate k sees its own z_k, all scenario embeddings and its own t_k."""
    module = layer.module
    if not isinstance(module, TaskLayer):
        raise TypeError("Eq. 16 is of task layers")
    n, tasks = layer.trace.experts, len(layer.trace.gates)
    z = layer.inputs if len(layer.inputs) == tasks else layer.inputs * tasks
    s = np.concatenate(_scenarios(model, batch), axis=1)
    context = exact(module.gate_context.weight).reshape(n, tasks, -1)
    return reference.gates([
        (exact(module.gate).swapaxes(0, 1), z),
        (context, (s,) * tasks),
        (exact(module.gate_own), tuple(exact(model.task_embedding)[:, None])),
    ])  # fmt: skip


def _scenarios(model: AESM2, batch: Batch) -> list[np.ndarray]:
    """s_1 … s_L of every row, (R, dim) each."""
    tables = [exact(table.weight) for table in model.scenario_embedding]  # type: ignore[arg-type]
    own = batch.scenarios.cpu().numpy().T
    return [table[scenario] for table, scenario in zip(tables, own, strict=True)]


def _model_experts(module: ScenarioLayer | TaskLayer, x: np.ndarray) -> np.ndarray:
    """What the model's own experts make of x."""
    weight = module.experts.linear.weight
    with torch.no_grad():
        return exact(module.experts.outputs(torch.from_numpy(x).to(weight)))


def _set(about: About, kl: np.ndarray, mask: Tensor, k: int, rows: Axis) -> Finding:
    chosen = mask.numpy()
    return sets(about, reference.top_k(kl, k), chosen, reference.excess(kl, chosen, k), rows)
