"""What a draft comes to: its description, and its counts over the rows looked at."""

import tomllib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from aesm2.config import parse
from aesm2.data.batch import Batch
from aesm2.data.counts import IMPRESSIONS, Counts, count, rates
from aesm2.data.description import DESCRIPTION, Description
from aesm2.data.draft.toml import parts, written
from aesm2.data.draft.value import Draft
from aesm2.data.encoder import encode_scenario, read_labels
from aesm2.data.scenarios import OVERALL
from aesm2.data.schema import Schema


@dataclass(frozen=True)
class Preview:
    """A description as text and as a value, counts of rows and labels, and warnings in words."""

    text: str
    description: Description
    counts: Counts
    warnings: tuple[str, ...]


def preview(draft: Draft) -> Preview:
    """Write a draft, read it back, and count with it; InputError where it is no description."""
    made = parts(draft)
    text = written(draft, made)
    described = parse(Description, tomllib.loads(text), DESCRIPTION)
    scenarios = np.stack([encode_scenario(draft.frame, level) for level in described.level], 1)
    labels = read_labels(draft.frame, described, scenarios)
    schema = Schema(
        fields=(),
        levels=tuple(level.scenarios for level in described.level),
        level_names=tuple(level.name for level in described.level),
        tasks=tuple(task.name for task in described.task),
        parents=described.parents,
    )
    fields = torch.empty((len(labels), 0), dtype=torch.int32)
    batch = Batch(fields, torch.from_numpy(scenarios), torch.from_numpy(labels))
    return Preview(text, described, count(batch, schema), made.warnings)


def scenario_table(found: Preview, level: str) -> pd.DataFrame:
    """Rows of each scenario of a level and the rate of each task in them, in percent.

    Columns: scenario, rows, one a task; NaN where no row has a label.
    """
    impressions, labelled, _, positives = found.counts.by(level)
    table = pd.DataFrame({"scenario": _scenarios(found, level), "rows": impressions})
    shares = 100 * positives / np.where(labelled > 0, labelled, np.nan)
    return table.assign(**dict(zip(found.counts.schema.tasks, shares.T, strict=True)))


def task_table(found: Preview) -> pd.DataFrame:
    """Each task over all rows, and over those positive in the task it follows.

    Columns: task, of, n, positives, rate in percent with its 95 % interval low and high.
    """
    table = rates(found.counts, OVERALL).drop(columns="scenario")
    table["of"] = table["of"].replace(IMPRESSIONS, "all rows")
    return table.assign(**{name: 100 * table[name] for name in ("rate", "low", "high")})


def _scenarios(found: Preview, level: str) -> list[str]:
    (own,) = [known for known in found.description.level if known.name == level]
    return list(own.scenarios)
