"""The shape of a dataset."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schema:
    """The shape of a dataset, as a model needs it.

    fields: table rows of each field. levels: scenarios of each level, outermost first.
    level_names: name of each level. tasks: names of the tasks. parents: for each task the index of
    the task it follows, or -1. numbers: for each column of `Batch.numbers` the feature it is of;
    such a feature is not embedded, the model takes its number.
    """

    fields: tuple[int, ...]
    levels: tuple[tuple[str, ...], ...]
    level_names: tuple[str, ...]
    tasks: tuple[str, ...]
    parents: tuple[int, ...]
    numbers: tuple[int, ...] = ()
