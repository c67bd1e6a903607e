"""From a data frame to a Batch: vocabularies, edges and scales learnt from the training split."""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from aesm2.data.batch import Batch
from aesm2.data.cleaning import cleaned
from aesm2.data.description import Description, Feature, Level, Task
from aesm2.data.scaling import Scaling
from aesm2.data.schema import Schema
from aesm2.errors import InputError, nearest
from aesm2.layers.embedding import FIRST_VALUE, MISSING, UNSEEN


@dataclass(frozen=True)
class Seen:
    """All that an encoder learns from.

    counts: how often each value of a categorical feature occurs, by its text. numbers: the values
    of a numeric feature in the order of the rows, NaN where missing.
    """

    counts: Mapping[str, pd.Series]
    numbers: Mapping[str, np.ndarray]

    @staticmethod
    def in_rows(description: Description, training: pd.DataFrame) -> "Seen":
        """Collect it from rows of the training split."""
        require_columns(training, description.input_columns, "the training split")
        counts: dict[str, pd.Series] = {}
        numbers: dict[str, np.ndarray] = {}
        for name, feature in description.fields.items():
            column = training[feature.column or name]
            if feature.kind == "categorical":
                counts[name] = as_text(column).value_counts()
            else:
                numbers[name] = as_numbers(column, name)
        return Seen(counts, numbers)


@dataclass(frozen=True)
class Encoder:
    """How each feature becomes an index.

    categories: sorted known values of each categorical feature, as text.
    edges: rising bucket edges of each numeric feature; bucket b holds values from
        edges[b - 1], included, to edges[b], excluded.
    scaling: of each feature the model takes as a number; see `aesm2.data.scaling`.
    """

    description: Description
    categories: Mapping[str, tuple[str, ...]]
    edges: Mapping[str, tuple[float, ...]]
    scaling: Mapping[str, Scaling] = field(default_factory=dict)
    _index: dict[str, pd.Index] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def fit(description: Description, training: pd.DataFrame) -> "Encoder":
        """Learn vocabularies and quantile edges from the rows of the training split only."""
        return Encoder.learnt(description, Seen.in_rows(description, training))

    @staticmethod
    def learnt(description: Description, seen: "Seen") -> "Encoder":
        """Learn vocabularies and quantile edges from what was seen in the training split."""
        categories: dict[str, tuple[str, ...]] = {}
        edges: dict[str, tuple[float, ...]] = {}
        scaling: dict[str, Scaling] = {}
        for name, feature in description.fields.items():
            if feature.kind == "categorical":
                counts = seen.counts[name]
                categories[name] = tuple(sorted(counts.index[counts >= feature.min_count]))
            else:
                numbers = seen.numbers[name]
                edges[name] = _quantile_edges(numbers, feature.buckets)
                if feature.scale is not None:
                    scaling[name] = Scaling.fit(numbers, feature.scale)
        return Encoder(description, categories, edges, scaling)

    @property
    def schema(self) -> Schema:
        """The shape of what this encoder makes."""
        described = self.description
        return Schema(
            fields=tuple(FIRST_VALUE + self._values(name) for name in described.fields),
            levels=tuple(level.scenarios for level in described.level),
            level_names=tuple(level.name for level in described.level),
            tasks=tuple(task.name for task in described.task),
            parents=described.parents,
            numbers=tuple(
                position
                for position, name in enumerate(described.fields)
                if name in self.scaling
                for _ in range(self.scaling[name].columns)
            ),
        )

    def encode(self, frame: pd.DataFrame, labels: bool = False) -> Batch:
        """Encode the rows of `frame`; unseen and missing values have indices of their own.

        labels: also read the label columns, which must then be there.
        Raises InputError for a missing column, text in a numeric column, a label that is neither
        0 nor 1, or an unknown scenario where the level has no `other`.
        """
        described = self.description
        needed = [*described.input_columns, *(task.label for task in described.task if labels)]
        require_columns(frame, needed, "the table")
        frame = cleaned(frame, described.source)
        fields = np.empty((len(frame), len(described.fields)), np.int32)
        scaled: list[np.ndarray] = []
        for position, (name, feature) in enumerate(described.fields.items()):
            fields[:, position] = self._encode_field(frame, name, feature)
            if name in self.scaling:
                column = feature.column or name
                scaled.append(self.scaling[name].scaled(as_numbers(frame[column], column)))
        scenarios = np.empty((len(frame), len(described.level)), np.int64)
        for position, level in enumerate(described.level):
            scenarios[:, position] = encode_scenario(frame, level)
        return Batch(
            torch.from_numpy(fields),
            torch.from_numpy(scenarios),
            torch.from_numpy(read_labels(frame, described, scenarios)) if labels else None,
            torch.from_numpy(np.concatenate(scaled, axis=1)) if scaled else None,
        )

    def value_names(self, name: str) -> list[str]:
        """Return what each index of a field stands for, in words."""
        if name in self.categories:
            return ["missing", "unseen", *self.categories[name]]
        edges = [f"{edge:.6g}" for edge in self.edges[name]]
        bounds = zip(["", *edges], [*edges, ""], strict=True)
        return ["missing", "unseen", *(_bucket_name(low, high) for low, high in bounds)]

    def unseen_counts(self, batch: Batch) -> pd.DataFrame:
        """Count values that training never met: one line a feature, columns missing and unseen."""
        return pd.DataFrame(
            {
                "feature": list(self.description.fields),
                "missing": (batch.fields == MISSING).sum(0).numpy(),
                "unseen": (batch.fields == UNSEEN).sum(0).numpy(),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return the learnt values as plain data; without scaled numbers there is no "scaling"."""
        values: dict[str, Any] = {
            "categories": {name: list(values) for name, values in self.categories.items()},
            "edges": {name: list(values) for name, values in self.edges.items()},
        }
        if self.scaling:
            values["scaling"] = {name: own._asdict() for name, own in self.scaling.items()}
        return values

    @staticmethod
    def from_json(description: Description, values: dict[str, Any]) -> "Encoder":
        """Rebuild an encoder from `to_json`; InputError where it is not of this description."""
        if not isinstance(values, dict):
            raise InputError("not what an encoder wrote")
        kinds = {"categories": "categorical", "edges": "numeric"}
        for part, kind in kinds.items():
            wanted = [n for n, feature in description.fields.items() if feature.kind == kind]
            _require_learnt(values.get(part), part, wanted)
        return Encoder(
            description,
            {name: tuple(v) for name, v in values["categories"].items()},
            {name: tuple(map(float, v)) for name, v in values["edges"].items()},
            _read_scaling(values.get("scaling", {}), description),
        )

    def _values(self, name: str) -> int:
        return len(self.categories[name]) if name in self.categories else len(self.edges[name]) + 1

    def _encode_field(self, frame: pd.DataFrame, name: str, feature: Feature) -> np.ndarray:
        column = frame[feature.column or name]
        if feature.kind == "numeric":
            numbers = as_numbers(column, feature.column or name)
            bucket = np.searchsorted(np.asarray(self.edges[name]), numbers, side="right")
            return np.where(np.isnan(numbers), MISSING, bucket + FIRST_VALUE)
        if name not in self._index:
            self._index[name] = pd.Index(self.categories[name], dtype=object)
        codes, values = coded(column)  # missing values have code -1
        known = self._index[name].get_indexer(pd.Index(_texts(values), dtype=object))
        table = np.append(np.where(known < 0, UNSEEN, known + FIRST_VALUE), MISSING)
        fields: np.ndarray = table[codes]
        return fields


def _require_learnt(found: Any, part: str, wanted: list[str]) -> None:
    """Raise InputError unless every wanted feature, and no other, has values in rising order."""
    if not isinstance(found, dict) or found.keys() != set(wanted):
        raise InputError(f"{part} are not of the features that the description has")
    for name, values in found.items():
        if not isinstance(values, list) or not all(_fits(value, part) for value in values):
            raise InputError(f"{part} of '{name}' are no list of {_KINDS[part]}")
        if any(low >= high for low, high in itertools.pairwise(values)):
            raise InputError(f"{part} of '{name}' are not in rising order")


def _read_scaling(found: Any, description: Description) -> dict[str, Scaling]:
    """Rebuild the scales; InputError unless they are of the features described so, and finite."""
    wanted = {n: own.scale for n, own in description.fields.items() if own.scale is not None}
    if not isinstance(found, dict) or found.keys() != wanted.keys():
        raise InputError("scaling is not of the features that the description has")
    for name, own in found.items():
        if not isinstance(own, dict) or own.keys() != set(Scaling._fields):
            raise InputError(f"scaling of '{name}' is not of this version")
        whole = all(_fits(own[key], "scaling") for key in ("mean", "deviation"))
        if not whole or own["deviation"] <= 0 or not isinstance(own["missing"], bool):
            raise InputError(f"scaling of '{name}' are no finite mean and deviation")
        if own["scale"] != wanted[name]:
            raise InputError(f"scaling of '{name}' is {own['scale']!r}, not '{wanted[name]}'")
    return {name: Scaling(**own) for name, own in found.items()}


_KINDS = {"categories": "texts", "edges": "finite numbers"}


def _fits(value: Any, part: str) -> bool:
    if part == "categories":
        return isinstance(value, str)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # Python compares any whole number exactly


def require_columns(frame: pd.DataFrame, columns: list[str] | tuple[str, ...], what: str) -> None:
    """Raise InputError that names every column `frame` lacks."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        hints = [f"'{c}'{nearest(c, map(str, frame.columns))}" for c in missing[:8]]
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        plural = "s" if len(missing) > 1 else ""
        raise InputError(f"{what} lacks the column{plural} {', '.join(hints)}{more}")


def encode_scenario(frame: pd.DataFrame, level: Level) -> np.ndarray:
    """Index of each row's scenario at one level, (rows,) int64."""
    if level.column is None:
        return np.zeros(len(frame), np.int64)
    codes, values = coded(frame[level.column], missing=True)
    known = pd.Index(list(map(str, level.values)), dtype=object)
    found = known.get_indexer(pd.Index(_texts(values), dtype=object))
    if level.other is not None:
        found = np.where(found < 0, len(level.values), found)
    scenario: np.ndarray = found[codes]
    if (scenario < 0).any():
        row = int(np.argmax(scenario < 0))
        value = frame[level.column].iloc[row]
        raise InputError(
            f"row {row}: '{level.column}' is {value!s}, which is no scenario of"
            f" level '{level.name}' (known: {', '.join(level.scenarios)})"
        )
    return scenario.astype(np.int64)


def read_labels(frame: pd.DataFrame, description: Description, scenarios: np.ndarray) -> np.ndarray:
    """Labels of every task, multiplied along the chain, (rows, tasks) float32; NaN where unknown.

    A label is unknown in scenarios where the task does not exist, and where it is missing and may
    be. After a 0 in the task it follows it is 0, whatever the table says.
    scenarios: (rows, levels), see `encode_scenario`.
    """
    labels = np.empty((len(frame), len(description.task)), np.float32)
    for position, (task, parent) in enumerate(
        zip(description.task, description.parents, strict=True)
    ):
        exists = task_exists(task, description, scenarios)
        after_zero = labels[:, parent] == 0 if parent >= 0 else np.zeros(len(frame), bool)
        own = _read_label(frame[task.label].where(exists), task, ~exists | after_zero)
        labels[:, position] = np.where(after_zero & exists, 0, own)
    return labels


def task_exists(task: Task, description: Description, scenarios: np.ndarray) -> np.ndarray:
    """Whether the task exists in each row's scenario, (rows,) bool; scenarios: (rows, levels)."""
    exists = np.ones(len(scenarios), bool)
    for position, level in enumerate(description.level):
        if level.name in task.only:
            names = set(map(str, task.only[level.name]))
            exists &= np.array([name in names for name in level.scenarios])[scenarios[:, position]]
    return exists


def tasks_exist(description: Description, scenarios: np.ndarray) -> np.ndarray:
    """Whether each task exists in each row's scenario, (rows, tasks) bool; see `task_exists`."""
    found = [task_exists(task, description, scenarios) for task in description.task]
    return np.stack(found, axis=1)


def _read_label(column: pd.Series, task: Task, may_lack: np.ndarray) -> np.ndarray:
    """Read one label column, (rows,), NaN where missing; may_lack: rows that need no label."""
    if task.positive:
        codes, values = coded(column)
        positive = np.isin(_texts(values), _texts(task.positive))
        own: np.ndarray = np.append(positive.astype(np.float64), np.nan)[codes]
    else:
        own = as_numbers(column, task.label)
    missing = np.isnan(own)
    wrong = np.where(missing, ~may_lack & (not task.may_be_missing), ~np.isin(own, (0, 1)))
    if wrong.any():
        row = int(np.argmax(wrong))
        remedy = "list the values that count as 1 in `positive`"
        if missing[row]:
            remedy = "set may_be_missing = true if rows may lack it"
        raise InputError(
            f"row {row}: label '{task.label}' is {column.iloc[row]!s}, not 0 or 1; {remedy}"
        )
    return own


def coded(column: pd.Series, missing: bool = False) -> tuple[np.ndarray, pd.Index]:
    """Number the different values of a column: (rows,) integer codes, and the values.

    missing: whether to number missing values as well, which otherwise have code −1. Raises
    InputError where the values are lists or the like.
    """
    try:
        codes, values = pd.factorize(column, use_na_sentinel=not missing)
    except TypeError:  # unhashable
        raise InputError(f"column '{column.name}' holds lists or the like, not values") from None
    return codes, values


def as_text(column: pd.Series) -> pd.Series:
    """Present values as text, spelt alike whatever their type; missing ones are left out."""
    codes, values = coded(column)
    texts = np.array([*_texts(values), None], dtype=object)
    return pd.Series(texts[codes], index=column.index).dropna()


def _texts(values: Any) -> list[str]:
    """Spell values so that 1, 1.0, "1" and True are one category, whatever file they came from."""
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_numbers(column: pd.Series, name: str) -> np.ndarray:
    """Return a column as float64 with NaN where missing, moments and durations in seconds.

    Raises InputError that names the first row without a number.
    """
    if column.dtype.kind in "mM":
        return _seconds(column)
    try:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:
        large = f"a whole number beyond {np.finfo(np.float64).max:.1e}"
        raise InputError(f"column '{name}' holds {large}, the largest there is") from None
    bad = np.isnan(numbers) & column.notna().to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"row {row}: '{name}' is {column.iloc[row]!r}, not a number")
    return numbers


def _seconds(column: pd.Series) -> np.ndarray:
    """Moments since 1970 in UTC, or durations; alike in whatever unit a file stores them."""
    has_zone = column.dtype.kind == "M" and column.dt.tz is not None
    times = (column.dt.tz_convert(None) if has_zone else column).to_numpy()
    unit, _ = np.datetime_data(times.dtype)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return np.where(column.isna(), np.nan, times.astype(np.int64) / per_second)


def _quantile_edges(numbers: np.ndarray, buckets: int) -> tuple[float, ...]:
    present = numbers[np.isfinite(numbers)]
    if len(present) == 0:
        return ()
    cuts = np.quantile(present, np.arange(1, buckets) / buckets)
    return tuple(float(edge) for edge in np.unique(cuts) if edge > present.min())


def _bucket_name(low: str, high: str) -> str:
    if not low and not high:
        return "any"
    if not low:
        return f"< {high}"
    return f"≥ {low}" if not high else f"{low} – {high}"
