"""Integrated gradients, ablation and Shapley values, by Captum, on a row's embedded fields.

Axes: rows; features (or groups of them); points of a path from the baseline to the row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients, ShapleyValueSampling
from torch import Tensor

from aesm2.attribution.question import Question, ask
from aesm2.attribution.targets import Target
from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.errors import InputError
from aesm2.models import Model

Method = Literal["held", "gradients", "ablation", "shapley"]
METHODS: dict[Method, str] = {
    "held": "integrated gradients, choice held",
    "gradients": "integrated gradients",
    "ablation": "ablation",
    "shapley": "Shapley values",
}
STEPS, SAMPLES = 50, 26
POINTS, LEAST = 3200, 8  # evaluated between two ticks: 64 rows of 50 steps, and at least 8 rows
AT_ONCE = 2048  # points of one evaluation of the perturbing methods


@dataclass(frozen=True)
class Features:
    """What attributions are for. names: of features or groups. of_field: index into them of each
    field, (fields,).
    """

    names: tuple[str, ...]
    of_field: tuple[int, ...]


@dataclass(frozen=True)
class Attribution:
    """How much each feature contributed to a target at each row, against a baseline.

    contributions: (rows, features), in the target's unit. at_row: the target, (rows,).
    at_baseline: the target at the baseline, of the function that was attributed, (rows,): with the
    row's experts where the choice is held. model_baseline: of the model itself, which chooses anew.
    changes: in how many of `steps` equal pieces of the straight path from the baseline to the row
    the model's own choice changes, in any layer that the target depends on, (rows,).
    steps: of the path. samples: orders of the Shapley values.
    """

    method: Method
    names: tuple[str, ...]
    unit: str
    contributions: np.ndarray
    at_row: np.ndarray
    at_baseline: np.ndarray
    model_baseline: np.ndarray
    changes: np.ndarray
    steps: int
    samples: int

    @property
    def delta(self) -> np.ndarray:
        """Completeness delta: the sum of the attributions minus what it should be, (rows,)."""
        delta: np.ndarray = self.contributions.sum(1) - (self.at_row - self.at_baseline)
        return delta

    def __len__(self) -> int:
        return len(self.contributions)


Tick = Callable[[float], None]


def features_of(description: Description, groups: bool = False) -> Features:
    """Return the features of a dataset, or the groups that `[features.GROUP]` makes of them."""
    if not groups:
        names = tuple(description.fields)
        return Features(names, tuple(range(len(names))))
    filled = {name: own for name, own in description.features.items() if own}
    index = [i for i, members in enumerate(filled.values()) for _ in members]
    return Features(tuple(filled), tuple(index))


def attribute(
    model: Model,
    batch: Batch,
    target: Target,
    method: Method,
    baseline: Tensor,
    features: Features,
    *,
    steps: int = STEPS,
    samples: int = SAMPLES,
    seed: int = 0,
    tick: Tick | None = None,
) -> Attribution:
    """Attribute a target to the features of every row of a batch.

    method: "held": integrated gradients with the row's choice of experts held; "gradients": the
    same with the choice free, blind to its jumps; "ablation": one feature after the other put to
    its baseline; "shapley": features come in, in `samples` random orders drawn from `seed`, the
    same for all rows. baseline: (1, fields · dim), see `baselines`. steps: of the path.
    tick: called with the share of rows done after each chunk; may raise to stop.
    Raises InputError for a target the model does not have, or no rows.
    """
    if method not in METHODS:
        raise InputError(f"no method '{method}' (methods: {', '.join(METHODS)})")
    if steps < 1 or samples < 1:
        raise InputError(f"needs at least one step and one sample, got {steps} and {samples}")
    cost = {"ablation": len(features.names), "shapley": len(features.names) * samples}
    chunk = max(LEAST, POINTS // max(cost.get(method, steps), steps))
    unit, parts = ask(model, batch[:1], target).reader.unit, []
    for start in range(0, len(batch), chunk):
        asked = ask(model, batch[start : start + chunk], target)
        contributions = _contributions(asked, method, baseline, features, steps, samples, seed)
        ends = _ends(asked, baseline, method == "held")
        parts.append((contributions, *ends, _changes(asked, baseline, steps)))
        if tick is not None:
            tick(min(1.0, (start + chunk) / len(batch)))
    whole = [torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True)]
    contributions, at_row, at_baseline, free, changes = whole
    return Attribution(
        method=method,
        names=features.names,
        unit=unit,
        contributions=contributions.double().numpy(),
        at_row=at_row.double().numpy(),
        at_baseline=at_baseline.double().numpy(),
        model_baseline=free.double().numpy(),
        changes=changes.numpy(),
        steps=steps,
        samples=samples,
    )


def _contributions(
    asked: Question, method: Method, baseline: Tensor, features: Features, steps: int, samples: int,
    seed: int,
) -> Tensor:  # fmt: skip
    """Attributions of one chunk, (rows, features)."""
    start = baseline.to(asked.x).expand_as(asked.x)
    if method in ("held", "gradients"):
        return _gradients(asked, start, features, steps, held=method == "held")
    mask = _of_unit(asked, features)
    first = [mask.tolist().index(i) for i in range(len(features.names))]
    at_once = max(1, min(len(first), AT_ONCE // len(asked.x)))
    arguments = {
        "baselines": start, "additional_forward_args": (_rows(asked),),
        "feature_mask": mask.unsqueeze(0), "perturbations_per_eval": at_once,
    }  # fmt: skip

    def value(x: Tensor, rows: Tensor) -> Tensor:
        return asked.value(x, rows, held=False)

    if method == "ablation":
        found = FeatureAblation(value).attribute(asked.x, **arguments)
    else:
        sampling = ShapleyValueSampling(value)
        # Captum draws orders from torch's global generator, which other threads draw from as well.
        sampling.permutation_generator = _orders(seed)
        found = sampling.attribute(asked.x, n_samples=samples, **arguments)
    of_feature: Tensor = found[:, first]  # every part of a feature carries the feature's value
    return of_feature


def _gradients(
    asked: Question, start: Tensor, features: Features, steps: int, held: bool
) -> Tensor:
    def total(x: Tensor, rows: Tensor) -> Tensor:  # rows are independent: one backward for all
        return asked.value(x, rows, held).sum().view(1)

    # Rectified units make the gradient jump along the path; there Captum's own choice, Gauss and
    # Legendre's points, is no closer than midpoints, and finding thousands of them takes seconds.
    with torch.enable_grad():
        by_unit = IntegratedGradients(total).attribute(
            asked.x, baselines=start, additional_forward_args=(_rows(asked),), n_steps=steps,
            method="riemann_middle",
        )  # fmt: skip
    found: Tensor = by_unit.new_zeros(len(by_unit), len(features.names))
    return found.index_add(1, _of_unit(asked, features), by_unit.detach())


def _of_unit(asked: Question, features: Features) -> Tensor:
    """Return the feature that each unit of x belongs to, (width,)."""
    of_field = features.of_field
    of_unit = [of_field[field] for field in asked.model.embedding.units]
    return torch.tensor(of_unit, device=asked.x.device)


def _ends(asked: Question, baseline: Tensor, held: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the target at the rows, at the baseline as attributed, and at it by the model."""
    rows, start = _rows(asked), baseline.to(asked.x).expand_as(asked.x)
    with torch.no_grad():
        free = asked.value(start, rows, held=False)
        own = asked.value(start, rows, held=True) if held else free
        return asked.value(asked.x, rows, held=False), own, free


def _changes(asked: Question, baseline: Tensor, steps: int) -> Tensor:
    """Count the changes of a layer's chosen experts along each row's path, (rows,)."""
    count = len(asked.x)
    start = baseline.to(asked.x).expand_as(asked.x)
    share = torch.linspace(0, 1, steps + 1, device=asked.x.device, dtype=asked.x.dtype)
    path = torch.lerp(start, asked.x, share.view(-1, 1, 1)).flatten(0, 1)  # (points · rows, …)
    with torch.no_grad():
        chosen = asked.choices(path, _rows(asked).repeat(steps + 1))
    same = chosen.view(steps + 1, count, -1)
    return (same[1:] != same[:-1]).any(-1).sum(0)


def _rows(asked: Question) -> Tensor:
    return torch.arange(len(asked.x), device=asked.x.device)


def _orders(seed: int) -> Callable[[int, int], Iterable[Sequence[int]]]:
    """Random orders of the features, each followed by its reverse, which evens out chance.

    The same for the same seed. Of two features the values are exact for an even number of orders.
    """

    def drawn(features: int, samples: int) -> Iterable[Sequence[int]]:
        generator = torch.Generator().manual_seed(seed)
        for left in range(samples, 0, -2):
            order = torch.randperm(features, generator=generator).tolist()
            yield order
            if left > 1:
                yield order[::-1]

    return drawn
