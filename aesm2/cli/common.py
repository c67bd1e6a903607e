"""Arguments that several commands share, and how they speak."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import split_named

Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu, cuda, cuda:N")]
Folder = Annotated[Path, typer.Argument(help="A checkpoint folder")]
Data = Annotated[
    Path,
    typer.Argument(
        help="A table (parquet, CSV), a dataset folder, whose test split is taken, or FOLDER:SPLIT"
    ),
]


def say(text: str) -> None:
    """Tell the user something on stderr: stdout is for results."""
    typer.echo(text, err=True)


def rows_at(checkpoint: Checkpoint, data: Path) -> pd.DataFrame:
    """Read what `Data` names: rows that the checkpoint can take."""
    rows = split_named(str(data))
    return checkpoint.read(data) if rows is None else rows
