"""RoutingTrace: every quantity of the expert selection, for every row and layer.

Axes: rows; n experts; m gates; T tasks. In a task layer a quantity that depends on the task has a
leading task axis; G and KL(q, ·) are the same for all tasks and have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.config import per_level
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.moe import Routing
from aesm2.models import AESM2, Model
from aesm2.models.aesm2 import InterveneIn

Kind = Literal["scenario", "task"]


@dataclass(frozen=True)
class LayerSpec:
    """One layer of the architecture.

    name: e.g. "tab.1" or "task.2". kind: "scenario" or "task". level: index of its scenario level,
    None in a task layer. gates: names of its gates. experts, width: their number and output width.
    specific, shared: K of Eq. 10 and Eq. 12.
    """

    name: str
    kind: Kind
    level: int | None
    gates: tuple[str, ...]
    experts: int
    width: int
    specific: int
    shared: int


@dataclass(frozen=True)
class LayerTrace:
    """What one layer did with every row; tensors on the CPU.

    gate_logits: G, (rows, n, m) (Eq. 7–8). target: the row's own gate, (rows,); in a task layer
    the task, (T,). kl_specific: KL(p_j, G̃[k, :]) in nats, (rows, n) or (T, rows, n) (Eq. 11).
    kl_shared: KL(q, G̃[k, :]) in nats, (rows, n) (Eq. 13). specific: E_sp as a mask, (rows, n) or
    (T, rows, n) (Eq. 10). shared: E_sh as a mask, (rows, n) (Eq. 12). mixing_weights: softmax(ĝ_j),
    (rows, n) or (T, rows, n) (Eq. 14). output: (rows, width) or (T, rows, width) (Eq. 15, 17).
    """

    spec: LayerSpec
    gate_logits: Tensor
    target: Tensor
    kl_specific: Tensor
    kl_shared: Tensor
    specific: Tensor
    shared: Tensor
    mixing_weights: Tensor
    output: Tensor

    @property
    def name(self) -> str:
        """Name of the layer, e.g. "tab.1"."""
        return self.spec.name

    @property
    def kind(self) -> Kind:
        """Return "scenario" or "task"."""
        return self.spec.kind

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates: the scenarios of the layer's level, or the tasks."""
        return self.spec.gates

    @property
    def experts(self) -> int:
        """Number of experts, n."""
        return self.spec.experts

    @property
    def row_softmax(self) -> Tensor:
        """G̃, (rows, n, m), sums to 1 over the gates (Eq. 9)."""
        return self.gate_logits.softmax(-1)

    def of_task(self, task: int) -> "LayerTrace":
        """Return the layer as task `task` sees it: no task axis; `target` is (rows,).

        A scenario layer is the same for every task.
        """
        if self.kind == "scenario":
            return self
        return LayerTrace(
            spec=self.spec,
            gate_logits=self.gate_logits,
            target=torch.full((len(self.gate_logits),), task),
            kl_specific=self.kl_specific[task],
            kl_shared=self.kl_shared,
            specific=self.specific[task],
            shared=self.shared,
            mixing_weights=self.mixing_weights[task],
            output=self.output[task],
        )


@dataclass(frozen=True)
class RoutingTrace:
    """The trace of a set of rows through every layer, in order of computation.

    index: the rows' names, from the data frame. scenarios: (rows, levels). logits: log-odds of
    each task given the task it follows, (rows, T). log_probability: along the chain, (rows, T).
    """

    layers: tuple[LayerTrace, ...]
    index: pd.Index
    scenarios: Tensor
    logits: Tensor
    log_probability: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def layer(self, name: str) -> LayerTrace:
        """Return a layer by its name; InputError lists the names there are."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise InputError(f"no layer '{name}' (layers: {', '.join(la.name for la in self.layers)})")

    def to_frame(self) -> pd.DataFrame:
        """Return one line per row, layer, target and expert.

        Columns: row, layer, kind, target (the gate's name), expert, gate_logit (G[k, target]),
        row_softmax (G̃[k, target]), kl_specific, kl_shared, specific, shared, mixing_weight.
        """
        parts = []
        for layer in self.layers:
            tasks = range(len(layer.gates)) if layer.kind == "task" else range(1)
            parts += [self._layer_frame(layer.of_task(task)) for task in tasks]
        return pd.concat(parts, ignore_index=True)

    def _layer_frame(self, layer: LayerTrace) -> pd.DataFrame:
        rows, n = len(self), layer.experts
        own = layer.target.view(-1, 1, 1).expand(-1, n, 1)  # column j of G

        def column(tensor: Tensor) -> np.ndarray:
            values: np.ndarray = tensor.reshape(-1).numpy()
            return values

        def words(codes: np.ndarray, values: Sequence[str]) -> pd.Series:
            kind = pd.CategoricalDtype(list(values))
            return pd.Series(pd.Categorical.from_codes(codes, dtype=kind))

        def constant(value: str, values: Sequence[str]) -> pd.Series:
            return words(np.full(rows * n, values.index(value), np.int8), values)

        names = [spec.name for spec in self._specs]
        gates = list(dict.fromkeys(gate for spec in self._specs for gate in spec.gates))
        gate_codes = np.array([gates.index(gate) for gate in layer.gates], np.int16)
        return pd.DataFrame(
            {
                "row": np.repeat(self.index.to_numpy(), n),
                "layer": constant(layer.name, names),
                "kind": constant(layer.kind, ("scenario", "task")),
                "target": words(np.repeat(gate_codes[layer.target.numpy()], n), gates),
                "expert": np.tile(np.arange(n, dtype=np.int16), rows),
                "gate_logit": column(layer.gate_logits.gather(2, own)),
                "row_softmax": column(layer.row_softmax.gather(2, own)),
                "kl_specific": column(layer.kl_specific),
                "kl_shared": column(layer.kl_shared),
                "specific": column(layer.specific),
                "shared": column(layer.shared),
                "mixing_weight": column(layer.mixing_weights),
            }
        )

    @property
    def _specs(self) -> tuple[LayerSpec, ...]:
        return tuple(layer.spec for layer in self.layers)


def layer_specs(model: Model) -> tuple[LayerSpec, ...]:
    """Describe the layers that select experts; none for a model without selection."""
    if not isinstance(model, AESM2):
        return ()
    schema, config, specs = model.schema, model.config, []
    for level, group in enumerate(per_level(config.scenario, len(schema.levels))):
        for position in range(group.layers):
            name, gates = f"{schema.level_names[level]}.{position + 1}", schema.levels[level]
            specs.append(
                LayerSpec(
                    name, "scenario", level, gates, group.experts, group.width, group.specific,
                    group.shared,
                )
            )  # fmt: skip
    group = config.task
    for position in range(group.layers):
        specs.append(
            LayerSpec(
                f"task.{position + 1}", "task", None, schema.tasks, group.experts, group.width,
                group.specific, group.shared,
            )
        )  # fmt: skip
    return tuple(specs)


def trace(
    model: Model, batch: Batch, index: pd.Index, intervene: InterveneIn | None = None
) -> RoutingTrace:
    """Trace every row of a batch; `index` names the rows; intervene: see `AESM2.forward`.

    Raises InputError for a model that has no expert selection.
    """
    specs = layer_specs(model)
    if not specs:
        raise InputError(f"model '{model.config.name}' has no expert selection to trace")
    routings: list[list[Routing]] = [[] for _ in specs]
    logits, log_probability = [], []
    for _, output in outputs(model, batch, intervene=intervene):
        logits.append(output.logits.cpu())
        log_probability.append(output.log_probability.cpu())
        for parts, routing in zip(routings, output.routings, strict=True):
            parts.append(routing)
    if not logits:
        raise InputError("no rows to trace")
    return RoutingTrace(
        tuple(_layer_trace(spec, parts) for spec, parts in zip(specs, routings, strict=True)),
        index,
        batch.scenarios.cpu(),
        torch.cat(logits),
        torch.cat(log_probability),
    )


def _layer_trace(spec: LayerSpec, parts: Sequence[Routing]) -> LayerTrace:
    def joined(tensors: list[Tensor], rows_axis: int) -> Tensor:
        return torch.cat([tensor.cpu() for tensor in tensors], dim=rows_axis)

    per_task = 1 if spec.kind == "task" else 0  # the rows' axis where there is a task axis
    target = [part.target for part in parts]
    selections = [part.selection for part in parts]
    return LayerTrace(
        spec=spec,
        gate_logits=joined([part.gate_logits for part in parts], 0),
        target=target[0].cpu() if spec.kind == "task" else joined(target, 0),
        kl_specific=joined([s.kl_specific for s in selections], per_task),
        kl_shared=joined([s.kl_shared for s in selections], 0),
        specific=joined([s.specific for s in selections], per_task),
        shared=joined([s.shared for s in selections], 0),
        mixing_weights=joined([s.mixing_weights for s in selections], per_task),
        output=joined([part.output for part in parts], per_task),
    )
