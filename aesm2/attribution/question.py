"""A target as a function of a row's embedded fields, with the choice of experts held or free.

The model jumps where another expert comes in. Held fixed, the choice is the row's own everywhere,
the mixing weights are the softmax of the current g_j over it, and the function has no jumps.

Axes: rows; points, each belonging to one of the rows.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aesm2.attribution.targets import Reader, Target, reader
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.layers.selection import Gates, Selection, select
from aesm2.models import AESM2, Model
from aesm2.models.aesm2 import InterveneIn


@dataclass(frozen=True)
class Question:
    """A target of a model at some rows; build one with `ask`.

    x: the rows' embedded fields, (rows, fields · dim). scenarios: (rows, levels).
    chosen: what the model chooses for them, one Selection a layer.
    """

    model: AESM2
    reader: Reader
    x: Tensor
    scenarios: Tensor
    chosen: tuple[Selection, ...]

    def value(self, x: Tensor, rows: Tensor, held: bool) -> Tensor:
        """Return the target at points x, (points, fields · dim) → (points,).

        rows: the row that each point belongs to, (points,), whose scenarios it has.
        held: whether it keeps the row's choice of experts as well, or chooses anew.
        """
        own = tuple(_of_rows(selection, rows) for selection in self.chosen)
        intervene = _holding(own) if held else None
        output = self.model.from_embedding(x, self.scenarios[rows], intervene=intervene)
        return self.reader.read(output, own)

    def choices(self, x: Tensor, rows: Tensor) -> Tensor:
        """Which experts the target's layers mix at points, chosen anew: (points, choices) bool."""
        count, tasks = self.reader.layers, self.reader.tasks
        output = self.model.from_embedding(x, self.scenarios[rows])
        unions = [r.selection.specific | r.selection.shared for r in output.routings[:count]]
        parts = []
        for number, union in enumerate(unions):
            last = number == len(self.model.layers) - 1  # earlier task layers see every task's
            if union.dim() == 3 and last and tasks is not None:
                union = union[list(tasks)]
            parts.append(union if union.dim() == 2 else union.transpose(0, 1).flatten(1))
        return torch.cat(parts, 1) if parts else torch.zeros(len(x), 0, dtype=torch.bool)

    def __getitem__(self, rows: slice) -> "Question":
        """Return the same question about some of its rows."""
        every = torch.arange(len(self.x), device=self.x.device)[rows]
        own = tuple(_of_rows(selection, every) for selection in self.chosen)
        return Question(self.model, self.reader, self.x[rows], self.scenarios[rows], own)


def ask(model: Model, batch: Batch, target: Target) -> Question:
    """Embed rows and let the model choose for them; all at once, so hand it a chunk of many.

    Raises InputError for a model without selection, no rows, or a target that it does not have.
    """
    found = reader(target, model)
    if not isinstance(model, AESM2) or len(batch) == 0:
        raise InputError("no rows to explain")
    own = batch.to(model.task_embedding.device)
    with torch.no_grad():
        x = model.embedding(own.fields, own.numbers)
        output = model.from_embedding(x, own.scenarios)
    chosen = tuple(routing.selection for routing in output.routings)
    return Question(model, found, x, own.scenarios, chosen)


def _of_rows(selection: Selection, rows: Tensor) -> Selection:
    """Take rows of a selection: all its parts have the rows as the last axis but one."""
    return Selection(*(part.index_select(-2, rows) for part in selection))


def _holding(chosen: tuple[Selection, ...]) -> InterveneIn:
    """Hold the chosen sets and let the mixing weights follow g_j (Eq. 14)."""

    def held(number: int, gates: Gates) -> tuple[Gates, Selection]:
        own = chosen[number]
        g = torch.where(gates.target.unsqueeze(-2), gates.logits, 0.0).sum(-1)  # (..., rows, n)
        weights = g.masked_fill(~(own.specific | own.shared), -math.inf).softmax(-1)
        free = select(*gates)  # its divergences are continuous and stay as they are
        return gates, free._replace(
            specific=own.specific, shared=own.shared, mixing_weights=weights
        )

    return held
