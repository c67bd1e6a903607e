"""A small dataset description for the tests, as the plain values that a TOML file holds."""

import copy
from typing import Any

from aesm2.config import parse
from aesm2.data.description import Description

VALUES: dict[str, Any] = {
    "name": "shop",
    "title": "A small shop",
    "provenance": "simulated",
    "licence": "CC0",
    "source": {"table": "log.csv", "time": "time"},
    "split": {
        "column": "day",
        "train": {"last": 2},
        "validation": {"first": 3, "last": 3},
        "test": {"first": 4},
    },
    "level": [{"name": "tab", "column": "tab", "values": [0, 1]}],
    "task": [
        {"name": "ctr", "label": "click"},
        {"name": "ctcvr", "label": "buy", "follows": "ctr", "conditional": "cvr"},
    ],
    "never_features": ["watched"],
    "features": {
        "user": {"user": {"kind": "categorical"}},
        "item": {"price": {"kind": "numeric", "buckets": 4}},
    },
}


def values(*changes: tuple[str, Any]) -> dict[str, Any]:
    """VALUES with changes such as ("level.0.other", "else"); an absent key is added."""
    changed = copy.deepcopy(VALUES)
    for path, value in changes:
        *parents, key = path.split(".")
        at: Any = changed
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[int(key) if isinstance(at, list) else key] = value
    return changed


def describe(*changes: tuple[str, Any]) -> Description:
    return parse(Description, values(*changes), "dataset.toml")
