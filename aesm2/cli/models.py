"""Commands on models: train, evaluate, trace, info, selfcheck."""

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from tqdm import tqdm

from aesm2.checkpoint import load
from aesm2.cli.common import Device, Folder, rows_at, say
from aesm2.cli.logs import streamed_metrics, write_folder, writing
from aesm2.cli.ways import PartRows, Resume, Rows, Ways, Worked, Workers
from aesm2.config import read_config
from aesm2.data.dataset import Dataset
from aesm2.data.encoder import require_columns
from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError
from aesm2.files import require_place, settle
from aesm2.inference import CHUNK
from aesm2.plots.style import provenance
from aesm2.selfcheck import selfcheck
from aesm2.streaming.parts import ROWS_PER_PART
from aesm2.streaming.sources import is_streamed
from aesm2.training.engines import Engine, launch_name, train_by
from aesm2.training.group import joined, launched
from aesm2.training.launch import Work, outcome
from aesm2.training.train import Interrupted


def train_command(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder, or its dataset.toml")],
    run: Annotated[Path, typer.Option(help="Folder the run writes")],
    config: Annotated[
        Path | None, typer.Option(help="Configuration, e.g. configs/kuairand.toml")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed, instead of the configured one", min=0, max=2**63 - 1)
    ] = None,
    device: Device = "auto",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files as well, to RUN/tensorboard")
    ] = False,
    processes: Annotated[
        int, typer.Option(help="Processes that train together, a GPU each if there are any", min=1)
    ] = 1,
    engine: Annotated[
        Engine, typer.Option(help="What starts several: torch's launcher, on this machine, or Ray")
    ] = Engine.TORCH,
    max_restarts: Annotated[
        int, typer.Option(help="How often all start again after a process died", min=0)
    ] = 3,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between savings of the state, beside those at"
                                 " measurements", min=1)
    ] = None,
) -> None:  # fmt: skip
    """Train a model; Ctrl-C stops it, keeping a checkpoint of the best weights so far.

    Under torchrun it is one of the processes that torchrun started.
    """
    configured = read_config(config) if config else None
    if seed is not None:
        if configured is None:
            raise InputError("--seed needs --config")
        training = configured.training.model_copy(update={"seed": seed})
        configured = configured.model_copy(update={"training": training})
    Dataset.open(dataset)
    work = Work(
        str(dataset), str(run), None if configured is None else configured.model_dump_json(),
        resume, device, True, tensorboard, save_every,
    )  # fmt: skip
    if launched():
        if processes > 1 or engine is Engine.RAY:
            raise InputError("torchrun has started the processes: leave out --processes, --engine")
        _be_one(work)
        return
    try:
        path = train_by(engine, processes, max_restarts, work)
    except Interrupted:
        say(f"stopped; the best weights so far are in {run / 'checkpoint'}")
        say(f"go on with: aesm2 train {dataset} --run {run} --resume")
        raise typer.Exit(130) from None
    _print_metrics(load(path, "cpu").evaluation.query("split == 'test'"))
    say(f"checkpoint: {path}")


def _be_one(work: Work) -> None:
    """Be one of the processes of torchrun; the leader speaks for all.

    It ends with 0 also where it was halted, since torchrun starts again what ends otherwise.
    """
    with joined(work.device) as group:
        ended = outcome(replace(work, launch=launch_name()), group)
        if not group.leader:
            raise typer.Exit(2 if ended.said else 0)
        try:
            say(f"checkpoint: {ended.checkpoint(Path(work.folder))}")
        except Interrupted:
            say(f"stopped; the best weights so far are in {work.folder}/checkpoint")


def evaluate(
    checkpoint: Folder,
    data: Rows,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Print AUC × 100 with its 95 % interval, and log loss, per scenario and task, as CSV.

    A folder of parquet, a URL, and whatever an --engine works through, is read part by part; its
    AUC is from bins, and auc_error bounds, in points too, how far it is from the exact one.
    """
    ways, opened = Ways.of(engine, workers), load(checkpoint, device)
    if engine is not None or is_streamed(data):
        metrics = streamed_metrics(opened, data, ways, rows_per_part)
        metrics["auc_error"] *= 100
    else:
        frame = rows_at(opened, Path(data))
        labels = [task.label for task in opened.description.task]
        require_columns(frame, labels, f"{data}: evaluation needs labels; the table")
        metrics = opened.evaluate(frame)
    for column in ("auc", "auc_low", "auc_high"):
        metrics[column] = (100 * metrics[column]).round(3)
    sys.stdout.write(metrics.to_csv(index=False, na_rep="undefined", float_format="%.6g"))


def trace_command(
    checkpoint: Folder,
    data: Rows,
    out: Annotated[
        Path, typer.Option(help="Parquet file to write; of what is read part by part, a folder")
    ],
    resume: Resume = False,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Write the routing of every row: one line per row, layer, target and expert, as parquet."""
    ways, opened = Ways.of(engine, workers), load(checkpoint, device)
    if engine is not None or is_streamed(data):
        write_folder(opened, data, writing("trace", opened, out), ways, rows_per_part, resume)
        return
    if resume:
        raise InputError("--resume needs a folder of parts: add --engine single")
    frame = rows_at(opened, Path(data))
    if frame.empty:
        raise InputError(f"{data}: no rows to trace")
    source = {"checkpoint": opened.hash, "data": provenance(opened.description)}
    require_place(out)
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file, contextlib.ExitStack() as stack:
            writer = None
            starts = range(0, len(frame), CHUNK)
            for start in tqdm(starts, unit="chunk", file=sys.stderr, leave=False):
                lines = opened.trace(frame.iloc[start : start + CHUNK]).to_frame()
                table = pa.Table.from_pandas(lines, preserve_index=False)
                if writer is None:
                    schema = table.schema.with_metadata({**(table.schema.metadata or {}), **source})
                    writer = stack.enter_context(pq.ParquetWriter(file, schema))
                writer.write_table(table.cast(schema))
        settle(part, out)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise InputError(f"{out}: cannot be written: {reason}") from None
    finally:
        part.unlink(missing_ok=True)
    say(f"{len(frame):,} rows traced into {out}")


def info(checkpoint: Folder) -> None:
    """Say what a checkpoint is: data, architecture, test metrics."""
    opened = load(checkpoint, "cpu")
    described, parameters = opened.description, sum(p.numel() for p in opened.model.parameters())
    typer.echo(
        f"{opened.name}  {opened.hash[:12]}  {opened.steps} steps, {parameters:,} parameters"
    )
    typer.echo(f"data: {provenance(described)}")
    for level in described.level:
        typer.echo(f"level {level.name}: {', '.join(level.scenarios)}")
    for layer in opened.layers:
        typer.echo(
            f"layer {layer.name}: {layer.experts} experts of width {layer.width},"
            f" K {layer.specific} specific + {layer.shared} shared, {len(layer.gates)} gates"
        )
    _print_metrics(opened.evaluation.query("split == 'test'"))


def selfcheck_command(checkpoint: Folder, device: Device = "auto") -> None:
    """Recompute the checkpoint's stored reference outputs on a device and compare."""
    opened = load(checkpoint, device)
    result = selfcheck(opened)
    typer.echo(f"device: {opened.device} ({result.device}), {result.dtype}")
    typer.echo(f"rows: {result.rows}, {result.rows_per_second:,.0f} rows/s")
    typer.echo(f"largest difference in a probability: {result.largest_difference:.1e}")
    typer.echo(f"selections that differ: {result.selections_differ}")
    typer.echo("passed" if result.passed else "FAILED")
    if not result.passed:
        raise typer.Exit(1)


def _print_metrics(metrics: pd.DataFrame) -> None:
    for row in metrics[metrics["scope"] == OVERALL].to_dict(orient="records"):
        area = f"{100 * row['auc']:.2f}" if pd.notna(row["auc"]) else "undefined"
        if pd.notna(row["auc_low"]):
            area += f" ({100 * row['auc_low']:.2f} – {100 * row['auc_high']:.2f}, 95 %)"
        typer.echo(
            f"test {row['task']}: AUC {area}, log loss {row['log_loss']:.4f}, n = {row['n']:,}"
        )
