"""What is fuzzed, by name: each makes what it needs once and returns a function of one case."""

from collections.abc import Callable

from tests.fuzz.guard import Case
from tests.fuzz.targets import (
    commands,
    data,
    documents,
    logs,
    models,
    pages,
    people,
    summaries,
    tables,
    texts,
)

ALL: dict[str, Callable[[], Case]] = {
    "descriptions": data.descriptions,
    "csv": tables.csv_files,
    "parquet": tables.parquet_files,
    "drafts": data.drafts,
    "uploads": data.uploads,
    "checkpoints": models.checkpoints,
    "archives": models.archives,
    "runs": models.runs,
    "configs": documents.configs,
    "evidence": documents.evidence,
    "presets": documents.presets,
    "reports": documents.reports,
    "slices": texts.slices,
    "interventions": texts.interventions,
    "commands": commands.commands,
    "pages": pages.pages,
    "summaries": summaries.summaries,
    "logs": logs.logs,
    "people": people.people,
}
