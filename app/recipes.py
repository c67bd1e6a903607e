"""Copy as Python: the few lines that make a chart, from the checkpoint and its rows."""

from pathlib import Path

from app import cache


def script(opened: cache.Opened, rows: cache.RowSet | None, lines: str) -> str:
    """Return a script that opens what the chart is about and then runs `lines`.

    lines: may use `checkpoint`, `rows` (a data frame with labels where `rows` is given) and `batch`
    (what the model takes); they end with `figure = …`.
    """
    parts = ["import aesm2", f"checkpoint = aesm2.load({_place(opened.checkpoint.path)!r})"]
    if rows is not None:
        parts += [_rows(opened, rows), f"batch = checkpoint.encode(rows, labels={rows.labels})"]
    return "\n".join([*parts, lines.strip(), "figure.show()"])


def _rows(opened: cache.Opened, rows: cache.RowSet) -> str:
    if "@" not in rows.id:  # uploaded: the file is the user's
        read = f"rows = checkpoint.read({rows.name!r})"
    else:
        folder = cache.dataset_of(opened.checkpoint).folder
        read = f"rows = aesm2.Dataset.open({_place(folder)!r}).split({rows.origin!r})"
    if not rows.slice:
        return read
    return (
        f"{read}\nfrom aesm2.slices import within\n"
        f"rows = within(rows, {rows.slice!r}, checkpoint.description)"
    )


def _place(folder: Path) -> str:
    """Write a path as it is from the root of the project."""
    root = cache.ROOT
    return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)
