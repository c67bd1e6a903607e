"""Predictions and traces of any number of rows: a folder with one parquet file a part.

A file is there whole or not at all, so that an interrupted command goes on with the parts that are
missing. `_plan.json` says what the folder is for; `_done.json` stands in it once it is complete.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.encoder import tasks_exist
from aesm2.errors import InputError
from aesm2.files import read_json, write_atomically
from aesm2.inference import CHUNK, probabilities
from aesm2.routing.trace import trace
from aesm2.streaming.parts import Log, Part
from aesm2.streaming.works import encoded, input_columns

PLAN, DONE, FORMAT = "_plan.json", "_done.json", 1
Kind = Literal["predict", "trace"]
FILE = re.compile(r"part-(\d{6,})\.parquet")
WORDS = {
    "command": "its command", "checkpoint": "its checkpoint", "rows": "its rows",
    "parts": "its files or --rows-per-part", "keep": "the columns kept", "format": "its format",
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """How many rows, lines and parts were written."""

    rows: int
    lines: int
    parts: int

    def __add__(self, other: "Written") -> "Written":
        return Written(self.rows + other.rows, self.lines + other.lines, self.parts + other.parts)

    def to_bytes(self) -> bytes:
        """Write it as bytes."""
        return json.dumps([self.rows, self.lines, self.parts]).encode()


@dataclass(frozen=True)
class Writing:
    """Write the predictions or the trace of each part into a folder.

    keep: columns of the log that go along with predictions. about: metadata of every file.
    """

    kind: Kind
    checkpoint: Path
    folder: Path
    device: str = "cpu"
    keep: tuple[str, ...] = ()
    about: tuple[tuple[str, str], ...] = ()

    def open(self) -> Callable[[Part], Written]:
        """Load the checkpoint."""
        opened = load(self.checkpoint, self.device)
        columns = input_columns(opened)

        def write(part: Part) -> Written:
            tables: Iterator[pa.Table] = (
                table
                for frame, kept in part.kept(columns, self.keep)
                for table in self._tables(opened, part, frame, kept)
            )
            lines = _write(self.folder / file_name(part), tables, dict(self.about))
            return Written(part.rows, lines, 1)

        return write

    def _tables(
        self, opened: Checkpoint, part: Part, frame: pd.DataFrame, kept: pa.Table
    ) -> Iterator[pa.Table]:
        """Yield what is written of a chunk: one table, or for a trace one every few rows.

        kept: the columns that go along, in the types of the log, which a frame may not have.
        """
        batch = encoded(opened, part, frame, False)
        if self.kind == "trace":
            for start in range(0, len(frame), CHUNK):
                rows = slice(start, start + CHUNK)
                own = trace(opened.model, batch[rows], frame.index[rows]).to_frame()
                yield pa.Table.from_pandas(own, preserve_index=False)
            return
        predicted = probabilities(opened.model, batch)
        predicted[~tasks_exist(opened.description, batch.scenarios.numpy())] = float("nan")
        names = [task.name for task in opened.description.task]
        columns = {"row": pa.Array.from_pandas(frame.index)}
        columns |= {name: kept.column(name) for name in self.keep}
        columns |= {n: pa.Array.from_pandas(predicted[:, i]) for i, n in enumerate(names)}
        yield pa.table(columns)

    def from_bytes(self, content: bytes) -> Written:
        """Read back a result."""
        return Written(*json.loads(content))


def file_name(part: Part) -> str:
    """Name of a part's file; names are in the order of the parts."""
    return f"part-{part.number:06d}.parquet"


def prepared(log: Log, work: Writing, hash_: str, resume: bool) -> Log:
    """Make the folder, or find how far it is; return the log of the parts that are missing.

    Raises InputError where the folder holds something else, or an unfinished output and `resume`
    was not asked for.
    """
    folder, plan = work.folder, _plan(log, work, hash_)
    if folder.suffix in (".parquet", ".pq"):
        raise InputError(f"{folder}: a log is written as a folder of parts: name one")
    if folder.exists() and not _is_empty(folder):
        _require_same(folder, plan, resume)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    for cut_off in folder.glob(".part-*"):
        cut_off.unlink()
    missing = [part for part in log.parts if not (folder / file_name(part)).exists()]
    if missing:
        (folder / DONE).unlink(missing_ok=True)  # parts of a complete output were taken away
    return replace(log, parts=tuple(missing))


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but a plan that a process was killed as it wrote."""
    return folder.is_dir() and all(own.name.startswith(f".{PLAN}.") for own in folder.iterdir())


def complete(log: Log, work: Writing, about: dict[str, Any]) -> None:
    """Note that the folder holds every part."""
    there = {file.name for file in work.folder.iterdir() if FILE.fullmatch(file.name)}
    lacking = [part for part in log.parts if file_name(part) not in there]
    if lacking:
        raise InputError(f"{work.folder / file_name(lacking[0])}: is missing; use --resume")
    done = {"format": FORMAT, "rows": log.rows, "parts": len(log.parts)} | about
    write_atomically(work.folder / DONE, json.dumps(done, indent=2) + "\n")


def _plan(log: Log, work: Writing, hash_: str) -> dict[str, Any]:
    identities = "\n".join(part.identity for part in log.parts)
    return {
        "format": FORMAT,
        "command": work.kind,
        "checkpoint": hash_,
        "source": log.source,
        "rows": log.rows,
        "keep": list(work.keep),
        "parts": f"{len(log.parts)} {hashlib.sha256(identities.encode()).hexdigest()}",
    }


def _require_same(folder: Path, plan: dict[str, Any], resume: bool) -> None:
    if not (folder / PLAN).is_file():
        raise InputError(f"{folder}: holds something else; name a new folder")
    found = read_json(folder / PLAN)
    found = found if isinstance(found, dict) else {}
    other = [words for key, words in WORDS.items() if found.get(key) != plan[key]]
    if other:
        raise InputError(
            f"{folder}: holds an output that differs in {' and '.join(other)}; name a new folder"
        )
    if not resume:
        state = "complete" if (folder / DONE).exists() else "unfinished"
        raise InputError(
            f"{folder}: holds this output already, {state}; add --resume to write what is missing,"
            " or name a new folder"
        )


def _write(file: Path, tables: Iterator[pa.Table], about: dict[str, str]) -> int:
    """Write tables into one parquet file, whole or not at all; return the number of lines."""
    part, lines = file.with_name(f".{file.name}.{os.getpid()}.part"), 0
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            if writer is None:
                schema = table.schema.with_metadata({**(table.schema.metadata or {}), **about})
                writer = pq.ParquetWriter(part, schema)
            writer.write_table(table.cast(schema))
            lines += len(table)
        if writer is not None:
            writer.close()
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            part.replace(file)
    except OSError as error:
        if isinstance(error, InputError):
            raise
        reason = os.strerror(error.errno) if error.errno else error
        raise InputError(f"{file}: cannot be written: {reason}") from None
    finally:
        if writer is not None:
            writer.close()
        part.unlink(missing_ok=True)
    return lines
