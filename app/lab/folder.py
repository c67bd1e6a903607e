"""The folder of runs: whose they are, and what else belongs to whoever asks."""

import os
from pathlib import Path

from aesm2.errors import InputError
from aesm2.files import TRASH
from aesm2.lab.job import Job, Order
from aesm2.lab.queue import Lab
from aesm2.owner import owner_of
from app import locations
from app.people import who
from app.people.who import Person


def lab() -> Lab:
    """Return the lab: the folder $AESM2_LAB, or runs/lab."""
    named = os.environ.get("AESM2_LAB")
    return Lab(Path(named).absolute() if named else locations.ROOT / "runs" / "lab")


def jobs() -> list[Job]:
    """Return the runs of whoever asks, and everybody's, in the order of their tickets."""
    own = who.person()
    return [job for job, order in lab().orders() if _sees(own, order)]


def mine(job: Job, own: Person) -> bool:
    """Whether a run is theirs, or everybody's."""
    return _sees(own, job.order())


def _sees(own: Person, order: Order) -> bool:
    return order.owner in ("", own.id)


def places() -> list[Path]:
    """Return the folders that belong to whoever asks: runs, datasets, checkpoints, their trash."""
    own = who.person().id
    homes = {locations.data_home(), locations.checkpoint_home()}
    found = [path for home in homes for what in ("*", f"{TRASH}/*") for path in home.glob(what)]
    folders = [path for path in found if owner_of(path) == own]
    runs = [*lab().jobs(), *map(Job, lab().root.glob(f"{TRASH}/*"))]
    return folders + [job.folder for job in runs if _owner(job) == own]


def _owner(job: Job) -> str | None:
    try:
        return job.order().owner
    except InputError:
        return None
