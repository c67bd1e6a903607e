"""The two logs that Routing drift compares: splits of the dataset, or routing summaries."""

from dataclasses import dataclass

from aesm2.checkpoint import Checkpoint
from aesm2.data.dataset import SPLITS
from aesm2.errors import InputError
from aesm2.streaming.summary_file import RoutingFile
from app import cache, summaries, widgets

TITLES = {"train": "Training split", "validation": "Validation split", "test": "Test split"}


@dataclass(frozen=True)
class Side:
    """One of the logs. id: determines it. split, place: which split it is, or where the file is."""

    id: str
    title: str
    file: RoutingFile
    split: str = ""
    place: str = ""


def titles(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what can be compared, by id."""
    try:
        splits = {name: TITLES[name] for name in cache.splits(checkpoint)}
    except InputError:  # the dataset is not here; summaries need none
        splits = {}
    return splits | summaries.titles(checkpoint)


def picked(opened: cache.Opened, found: dict[str, str]) -> tuple[Side, Side]:
    """Draw the choice of two logs, by default two summaries or, without them, the later splits."""
    names = list(found)
    own = [name for name in names if name not in TITLES]
    usual = own if len(own) > 1 else [name for name in names if name in TITLES][-2:] or names
    first = widgets.pick("From (A)", "a", names, usual[0], found.__getitem__, width=210)
    second = widgets.pick("To (B)", "b", names, usual[-1], found.__getitem__, width=210)
    return _side(opened, first, found[first]), _side(opened, second, found[second])


def grouping_column(checkpoint: Checkpoint) -> str | None:
    """Return the column whose rows are alike: the key of the split or of history; None: no such."""
    described = checkpoint.description
    drawn = described.split.random
    if drawn is not None and drawn.key is not None:
        return drawn.key
    return next((block.keys[0] for block in described.history), None)


def _side(opened: cache.Opened, id_: str, title: str) -> Side:
    checkpoint = opened.checkpoint
    for split in SPLITS:
        if id_ == split:
            rows = cache.rows(checkpoint, split)
            column = grouping_column(checkpoint)
            own = column if column in rows.frame.columns else None
            return Side(rows.id, title, cache.grouped(opened, rows, own), split=split)
    file = summaries.get(checkpoint, id_)
    known = f"{id_} {file.about.created} {file.about.rows}"
    return Side(known, title.removeprefix("Opened: "), file, place=summaries.place(checkpoint, id_))
