"""A first draft of `dataset.toml` for a table nobody has described yet."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aesm2.data.dataset import read_table
from aesm2.data.description import RESERVED
from aesm2.errors import InputError
from aesm2.metrics import auc

SAMPLE = 100_000  # rows that are looked at
FEW = 20  # at most as many values make a scenario level
TELLING = 0.95  # a column that alone reaches this AUC for a label is suspected to be its effect
DATE = re.compile(r"(?<!up)date")
ISO_DATE = re.compile(r"\d{4}([-/]?)\d{2}\1\d{2}")  # text that sorts as time does
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
    lists = [name for name in frame.columns if not _hashable(frame[name])]
    frame = frame.drop(columns=lists)
    columns = [_look(frame[name], name) for name in frame.columns]
    binary = [c for c in columns if c.binary and c.name != "split"]
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
        and c.name not in {*labels, *telling, split, "split"}
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
            *_split_lines(frame, split, chain, path),
            *_level_lines(frame, levels, chain),
            *_task_lines(frame, chain, labels),
            *_feature_lines(columns, chain, labels, telling, split),
            *(f"# {_shown(name)} is left out: it holds lists or the like" for name in lists),
            "",
        ]
    )


def _hashable(values: pd.Series) -> bool:
    try:
        values.nunique()
    except TypeError:
        return False
    return True


def _look(values: pd.Series, name: str) -> _Column:
    present = values.dropna()
    distinct = int(present.nunique())
    numeric = pd.api.types.is_numeric_dtype(present)
    numbers = set(pd.unique(present)) if distinct <= 2 else set()
    ordered = numeric or all(ISO_DATE.match(str(value)) for value in present.unique())
    named = DATE.search(name.lower()) is not None and ordered
    dated = named or pd.api.types.is_datetime64_any_dtype(present)
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
    """Return the columns that alone rank the rows of a label almost perfectly.

    Those of few values do so by their rates of the label, other ones as numbers.
    """
    found = set()
    for column in columns:
        own = frame[column.name]
        few = column.distinct <= FEW
        if column.name in chain or not (few or column.numeric):
            continue
        for label in chain:
            rates = frame.groupby(own, dropna=False)[label].transform("mean") if few else own
            values = rates.fillna(rates.min()).to_numpy(np.float64)
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


def _split_lines(
    frame: pd.DataFrame, column: str | None, chain: list[str], path: Path
) -> list[str]:
    if column is None:
        counts = {name: frame[name].nunique() for name in frame.columns if name not in chain}
        several = [name for name, count in counts.items() if count >= 3]
        if not several:
            raise InputError(f"{path}: no column with three values to split by; add a date")
        column = next((name for name in several if counts[name] > FEW), several[0])
        reason = "no date found: choose a column whose order is time, and its bounds"
    else:
        reason = f"by time, on the dates of {_shown(column)}"
    values = frame[column].dropna().drop_duplicates().sort_values().tolist()
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


def _level_lines(frame: pd.DataFrame, levels: list[_Column], chain: list[str]) -> list[str]:
    """Propose the first level; name the other candidates in comments."""
    label, lines = chain[0], []
    taken = {*RESERVED, *(_name(name) for name in chain)}
    for position, level in enumerate(levels[:4]):
        rates = frame.groupby(level.name)[label].mean()
        shown = ", ".join(f"{_shown(v)}: {100 * rate:.1f} %" for v, rate in rates.items())
        spelt = [_value(v) for v in rates.index]
        values = ", ".join(v if re.fullmatch(r"-?\d+|\".*\"", v) else _quoted(v) for v in spelt)
        other = "other" if _quoted("other") not in spelt else "none of these"
        mark = "" if position == 0 else "# "
        lines += [
            f"# {_shown(level.name)} has {level.distinct} values;"
            f" rate of {_shown(label)} in each: {shown}",
            f"{mark}[[level]]",
            f"{mark}name = {_quoted(_name(level.name, taken))}",
            f"{mark}column = {_quoted(level.name)}",
            f"{mark}values = [{values}]",
            f"{mark}other = {_quoted(other)}",
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
            lines += [f"follows = {_quoted(_name(before))}    # 1 only where {_shown(before)} is 1"]
        lines += [""]
    others = [name for name in labels if name not in chain]
    if others:
        lines += [f"# Other columns that could be labels: {', '.join(map(_shown, others))}", ""]
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
    return lines


def _doubt(column: _Column, labels: list[str], telling: set[str], split: str | None) -> str:
    if column.name == "split":
        return "the name is taken: rename the column"
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


def _name(column: str, taken: set[str] | frozenset[str] = RESERVED) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", column)
    name = cleaned if re.match(r"[A-Za-z]", cleaned) else f"c_{cleaned}"
    return f"c_{name}" if name in taken else name


def _value(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(value: object) -> str:
    """Spell a value for a comment, which is one line."""
    return "".join(c if c.isprintable() else " " for c in str(value))
