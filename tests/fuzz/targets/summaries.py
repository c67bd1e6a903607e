"""Routing summaries: files that the Atlas and `aesm2 drift` open."""

import copy
import json
import math
import os
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aesm2.checkpoint import Checkpoint, load
from aesm2.errors import InputError
from aesm2.packing import pack
from aesm2.routing.drift import USES, drift_words, routing_drift
from aesm2.routing.grouped import GROUPS, UNIT, grouped_utilisation
from aesm2.streaming import summary_file
from aesm2.streaming.summary_file import KEY, RoutingFile
from aesm2.streaming.works import HASH_KEY, row_groups
from tests import small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case
from tests.fuzz.targets.models import header
from tests.fuzz.targets.tables import rows

TYPES: dict[str, Any] = {"checkpoint": str, "hash": str, "data": str, "source": str, "rows": int,
                         "created": str, "cluster": (str, type(None)), "block": int}  # fmt: skip
DTYPES = (np.float64, np.float32, np.float16, np.int64, np.int16, np.uint64, np.uint8, np.bool_)
COUNTS = (0, 1, -1, 2, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63))
Counts = dict[tuple[str, str, int, int], list[int]]  # of (layer, target, path, expert)


def summaries() -> Case:
    """A summary damaged, or changed and sealed again; accepted, its counts are those of loops."""
    checkpoint, frame = load(small.run() / "checkpoint", "cpu"), rows()
    traced = checkpoint.trace(frame).to_frame().astype({"layer": str, "target": str})
    whole = _counted(checkpoint, frame, "user")

    def case(dice: Dice, place: Path) -> None:
        kept = sorted(dice.sample(range(len(frame)), dice.one((1, 7, 40, 40))))
        cluster = dice.one(("user", "country", None))
        own = whole if len(kept) == 40 and cluster == "user" else None
        own = own or _counted(checkpoint, frame.iloc[kept], cluster)
        content, counts_kept = _content(dice, own)
        file = place / dice.one(("x.routing", "x.routing", "x", "é.routing"))
        _write(dice, file, content)
        told = summary_file.about(file)
        read = summary_file.read(file, checkpoint)
        if told != read.about or not _same(summary_file.parse(content, checkpoint, "x"), read):
            raise Wrong("head, file and content are read as three")
        _require_possible(checkpoint, read, content)
        if counts_kept:
            _require_counted(checkpoint, read, frame.iloc[kept], traced, kept, cluster)
        _use(dice, checkpoint, read, whole)

    return case


def _counted(checkpoint: Checkpoint, frame: pd.DataFrame, cluster: str | None) -> RoutingFile:
    groups, block = row_groups(frame, cluster)
    summary = grouped_utilisation(checkpoint.model, checkpoint.encode(frame), groups)
    return summary_file.of(checkpoint, summary, "Monday", "shop", cluster, block)


def _content(dice: Dice, own: RoutingFile) -> tuple[bytes, bool]:
    """Draw the content of a file, and whether its counts are still those of `own`."""
    kind = dice.randrange(10)
    if kind == 0:
        return own.to_bytes(), True
    if kind in (1, 2):
        return mutate.mutated(dice, own.to_bytes(), "summary"), True
    if kind == 3:
        return header(dice, own.to_bytes(), "summary"), False
    arrays = {name: values.copy() for name, values in own.summary.arrays().items()}
    told: dict[str, Any] = {"kind": summary_file.KIND, "format": 1, **vars(own.about)}
    if kind in (4, 5):
        told = mutate.changed(dice, told, "head")
    elif kind == 6:
        told = _giant(dice, told)
    else:
        for _ in range(dice.some(3)):
            arrays = _altered(dice, arrays, told)
    return _sealed(dice, told, arrays), kind < 7


def _sealed(dice: Dice, told: Any, arrays: dict[str, np.ndarray]) -> bytes:
    """Write a file whose hash is right, mostly as narrow as the library does."""
    if dice.random() < 0.5:
        narrow = {n: v for n, v in arrays.items() if v.dtype == np.int64 and (abs(v) < 2**31).all()}
        arrays |= {name: values.astype(np.int32) for name, values in narrow.items()}
    if isinstance(told, dict):
        told.pop("digest", None)
        told["digest"] = summary_file._digest(json.loads(json.dumps(told)), arrays)
    return pack(arrays, {KEY: json.dumps(told)})


def _giant(dice: Dice, told: dict[str, Any]) -> dict[str, Any]:
    """Put a lot into the head."""
    key, size = dice.one(sorted(TYPES)), dice.one((2**16, 2**20, 2**24))
    kind = dice.one(("text", "digits", "list", "deep"))
    dice.note(f"head: {key} is {kind} of {size}")
    match kind:
        case "text":
            told[key] = "x" * size
        case "digits":
            told[key] = 10**4000
        case "list":
            told[key] = [0] * (size // 8)
        case _:
            deep: Any = []
            for _ in range(900):
                deep = [deep]
            told["more"] = deep
    return told


def _altered(
    dice: Dice, arrays: dict[str, np.ndarray], told: dict[str, Any]
) -> dict[str, np.ndarray]:
    arrays = copy.copy(arrays)
    name = dice.one(sorted(arrays))
    values, kind = np.atleast_1d(arrays[name]), dice.randrange(9)
    dice.note(f"{name}: kind {kind}")
    match kind:
        case 0:
            arrays[name] = values.astype(dice.one(DTYPES))
        case 1:
            wide = values.astype(np.float64).ravel()
            wide[dice.randrange(len(wide)) if len(wide) else slice(0)] = dice.one(
                (math.nan, math.inf, 0.5, -0.0, 1e300)
            )
            arrays[name] = wide.reshape(values.shape)
        case 2:
            flat = values.copy().reshape(-1)
            for _ in range(dice.some(3)):
                flat[dice.randrange(len(flat)) if len(flat) else slice(0)] = dice.one(COUNTS[:4])
            arrays[name] = flat.reshape(values.shape)
        case 3:
            arrays[name] = dice.one((values[:1], values[..., :0], values[None], values.T,
                                     np.zeros((), np.int64), values.reshape(-1)))  # fmt: skip
        case 4:
            del arrays[name]
        case 5:
            other = dice.one((f"{name}x", "", *mutate.TEXTS[:20]))
            arrays[other.encode("utf-8", "replace").decode()] = arrays[name]
        case 6:  # all counts, so that they fit each other
            factor = dice.one((0, 2, 3, 2**20, 2**34, 2**55, 2**61))
            dice.note(f"all counts times {factor}")
            with np.errstate(over="ignore"):
                arrays = {n: v * np.int64(factor) for n, v in arrays.items()}
            told["rows"] = int(arrays["rows"].sum()) if "rows" in arrays else 0
        case 7:  # rows of one path that make the sum wrap
            big = values.astype(np.int64)
            flat = big.reshape(-1)
            flat[: min(4, len(flat))] += 2**62
            arrays[name] = big
        case _:  # one expert for another: what is chosen stays the same in number
            places = sorted(n for n in arrays if n.startswith(("specific", "shared", "weight")))
            name = dice.one(places) if places else name
            arrays[name] = np.roll(arrays[name], 1, -1) if arrays[name].ndim else arrays[name]
    return arrays


def _write(dice: Dice, file: Path, content: bytes) -> None:
    """Put the content where it is read from: a file, mostly."""
    if dice.random() < 0.95:
        file.write_bytes(content)
        return
    kind = dice.one(("pipe", "folder", "device", "loop", "link"))
    dice.note(f"{file.name} is a {kind}")
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case "loop":
            file.symlink_to(file.name)
        case _:
            file.with_name("other").write_bytes(content)
            file.symlink_to("other")


def _same(a: RoutingFile, b: RoutingFile) -> bool:
    pairs = zip(a.summary.arrays().values(), b.summary.arrays().values(), strict=True)
    return a.about == b.about and all(np.array_equal(x, y) for x, y in pairs)


def _stored(content: bytes) -> dict[str, list[int]]:
    """Every whole number of the file, one at a time."""
    (size,) = struct.unpack("<Q", content[:8])
    told, found = json.loads(content[8 : 8 + size]), {}
    for name, tensor in told.items():
        if name != "__metadata__":
            begin, end = (8 + size + own for own in tensor["data_offsets"])
            width = {"I32": 4, "I64": 8}[tensor["dtype"]]
            found[name] = [int.from_bytes(content[at : at + width], "little", signed=True)
                           for at in range(begin, end, width)]  # fmt: skip
    return found


def _require_possible(checkpoint: Checkpoint, read: RoutingFile, content: bytes) -> None:
    """Raise Wrong where the file holds no counts, or others than were read."""
    for name, kind in TYPES.items():
        value = getattr(read.about, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Wrong(f"{name} is {value!r:.60}")
        if isinstance(value, str) and len(value) > 10_000:
            raise Wrong(f"{name} has {len(value):,} characters")
    try:
        stored = _stored(content)
    except KeyError as error:
        raise Wrong(f"counts of the type {error}") from None
    paths = math.prod(len(level) for level in checkpoint.encoder.schema.levels)
    if sum(stored["rows"]) != read.about.rows or min(stored["rows"]) < 0:
        raise Wrong(f"{sum(stored['rows'])} rows, of which it says {read.about.rows}")
    total = read.summary.total()
    for number, spec in enumerate(checkpoint.layers):
        targets = len(spec.gates) if spec.kind == "task" else 1
        for name, k in (("specific", spec.specific), ("shared", spec.shared), ("weight", None)):
            values, sums = stored[f"{name}.{number}"], Counter()
            for place, value in enumerate(values):
                cell, expert = divmod(place, spec.experts)
                group, rest = divmod(cell, targets * paths)
                target, path = divmod(rest, paths)
                n = stored["rows"][group * paths + path]
                if not 0 <= value <= n * (UNIT * 1.001 if k is None else 1):
                    raise Wrong(f"{name}.{number} holds {value} of {n} rows")
                sums[target, path, expert] += value
                if expert == spec.experts - 1:
                    among = sum(values[place - expert : place + 1])
                    wanted = n * (int(UNIT) if k is None else k)
                    if abs(among - wanted) > (n * 1000 if k is None else 0):
                        raise Wrong(f"{name}.{number}: {among} of {n} rows, not {wanted}")
            found = getattr(total.layers[number], name)
            for (target, path, expert), value in sums.items():
                told = found[target, path, expert] * (UNIT if k is None else 1)
                if not math.isclose(told, value, rel_tol=1e-12):
                    raise Wrong(f"{name}.{number} adds up to {told}, by hand {value}")


def _require_counted(
    checkpoint: Checkpoint,
    read: RoutingFile,
    frame: pd.DataFrame,
    traced: pd.DataFrame,
    kept: list[int],
    cluster: str | None,
) -> None:
    """Raise Wrong where the counts are not those of a loop over the trace of the rows."""
    places, schema = checkpoint.encode(frame).scenarios.tolist(), checkpoint.encoder.schema
    size = len(schema.levels[1])
    of_row = {row: place[0] * size + place[1] for row, place in zip(kept, places, strict=True)}
    groups = [[0] * len(schema.levels[0]) * size for _ in range(GROUPS)]
    for number, row in enumerate(kept):
        if cluster is None:
            group = number % GROUPS  # so few rows are blocks of one
        else:
            text = np.array([slow.text(frame[cluster].iloc[number])], object)
            group = int(pd.util.hash_array(text, hash_key=HASH_KEY)[0] % GROUPS)
        groups[group][of_row[row]] += 1
    if read.summary.rows.tolist() != groups:
        raise Wrong("rows are in other groups than by hand")
    counts: Counter[tuple[str, int, int, int, str]] = Counter()
    for line in traced.to_dict(orient="records"):
        if line["row"] in of_row:
            spec = next(own for own in checkpoint.layers if own.name == line["layer"])
            target = spec.gates.index(line["target"]) if spec.kind == "task" else 0
            key = (line["layer"], target, of_row[line["row"]], line["expert"])
            for name in ("specific", "shared"):
                counts[*key, name] += bool(line[name])
            counts[*key, "weight"] += round(float(line["mixing_weight"]) * UNIT)
    for layer in read.summary.layers:
        for name in ("specific", "shared", "weight"):
            for (target, path, expert), value in np.ndenumerate(getattr(layer, name).sum(0)):
                wanted = counts[layer.spec.name, target, path, expert, name]
                if abs(int(value) - wanted) > (1000 * len(kept) if name == "weight" else 0):
                    raise Wrong(f"{name} of {layer.spec.name}: {value}, by hand {wanted}")


def _use(dice: Dice, checkpoint: Checkpoint, read: RoutingFile, other: RoutingFile) -> None:
    """Do what the pages and commands do with a summary; what comes of it must be numbers."""
    from app import summaries as page

    said = [page.stamp(read), read.about.grouping]
    if any(len(own) > 50_000 for own in said):
        raise Wrong("a page of text for a stamp")
    if not _same(summary_file.parse(read.to_bytes(), checkpoint, "again"), read):
        raise Wrong("a summary is another after it was written and read")
    for act in (lambda: _drift(dice, read, other), lambda: _both(checkpoint, read, other)):
        _tried(dice, act)


def _tried(dice: Dice, act: Callable[[], None]) -> None:
    try:
        act()
    except InputError as error:
        dice.note(f"refuses: {error}")


def _drift(dice: Dice, read: RoutingFile, other: RoutingFile) -> None:
    found = routing_drift(read.summary, other.summary, dice.one(USES), replicates=100)
    drift_words(found)
    json.dumps(found.to_json(), allow_nan=False)
    for line in found.to_frame().to_dict(orient="records"):
        held = line["rows_a"] and line["rows_b"]
        for name, most in (("js", math.log(2)), ("p", 1), ("q", 1)):
            value = line[name]
            if math.isnan(value) and not (held and name == "js"):
                continue
            if not 0 <= value <= most + 1e-9:
                raise Wrong(f"{name} is {value} of {line['rows_a']} and {line['rows_b']} rows")


def _both(checkpoint: Checkpoint, read: RoutingFile, other: RoutingFile) -> None:
    both = read + other
    if both.about.rows != int(both.summary.rows.sum()):
        raise Wrong("two summaries have other rows together")
    summary_file.parse(both.to_bytes(), checkpoint, "both")
