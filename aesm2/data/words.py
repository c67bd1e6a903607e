"""A description in words, for people who do not read `dataset.toml`."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from aesm2.data.description import Description, Feature, History, Interval, Level, Split, Task
from aesm2.data.encoder import Encoder

PARTS = ("train", "validation", "test")


def listed(words: Sequence[str]) -> str:
    """Join words: "3", "3 and 5", "1, 3 and 5"."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def source_words(described: Description) -> list[str]:
    """Say where the rows come from, one sentence a rule."""
    source = described.source
    said = [f"Rows are those of {source.table}."]
    said += [f"{join.table} is joined to them on {join.on}." for join in source.join]
    said += [
        f"Only rows whose {column} is {_either(list(map(str, values)))} are kept."
        for column, values in source.keep.items()
    ]
    if source.missing:
        said.append(f"{_either(list(map(repr, source.missing)))} means that a value is missing.")
    said += [f"{column} holds dates such as {form}." for column, form in source.dates.items()]
    if source.time:
        said.append(f"{source.time} orders the rows in time.")
    return said


def split_words(split: Split) -> str:
    """Say how rows are divided into train, validation and test."""
    drawn = split.random
    if drawn is None:
        parts = [f"{name} {_interval_words(getattr(split, name))}" for name in PARTS]
        return f"By {split.column}: {listed(parts)}."
    together = f"; rows with the same {drawn.key} stay together" if drawn.key else ""
    train = 1 - drawn.validation - drawn.test
    return (
        f"At random (seed {drawn.seed}): {train:.0%} train, {drawn.validation:.0%} validation and"
        f" {drawn.test:.0%} test{together}. Rows of one time stand on both sides, so the test"
        " does not say how well the model does on days to come."
    )


def level_words(level: Level) -> str:
    """Say what the scenarios of a level are."""
    title = level.title or level.name
    if level.column is None:
        return f"{title}: one scenario, {level.scenarios[0]}, that of every row."
    rest = f"; any other value is {level.other}" if level.other is not None else ""
    return f"{title}, from {level.column}: {listed(list(map(str, level.values)))}{rest}."


def task_words(task: Task) -> str:
    """Say what makes a row positive, and where the task exists."""
    positive = f" is {_either(list(map(str, task.positive)))}" if task.positive else " is 1"
    said = f"{task.title or task.name}: {task.label}{positive}"
    if task.follows:
        said += f", and {task.follows} is positive too"
    for level, values in task.only.items():
        said += f"; only where {level} is {_either(list(map(str, values)))}"
    if task.may_be_missing:
        said += "; some rows have no label"
    if task.value:
        said += f"; a positive is worth its {task.value}"
    return f"{said}."


def history_words(block: History) -> str:
    """Say what a block of history features knows of the past."""
    said = f"{block.name}: for rows with the same {listed(block.keys)}, how many there were before"
    said += " and how long ago the last one was"
    if block.outcomes:
        pulled = f"pulled towards the overall mean by {block.smoothing:g} pseudo-rows"
        said += f", and their mean {listed(block.outcomes)}, {pulled}"
    if block.delay:
        said += f". Rows less than {block.delay:,g} units of time ago do not count"
    return f"{said}."


def refused(described: Description) -> tuple[str, ...]:
    """Columns that no feature may read: known only after the impression."""
    return tuple(sorted(described.forbidden))


def feature_table(encoder: Encoder) -> pd.DataFrame:
    """Return one line a feature: group, feature, column, kind, values known, how it is encoded."""
    groups, sizes = encoder.description.features.items(), iter(encoder.schema.fields)
    lines: list[dict[str, Any]] = [
        {
            "group": group, "feature": feature.title or name, "column": feature.column or name,
            "kind": feature.kind, "values": next(sizes) - 2,  # without "missing" and "unseen"
            "encoding": _encoding(feature),
        }
        for group, members in groups
        for name, feature in members.items()
    ]  # fmt: skip
    return pd.DataFrame(lines)


def _encoding(feature: Feature) -> str:
    if feature.scale is not None:
        of = "its logarithm" if feature.scale == "log" else "the number"
        return f"{of}, less the mean and over the standard deviation of the training rows"
    if feature.kind == "numeric":
        return f"at most {feature.buckets} quantile buckets of the training rows"
    if feature.min_count > 1:
        return f"values seen {feature.min_count} times or more in training; rarer are “unseen”"
    return "values seen in training; others are “unseen”"


def _interval_words(interval: Interval) -> str:
    first, last = interval.first, interval.last
    if first is None:
        return "all of it" if last is None else f"up to {last}"
    if last is None:
        return f"from {first}"
    return f"{first}" if first == last else f"{first} to {last}"


def _either(words: list[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
