"""Two trained models side by side: which experts do the same work, and what differs once matched.

The numbers of experts mean nothing across models: expert 3 of one may do the work of expert 5 of
the other. They are matched by who takes them: the same rows go through both models, and the
similarity of two experts is the Jaccard overlap of the choices that fell on them. A choice is a
row, a target and a role, so that what is specific in one and shared in the other is not alike.

Axes: rows; T targets (the tasks in a task layer, 1 in a scenario layer); n experts of the first
model, called a; k experts of the second, called b.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment

from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.inference import outputs
from aesm2.metrics import wilson
from aesm2.models import Model
from aesm2.routing.shares import Choices
from aesm2.routing.trace import layer_specs

NONE = -1  # an expert without a counterpart
DRAWS, SHUFFLES = 10_000, 20  # random matchings; matchings of rows that have nothing in common
LEVEL = 0.95


@dataclass(frozen=True)
class Routed:
    """What a model did with rows: the choices of each layer, none for a model without selection,
    and the tasks' probabilities along their chain, (rows, tasks).
    """

    layers: tuple[Choices, ...]
    probabilities: np.ndarray

    def layer(self, name: str) -> Choices:
        """Return the choices of a layer by its name; InputError lists the names there are."""
        for layer in self.layers:
            if layer.spec.name == name:
                return layer
        names = ", ".join(layer.spec.name for layer in self.layers)
        raise InputError(f"no layer '{name}' (layers: {names})")


@dataclass(frozen=True)
class Alignment:
    """Which expert of b does the work of each expert of a, in one layer.

    expert: of b, for each of a, NONE where it has no counterpart, (n,). similarity: Jaccard overlap
    of the choices of each pair, 1 where nobody takes either, (n, k). by_role: the same for each of
    ROLES alone, NaN where nobody takes either, (2, n, k). random, random_high: mean similarity of
    matched experts were they matched at random: expectation, and what LEVEL of such matchings stay
    below. unrelated, unrelated_high: that of the best matching were b's choices dealt to other
    rows: mean and largest of SHUFFLES deals.
    """

    layer: str
    expert: np.ndarray
    similarity: np.ndarray
    by_role: np.ndarray
    random: float
    random_high: float
    unrelated: float
    unrelated_high: float

    @property
    def matched(self) -> float:
        """Mean similarity of the matched experts."""
        return float(self.similarity[self.pairs].mean())

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The matched experts of a and of b."""
        own = np.flatnonzero(self.expert != NONE)
        return own, self.expert[own]

    def aligned(self, of_b: np.ndarray) -> np.ndarray:
        """Put what is said of b's experts in the order of a's: (…, k) → (…, n); 0 for NONE."""
        own, theirs = self.pairs
        placed = np.zeros((*of_b.shape[:-1], len(self.expert)), of_b.dtype)
        placed[..., own] = of_b[..., theirs]
        return placed


def routed(model: Model, batch: Batch) -> Routed:
    """Run rows through a model and keep what it chose and predicted."""
    specs = layer_specs(model)
    specific: list[list[torch.Tensor]] = [[] for _ in specs]
    shared: list[list[torch.Tensor]] = [[] for _ in specs]
    predicted = [torch.zeros(0, len(model.schema.tasks))]
    for _, output in outputs(model, batch):
        predicted.append(output.log_probability.exp().cpu())
        for own, common, routing in zip(specific, shared, output.routings, strict=True):
            mask = routing.selection.specific
            mask = mask if mask.dim() == 3 else mask.unsqueeze(0)  # (T, rows, n)
            own.append(mask.cpu())
            common.append(routing.selection.shared.expand_as(mask).cpu())
    layers = tuple(
        Choices(spec, torch.cat(own, 1).numpy(), torch.cat(common, 1).numpy())
        for spec, own, common in zip(specs, specific, shared, strict=True)
        if own
    )
    return Routed(layers, torch.cat(predicted).numpy())


def align(a: Choices, b: Choices, seed: int = 0) -> Alignment:
    """Match the experts of one layer of two models on the same rows (Kuhn, 1955).

    The matching has the largest total similarity there is. Where a has more experts than b, or b
    more than a, those left over have no counterpart. Raises ValueError for different rows or
    targets. seed: of the random matchings that it is compared with.
    """
    if a.specific.shape[:2] != b.specific.shape[:2]:
        raise ValueError(f"other rows or targets: {a.specific.shape} and {b.specific.shape}")
    rng = np.random.default_rng(seed)
    ours, theirs = _stacked(a), _stacked(b)
    similarity = _jaccard(ours, theirs)
    expert = np.full(len(similarity), NONE)
    own, other = linear_sum_assignment(similarity, maximize=True)
    expert[own] = other
    drawn = _random_matchings(similarity, rng)
    dealt = [_best(_jaccard(ours, np.take(theirs, order, 1))) for order in _orders(theirs, rng)]
    by_role = np.stack([_jaccard(ours[[r]], theirs[[r]], np.nan) for r in range(len(ours))])
    return Alignment(
        a.spec.name, expert, similarity, by_role, float(similarity.mean()),
        float(np.quantile(drawn, LEVEL)), float(np.mean(dealt)), max(dealt),
    )  # fmt: skip


def alignment_table(found: Alignment, a: Choices, b: Choices) -> pd.DataFrame:
    """Return one line an expert of a.

    Columns: layer, expert, counterpart (of b; missing where it has none), similarity, specific and
    shared (Jaccard of that role alone, NaN where nobody takes either), choices and their_choices
    (rows × targets that take it, of a and b, in either role).
    """
    ours, theirs = (_flat(x.specific | x.shared).sum(0) for x in (a, b))
    there = found.expert != NONE
    experts = np.arange(len(found.expert))
    paired = np.where(there, found.expert, 0)

    def of_pair(values: np.ndarray) -> np.ndarray:
        return np.where(there, values[experts, paired], np.nan)

    counterpart = pd.Series(found.expert, dtype="Int64").mask(~there)
    return pd.DataFrame({
        "layer": found.layer, "expert": experts, "counterpart": counterpart,
        "similarity": of_pair(found.similarity), "specific": of_pair(found.by_role[0]),
        "shared": of_pair(found.by_role[1]), "choices": ours,
        "their_choices": np.where(there, theirs[paired], 0),
    })  # fmt: skip


def routing_difference(
    a: Choices, b: Choices, found: Alignment, scopes: Iterable[tuple[str, str, np.ndarray]],
    exists: np.ndarray | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return how many rows choose other experts in b than in a, once matched.

    scopes: (scope, scenario, mask of its rows), see `paired.scopes`. exists: whether the row's
    scenario has each task, (rows, T); in a task layer only such rows count. Columns: layer, task,
    scope, scenario, rows, differ (share of rows whose chosen set E_sp ∪ E_sh is another), low, high
    (Wilson, 95 %), specific, shared (share whose set of that role is another), overlap (mean
    Jaccard overlap of the chosen sets). An expert without counterpart is like no other.
    """
    ours, theirs = a.specific | a.shared, b.specific | b.shared
    changed = np.stack([
        _differ(ours, theirs, found), _differ(a.specific, b.specific, found),
        _differ(a.shared, b.shared, found),
    ])  # fmt: skip
    overlap = _overlap(ours, theirs, found)
    lines = []
    tasks = a.spec.gates if a.spec.kind == "task" else ("",)
    named = list(scopes)
    for target, task in enumerate(tasks):
        for scope, scenario, mask in named:
            rows = mask & exists[:, target] if task and exists is not None else mask
            n, differ = int(rows.sum()), changed[:, target, rows]
            low, high = wilson(np.array([differ[0].sum()]), np.array([n]))
            shares = differ.mean(1) if n else np.full(3, np.nan)
            lines.append({
                "layer": found.layer, "task": task, "scope": scope, "scenario": scenario, "rows": n,
                "differ": shares[0], "low": low[0], "high": high[0],
                "specific": shares[1], "shared": shares[2],
                "overlap": overlap[target, rows].mean() if n else np.nan,
            })  # fmt: skip
    return pd.DataFrame(lines)


def use_difference(
    a: Choices, b: Choices, found: Alignment, target: int, own: np.ndarray, count: int
) -> np.ndarray:
    """Share of each scenario's rows that take each expert, in b (once matched) minus in a.

    own: the scenario of each row, (rows,), in 0 … count − 1; a row of a negative one does not
    count. Returns (2, count, n): as specific, then as shared; NaN for an expert without counterpart
    and for a scenario without rows.
    """
    member = own[None, :] == np.arange(count)[:, None]  # (S, rows)
    rows = member.sum(1).astype(np.float64)[:, None]
    shares = []
    for ours, theirs in ((a.specific, b.specific), (a.shared, b.shared)):
        difference = found.aligned(theirs[target]).astype(np.float64) - ours[target]
        shares.append(member @ difference / np.where(rows > 0, rows, np.nan))
    result = np.stack(shares)
    result[..., found.expert == NONE] = np.nan
    return result


def _stacked(choices: Choices) -> np.ndarray:
    """Choices of both roles, (2, rows, T, n) as 0 and 1."""
    roles = np.stack([choices.specific, choices.shared]).astype(np.float32)  # (2, T, rows, n)
    return np.ascontiguousarray(roles.transpose(0, 2, 1, 3))


def _orders(theirs: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Orders that deal each row's choices to another row."""
    return (rng.permutation(theirs.shape[1]) for _ in range(SHUFFLES))


def _flat(values: np.ndarray) -> np.ndarray:
    flat: np.ndarray = values.reshape(-1, values.shape[-1])
    return flat


def _jaccard(a: np.ndarray, b: np.ndarray, nobody: float = 1.0) -> np.ndarray:
    """Jaccard overlap of the choices of each pair of experts, (…, n) and (…, k) → (n, k)."""
    a, b = _flat(a), _flat(b)
    both = (a.T @ b).astype(np.float64)  # exact up to 2²⁴ choices
    either = a.sum(0, np.float64)[:, None] + b.sum(0, np.float64)[None, :] - both
    return np.where(either > 0, both / np.where(either > 0, either, 1.0), nobody)


def _best(similarity: np.ndarray) -> float:
    return float(similarity[linear_sum_assignment(similarity, maximize=True)].mean())


def _random_matchings(similarity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean similarity of DRAWS matchings drawn at random, (DRAWS,)."""
    wide = similarity if similarity.shape[0] <= similarity.shape[1] else similarity.T
    few, many = wide.shape
    order = rng.random((DRAWS, many)).argsort(1)[:, :few]
    drawn: np.ndarray = wide[np.arange(few), order].mean(1)
    return drawn


def _differ(ours: np.ndarray, theirs: np.ndarray, found: Alignment) -> np.ndarray:
    """Whether a row's set is another, (T, rows)."""
    lone = np.setdiff1d(np.arange(theirs.shape[-1]), found.expert)
    other: np.ndarray = (ours != found.aligned(theirs)).any(-1) | theirs[..., lone].any(-1)
    return other


def _overlap(ours: np.ndarray, theirs: np.ndarray, found: Alignment) -> np.ndarray:
    """Jaccard overlap of a row's two sets, (T, rows)."""
    both = (ours & found.aligned(theirs)).sum(-1)
    overlap: np.ndarray = both / (ours.sum(-1) + theirs.sum(-1) - both)
    return overlap
