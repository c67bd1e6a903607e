"""Which change of one feature makes a layer choose other experts, all alternatives in one batch.

A feature's alternatives are the values the model knows: every category, or every bucket of a
number, a missing value, and of a category also one that training never met. All else, the row's
scenarios among it, stays as it is; see `routing.counterfactual`.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.encoder import Encoder
from aesm2.errors import InputError
from aesm2.layers.embedding import FIRST_VALUE, MISSING, UNSEEN
from aesm2.routing.counterfactual import Value, predictions
from aesm2.routing.margins import layer_calls
from aesm2.routing.trace import RoutingTrace, trace

Which = Literal["specific", "shared", "either"]
WHICH: tuple[Which, ...] = ("either", "specific", "shared")
MOST = 20_000  # alternatives tried for a row; some seconds on one core


@dataclass(frozen=True)
class FeatureFlips:
    """What every single-feature change of one row does to the choice of a layer.

    alternatives: one line a value tried. Columns: feature, kind, from, to (values in words),
    value (the raw one, None for missing), index (the encoded one), buckets (how many it lies from
    the row's own, NaN for categories and missing values), specific, shared (whether that set
    differs), margin_specific, margin_shared (of the choice after the change, nats; NaN without a
    choice), and the probability of each task, NaN where it does not exist.
    before: probability of each task as the row is. known: number of all alternatives there are.
    """

    layer: str
    task: str
    alternatives: pd.DataFrame
    before: dict[str, float]
    known: int

    def best(self, which: Which) -> pd.DataFrame:
        """Return for each feature the change that flips the choice best, or comes nearest to it.

        Best is the fewest buckets for a number, and among equals the widest margin left; nearest
        is the narrowest margin. Columns: those of `alternatives`, flips, margin (the narrower of
        the sets that `which` names and, where any flipped, that flipped), flipping and tried
        (numbers of the feature's values). First features that flip, the widest margin first; then
        those that do not, the narrowest first.
        """
        every, named = self.alternatives, [name for name in WHICH[1:] if which in (name, "either")]
        flips = every[named].any(axis=1)
        margins = [
            every[f"margin_{name}"].where(every[name] | ~flips).rename(name) for name in named
        ]
        every = every.assign(flips=flips, margin=pd.concat(margins, axis=1).min(axis=1))
        of_feature = every.groupby("feature", sort=False)["flips"]
        every["flipping"], every["tried"] = (
            of_feature.transform("sum"),
            of_feature.transform("size"),
        )
        every["far"] = every["buckets"].fillna(np.inf).where(flips, 0)
        every["rank"] = every["margin"].where(~flips, -every["margin"])
        by = ["flips", "far", "rank"]
        first = every.sort_values(by, ascending=[False, True, True], kind="stable")
        first = first.drop_duplicates("feature")
        ordered = first.sort_values(["flips", "rank"], ascending=[False, True], kind="stable")
        return ordered.drop(columns=["far", "rank"]).reset_index(drop=True)


def feature_flips(
    checkpoint: Checkpoint, frame: pd.DataFrame, layer: str, task: int, most: int = MOST,
    seed: int = 0,
) -> FeatureFlips:  # fmt: skip
    """Try every known value of each feature of one row, the others as they are.

    frame: the row. task: whose choice it is, in a task layer. most: of more alternatives, those of
    the features with most values are drawn with `seed`, as many of each.
    """
    if len(frame) != 1:
        raise InputError(f"flips are for one row, found {len(frame)}")
    row = checkpoint.encode(frame)
    places, values, known = alternatives(checkpoint.encoder, row, most, seed)
    fields = row.fields.repeat(len(values) + 1, 1)  # the first is the row as it is
    fields[torch.arange(1, len(fields)), torch.from_numpy(places)] = torch.from_numpy(values)
    every = row.repeat(len(fields))
    every = replace(
        every, fields=fields, numbers=_numbers(checkpoint.encoder, every, places, values)
    )
    traced = trace(checkpoint.model, every, pd.RangeIndex(len(fields)))
    probability = _probability(checkpoint, traced)
    table = _words(checkpoint.encoder, row, places, values)
    table = table.join(_choice(traced, layer, task)).join(
        probability.iloc[1:].reset_index(drop=True)
    )
    names = [task.name for task in checkpoint.description.task]
    before = dict(zip(names, probability.iloc[0].tolist(), strict=True))
    return FeatureFlips(layer, names[task], table, before, known)


def alternatives(
    encoder: Encoder, row: Batch, most: int = MOST, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return feature and encoded value of each alternative tried, and how many there are."""
    options = []
    for place, (size, name) in enumerate(
        zip(encoder.schema.fields, encoder.description.fields, strict=True)
    ):
        unreachable = {int(row.fields[0, place])} | ({UNSEEN} if name in encoder.edges else set())
        options.append(np.setdiff1d(np.arange(size), list(unreachable)))
    limit = _limit([len(values) for values in options], most)
    drawn = np.random.default_rng(seed)
    kept = [
        values if len(values) <= limit else np.sort(drawn.choice(values, limit, replace=False))
        for values in options
    ]
    places = np.repeat(np.arange(len(kept)), [len(values) for values in kept])
    return places, np.concatenate(kept).astype(np.int32), sum(map(len, options))


def _numbers(
    encoder: Encoder, every: Batch, places: np.ndarray, values: np.ndarray
) -> Tensor | None:
    """Numbers of the row and of its alternatives, each alternative's feature at its raw value."""
    if every.numbers is None:
        return None
    numbers, names = every.numbers.clone(), list(encoder.description.fields)
    of_column = np.array(encoder.schema.numbers)
    for line, (place, index) in enumerate(zip(places, values, strict=True), start=1):
        if (scaling := encoder.scaling.get(names[place])) is not None:
            raw = raw_value(encoder, names[place], int(index))
            own = scaling.scaled(np.array([np.nan if raw is None else raw], np.float64))
            numbers[line, torch.from_numpy(of_column == place)] = torch.from_numpy(own[0])
    return numbers


def raw_value(encoder: Encoder, name: str, index: int) -> Value:
    """Return a raw value that is encoded as `index`: of a bucket its lower edge, if it has one."""
    if index == MISSING:
        return None
    if name in encoder.categories:
        known = encoder.categories[name]
        return _unknown(known) if index == UNSEEN else known[index - FIRST_VALUE]
    edges, bucket = encoder.edges[name], index - FIRST_VALUE
    if bucket > 0:
        return edges[bucket - 1]
    return math.nextafter(edges[0], -math.inf) if edges else 0.0


def _unknown(known: tuple[str, ...]) -> str:
    word = "unseen"
    while word in known:
        word += "?"
    return word


def _limit(sizes: list[int], most: int) -> int:
    """Return the most values a feature may have so that all together are at most `most`."""
    low, high = 0, max(sizes, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= most else (low, middle - 1)
    return low


def _choice(traced: RoutingTrace, layer: str, task: int) -> pd.DataFrame:
    """Which sets differ from those of the first row, and the margins: one line each other row."""
    whole = traced.layer(layer)
    own = whole.of_task(task)
    margins = {f"margin_{call.choosing}": call.nats[1:] for call in layer_calls(whole, task)}
    found = {
        "specific": (own.specific[1:] != own.specific[0]).any(-1).numpy(),
        "shared": (own.shared[1:] != own.shared[0]).any(-1).numpy(),
        "margin_specific": np.nan,
        "margin_shared": np.nan,
    }
    return pd.DataFrame(found | margins, index=range(len(traced) - 1))


def _probability(checkpoint: Checkpoint, traced: RoutingTrace) -> pd.DataFrame:
    found = predictions(traced, checkpoint)
    names = [task.name for task in checkpoint.description.task]
    return found.pivot_table(
        index="row", columns="task", values="probability", dropna=False, observed=False
    )[names]  # fmt: skip


def _words(encoder: Encoder, row: Batch, places: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Name every alternative."""
    parts = []
    for place, (name, feature) in enumerate(encoder.description.fields.items()):
        chosen, old = values[places == place], int(row.fields[0, place])
        words = encoder.value_names(name)
        numeric = feature.kind == "numeric" and old >= FIRST_VALUE
        steps = np.where((chosen >= FIRST_VALUE) & numeric, np.abs(chosen - old), np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "feature": name,
                    "kind": feature.kind,
                    "from": words[old],
                    "to": [words[value] for value in chosen],
                    "value": pd.Series(
                        [raw_value(encoder, name, int(value)) for value in chosen], dtype=object
                    ),
                    "index": chosen,
                    "buckets": steps,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
