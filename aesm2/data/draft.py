"""A first draft of `dataset.toml` for a table nobody has described yet."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aesm2.data.dataset import read_table
from aesm2.errors import InputError
from aesm2.metrics import auc

SAMPLE = 100_000  # rows that are looked at
FEW = 20  # at most as many values make a scenario level
TELLING = 0.95  # a column that alone reaches this AUC for a label is suspected to be its effect
BEHAVIOUR = re.compile(r"^is_|click|purchase|order|buy|bought|cart|conver|like|view|play|stay|pay")


@dataclass(frozen=True)
class _Column:
    """What a column looks like."""

    name: str
    distinct: int
    binary: bool
    numeric: bool
    unique: bool
    dated: bool


def draft_description(path: Path) -> str:
    """Read a table and write a description of it: guesses, each with a comment saying why.

    Labels are the binary columns whose names speak of behaviour, ordered into a chain where one is
    1 only where another is; levels are columns of few values; ids are categorical features, other
    numbers numeric ones. Raises InputError where no label or no level can be found.
    """
    frame = read_table(path).head(SAMPLE)
    if frame.empty:
        raise InputError(f"{path}: no rows to describe")
    columns = [_look(frame[name], str(name)) for name in frame.columns]
    binary = [c for c in columns if c.binary]
    labels = [c.name for c in binary if BEHAVIOUR.search(c.name.lower())] or [
        c.name for c in binary
    ]
    chain = _chain(frame, labels) if labels else []
    telling = _telling(frame, columns, chain)
    split = next((c.name for c in columns if c.dated), None)
    levels = [
        c
        for c in columns
        if 2 <= c.distinct <= FEW
        and c.name not in {*labels, *telling, split}
        and not BEHAVIOUR.search(c.name.lower())
    ]
    levels.sort(key=lambda c: c.binary)  # flags last
    if not labels:
        raise InputError(f"{path}: no column of 0 and 1 that could be a label (click, purchase, …)")
    if not levels:
        raise InputError(f"{path}: no column of 2 to {FEW} values that could be a scenario level")
    return "\n".join(
        [
            *_head(path, frame),
            *_split_lines(frame, split),
            *_level_lines(frame, levels, chain[0]),
            *_task_lines(frame, chain, labels),
            *_feature_lines(columns, chain, labels, telling, split),
        ]
    )


def _look(values: pd.Series, name: str) -> _Column:
    present = values.dropna()
    distinct = int(present.nunique())
    numeric = pd.api.types.is_numeric_dtype(present)
    numbers = set(pd.unique(present)) if distinct <= 2 else set()
    dated = "date" in name.lower() or pd.api.types.is_datetime64_any_dtype(present)
    unique = distinct > 0.95 * len(values) and not pd.api.types.is_float_dtype(present)
    return _Column(
        name, distinct, numbers == {0, 1}, numeric, unique and len(values) > FEW,
        dated and distinct >= 3,
    )  # fmt: skip


def _chain(frame: pd.DataFrame, labels: list[str]) -> list[str]:
    """Return labels, most frequent first, each 1 (nearly) only where the one before it is."""
    by_rate = sorted(labels, key=lambda name: -frame[name].mean())
    chain = by_rate[:1]
    for name in by_rate[1:]:
        positive = frame[name] == 1
        inside = (frame[chain[-1]][positive] == 1).mean() if positive.any() else 0.0
        if inside >= 0.98 and frame[name].mean() < frame[chain[-1]].mean():
            chain.append(name)
    return chain


def _telling(frame: pd.DataFrame, columns: list[_Column], chain: list[str]) -> set[str]:
    """Return the numeric columns that alone rank the rows of a label almost perfectly."""
    found = set()
    for column in columns:
        if not column.numeric or column.name in chain:
            continue
        values = frame[column.name].fillna(frame[column.name].min()).to_numpy(np.float64)
        for label in chain:
            area = auc(frame[label].to_numpy(np.float64), values).value
            if max(area, 1 - area) >= TELLING:
                found.add(column.name)
    return found


def _head(path: Path, frame: pd.DataFrame) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem).lstrip("_-") or "dataset"
    return [
        f"# Drafted from {path.name} ({len(frame):,} rows looked at). Check every guess.",
        f"name = {_quoted(name)}",
        f"title = {_quoted(path.stem)}",
        'provenance = "private"    # or "public", "simulated"',
        'licence = "unknown"       # say what may be done with the data',
        "",
        "[source]",
        f"table = {_quoted(path.name)}    # relative to this file",
        "",
    ]


def _split_lines(frame: pd.DataFrame, column: str | None) -> list[str]:
    if column is None:
        column = str(frame.columns[0])
        reason = "no date found: choose a column whose order is time, and its bounds"
    else:
        reason = f"by time, on the dates of {column}"
    values = frame[column].dropna().drop_duplicates().sort_values().tolist()
    if len(values) < 3:
        raise InputError(
            f"no column with three values to split by; add one to the table (tried '{column}')"
        )
    last = len(values) - 1
    first_test = max(2, int(0.9 * last))
    first_validation = max(1, min(int(0.8 * last), first_test - 1))
    train, validation, test = (
        _value(values[first_validation - 1]),
        (_value(values[first_validation]), _value(values[first_test - 1])),
        _value(values[first_test]),
    )
    return [
        f"[split]    # {reason}",
        f"column = {_quoted(column)}",
        f"train = {{ last = {train} }}",
        f"validation = {{ first = {validation[0]}, last = {validation[1]} }}",
        f"test = {{ first = {test} }}",
        "",
    ]


def _level_lines(frame: pd.DataFrame, levels: list[_Column], label: str) -> list[str]:
    """Propose the first level; name the other candidates in comments."""
    lines = []
    for position, level in enumerate(levels[:4]):
        rates = frame.groupby(level.name)[label].mean()
        shown = ", ".join(f"{value}: {100 * rate:.1f} %" for value, rate in rates.items())
        values = ", ".join(_value(v) for v in rates.index)
        mark = "" if position == 0 else "# "
        lines += [
            f"# {level.name} has {level.distinct} values; rate of {label} in each: {shown}",
            f"{mark}[[level]]",
            f"{mark}name = {_quoted(_name(level.name))}",
            f"{mark}column = {_quoted(level.name)}",
            f"{mark}values = [{values}]",
            f'{mark}other = "other"',
            "",
        ]
    return lines


def _task_lines(frame: pd.DataFrame, chain: list[str], labels: list[str]) -> list[str]:
    lines = []
    for position, name in enumerate(chain):
        rate = 100 * frame[name].mean()
        lines += ["[[task]]", f"name = {_quoted(_name(name))}    # {rate:.2f} % positive"]
        lines += [f"label = {_quoted(name)}"]
        if position:
            before = chain[position - 1]
            lines += [f"follows = {_quoted(_name(before))}    # 1 only where {before} is 1"]
        lines += [""]
    others = [name for name in labels if name not in chain]
    if others:
        lines += [f"# Other columns that could be labels: {', '.join(others)}", ""]
    return lines


def _feature_lines(
    columns: list[_Column],
    chain: list[str],
    labels: list[str],
    telling: set[str],
    split: str | None,
) -> list[str]:
    lines = ["[features.all]    # split into groups such as [features.user], [features.item]"]
    for column in columns:
        if column.name in chain:
            continue
        key = column.name if re.fullmatch(r"[A-Za-z0-9_-]+", column.name) else _quoted(column.name)
        id_like = re.search(r"(^|_)id($|_)", column.name.lower()) is not None
        numeric = column.numeric and not id_like and column.distinct > FEW
        kind = '{ kind = "numeric" }' if numeric else '{ kind = "categorical", min_count = 5 }'
        reason = _doubt(column, labels, telling, split)
        lines.append(f"# {key} = {kind}    # left out: {reason}" if reason else f"{key} = {kind}")
    return [*lines, ""]


def _doubt(column: _Column, labels: list[str], telling: set[str], split: str | None) -> str:
    if column.name in labels:
        return "looks like an outcome, known only after the impression"
    if column.name in telling:
        return "tells a label almost perfectly: is it known before the impression?"
    if column.distinct <= 1:
        return "constant"
    if column.name == split:
        return "orders the rows; unseen values in the test split"
    if BEHAVIOUR.search(column.name.lower()):
        return "its name speaks of behaviour after the impression"
    return "nearly every row has its own value" if column.unique else ""


def _name(column: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", column)
    return cleaned if re.match(r"[A-Za-z]", cleaned) else f"c_{cleaned}"


def _value(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
