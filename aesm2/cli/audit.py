"""The command `audit`: does a checkpoint follow the equations of the paper?"""

import sys
from typing import Annotated

import typer

from aesm2.audit import audit
from aesm2.checkpoint import load
from aesm2.cli.common import Data, Device, Folder, rows_at, say
from aesm2.errors import InputError


def audit_command(
    checkpoint: Folder,
    data: Data,
    rows: Annotated[int, typer.Option(help="Rows to audit, the first ones", min=1)] = 256,
    device: Device = "auto",
) -> None:
    """Compute Eq. 1–22 anew in float64 and print the largest difference of each, as CSV.

    Exits with 1 where the model differs. Eq. 19 and 22 need labels in the table.
    """
    opened = load(checkpoint, device)
    frame = rows_at(opened, data).iloc[:rows]
    if frame.empty:
        raise InputError(f"{data}: no rows to audit")
    labelled = all(task.label in frame.columns for task in opened.description.task)
    found = audit(opened, opened.encode(frame, labels=labelled), frame.index)
    sys.stdout.write(found.by_equation().to_csv(index=False, float_format="%.3g"))
    say(found.verdict())
    if not found.agrees:
        raise typer.Exit(1)
