"""Commands on data: describe, prepare, simulate, recover."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from aesm2.checkpoint import load
from aesm2.cli.common import Device, Folder, say
from aesm2.data.dataset import Dataset, rows_of
from aesm2.data.description import DESCRIPTION
from aesm2.data.draft import draft, to_toml
from aesm2.data.store import relative
from aesm2.errors import InputError
from aesm2.files import write_atomically
from aesm2.prepare.aliexpress import prepare
from aesm2.routing.recovery import recovery
from aesm2.simulation.planted import read_planted
from aesm2.simulation.presets import Dials, read_preset
from aesm2.simulation.write import simulate

RECOVERED_ROWS = 20_000  # rows looked at by `recover`
Dial = Annotated[float | None, typer.Option(help="Log-odds, instead of the preset's", min=0, max=5)]


def describe(
    table: Annotated[Path, typer.Argument(help="A table (CSV, parquet, a folder of parquet)")],
    out: Annotated[
        Path | None, typer.Option(help="File to write, or its folder; never over another")
    ] = None,
) -> None:
    """Draft a dataset.toml for your own table; without --out on standard output, to redirect.

    Printed, it is meant for a file beside the table.
    """
    drafted = draft(table)
    if out is None:
        sys.stdout.write(to_toml(drafted))
        return
    file = out / DESCRIPTION if out.is_dir() else out
    if file.exists():
        raise InputError(f"{file}: is there already; name another file with --out, or delete it")
    text = to_toml(replace(drafted, table=relative(table, file.parent)))
    write_atomically(file, text)
    say(f"drafted {file}; check its guesses, then: aesm2 train {file} --run runs/{drafted.name}")


def prepare_command(
    source: Annotated[Literal["aliexpress"], typer.Argument(help="Which public data set")],
    folder: Annotated[Path, typer.Argument(help="Where you unpacked it")],
    out: Annotated[Path, typer.Option(help="Folder to write; run again to go on after a stop")],
    countries: Annotated[
        str | None, typer.Option(help="e.g. NL,FR; by default those of the paper that are there")
    ] = None,
    fraction: Annotated[
        float, typer.Option(help="Share of result pages to keep", min=0.0001, max=1)
    ] = 1.0,
) -> None:
    """Turn a public data set you downloaded into a described dataset; see docs/aliexpress.md."""
    wanted = [name.strip().upper() for name in countries.split(",")] if countries else None
    prepare(folder, out, wanted, fraction)
    say(
        f"{source}: {out}; next: aesm2 train {out} --config configs/aliexpress.toml --run runs/mine"
    )


def simulate_command(
    preset: Annotated[str, typer.Option(help="alipay, aliexpress, or a .toml file of your own")],
    rows: Annotated[int, typer.Option(help="Rows to write, 1,000 to 100 million")],
    out: Annotated[Path, typer.Option(help="New folder to write")],
    seed: Annotated[int, typer.Option(help="Another seed is another world", min=0)] = 0,
    shared: Dial = None,
    branch: Dial = None,
    leaf: Dial = None,
    conflict: Dial = None,
    task: Dial = None,
) -> None:
    """Write a search log whose truth is known, with the paper's traffic and rates.

    The dials say how much each kind of planted factor matters.
    """
    chosen = read_preset(preset)
    given = {"shared": shared, "branch": branch, "leaf": leaf, "conflict": conflict, "task": task}
    turned = {name: value for name, value in given.items() if value is not None}
    dials = Dials(**(chosen.dials.model_dump() | turned))
    world = simulate(chosen.model_copy(update={"dials": dials}), rows, out, seed)
    best = world.truth.bayes()[:, -1]
    say(f"{rows:,} rows written into {out}")
    say(f"best possible AUC: ctr {100 * best[0]:.2f}, ctcvr {100 * best[1]:.2f} (truth.json)")


def recover(
    checkpoint: Folder,
    simulated: Annotated[Path, typer.Argument(help="A folder that `aesm2 simulate` wrote")],
    permutations: Annotated[int, typer.Option(help="Of the truth, for the null", min=19)] = 199,
    seed: Annotated[int, typer.Option(help="Of rows looked at and permutations", min=0)] = 0,
    device: Device = "auto",
) -> None:
    """Measure how well the learnt routing mirrors the planted truth of a simulation, as CSV."""
    opened, dataset = load(checkpoint, device), Dataset.open(simulated)
    if dataset.description != opened.description:
        raise InputError(
            f"{checkpoint}: was trained on '{opened.description.name}', and {simulated} is"
            f" '{dataset.description.name}' or described otherwise"
        )
    frame = rows_of(dataset.frame(), "test")
    if len(frame) > RECOVERED_ROWS:
        frame = frame.sample(RECOVERED_ROWS, random_state=seed)
    schema = opened.encoder.schema
    planted = read_planted(dataset.folder, frame.index, schema.tasks, schema.level_names)
    found = recovery(opened.model, opened.encode(frame), planted, permutations, seed)
    sys.stdout.write(found.to_csv(index=False, na_rep="undefined", float_format="%.4g"))
