"""The multi-scenario and the multi-task layer: gates, selection, experts (Eq. 7–17).

Axes: rows; n experts; m gates (the scenarios of a level, or the T tasks).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesm2.config import ExpertGroup
from aesm2.layers import on_gpu
from aesm2.layers.experts import Experts
from aesm2.layers.selection import Gates, Intervene, Selection, chosen


class Routing(NamedTuple):
    """What one layer did: its gate logits G, its selection and its output.

    gate_logits: (rows, n, m). target: the row's own gate, (rows,), or arange(T) in a task layer.
    selection: see Selection; in a task layer its "..." is the task axis.
    output: (rows, width), or (T, rows, width) in a task layer.
    """

    gate_logits: Tensor
    target: Tensor
    selection: Selection
    output: Tensor


class Draw(NamedTuple):
    """Where the noise of some rows of a batch comes from: the same as in the whole batch.

    rows: of the whole batch. places: which of them these are, (share,) integer.
    """

    generator: torch.Generator
    rows: int
    places: Tensor


class GateNoise(NamedTuple):
    """Gaussian noise η of Eq. 8: standard deviation `scale` · n, drawn from `source`."""

    scale: float
    source: torch.Generator | Draw

    def added_to(self, gate_logits: Tensor) -> Tensor:
        """Return gate_logits + η, (rows, n, m)."""
        noise = standard_normal(gate_logits, self.source)
        return gate_logits + self.scale * gate_logits.shape[1] * noise


def standard_normal(like: Tensor, source: torch.Generator | Draw) -> Tensor:
    """Draw independent normal numbers, (rows, n, m), for the rows of a batch or a share of them."""
    if isinstance(source, torch.Generator):
        return torch.empty_like(like).normal_(generator=source)
    # Numbers are drawn in the order of memory, so the whole batch has to lie as the share does. Of
    # equal strides that of the gates comes first: one row alone does not show which is the outer.
    strides = like.stride()
    order = sorted((2, 0, 1), key=lambda axis: -strides[axis])
    shape = (source.rows, *like.shape[1:])
    whole = like.new_empty([shape[axis] for axis in order])
    whole = whole.permute([order.index(axis) for axis in range(3)])
    return whole.normal_(generator=source.generator).index_select(0, source.places)


class ScenarioLayer(nn.Module):
    """Multi-scenario layer (Eq. 7–15).

    gates: m. inputs: width of the layer input. context: width of [s_1 … s_l] before the gates'
    own part. own_dim: width of each gate's own embedding (the "gate" context), 0 for Eq. 8.
    """

    def __init__(
        self, group: ExpertGroup, gates: int, inputs: int, context: int, own_dim: int = 0
    ) -> None:
        super().__init__()
        self.shape = (group.experts, gates)
        self.k = (group.specific, group.shared)
        self.gate = nn.Linear(inputs, group.experts * gates, bias=False)
        outputs = group.experts * gates
        self.gate_context = nn.Linear(context, outputs, bias=False) if context else None
        self.gate_own = _own_weights(group.experts, gates, own_dim) if own_dim else None
        chosen = group.specific + group.shared
        self.experts = Experts(group.experts, inputs, group.width, chosen)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None,
        target: Tensor,
        own: Tensor | None = None,
        noise: GateNoise | None = None,
        intervene: Intervene | None = None,
    ) -> Routing:
        """Route every row through the experts chosen for its scenario.

        x: (rows, inputs). context: (rows, context), None where its width is 0.
        target: j, (rows,) integer.
        own: embeddings of the gates' scenarios, (m, own_dim), with the "gate" context only.
        intervene: who chooses instead of `select`.
        """
        with torch.autocast(x.device.type, enabled=False):  # selection needs every digit
            flat = self.gate(x.to(self.gate.weight.dtype))
            if self.gate_context is not None and context is not None:
                flat = flat + self.gate_context(context)
            logits = flat.view(-1, *self.shape)  # G, (rows, n, m)
            if self.gate_own is not None and own is not None:
                logits = logits + torch.einsum("nmd,md->nm", self.gate_own, own)
            if noise is not None:
                logits = noise.added_to(logits)
            one_hot = F.one_hot(target.long(), self.shape[1]).bool()  # (rows, m)
            gates, selection = chosen(Gates(logits, one_hot, *self.k), intervene)
        mask = selection.specific | selection.shared
        output = self.experts(x, selection.mixing_weights.unsqueeze(0), mask.unsqueeze(0))
        if intervene is not None:
            target = gates.target.long().argmax(-1)
        return Routing(gates.logits, target, selection, output.squeeze(0))


class TaskLayer(nn.Module):
    """Multi-task layer (Eq. 16–17); its experts are shared by the tasks (Fig. 5).

    tasks: T. inputs: width of each task's input. context: width of all scenario embeddings.
    task_dim: width of a task embedding.
    """

    def __init__(
        self, group: ExpertGroup, tasks: int, inputs: int, context: int, task_dim: int
    ) -> None:
        super().__init__()
        self.shape = (group.experts, tasks)
        self.k = (group.specific, group.shared)
        bound = inputs**-0.5
        self.gate = nn.Parameter(torch.empty(tasks, group.experts, inputs).uniform_(-bound, bound))
        self.gate_context = nn.Linear(context, group.experts * tasks, bias=False)
        self.gate_own = _own_weights(group.experts, tasks, task_dim)
        chosen = (group.specific * tasks) + group.shared
        self.experts = Experts(group.experts, inputs, group.width, chosen)

    def forward(
        self,
        z: Tensor,
        context: Tensor,
        own: Tensor,
        noise: GateNoise | None = None,
        intervene: Intervene | None = None,
    ) -> Routing:
        """Route every row once for each task.

        z: each task's input, (T, rows, inputs), or (1, rows, inputs) where all have the same, as in
        the first task layer. context: (rows, context).
        own: task embeddings t_k, (T, task_dim). intervene: who chooses instead of `select`.
        """
        experts, tasks = self.shape
        with torch.autocast(z.device.type, enabled=False):
            of_input = self._of_input(z.to(self.gate.dtype))
            of_context = self.gate_context(context).view(-1, experts, tasks)
            of_task = torch.einsum("nkd,kd->nk", self.gate_own, own)
            logits = of_input.permute(1, 2, 0) + of_context + of_task  # column k sees z_k, s, t_k
            if noise is not None:
                logits = noise.added_to(logits)
            one_hot = torch.eye(tasks, dtype=torch.bool, device=z.device).unsqueeze(1)  # (T, 1, T)
            gates, selection = chosen(Gates(logits, one_hot, *self.k), intervene)
        mask = selection.specific | selection.shared  # (T, rows, n)
        weights = selection.mixing_weights
        if len(z) == 1:  # one input for all tasks: each expert runs once on it
            output = self.experts(z[0], weights, mask)
        else:
            flat = (part.flatten(0, 1) for part in (z, weights, mask))  # (T · rows, …)
            x, weights, mask = flat
            output = self.experts(x, weights.unsqueeze(0), mask.unsqueeze(0)).view(
                tasks, -1, self.experts.width
            )
        return Routing(gates.logits, torch.arange(tasks, device=z.device), selection, output)

    def _of_input(self, z: Tensor) -> Tensor:
        """What the gates see of each task's input, (T, rows, n)."""
        if z.is_cuda and len(z) > 1:
            return on_gpu.products(z, self.gate)
        return z @ self.gate.transpose(1, 2)


def _own_weights(experts: int, gates: int, dim: int) -> nn.Parameter:
    bound = dim**-0.5
    return nn.Parameter(torch.empty(experts, gates, dim).uniform_(-bound, bound))
