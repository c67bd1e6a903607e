"""How commands work through a log: their options, progress, and what Ctrl-C leaves."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from tqdm import tqdm

from aesm2.cli.common import say
from aesm2.errors import InputError
from aesm2.streaming.engines import ENGINES, Engine, Result, Work, merged
from aesm2.streaming.parts import Log, Part

R = TypeVar("R", bound=Result)
Rows = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A table, a folder of parquet or its URL (s3://…), a dataset folder (its test split)"
        " or FOLDER:SPLIT",
    ),
]
Worked = Annotated[
    str | None,
    typer.Option(
        "--engine", help="single (one process), pool (several), ray; folders and URLs: single"
    ),
]
Workers = Annotated[
    int | None, typer.Option(help="Processes of pool and ray, by default one a processor", min=1)
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Column, such as user_id, whose rows are alike; else consecutive rows are"),
]
Out = Annotated[Path, typer.Option(help="Folder to write, one parquet file a part")]
Resume = Annotated[bool, typer.Option("--resume", help="Write what is missing of the folder")]
PartRows = Annotated[int, typer.Option("--rows-per-part", help="Rows read at a time", min=1)]


@dataclass(frozen=True)
class Ways:
    """How a log is worked through; see `engines.results`."""

    engine: Engine
    workers: int | None

    @staticmethod
    def of(engine: str | None, workers: int | None) -> "Ways":
        """Check what the user wrote."""
        found = next((own for own in ENGINES if own == (engine or "single")), None)
        if found is None:
            raise InputError(f"--engine {engine}: expected one of {', '.join(ENGINES)}")
        if found == "single" and workers not in (None, 1):
            raise InputError("--workers needs --engine pool or --engine ray")
        return Ways(found, workers)


class Progress:
    """A bar on stderr: rows done, rows a second, time left, and parts done."""

    def __init__(self, log: Log) -> None:
        self.parts, self.done = len(log.parts), 0
        self.bar = tqdm(
            total=log.rows, unit="row", unit_scale=True, file=sys.stderr, leave=False, smoothing=0.1
        )

    def __call__(self, part: Part) -> None:
        """Note that a part is done."""
        self.done += 1
        self.bar.update(part.rows)
        self.bar.set_postfix_str(f"{self.done}/{self.parts} parts")

    def close(self) -> None:
        """Take the bar back."""
        self.bar.close()


@contextlib.contextmanager
def told(log: Log) -> Iterator[Progress]:
    """Show the progress while the block runs."""
    bar = Progress(log)
    try:
        yield bar
    finally:
        bar.close()


def gathered(log: Log, work: Work[R], ways: Ways) -> R:
    """Work through a log with a progress bar; say so where it is stopped."""
    try:
        with told(log) as bar:
            return merged(log, work, ways.engine, ways.workers, bar)
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        raise typer.Exit(130) from None
