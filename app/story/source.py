"""What the story is about: a checkpoint, its test rows, a task."""

from dataclasses import dataclass

import numpy as np
import torch

from aesm2.data.counts import stored_counts
from aesm2.data.scenarios import scenario_of_path
from aesm2.plots.style import provenance
from aesm2.routing.highlights import sample
from app import cache, recipes

MOST, SEED = 20_000, 0  # rows that are looked at, drawn with this seed
NO_SELECTION = (
    "This model has no expert selection, so there is no choice to show: pick an AESM² checkpoint."
    " The doors, the other models and what a ranking is worth are on the steps before and after."
)


@dataclass(frozen=True)
class Source:
    """What the story is about. whole: the test rows, None where they are not here, and why.

    rows: at most MOST of them. task: index.
    """

    opened: cache.Opened
    whole: cache.RowSet | None
    rows: cache.RowSet | None
    why: str
    task: int

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.opened.checkpoint.description.task[self.task].name

    @property
    def stamp(self) -> str:
        """Where the rows come from and how many of them there are, for charts."""
        of = provenance(self.opened.checkpoint.description)
        if self.whole is None or self.rows is None:
            return of
        count, n = len(self.whole.frame), len(self.rows.frame)
        drawn = f"{n:,} of {count:,} rows, drawn with seed {SEED}" if n < count else f"n = {n:,}"
        return f"{of}, test split, {drawn}"

    @property
    def looked_at(self) -> str:
        """How many rows are looked at, in words; "" for none."""
        if self.whole is None or self.rows is None:
            return ""
        count, n = len(self.whole.frame), len(self.rows.frame)
        return f"{n:,} of {count:,} test rows" if n < count else f"all {n:,} test rows"

    def code(self, lines: str) -> str:
        """Return the Python that makes a chart of the rows."""
        if self.whole is not self.rows and self.whole is not None:
            drawn = f"kept = sample(len(rows), {MOST}, {SEED})\n"
            drawn += "rows, batch = rows.iloc[kept], batch[kept.tolist()]\n"
            lines = f"from aesm2.routing.highlights import sample\n{drawn}{lines.lstrip()}"
        return recipes.script(self.opened, self.whole, lines)


def source(opened: cache.Opened, whole: cache.RowSet | None, why: str, task: int) -> Source:
    """Take at most MOST of the test rows."""
    rows = whole
    if whole is not None and len(whole.frame) > MOST:
        kept = sample(len(whole.frame), MOST, SEED)
        part = whole.batch[torch.from_numpy(kept)]
        rows = cache.RowSet(
            f"{whole.id}#{MOST}", whole.title, whole.frame.iloc[kept], part, whole.labels
        )
    return Source(opened, whole, rows, why, task)


def first_level(of: Source) -> str:
    """Return the first level of which two scenarios have rows, or else the first."""
    schema = of.opened.checkpoint.encoder.schema
    counts = stored_counts(of.opened.checkpoint.statistics, schema, "all")
    there = counts.impressions > 0
    for name in schema.level_names:
        if len(np.unique(scenario_of_path(schema, name)[there])) > 1:
            return name
    return schema.level_names[0]


def titles_of(of: Source) -> list[str]:
    """Return what the tasks are called."""
    return [task.title or task.name for task in of.opened.checkpoint.description.task]
