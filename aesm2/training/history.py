"""Reading a run's records: tidy frames of losses, divergences, validation and utilisation.

A history may be of an older version, cut short, or empty: what a record lacks is left out, and
every function returns its columns even where no record has them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aesm2.config import Config, TrainingConfig
from aesm2.data.schema import Schema
from aesm2.routing.trace import LayerSpec
from aesm2.routing.utilisation import Utilisation

Records = Sequence[Mapping[str, Any]]

SPECIFIC, SHARED, L2, TOTAL = "λ_sp L_sp", "λ_sh L_sh", "γ‖Θ‖²", "total"
PACE = 40  # records that tell how fast a run goes now
LOSSES = ("step", "seconds", "term", "kind", "value")
DIVERGENCES = ("step", "seconds", "layer", "role", "value")
VALIDATION = ("step", "seconds", "scope", "scenario", "task", "n", "value", "log_loss")


@dataclass(frozen=True)
class Facts:
    """A run in numbers; NaN where no record tells.

    steps, seconds: at the last record. rows_per_second: median over the records of training.
    records: how many there are of training, and of validation. peak_mb: memory of the process.
    left: seconds to the last step at the pace of the last records, if nothing stops it early.
    """

    steps: int
    seconds: float
    rows_per_second: float
    records: tuple[int, int]
    peak_mb: float = math.nan
    left: float = math.nan


def facts(history: Records) -> Facts:
    """Sum a run up."""
    train, validation = _of(history, "train"), _of(history, "validation")
    speeds = [_number(r.get("rows_per_second")) for r in train]
    known = [speed for speed in speeds if math.isfinite(speed)]
    both = [*train, *validation]
    seconds = [s for s in (_number(r.get("seconds")) for r in both) if math.isfinite(s)]
    return Facts(
        steps=max((int(r["step"]) for r in both), default=0),
        seconds=max(seconds, default=math.nan),
        rows_per_second=float(np.median(known)) if known else math.nan,
        records=(len(train), len(validation)),
        peak_mb=_number(train[-1].get("peak_mb")) if train else math.nan,
        left=_left(both),
    )


def loss_frame(history: Records, config: TrainingConfig) -> pd.DataFrame:
    """Every term as it enters the loss (Eq. 22), one line a record and term; see LOSSES.

    A task's term is λ_k L_k (Eq. 19); the auxiliary ones are λ_sp and λ_sh times the sum over all
    layers (Eq. 20–21); L2 is recorded with its γ. kind: "task", "specific", "shared", "l2" or
    "total", their sum. A record lacking a term has no total.
    """
    lines = []
    for record in _of(history, "train"):
        terms = [
            (task, "task", config.task_weights.get(task, 1.0) * value)
            for task, value in _numbers(record, "loss").items()
        ]
        complete = bool(terms)
        for name, kind, weight in (
            (SPECIFIC, "specific", config.lambda_specific),
            (SHARED, "shared", config.lambda_shared),
        ):
            complete &= f"kl_{kind}" in record
            if f"kl_{kind}" in record:
                terms.append((name, kind, weight * sum(_numbers(record, f"kl_{kind}").values())))
        complete &= "l2" in record
        if "l2" in record:
            terms.append((L2, "l2", _number(record["l2"])))
        if complete:
            terms.append((TOTAL, "total", sum(value for _, _, value in terms)))
        lines += [(*_when(record), *term) for term in terms]
    return _frame(lines, LOSSES)


def divergence_frame(history: Records) -> pd.DataFrame:
    """Σ KL over the chosen experts (Eq. 20) by layer and role, in nats; see DIVERGENCES."""
    lines = [
        (*_when(record), layer, role, value)
        for record in _of(history, "train")
        for role in ("specific", "shared")
        for layer, value in _numbers(record, f"kl_{role}").items()
    ]
    return _frame(lines, DIVERGENCES)


def validation_frame(history: Records) -> pd.DataFrame:
    """AUC × 100 (`value`) and log loss by scope, scenario and task; see VALIDATION.

    NaN where a class is missing.
    """
    lines = []
    for record in _of(history, "validation"):
        measured = record.get("metrics")
        for line in measured if isinstance(measured, list) else []:
            if isinstance(line, Mapping) and {"scope", "scenario", "task"} <= line.keys():
                names = (str(line["scope"]), str(line["scenario"]), str(line["task"]))
                numbers = (_number(line.get("n")), 100 * _number(line.get("auc")))
                lines.append((*_when(record), *names, *numbers, _number(line.get("log_loss"))))
    return _frame(lines, VALIDATION)


def smoothed(frame: pd.DataFrame, factor: float, by: Sequence[str]) -> pd.DataFrame:
    """Add a column `smooth`: `value` averaged exponentially along each series named by `by`.

    factor: weight that a value passes on to its predecessor, 0 (nothing is smoothed) to below 1:
    value t − i counts factor^i, divided by the sum of these weights, so that the start is not
    pulled towards zero. A missing value stays missing and its weight falls to the others.
    """
    if not 0 <= factor < 1:
        raise ValueError(f"factor is {factor}, expected 0 ≤ factor < 1")
    if frame.empty or factor == 0:
        return frame.assign(smooth=frame["value"])
    series = frame.groupby(list(by), sort=False, observed=True)["value"]
    means = series.transform(lambda v: v.ewm(alpha=1 - factor, adjust=True).mean())
    return frame.assign(smooth=means.where(frame["value"].notna()))


def snapshots(
    lines: Records, schema: Schema, specs: Iterable[LayerSpec]
) -> list[tuple[int, Utilisation]]:
    """Read the lines of utilisation.jsonl as (step, counts), in order of steps.

    A snapshot keeps the layers it has; one that fits no layer, or another set of scenarios, is
    left out.
    """
    paths, layers = math.prod(len(level) for level in schema.levels), tuple(specs)
    found = []
    for line in lines:
        counts = line.get("layers")
        if not isinstance(counts, Mapping) or not _is_step(line.get("step")):
            continue
        fitting = tuple(spec for spec in layers if _fits(counts.get(spec.name), spec, paths))
        rows = _array(line.get("rows"))
        if fitting and rows is not None and rows.shape == (paths,):
            found.append((int(line["step"]), Utilisation.from_json(schema, fitting, dict(line))))
    return sorted(found, key=lambda pair: pair[0])


def nearest_snapshot(
    found: Sequence[tuple[int, Utilisation]], step: int
) -> tuple[int, Utilisation]:
    """Return the snapshot closest to a step, the earlier one of two as close."""
    return min(found, key=lambda pair: (abs(pair[0] - step), pair[0]))


def config_differences(configs: Mapping[str, Config]) -> pd.DataFrame:
    """Settings in which runs differ: one line a setting, a column a run; "–" where it has none.

    Settings are dotted paths, such as "training.lambda_shared".
    """
    flat = {name: _flat(config.model_dump(mode="json")) for name, config in configs.items()}
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    lines = []
    for key in keys:
        written = {name: _written(values, key) for name, values in flat.items()}
        if len(set(written.values())) > 1:
            lines.append({"setting": key} | written)
    return pd.DataFrame(lines, columns=["setting", *flat])


def _left(records: Records) -> float:
    """Seconds to the last step, at the pace of the last PACE records; NaN where it is unknown."""
    timed = sorted((int(r["step"]), _number(r.get("seconds"))) for r in records if "seconds" in r)[
        -PACE:
    ]
    planned = [_number(r["last_step"]) for r in records if "last_step" in r]
    last = planned[-1] if planned else math.nan  # before a branch it may have been another
    if not timed or timed[-1][0] == timed[0][0]:
        return math.nan
    pace = (timed[-1][1] - timed[0][1]) / (timed[-1][0] - timed[0][0])
    return max(0.0, pace * (last - timed[-1][0]))


def _of(history: Records, kind: str) -> list[Mapping[str, Any]]:
    """Return the records of a kind that tell their step."""
    records = (record for record in history if isinstance(record, Mapping))
    return [r for r in records if r.get("kind") == kind and _is_step(r.get("step"))]


def _is_step(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 2**53  # whole numbers that floats hold


def _when(record: Mapping[str, Any]) -> tuple[int, float]:
    return int(record["step"]), _number(record.get("seconds"))


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # a whole number beyond all floats
        return math.nan


def _numbers(record: Mapping[str, Any], key: str) -> dict[str, float]:
    values = record.get(key)
    if not isinstance(values, Mapping):
        return {}
    return {str(name): _number(value) for name, value in values.items()}


def _frame(lines: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=list(columns))


def _fits(counts: Any, spec: LayerSpec, paths: int) -> bool:
    """Whether stored counts have the shape that a layer needs, (T, P, n)."""
    if not isinstance(counts, Mapping):
        return False
    shape = (len(spec.gates) if spec.kind == "task" else 1, paths, spec.experts)
    arrays = (_array(counts.get(name)) for name in ("specific", "shared", "weight"))
    return all(array is not None and array.shape == shape for array in arrays)


def _array(values: Any) -> np.ndarray | None:
    try:
        return np.asarray(values, np.float64)
    except (OverflowError, TypeError, ValueError):
        return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _written(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "–"
    value = values[key]
    return f"{value:g}" if isinstance(value, float) else str(value)
