"""Copy as Python: the few lines that make a chart, from the checkpoint and its rows."""

from pathlib import Path

from app import cache


def script(opened: cache.Opened, rows: cache.RowSet | None, lines: str) -> str:
    """Return a script that opens what the chart is about and then runs `lines`.

    lines: may use `checkpoint`, `rows` (a data frame with labels where `rows` is given) and `batch`
    (what the model takes); they end with `figure = …`.
    """
    parts = ["import aesm2", f"checkpoint = aesm2.load({location(opened.checkpoint.path)!r})"]
    if rows is not None:
        parts += [_rows(opened, rows), f"batch = checkpoint.encode(rows, labels={rows.labels})"]
    return "\n".join([*parts, lines.strip(), "figure.show()"])


def _rows(opened: cache.Opened, rows: cache.RowSet) -> str:
    place, _, split = rows.id.rpartition(":")
    if "@" not in place:  # uploaded: the file is the user's
        return f"rows = checkpoint.read({rows.title!r})"
    folder = cache.dataset_of(opened.checkpoint).folder
    return f"rows = aesm2.Dataset.open({location(folder)!r}).split({split!r})"


def location(folder: Path) -> str:
    """Write a path as it is from the root of the project."""
    root = cache.ROOT
    return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)
