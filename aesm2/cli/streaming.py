"""Commands on logs of any size: utilisation, predict, knockout, drift; evaluate and trace too."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from aesm2.checkpoint import Checkpoint, load
from aesm2.cli.common import Device, Folder, say
from aesm2.cli.logs import write_folder, writing
from aesm2.cli.ways import (
    Cluster,
    Out,
    PartRows,
    Resume,
    Rows,
    Ways,
    Worked,
    Workers,
    gathered,
)
from aesm2.data.scenarios import PATH, existing
from aesm2.errors import InputError
from aesm2.files import require_place, write_atomically
from aesm2.plots.style import provenance
from aesm2.routing.drift import OWN, USES, drift_words, routing_drift
from aesm2.routing.grouped import RoutingSummary
from aesm2.routing.shares import layer_shares, own_grouping
from aesm2.streaming import summary_file
from aesm2.streaming.parts import ROWS_PER_PART, is_url
from aesm2.streaming.sources import open_log
from aesm2.streaming.summary_file import RoutingFile
from aesm2.streaming.works import Counting, KnockingOut, block_rows, input_columns


def utilisation_command(
    checkpoint: Folder,
    data: Rows,
    out: Annotated[
        Path | None, typer.Option(help="Routing summary to write, e.g. monday.routing")
    ] = None,
    cluster: Cluster = None,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Count which experts the rows of each scenario use; print shares as CSV, or --out a summary.

    A summary opens in the Utilisation Atlas, and two of them tell drift: aesm2 drift.
    """
    ways, opened = _ready(engine, workers, checkpoint, device, out)
    found = counted(opened, data, cluster, ways, rows_per_part)
    if out is None:
        table = _shares(found.summary, opened)
        sys.stdout.write(table.to_csv(index=False, na_rep="undefined", float_format="%.6g"))
        return
    try:
        summary_file.write(out, found)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from None
    say(f"{found.about.rows:,} rows counted into {out}; {found.about.grouping}")


def _ready(
    engine: str | None, workers: int | None, checkpoint: Path, device: str, out: Path | None
) -> tuple[Ways, Checkpoint]:
    """Check what is known before the work, which may take hours, and load the checkpoint."""
    if out is not None:
        require_place(out)
    return Ways.of(engine, workers), load(checkpoint, device)


def counted(
    opened: Checkpoint, data: str, cluster: str | None, ways: Ways, rows_per_part: int
) -> RoutingFile:
    """Count a log part by part, in groups of rows."""
    if not opened.layers:
        name = opened.model.config.name
        raise InputError(f"model '{name}' has no expert selection to count")
    extra = () if cluster is None else (cluster,)
    columns = tuple(dict.fromkeys((*input_columns(opened), *extra)))
    log = open_log(opened, data, columns, rows_per_part)
    block = 0 if cluster is not None else block_rows(log.rows)
    work = Counting(opened.path, str(opened.device), cluster, max(block, 1))
    summary = gathered(log, work, ways)
    told_data = provenance(opened.description)
    return summary_file.of(opened, summary, data, told_data, cluster, block)


def _shares(summary: RoutingSummary, opened: Checkpoint) -> pd.DataFrame:
    """Shares of rows and mean weights: one line a layer, target, own scenario and expert."""
    used, described = summary.total(), opened.description
    exists, lines = existing(described, used.schema, PATH), []
    for spec in opened.layers:
        own = layer_shares(used, spec.name, own_grouping(spec, used.schema), exists)
        values = [own.values("specific", "share"), own.values("shared", "share"),
                  own.values("specific", "weight")]  # fmt: skip
        for t, s, k in np.ndindex(values[0].shape):
            line = {"layer": spec.name, "target": own.targets[t], "scenario": own.scenarios[s],
                    "rows": int(own.counted[t, s]), "expert": k}  # fmt: skip
            names = ("specific", "shared", "weight")
            lines.append(line | {n: v[t, s, k] for n, v in zip(names, values, strict=True)})
    return pd.DataFrame(lines)


def predict_command(
    checkpoint: Folder,
    data: Rows,
    out: Out,
    keep: Annotated[
        list[str] | None, typer.Option(help="Column that goes along, e.g. an id; repeatable")
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Predict every task for every row into a folder of parquet; column row = number in the log."""
    ways, opened = Ways.of(engine, workers), load(checkpoint, device)
    names = {"row", *(task.name for task in opened.description.task)}
    clash = [name for name in keep or () if name in names]
    if clash:
        raise InputError(f"--keep {clash[0]}: the output has a column of this name")
    work = writing("predict", opened, out, tuple(dict.fromkeys(keep or ())))
    write_folder(opened, data, work, ways, rows_per_part, resume)


def knockout_command(
    checkpoint: Folder,
    data: Rows,
    out: Annotated[Path | None, typer.Option(help="CSV file; by default it is printed")] = None,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Knock out every expert in turn; change of AUC and log loss per scenario and task, as CSV."""
    ways, opened = _ready(engine, workers, checkpoint, device, out)
    if not opened.layers:
        name = opened.model.config.name
        raise InputError(f"model '{name}' has no expert selection to knock out of")
    log = open_log(opened, data, input_columns(opened, labels=True), rows_per_part)
    found, error = gathered(log, KnockingOut(opened.path, str(opened.device)), ways).total()
    table = found.to_frame().assign(auc_error=100 * np.asarray(error).ravel())
    _give(table.to_csv(index=False, na_rep="undefined", float_format="%.6g"), out)


def drift_command(
    checkpoint: Folder,
    a: Annotated[str, typer.Argument(help="A routing summary, or rows as for utilisation")],
    b: Annotated[str, typer.Argument(help="What is compared with A")],
    use: Annotated[
        str, typer.Option(help="What is compared: weight (mixing weights), specific, shared")
    ] = "weight",
    by: Annotated[
        str, typer.Option(help="Scenarios: own (each layer's level), a level, path or all")
    ] = OWN,
    level: Annotated[
        float, typer.Option(help="False discovery rate at which drift is told")
    ] = 0.05,
    least: Annotated[
        float, typer.Option(help="Least JS beyond chance, in nats, that counts as drift", min=0)
    ] = 0.0,
    replicates: Annotated[int, typer.Option(help="Draws of groups", min=100)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws", min=0)] = 0,
    cluster: Cluster = None,
    out: Annotated[Path | None, typer.Option(help="JSON file of the results as well")] = None,
    device: Device = "auto",
    engine: Worked = None,
    workers: Workers = None,
    rows_per_part: PartRows = ROWS_PER_PART,
) -> None:
    """Compare the routing of two logs cell by cell, as CSV; ends with 1 where it drifted, else 0.

    A cell is a layer, a target and a scenario; js is in nats, chance what it would be without
    drift, q the p adjusted for all cells (Benjamini and Hochberg).
    """
    ways, opened = _ready(engine, workers, checkpoint, device, out)
    wanted = next((own for own in USES if own == use), None)
    if wanted is None:
        raise InputError(f"--use {use}: expected one of {', '.join(USES)}")
    both = [_summary(opened, own, cluster, ways, rows_per_part) for own in (a, b)]
    schema = opened.encoder.schema
    found = routing_drift(
        both[0].summary, both[1].summary, wanted, by, existing(opened.description, schema, PATH),
        level, replicates, seed, least,
    )  # fmt: skip
    table = found.to_frame()
    sys.stdout.write(table.to_csv(index=False, na_rep="undefined", float_format="%.6g"))
    if out is not None:
        told = {"a": asdict(both[0].about), "b": asdict(both[1].about)} | found.to_json()
        _give(json.dumps(told, indent=2) + "\n", out)
    for line in drift_words(found):
        say(line)
    if found.found:
        raise typer.Exit(1)


def _summary(
    opened: Checkpoint, source: str, cluster: str | None, ways: Ways, rows_per_part: int
) -> RoutingFile:
    """Read a routing summary, or count rows."""
    named = source.endswith(summary_file.SUFFIX)
    if named or (not is_url(source) and summary_file.about(source) is not None):
        return summary_file.read(source, opened)
    return counted(opened, source, cluster, ways, rows_per_part)


def _give(text: str, out: Path | None) -> None:
    """Print a text, or write it where the user wants it."""
    if out is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(out, text)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from None
    say(f"written: {out}")
