"""What a run of the lab recorded, read back."""

from aesm2.data.description import DESCRIPTION, read_description
from aesm2.data.schema import Schema
from aesm2.files import read_lines
from aesm2.lab.job import Job
from aesm2.models import build
from aesm2.routing.trace import layer_specs
from aesm2.routing.utilisation import Utilisation
from aesm2.training import history


def read_snapshots(job: Job) -> list[tuple[int, Utilisation]]:
    """Read the use of the experts that a run recorded: (step, counts on the validation rows)."""
    described = read_description(job.folder / DESCRIPTION)
    schema = Schema(
        fields=(2,) * len(described.fields),  # the layers do not depend on them
        levels=tuple(level.scenarios for level in described.level),
        level_names=tuple(level.name for level in described.level),
        tasks=tuple(task.name for task in described.task),
        parents=described.parents,
    )
    specs = layer_specs(build(job.config().model, schema))
    return history.snapshots(read_lines(job.folder / "utilisation.jsonl"), schema, specs)
