"""The lines of Python that make the charts of Routing drift."""

from app import cache, recipes
from app.routing_drift.sources import Side


def script(opened: cache.Opened, sides: tuple[Side, Side], options: str, last: str) -> str:
    """Return a script that compares two logs; options: arguments of `routing_drift`."""
    dataset = any(side.split for side in sides)
    lines = [
        "from aesm2.data.scenarios import PATH, existing",
        "from aesm2.plots import routing_drift as plot",
        "from aesm2.routing.drift import routing_drift",
        *(["from aesm2.routing.grouped import grouped_utilisation",
           "from aesm2.streaming.works import row_groups",
           f"dataset = {recipes.dataset(opened.checkpoint)}"] if dataset else []),
        *(["from aesm2.streaming import summary_file"] if any(s.place for s in sides) else []),
        *(_side(name, side) for name, side in zip("ab", sides, strict=True)),
        "exists = existing(checkpoint.description, checkpoint.encoder.schema, PATH)",
        f"found = routing_drift(a, b, exists=exists, {options})",
        last,
    ]  # fmt: skip
    return recipes.script(opened, None, "\n".join(lines))


def _side(name: str, side: Side) -> str:
    if side.place:
        return f"{name} = summary_file.read({side.place!r}, checkpoint).summary"
    return (
        f"rows = dataset.split({side.split!r})\n"
        f"groups, _ = row_groups(rows, {side.file.about.cluster!r})\n"
        f"{name} = grouped_utilisation(checkpoint.model, checkpoint.encode(rows), groups)"
    )
