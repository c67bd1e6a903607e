"""What can be asked of the lab: every action checks first whether whoever asks may, and how much.

The runs of others are neither listed nor steered. Runs without an owner are everybody's.
"""

from collections.abc import Mapping
from pathlib import Path

from aesm2.config import Config
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.lab.archive import place_in, unpack, unpacked_size
from aesm2.lab.archive import promote as promote_checkpoint
from aesm2.lab.job import Job, Status, Wish
from app import cache, locations, log
from app.lab import folder as lab
from app.people import quotas, who
from app.people.who import Person, Right


def submit(dataset: Dataset, planned: Mapping[str, Config], device: str) -> None:
    """Queue new runs."""
    own = _may_start(len(planned))
    if not who.sees(dataset.folder):
        raise InputError(f"no dataset '{dataset.folder.name}'")
    for name in planned:  # all are queued, or none
        lab.lab().require_free(name)
    log.event("runs queued", runs=len(planned), person=own.id[:8])
    for name, config in planned.items():
        lab.lab().submit(name, dataset.folder, config, device, owner=own.id, minutes=minutes(own))


def wish(job: Job, wished: Wish) -> None:
    """Ask a run to pause, to stop or to go on."""
    own = _own(job)
    if wished is Wish.RUN:
        _may_start(1)
        quotas.require_minutes(own, job)
    lab.lab().wish(job, wished)


def extend(job: Job, epochs: int) -> None:
    """Let a run train so many epochs more."""
    own = _own(job)
    _may_start(1)
    quotas.require_minutes(own, job)
    lab.lab().extend(job, epochs)


def branch(job: Job, name: str, config: Config, best: bool) -> Job:
    """Queue a run that goes on from another."""
    own = _own(job)
    _may_start(1)
    quotas.require_minutes(own, job)
    return lab.lab().branch(job, name, config, best, own.id, minutes(own))


def retry(job: Job, config: Config) -> Job:
    """Queue a failed run again, configured differently."""
    own = _own(job)
    _may_start(1)
    return lab.lab().retry(job, config, own.id, minutes(own))


def discard(job: Job) -> Path:
    """Move a run to the trash."""
    _own(job)
    return lab.lab().discard(job)


def restore(place: Path) -> Job:
    """Take a run back from the trash."""
    own = who.require(Right.TRAIN)
    found = Job(place)
    if found.gone:
        raise InputError(f"'{place.name}' is no longer in the trash: its room was needed")
    if found.status() is Status.QUEUED:
        quotas.require_runs(own, _theirs(own), 1)
    return lab.lab().restore(place)


def promote(job: Job, name: str, notes: str, everybody: bool) -> None:
    """Copy a run's checkpoint to where every page finds it."""
    own = who.require(Right.CHECKPOINTS)
    _own(job)
    quotas.require_disk(own, lab.places(), quotas.size_of(job.run.checkpoint))
    owner = "" if everybody else own.id
    promote_checkpoint(job.run.checkpoint, _place(name), notes, owner)


def bring(content: bytes, name: str) -> None:
    """Import a checkpoint that was exported elsewhere."""
    own = who.require(Right.CHECKPOINTS)
    quotas.require_upload(own, cache.ledger(), len(content), 0)
    quotas.require_disk(own, lab.places(), unpacked_size(content))
    unpack(content, _place(name), own.id)


def _place(name: str) -> Path:
    """Return where a checkpoint of a name goes; InputError where another is listed under it."""
    if name in locations.catalogue():
        raise InputError(f"there is a checkpoint '{name}' already; choose another name")
    return place_in(locations.checkpoint_home(), name)


def minutes(own: Person) -> float | None:
    """Return how long a run of somebody may train."""
    return None if own.quotas is None else own.quotas.minutes


def _own(job: Job) -> Person:
    """Return who asks, where the run is theirs or everybody's."""
    own = who.require(Right.TRAIN)
    if not lab.mine(job, own):
        raise InputError(f"no run '{job.name}' of yours")
    return own


def _may_start(more: int) -> Person:
    """Return who asks, where so many more runs may wait or train."""
    own = who.require(Right.TRAIN)
    quotas.require_runs(own, _theirs(own), more)
    quotas.require_disk(own, lab.places())
    return own


def _theirs(own: Person) -> list[Job]:
    return [job for job in lab.jobs() if job.order().owner == own.id]
