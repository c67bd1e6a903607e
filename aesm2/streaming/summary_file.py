"""A routing summary as one small file: who used which experts, in 64 groups of rows.

A safetensors file with the arrays of a `RoutingSummary` and, as JSON in its metadata, what it is
of: format, checkpoint, source, rows, time, how rows were grouped, and a hash of the whole. It is
read without the rows, and two of them tell whether routing drifted (`aesm2.routing.drift`).
"""

import datetime
import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aesm2.checkpoint import Checkpoint
from aesm2.errors import InputError, one_line
from aesm2.files import NOT_PARSED, read_bytes, write_atomically
from aesm2.packing import pack, unpack
from aesm2.routing.grouped import GROUPS, UNIT, RoutingSummary, summed
from aesm2.routing.trace import LayerSpec

SUFFIX = ".routing"
KIND, FORMAT, KEY = "aesm2 routing summary", 1, "aesm2"
MOST_BYTES, MOST_HEAD = 2**28, 2**20  # of a file that is read, and of its head
ROUNDING = 2.0**-16  # of a row's mixing weights, which add up to 1


@dataclass(frozen=True)
class About:
    """What a summary is of.

    checkpoint, hash: name and hash of the checkpoint. data: provenance of the data it was trained
    on. source: the rows, in words. rows: their number. created: UTC, ISO 8601. cluster: column
    whose values stay in one group, None where blocks of `block` consecutive rows do.
    """

    checkpoint: str
    hash: str
    data: str
    source: str
    rows: int
    created: str
    cluster: str | None
    block: int

    @property
    def grouping(self) -> str:
        """How rows were grouped, in words."""
        if self.cluster is not None:
            return f"rows of one {self.cluster} stay together"
        return f"blocks of {self.block:,} consecutive rows stay together"


@dataclass(frozen=True)
class RoutingFile:
    """A summary and what it is of."""

    about: About
    summary: RoutingSummary

    def __add__(self, other: "RoutingFile") -> "RoutingFile":
        """Put two logs together; InputError where they are of other models or groupings."""
        a, b = self.about, other.about
        if a.hash != b.hash or a.cluster != b.cluster:
            raise InputError(
                f"{a.source} and {b.source}: of two checkpoints or grouped in two ways; they do"
                " not add up"
            )
        source, rows = one_line(f"{a.source}; {b.source}"), a.rows + b.rows
        created, block = max(a.created, b.created), max(a.block, b.block)
        about = About(a.checkpoint, a.hash, a.data, source, rows, created, a.cluster, block)
        return RoutingFile(about, self.summary + other.summary)

    def to_bytes(self) -> bytes:
        """Write it as the content of a file."""
        arrays = {name: _narrow(values) for name, values in self.summary.arrays().items()}
        told: dict[str, Any] = {"kind": KIND, "format": FORMAT, **asdict(self.about)}
        told["digest"] = _digest(told, arrays)
        return pack(arrays, {KEY: json.dumps(told)})


def of(
    checkpoint: Checkpoint,
    summary: RoutingSummary,
    source: str,
    data: str,
    cluster: str | None,
    block: int,
) -> RoutingFile:
    """Return a summary of a checkpoint with what it is of, made now; see `About`."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = About(
        checkpoint.name, checkpoint.hash, one_line(data), one_line(source),
        int(summary.rows.sum()), now, cluster, block,
    )  # fmt: skip
    return RoutingFile(about, summary)


def write(path: Path, file: RoutingFile) -> None:
    """Write a summary, whole or not at all."""
    write_atomically(path, file.to_bytes())


def read(path: str | Path, checkpoint: Checkpoint) -> RoutingFile:
    """Read a summary of a checkpoint, verified; see `parse`."""
    return parse(read_bytes(Path(path), MOST_BYTES), checkpoint, str(path))


def parse(content: bytes, checkpoint: Checkpoint, what: str) -> RoutingFile:
    """Verify the content of a file against its hash and the checkpoint, and return it.

    Raises InputError where it is cut off, altered, of another format version or checkpoint, or
    holds what no count can be.
    """
    told = _head(content)
    if told is None:
        raise InputError(f"{what}: no routing summary; `aesm2 utilisation … --out FILE` writes one")
    if told.get("format") != FORMAT:
        raise InputError(
            f"{what}: format is {told.get('format')!r}, this version reads {FORMAT}; make the"
            " summary again with `aesm2 utilisation`"
        )
    digest, about = told.pop("digest", None), _about(told)
    if about is None:
        raise InputError(f"{what}: its head does not say what a summary is of")
    arrays = unpack(content, what)
    if digest != _digest(told, arrays):
        raise InputError(f"{what}: altered since it was written: its hash does not match")
    if about.hash != checkpoint.hash:
        raise InputError(
            f"{what}: counted with the checkpoint {about.checkpoint} {about.hash[:12]}, not with"
            f" {checkpoint.name} {checkpoint.hash[:12]}"
        )
    _require_counts(arrays, checkpoint, about, what)
    wide = {name: values.astype(np.int64) for name, values in arrays.items()}
    return RoutingFile(
        about, RoutingSummary.of_arrays(checkpoint.encoder.schema, checkpoint.layers, wide)
    )


def about(path: str | Path) -> About | None:
    """Tell what a file is of from its head, without verifying it; None where it is no summary."""
    path = Path(path)
    try:
        if not path.is_file():  # a pipe would wait for ever
            return None
        with path.open("rb") as file:
            told = _head(file.read(8 + MOST_HEAD))
    except OSError:
        return None
    if told is not None:
        told.pop("digest", None)
    return None if told is None else _about(told)


def _head(content: bytes) -> dict[str, Any] | None:
    """Return the JSON in the head of a file; None where it is no summary."""
    try:
        (size,) = struct.unpack("<Q", content[:8])
        if size > MOST_HEAD:
            return None
        told: dict[str, Any] = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][KEY])
        return told if told["kind"] == KIND else None
    except (struct.error, KeyError, TypeError, *NOT_PARSED):
        return None


def _about(told: dict[str, Any]) -> About | None:
    """Return what a head says its summary is of; None where it says something else."""
    texts = ("checkpoint", "hash", "data", "source", "created")
    if set(told) != {"kind", "format", *About.__dataclass_fields__}:
        return None
    if not all(isinstance(told[name], str) for name in texts):
        return None
    if not all(type(told[name]) is int and told[name] >= 0 for name in ("rows", "block")):
        return None
    cluster = told["cluster"]
    if cluster is not None and not isinstance(cluster, str):
        return None
    clean = {name: one_line(told[name]) for name in texts}
    return About(
        **clean, rows=told["rows"], block=told["block"],
        cluster=None if cluster is None else one_line(cluster),
    )  # fmt: skip


def _digest(told: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Hash of all that a file says and holds."""
    own = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        values = arrays[name]
        own.update(f"{name} {values.dtype} {values.shape}".encode())
        own.update(np.ascontiguousarray(values).tobytes())
    return own.hexdigest()


def _narrow(values: np.ndarray) -> np.ndarray:
    """Store counts in 32 bits where they fit."""
    fits = not values.size or int(values.max()) < 2**31
    return values.astype(np.int32) if fits else values


def _require_counts(
    arrays: dict[str, np.ndarray], checkpoint: Checkpoint, about: About, what: str
) -> None:
    """Refuse shapes and numbers that cannot be counts of this model."""
    schema = checkpoint.encoder.schema
    paths = int(np.prod([len(level) for level in schema.levels]))
    shapes: dict[str, tuple[int, ...]] = {"rows": (GROUPS, paths)}
    for number, spec in enumerate(checkpoint.layers):
        targets = len(spec.gates) if spec.kind == "task" else 1
        for name in ("specific", "shared", "weight"):
            shapes[f"{name}.{number}"] = (GROUPS, targets, paths, spec.experts)
    if {name: values.shape for name, values in arrays.items()} != shapes:
        raise InputError(f"{what}: its arrays do not fit the checkpoint {checkpoint.name}")
    if any(values.dtype not in (np.int32, np.int64) for values in arrays.values()):
        raise InputError(f"{what}: its arrays hold no whole numbers")
    for values in arrays.values():
        summed(values)
    wide = {name: values.astype(np.float64) for name, values in arrays.items()}  # no sum wraps
    rows = wide["rows"]
    fit = rows.min() >= 0 and int(rows.sum()) == about.rows
    for number, spec in enumerate(checkpoint.layers):
        own = {n: wide[f"{n}.{number}"] for n in ("specific", "shared", "weight")}
        fit = fit and _fits(spec, rows[:, None], own)
    if not fit:
        raise InputError(f"{what}: its counts contradict each other")


def _fits(spec: LayerSpec, rows: np.ndarray, own: dict[str, np.ndarray]) -> bool:
    """Whether so many rows, (B, 1, P), choose K experts each, with weights that add up to 1."""
    for name, k in (("specific", spec.specific), ("shared", spec.shared)):
        if (own[name] < 0).any() or (own[name] > rows[..., None]).any():
            return False
        if (own[name].sum(-1) != k * rows).any():
            return False
    weight = own["weight"] / UNIT
    apart = np.abs(weight.sum(-1) - rows)
    return bool((weight >= 0).all() and (apart <= ROUNDING * rows).all())
