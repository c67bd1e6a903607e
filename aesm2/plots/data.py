"""The paper's Tables 1 and 2 for any data: counts, rates and shares by scenario."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aesm2.data.counts import IMPRESSIONS, Counts, rate_pairs
from aesm2.data.description import Description, Task
from aesm2.data.scenarios import OVERALL, existing, scenario_names

ALL = "ALL"
WIDE = 12  # scenarios; more are one a line


def statistics_table(counts: Counts, description: Description, by: str) -> pd.DataFrame:
    """Counts, rates and shares by scenario, as in Tables 1 and 2 of the paper.

    by: a level's name, or "path" for fine-grained scenarios. One line a measure, "ALL" and one
    column a scenario, in the order of the gates. Rates, over the rows that have the label, and
    shares are fractions. NaN where a task does not exist, or a rate is of nothing; 0 where there
    are no rows.
    """
    schema, titles = counts.schema, task_titles(description.task)
    whole, parts = counts.by(OVERALL), counts.by(by)
    impressions, labelled, given, positives = (
        np.concatenate(both) for both in zip(whole, parts, strict=True)
    )
    exists = np.concatenate([existing(description, schema, g) for g in (OVERALL, by)])
    known = (labelled > 0) | (exists & (impressions == 0)[:, None])
    found = np.where(known, positives, np.nan)
    lines: dict[str, np.ndarray] = {"#impressions": impressions.astype(np.float64)}
    lines |= {f"#{titles[task]}": found[:, k] for k, task in enumerate(schema.tasks)}
    shares = {f"{name} %": values / (values[0] or np.nan) for name, values in lines.items()}
    for task, of in rate_pairs(schema):
        k = schema.tasks.index(task)
        n = (labelled if of == IMPRESSIONS else given)[:, k]
        name = f"#{titles[task]} / #{titles.get(of, of)}"
        lines[name] = found[:, k] / np.where(n > 0, n, np.nan)
    names = scenario_names(schema, by)
    columns = [ALL if ALL not in names else f"{ALL} ROWS", *names]
    table = pd.DataFrame.from_dict(lines | shares, orient="index", columns=columns)
    return table.rename_axis("measure")


def written_statistics(table: pd.DataFrame) -> pd.DataFrame:
    """Return `statistics_table` as text: counts with separators, rates and shares in percent.

    Of more than WIDE scenarios, those without rows are left out and each is a line, not a column.
    """
    wide = len(table.columns) - 1 > WIDE
    some = (table.loc["#impressions"] > 0).to_numpy() | (np.arange(len(table.columns)) == 0)
    shown = table.loc[:, some] if wide else table
    counts = {name for name in table.index if f"{name} %" in table.index}  # those have shares
    measures = {str(name): _written(v, name in counts) for name, v in shown.T.items()}
    written = pd.DataFrame(measures, index=shown.columns)
    if wide:
        return written.rename_axis("scenario").reset_index()
    return written.T.rename_axis("measure").reset_index()


def _written(values: pd.Series, counts: bool) -> list[str]:
    return [
        "–" if np.isnan(value) else f"{value:,.0f}" if counts else f"{value:.2%}"
        for value in values
    ]


def task_titles(tasks: Sequence[Task]) -> dict[str, str]:
    """Return what each task is called; its name where two have the same title."""
    titles = [task.title or task.name for task in tasks]
    unique = {t.name: title for t, title in zip(tasks, titles, strict=True)}
    return unique if len(set(titles)) == len(titles) else {t.name: t.name for t in tasks}
