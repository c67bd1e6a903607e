"""A draft as the text of a `dataset.toml`: valid, with every guess and its reason."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aesm2.data.description import Interval, Scalar
from aesm2.data.draft.levels import LevelDraft, candidates, level_of, levels
from aesm2.data.draft.names import GROUPS
from aesm2.data.draft.split import SplitDraft, split
from aesm2.data.draft.tasks import TaskDraft, tasks
from aesm2.data.draft.value import Column, Draft
from aesm2.errors import InputError

SHOWN = 4  # candidates for levels that are written out in comments
MIN_COUNT = 5  # rows of training that a category needs


@dataclass(frozen=True)
class Parts:
    """What follows from the roles of a draft."""

    levels: tuple[LevelDraft, ...]
    tasks: tuple[TaskDraft, ...]
    split: SplitDraft

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may be wrong, in words."""
        every: list[LevelDraft | TaskDraft | SplitDraft] = [self.split, *self.levels, *self.tasks]
        return tuple(warning for part in every for warning in part.warnings)


def parts(draft: Draft) -> Parts:
    """Draft the levels, tasks and split; InputError where the roles make none."""
    made = levels(draft)
    return Parts(tuple(made), tuple(tasks(draft, [m.level for m in made])), split(draft))


def to_toml(draft: Draft) -> str:
    """Write a draft as `dataset.toml`; InputError where its roles make no description."""
    return written(draft, parts(draft))


def written(draft: Draft, made: Parts) -> str:
    """Write a draft whose parts are known; see `to_toml`."""
    after = [column.name for column in draft.columns if column.after and column.role == "ignored"]
    return "\n".join(
        [
            *_head(draft),
            *(
                [f"never_features = {_list(after)}    # known only after the impression"]
                * bool(after)
            ),
            "",
            *_source(draft),
            *_split(made.split),
            *(line for level in made.levels for line in _level(level)),
            *_other_levels(draft),
            *(line for task in made.tasks for line in _task(task)),
            *_features(draft),
            "",
        ]
    )


def _head(draft: Draft) -> list[str]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", draft.name):
        raise InputError(
            f"the name '{draft.name}' will not do: use letters, digits, - and _, and begin with a"
            " letter or digit"
        )
    sample = draft.looked.sample
    total = f"all {sample.rows:,}" if sample.whole else (
        f"{len(sample.frame):,} of {'' if sample.exact else 'about '}{sample.rows:,}"
    )  # fmt: skip
    return [
        f"# Drafted from {_shown(sample.table)}: {total} rows looked at. Check every guess.",
        f"name = {_quoted(draft.name)}",
        f"title = {_quoted(draft.title)}",
        f'provenance = {_quoted(draft.provenance)}    # "private", "public" or "simulated"',
        f"licence = {_quoted(draft.licence)}    # what may be done with the data",
    ]


def _source(draft: Draft) -> list[str]:
    dates = {c.name: c.profile.date for c in draft.columns if c.profile.date}
    lines = ["[source]", f"table = {_quoted(draft.table)}    # relative to this file"]
    if draft.looked.missing:
        lines.append(f"missing = {_list(draft.looked.missing)}    # these stand for no value")
    if dates:
        pairs = ", ".join(f"{_key(name)} = {_quoted(form)}" for name, form in dates.items())
        lines.append(f"dates = {{ {pairs} }}    # written as text in these forms")
    return [*lines, ""]


def _split(drafted: SplitDraft) -> list[str]:
    described = drafted.split
    lines = [*_notes(drafted), "[split]"]
    if described.random is not None:
        key = f", key = {_quoted(described.random.key)}" if described.random.key else ""
        shares = f"validation = {described.random.validation}, test = {described.random.test}"
        seed = f", seed = {described.random.seed}" if described.random.seed else ""
        return [*lines, f"random = {{ {shares}{key}{seed} }}", ""]
    intervals = {n: getattr(described, n) for n in ("train", "validation", "test")}
    lines.append(f"column = {_quoted(str(described.column))}")
    return [*lines, *(f"{name} = {_interval(own)}" for name, own in intervals.items()), ""]


def _interval(interval: Interval) -> str:
    ends = {"first": interval.first, "last": interval.last}
    return f"{{ {', '.join(f'{n} = {_value(v)}' for n, v in ends.items() if v is not None)} }}"


def _level(drafted: LevelDraft) -> list[str]:
    level = drafted.level
    return [
        *_notes(drafted),
        "[[level]]",
        f"name = {_quoted(level.name)}",
        *([f"column = {_quoted(level.column)}"] if level.column is not None else []),
        f"values = {_list(level.values)}",
        *([f"other = {_quoted(level.other)}"] if level.other is not None else []),
        "",
    ]


def _other_levels(draft: Draft) -> list[str]:
    """Write the candidates that are no level, as comments."""
    lines = []
    for column in candidates(draft)[:SHOWN]:
        written = _level(level_of(draft, column))[:-1]
        lines += [line if line.startswith("#") else f"# {line}" for line in written] + [""]
    return lines


def _task(drafted: TaskDraft) -> list[str]:
    task = drafted.task
    values: dict[str, str | None] = {
        "name": _quoted(task.name),
        "label": _quoted(task.label),
        "positive": _list(task.positive) if task.positive else None,
        "follows": _quoted(task.follows) if task.follows else None,
        "only": _table(task.only) if task.only else None,
        "may_be_missing": "true" if task.may_be_missing else None,
        "value": _quoted(task.value) if task.value else None,
    }
    lines = [f"{key} = {value}" for key, value in values.items() if value is not None]
    return [*_notes(drafted), "[[task]]", *lines, ""]


def _features(draft: Draft) -> list[str]:
    """Write the features by group, each with the columns that are left out of it as comments."""
    chosen = draft.of("feature") or draft.of("level")
    if not chosen:
        raise InputError("no column is a feature: give that role to at least one")
    for column in chosen:
        _require_readable(column)
    groups = {group: [c for c in chosen if c.group == group] for group in _groups(chosen)}
    rest = [c for c in draft.columns if c not in chosen and c.role != "label"]
    lines = []
    for group, members in groups.items():
        lines += [f"[features.{_key(group)}]", *map(_feature, members)]
        lines += [_left_out(column) for column in rest if column.group == group] + [""]
    homeless = [_left_out(column) for column in rest if column.group not in groups]
    return [*lines, *homeless][: None if homeless else -1]


def _require_readable(column: Column) -> None:
    profile = column.profile
    if profile.form == "lists":
        raise InputError(
            f"'{column.name}' cannot be a feature: it holds lists; give it another role"
        )
    numbers = profile.form == "numbers" or (profile.form == "flag" and not profile.positive)
    if column.kind == "numeric" and not numbers:
        raise InputError(f"'{column.name}' cannot be numeric: it holds no numbers")


def _groups(columns: Sequence[Column]) -> list[str]:
    named = [group for group in GROUPS if any(c.group == group for c in columns)]
    return list(dict.fromkeys([*named, *(c.group for c in columns)]))


def _feature(column: Column) -> str:
    reason = f"    # {_shown(column.reason)}" if column.reason else ""
    more = f", min_count = {MIN_COUNT}" if column.kind == "categorical" else ""
    return f'{_key(column.name)} = {{ kind = "{column.kind}"{more} }}{reason}'


def _left_out(column: Column) -> str:
    """Write a column that is no feature as a comment that says why."""
    if column.profile.form == "lists":
        return f"# {_shown(column.name)} is left out: it holds lists or the like"
    why = {
        "level": "a scenario level; it may be a feature too",
        "split": "orders the rows; the test split has values that training has not",
    }
    reason = why.get(column.role) or column.reason or "your choice"
    return f"# {_feature(replace(column, reason=''))}    # left out: {_shown(reason)}"


def _notes(drafted: LevelDraft | TaskDraft | SplitDraft) -> list[str]:
    notes = [f"# {_shown(note)}" for note in drafted.notes]
    return [*notes, *(f"# Warning: {_shown(warning)}" for warning in drafted.warnings)]


def _table(values: Mapping[str, Sequence[Any]]) -> str:
    return f"{{ {', '.join(f'{_key(name)} = {_list(own)}' for name, own in values.items())} }}"


def _list(values: Iterable[Scalar]) -> str:
    return f"[{', '.join(map(_value, values))}]"


def _value(value: Scalar) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(value: object) -> str:
    """Spell a value for a comment, which is one line."""
    return "".join(c if c.isprintable() else " " for c in str(value))
