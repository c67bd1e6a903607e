"""Commands that the Training Lab has buttons for: estimate, export, import."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from aesm2.cli.common import Device, Folder, say
from aesm2.config import read_config
from aesm2.data.dataset import Dataset
from aesm2.files import read_bytes, require_place, write_atomically
from aesm2.lab.archive import MOST_BYTES, pack, unpack
from aesm2.lab.estimate import estimate


def estimate_command(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder, or its dataset.toml")],
    config: Annotated[Path, typer.Option(help="Configuration, e.g. configs/kuairand.toml")],
    device: Device = "auto",
) -> None:
    """Tell as JSON how long a training would take and how much memory, from a few steps of it."""
    found = estimate(Dataset.open(dataset), read_config(config), device)
    sys.stdout.write(json.dumps(found.to_json()) + "\n")


def export(
    checkpoint: Folder,
    out: Annotated[Path, typer.Argument(help="Zip file to write")],
) -> None:
    """Write a checkpoint as one zip file, verified."""
    require_place(out)
    write_atomically(out, pack(checkpoint))
    say(f"checkpoint: {out}")


def import_command(
    file: Annotated[Path, typer.Argument(help="A zip file that `aesm2 export` wrote")],
    out: Annotated[Path, typer.Argument(help="Folder to make, e.g. checkpoints/mine")],
) -> None:
    """Unpack a checkpoint into a new folder, which is there verified or not at all."""
    opened = unpack(read_bytes(file, MOST_BYTES), out)
    say(f"checkpoint: {opened.path}")
