"""Sets of rows that are compared, and the lines of Python that make the charts of them."""

from dataclasses import dataclass

import numpy as np

from aesm2.checkpoint import Checkpoint
from aesm2.data.drift import Drift
from app import cache, recipes


@dataclass(frozen=True)
class Compared:
    """Sets of rows, and how differently each feature is distributed in them.

    names: of the comparisons of `drift`. sets: names of the sets whose values stand side by side.
    parts: rows; members: the set of each of their rows. what: a title.
    """

    drift: Drift
    names: tuple[str, ...]
    sets: tuple[str, ...]
    parts: list[cache.RowSet]
    members: list[np.ndarray]
    key: str
    what: str
    stamp: str
    by: str


def _between_splits(found: Compared) -> bool:
    return found.key.endswith("-splits")


def _code(checkpoint: Checkpoint, found: Compared, lines: str) -> str:
    """Return a script whose lines may use `fields`, `own` and `names` of the rows compared."""
    names = (
        "from aesm2.data.scenarios import scenario_index, scenario_names\n"
        "from aesm2.routing.findings import scenario_label\n"
        "schema = checkpoint.encoder.schema\n"
        f"names = [scenario_label({found.by!r}, name)"
        f" for name in scenario_names(schema, {found.by!r})]\n"
    )
    if not _between_splits(found):
        own = f"own = scenario_index(batch.scenarios.numpy(), schema, {found.by!r})\n"
        return recipes.of_rows(checkpoint, found.parts, f"{names}{own}{lines}")
    parts = (
        f"dataset = {recipes.dataset(checkpoint)}\n"
        'parts = [checkpoint.encode(dataset.split(name)) for name in ("train", "test")]\n'
        f"own = [scenario_index(part.scenarios.numpy(), schema, {found.by!r}) for part in parts]\n"
    )
    return recipes.of_rows(checkpoint, None, f"{names}{parts}{lines}")


def drift(checkpoint: Checkpoint, found: Compared, chosen: int, most: int) -> str:
    """Return the script that draws how differently each feature is distributed."""
    measured = "scenario_drift(batch.fields.numpy(), schema.fields, own, len(names))"
    name, sets = "scenario_drift", "names"
    if _between_splits(found):
        name, sets = "split_drift", '["all rows", *names]'
        measured = (
            "split_drift(\n    *(part.fields.numpy() for part in parts), schema.fields, *own,"
            " len(names)\n)"
        )
    lines = (
        f"from aesm2.data.drift import {name}\n"
        "from aesm2.plots import drift\n"
        f"found = {measured}\n"
        "fields = checkpoint.description.fields\n"
        "labels = [field.title or name for name, field in fields.items()]\n"
        f"figure = drift.drift_figure(found, labels, {sets}, {chosen}, {most}, {found.stamp!r})"
    )
    return _code(checkpoint, found, lines)


def values(checkpoint: Checkpoint, found: Compared, feature: int) -> str:
    """Return the script that draws the values of a feature in each set of rows."""
    name, own = list(checkpoint.description.fields.items())[feature]
    title = own.title or name
    counts = f"value_counts(batch.fields[:, {feature}].numpy(), size, own, len(names))"
    sets = "names"
    if _between_splits(found):
        sets = '["training", "test"]'
        counts = (
            "sum(\n"
            f"    value_counts(part.fields[:, {feature}].numpy(), size,"
            " np.full(len(part.fields), place), 2)\n"
            "    for place, part in enumerate(parts)\n)"
        )
    lines = (
        "import numpy as np\n"
        "from aesm2.data.drift import value_counts\n"
        "from aesm2.plots import distribution\n"
        f"size, encoder = schema.fields[{feature}], checkpoint.encoder\n"
        f"counts = {counts}\n"
        f"shown = distribution.distribution(\n    {title!r},"
        f" encoder.value_names({name!r}),\n    {name!r} in encoder.edges, {sets}, counts,\n)\n"
        f"figure = distribution.distribution_figure(shown, {found.stamp!r})"
    )
    return _code(checkpoint, found, lines)
