"""Expert cards: who uses an expert, what its rows have in common, and what depends on it.

A layer's experts are looked at for one target: in a task layer one of the tasks, in a scenario
layer the row's own scenario. A row "takes" an expert that is in its E_sp ∪ E_sh.

Axes: rows; S scenarios; n experts; F features; V values of a feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.data.batch import Batch
from aesm2.data.drift import Drift, chance, divergence, value_counts
from aesm2.data.scenarios import OVERALL, path_index, scenario_names, scenario_of_path
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.layers.selection import Gates, Selection, select
from aesm2.metrics import wilson
from aesm2.models import Model
from aesm2.models.aesm2 import InterveneIn
from aesm2.routing.paired import paired_differences
from aesm2.routing.shares import Choices, layer_choices, layer_shares
from aesm2.routing.trace import LayerSpec, layer_specs
from aesm2.routing.utilisation import Utilisation

ROLE_NAMES = ("specific", "both", "shared", "unselected")
MOST_VALUES = 12  # values of a feature without order


@dataclass(frozen=True)
class Cards:
    """Use of the experts of one layer, for one target, by the rows of a batch that have it.

    target: index of the task, 0 in a scenario layer. by: the grouping of rows into scenarios.
    rows: positions in the batch of the rows that count. scenarios: names, (S,). counted: rows of
    each, (S,). roles: rows of each scenario that take each expert in each of ROLE_NAMES,
    (S, n, 4). taken: (rows, n) bool. drift: of each feature between the rows that take an expert
    and all others, (F, n), see `data.drift`. together: rows that take both experts, (n, n); its
    diagonal has those that take one.
    """

    spec: LayerSpec
    target: int
    by: str
    rows: np.ndarray
    scenarios: tuple[str, ...]
    counted: np.ndarray
    roles: np.ndarray
    taken: np.ndarray
    drift: Drift
    together: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Share of each scenario's rows in each role, (S, n, 4); NaN where it has no rows."""
        rows = np.where(self.counted > 0, self.counted, np.nan)
        share: np.ndarray = self.roles / rows[:, None, None]
        return share

    @property
    def overall(self) -> np.ndarray:
        """Share of all rows in each role, (n, 4)."""
        share: np.ndarray = self.roles.sum(0) / max(1, len(self.rows))
        return share

    @property
    def lift(self) -> np.ndarray:
        """Rows that take both experts over what independent choices would give, (n, n).

        NaN where an expert is taken by nobody, and on the diagonal.
        """
        own = np.diag(self.together).astype(np.float64)
        expected = own[:, None] * own[None, :] / max(1, len(self.rows))
        lift = self.together / np.where(expected > 0, expected, np.nan)
        np.fill_diagonal(lift, np.nan)
        return lift

    @property
    def blind_lift(self) -> float:
        """The lift of sets of the rows' sizes drawn at random: below 1, as a set has few places."""
        n, size = self.spec.experts, self.taken.sum(1).astype(np.float64)
        if n < 2 or not size.sum():
            return float("nan")
        pair = float((size * (size - 1)).mean()) / (n * (n - 1))
        return pair / (float(size.mean()) / n) ** 2


def cards(model: Model, batch: Batch, layer: str, target: int, by: str, among: np.ndarray) -> Cards:
    """Look at the experts of a layer.

    among: rows that count, (rows,) bool: for a task, those whose scenario has it. by: see
    `scenario_names`. Raises InputError where no row counts, or for a layer that is not there.
    """
    rows = np.flatnonzero(among)
    if not len(rows):
        raise InputError("no row here has this scenario and task: choose others in the bar")
    part = batch[torch.from_numpy(rows)]
    schema = model.schema
    choices = layer_choices(model, part, layer)
    specific, shared = choices.specific[target], choices.shared[target]
    names = scenario_names(schema, by)
    own = scenario_of_path(schema, by)[path_index(part.scenarios.numpy(), schema)]
    taken = specific | shared
    return Cards(
        spec=choices.spec,
        target=target,
        by=by,
        rows=rows,
        scenarios=names,
        counted=np.bincount(own, minlength=len(names)),
        roles=role_counts(choices, target, own, len(names)),
        taken=taken,
        drift=expert_drift(part.fields.numpy(), schema.fields, taken),
        together=taken.T.astype(np.int64) @ taken.astype(np.int64),
    )


def role_counts(choices: Choices, target: int, own: np.ndarray, count: int) -> np.ndarray:
    """Count the rows of each scenario that take each expert in each of ROLE_NAMES, (S, n, 4).

    own: the scenario of each row, (rows,), in 0 … count − 1.
    """
    specific, shared = choices.specific[target], choices.shared[target]
    role = np.where(specific, np.where(shared, 1, 0), np.where(shared, 2, 3))  # (rows, n)
    experts = specific.shape[1]
    cell = (own[:, None] * experts + np.arange(experts)) * len(ROLE_NAMES) + role
    counts = np.bincount(cell.ravel(), minlength=count * experts * len(ROLE_NAMES))
    shaped: np.ndarray = counts.reshape(count, experts, len(ROLE_NAMES))
    return shaped


def expert_drift(fields: np.ndarray, sizes: Sequence[int], taken: np.ndarray) -> Drift:
    """Compare the rows that take each expert with all others, feature by feature, (F, n).

    fields: (rows, F). sizes: values of each feature. taken: (rows, n) bool. The divergence, and
    what chance would do, are those of `data.drift`.
    """
    rows = np.stack([taken.sum(0), (~taken).sum(0)])
    found = np.full((3, len(sizes), taken.shape[1]), np.nan)
    for expert in np.flatnonzero(rows.min(0) > 0):
        member = taken[:, expert].astype(np.int64)
        for feature, size in enumerate(sizes):
            others, own = value_counts(fields[:, feature], size, member, 2)
            found[:, feature, expert] = divergence(own, others), *chance(own + others, own.sum())
    return Drift(rows, *found)


def value_lifts(
    values: np.ndarray, taken: np.ndarray, names: Sequence[str], ordered: bool
) -> pd.DataFrame:
    """Return how much more often rows with a value take an expert than all rows do.

    values: index of the feature's value, (rows,). taken: (rows,) bool. names: of the values.
    ordered: keep the values' order; else those that move most rows come first, at most MOST_VALUES.
    Columns: value, rows (with the value), taken (of them), expected (if the value did not matter),
    share (of the expert's rows), share_all (of all rows), lift = share / share_all, low and high:
    Wilson's 95 % interval of taken / rows, over the share of all rows that take the expert. NaN
    where nobody takes it.
    """
    rows = np.bincount(values, minlength=len(names))
    own = np.bincount(values[taken], minlength=len(names))
    rate = taken.mean() if taken.any() else np.nan
    low, high = wilson(own, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = pd.DataFrame({
            "value": list(names), "rows": rows, "taken": own, "expected": rows * rate,
            "share": own / own.sum(), "share_all": rows / rows.sum(), "lift": own / rows / rate,
            "low": low / rate, "high": high / rate,
        })  # fmt: skip
    table = table[rows > 0]
    if not ordered:
        moved = (table["taken"] - table["expected"]).abs()
        table = table.loc[moved.sort_values(ascending=False, kind="stable").index[:MOST_VALUES]]
    return table.reset_index(drop=True)


def role_history(
    history: Sequence[tuple[int, Utilisation]], layer: str, target: int, expert: int,
    exists: np.ndarray | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return an expert's shares over training: one line a snapshot.

    history: see `Checkpoint.utilisation_history`. exists: see `layer_shares`. Columns: step, rows,
    specific, shared (shares of the rows).
    """
    lines = []
    for step, used in history:
        shares = layer_shares(used, layer, OVERALL, exists)
        own, common = (
            float(shares.values(role, "share")[target, 0, expert])
            for role in ("specific", "shared")
        )
        lines.append((step, int(shares.counted[target, 0]), own, common))
    return pd.DataFrame(lines, columns=["step", "rows", "specific", "shared"])


def without(layer: int, expert: int) -> InterveneIn:
    """Return what chooses as the model does, had layer number `layer` no expert `expert`.

    Its score is +∞ in both choices, so the next best takes its place; where a role takes all
    experts there is none left to do so. Divergences stay those of the whole gate.
    """

    def intervene(number: int, gates: Gates) -> tuple[Gates, Selection]:
        whole = select(*gates)
        if number != layer:
            return gates, whole
        count = gates.logits.shape[1]
        kept = torch.arange(count, device=gates.logits.device) != expert
        left = select(
            gates.logits[:, kept], gates.target,
            min(gates.specific, count - 1), min(gates.shared, count - 1),
        )  # fmt: skip

        def widened(part: Tensor) -> Tensor:
            full = part.new_zeros(*part.shape[:-1], count)
            full[..., kept] = part
            return full

        masks = widened(left.specific), widened(left.shared)
        return gates, Selection(
            whole.kl_specific, whole.kl_shared, *masks, widened(left.mixing_weights)
        )

    return intervene


def knockout(
    model: Model, batch: Batch, layer: str, expert: int, predicted: np.ndarray
) -> pd.DataFrame:
    """Measure what depends on an expert: the model without it minus the model, on labelled rows.

    predicted: the model's probabilities, (rows, tasks). Columns: layer, expert, and those of
    `paired_differences`: a negative delta_auc or a positive delta_log_loss means that it helped.
    Raises InputError for rows without labels, or where the layer has no other expert.
    """
    specs = layer_specs(model)
    number = next((i for i, spec in enumerate(specs) if spec.name == layer), None)
    if number is None or not 0 <= expert < specs[number].experts:
        raise InputError(f"no expert {expert} in a layer '{layer}'")
    if specs[number].experts < 2:
        raise InputError(f"{layer} has a single expert: without it there is no model")
    parts = [
        output.log_probability.exp().cpu()
        for _, output in outputs(model, batch, intervene=without(number, expert))
    ]
    table = paired_differences(predicted, torch.cat(parts).numpy(), batch, model.schema)
    table.insert(0, "layer", layer)
    table.insert(1, "expert", expert)
    return table
