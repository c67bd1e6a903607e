"""Arguments that several commands share, and how they speak."""

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu, cuda, cuda:N")]
Folder = Annotated[Path, typer.Argument(help="A checkpoint folder")]
Data = Annotated[
    Path,
    typer.Argument(help="A table (parquet, CSV), or a dataset folder, whose test split is taken"),
]


def say(text: str) -> None:
    """Tell the user something on stderr: stdout is for results."""
    typer.echo(text, err=True)
