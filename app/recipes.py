"""Copy as Python: the few lines that make a chart, from the checkpoint and its rows.

The lines run from the root of the project. Each chart's own lines stand beside it; here is how they
begin: what they open.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aesm2.checkpoint import Checkpoint
from app import cache, locations

BATCH = re.compile(r"(?<![\w.])batch\b")
Code = Callable[[str], str]  # the lines that make a chart → the whole script


def script(opened: cache.Opened, rows: cache.RowSet | None, lines: str) -> str:
    """Return a script that opens what the chart is about and then runs `lines`.

    lines: may use `checkpoint`, `rows` (a data frame with labels where `rows` is given) and `batch`
    (what the model takes); they end with `figure = …`.
    """
    return of_rows(opened.checkpoint, None if rows is None else [rows], lines)


def of_rows(checkpoint: Checkpoint, parts: Sequence[cache.RowSet] | None, lines: str) -> str:
    """Return a script as `script` does, of one set of rows or of several splits together."""
    parts = parts or []
    opening = [_rows(checkpoint, parts)] if parts else []
    if parts and BATCH.search(lines):
        opening.append(f"batch = checkpoint.encode(rows, labels={parts[0].labels})")
    return _script(["import aesm2", _load(checkpoint), *opening, lines])


def of_row(opened: cache.Opened, rows: cache.RowSet, name: Any) -> Code:
    """Return what makes a script about one row: its lines may use `checkpoint` and `row`."""
    plain = name.item() if hasattr(name, "item") else name
    row = f"row = rows.loc[[{plain!r}]]"
    opening = ["import aesm2", _load(opened.checkpoint), _rows(opened.checkpoint, [rows]), row]
    return lambda lines: _script([*opening, lines.strip()])


def of_runs(runs: Mapping[str, Checkpoint], lines: str) -> str:
    """Return a script about several checkpoints: its lines may use `runs`, by name."""
    loads = [f"    {name!r}: {_load(own).partition(' = ')[2]}," for name, own in runs.items()]
    return _script(["import aesm2", "\n".join(["runs = {", *loads, "}"]), lines])


def of_evidence(study: cache.Study, lines: str) -> str:
    """Return a script about a study: its lines may use `evidence`."""
    return _script(
        [
            "from pathlib import Path",
            "from aesm2.evidence.folder import read_evidence",
            f"evidence = read_evidence(Path({place(study.evidence.path)!r}))",
            lines,
        ]
    )


def of_folder(lines: str) -> str:
    """Return a script that names its files itself."""
    return _script(["from pathlib import Path", lines])


def dataset(checkpoint: Checkpoint) -> str:
    """Return the expression that opens a checkpoint's dataset."""
    return f"aesm2.Dataset.open({place(cache.dataset_of(checkpoint).folder)!r})"


def place(folder: Path) -> str:
    """Write a path as it is from the root of the project."""
    root = locations.ROOT
    return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)


def _script(parts: list[str]) -> str:
    return "\n".join([*(part.strip("\n") for part in parts), "figure.show()"])


def _load(checkpoint: Checkpoint) -> str:
    return f"checkpoint = aesm2.load({place(checkpoint.path)!r})"


def _rows(checkpoint: Checkpoint, parts: Sequence[cache.RowSet]) -> str:
    rows = parts[0]
    if "@" not in rows.id:  # uploaded: the file is the user's
        read = f"rows = checkpoint.read({rows.name!r})"
    elif len(parts) > 1:
        read = f'rows = {dataset(checkpoint)}.frame().dropna(subset="split")'
    else:
        read = f"rows = {dataset(checkpoint)}.split({rows.origin!r})"
    if not rows.slice:
        return read
    return (
        f"{read}\nfrom aesm2.slices import within\n"
        f"rows = within(rows, {rows.slice!r}, checkpoint.description)"
    )
