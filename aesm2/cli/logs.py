"""What commands do with a log part by part: measure it, write predictions and traces of it."""

from pathlib import Path

import pandas as pd
import typer

from aesm2.checkpoint import Checkpoint
from aesm2.cli.common import say
from aesm2.cli.ways import Ways, gathered, told
from aesm2.errors import InputError
from aesm2.plots.style import provenance
from aesm2.streaming.engines import merged
from aesm2.streaming.outputs import Kind, Writing, complete, file_name, prepared
from aesm2.streaming.sources import open_log
from aesm2.streaming.works import Measuring, input_columns


def streamed_metrics(opened: Checkpoint, data: str, ways: Ways, rows_per_part: int) -> pd.DataFrame:
    """Measure a log part by part; see `EvaluationSummary.to_frame`."""
    log = open_log(opened, data, input_columns(opened, labels=True), rows_per_part)
    return gathered(log, Measuring(opened.path, str(opened.device)), ways).to_frame()


def writing(kind: Kind, opened: Checkpoint, out: Path, keep: tuple[str, ...] = ()) -> Writing:
    """Return the work of writing into a folder; its files name the checkpoint and its data."""
    about = (("checkpoint", opened.hash), ("data", provenance(opened.description)))
    return Writing(kind, opened.path, out, str(opened.device), keep, about)


def write_folder(
    opened: Checkpoint, data: str, work: Writing, ways: Ways, rows_per_part: int, resume: bool
) -> None:
    """Write what is missing of an output; say how to go on where it is stopped."""
    if work.kind == "trace" and not opened.layers:
        name = opened.model.config.name
        raise InputError(f"model '{name}' has no expert selection to trace")
    columns = tuple(dict.fromkeys([*input_columns(opened), *work.keep]))
    log = open_log(opened, data, columns, rows_per_part)
    try:
        missing = prepared(log, work, opened.hash, resume)
        if missing.parts:
            with told(missing) as bar:
                merged(missing, work, ways.engine, ways.workers, bar)
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{work.folder}: cannot be written: {error.strerror or error}") from None
    except KeyboardInterrupt:
        there = sum((work.folder / file_name(part)).exists() for part in log.parts)
        say(f"stopped; {there} of {len(log.parts)} parts are in {work.folder}")
        say("go on with the same command and --resume")
        raise typer.Exit(130) from None
    complete(log, work, dict(work.about))
    say(f"{log.rows:,} rows in {len(log.parts)} parts in {work.folder}"
        + ("" if missing.parts else "; nothing was missing"))  # fmt: skip
