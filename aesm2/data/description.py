"""What a dataset is, as a file a person can write: `dataset.toml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AllowInfNan, Field, model_validator

from aesm2.config import Strict, parse, read_toml
from aesm2.errors import InputError, nearest
from aesm2.files import exists

DESCRIPTION = "dataset.toml"
RESERVED = frozenset({"all", "impressions", "path", "split", "task"})  # tables of results use them
TRUTH = "truth_"  # columns of a simulation's truth begin so; nothing a model sees may read them
Scalar = int | Annotated[float, AllowInfNan(True)] | str  # as columns hold them
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Join(Strict):
    """A table to be joined to the log on one of its columns, many rows to one."""

    table: str
    on: str


class Source(Strict):
    """Where the rows are: a parquet or CSV table, and tables joined to it.

    table: path relative to the description. keep: column → the values whose rows are kept, after
    history has been computed on all rows. time: the column that orders rows, needed by history:
    numbers in any unit, or timestamps, counted in seconds. dates: column → how its text spells a
    date, as in strptime ("%d/%m/%Y"). missing: values that mean "missing" in every column, such as
    "-" or -999.
    """

    table: str
    join: tuple[Join, ...] = ()
    keep: dict[str, tuple[Scalar, ...]] = {}
    time: str | None = None
    dates: dict[str, str] = {}
    missing: tuple[Scalar, ...] = ()


class Interval(Strict):
    """Rows of one split: values from `first` to `last`, both included; either may be absent."""

    first: Scalar | None = None
    last: Scalar | None = None


class RandomSplit(Strict):
    """Shares of rows drawn for validation and test; the others are for training.

    key: rows with the same value of this column, such as a user or a search, stay together. The
    draw is a hash of seed and key, or row number: it does not change when rows are added.
    """

    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)
    key: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _some_training(self) -> "RandomSplit":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave no rows for training")
        return self


class Split(Strict):
    """Train, validation and test as three disjoint intervals of one column, or drawn at random."""

    column: str | None = None
    train: Interval | None = None
    validation: Interval | None = None
    test: Interval | None = None
    random: RandomSplit | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Split":
        given = [n for n in ("column", "train", "validation", "test") if getattr(self, n)]
        if self.random is not None and given:
            raise ValueError(f"random and {given[0]} exclude each other")
        if self.random is None and len(given) < 4:
            raise ValueError("needs column, train, validation and test, or random")
        return self


class Level(Strict):
    """One level of the scenario hierarchy, outermost first.

    column: may be left out where there is one scenario, which then is that of every row.
    values: the scenarios, in the order of the gates. other: a last scenario for every value not
    listed; without it such a value is an error. title: how the level is called on screen.
    """

    name: Name
    column: str | None = None
    values: tuple[int | str, ...] = Field(min_length=1)
    other: str | None = None
    title: str = ""

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios, one a gate."""
        return tuple(map(str, self.values)) + ((self.other,) if self.other is not None else ())

    @model_validator(mode="after")
    def _has_column(self) -> "Level":
        if self.column is None and len(self.scenarios) > 1:
            raise ValueError("a level of several scenarios needs a column")
        return self


class Task(Strict):
    """One binary task; with `follows`, positive only where that task is positive too.

    label: column of 0 and 1, or of any values where `positive` lists those that count as 1.
    only: level → the scenarios in which the task exists; elsewhere rows have no label for it.
    may_be_missing: rows may lack the label; otherwise a missing label is an error. Where the task
    it follows is 0, the label is 0 and may always be missing.
    conditional: name of the probability given the task it follows (of CVR in CTCVR = CTR · CVR).
    value: column with what a positive is worth, such as a price. title: how it is called on screen.
    """

    name: Name
    label: str
    positive: tuple[Scalar, ...] = ()
    follows: str | None = None
    conditional: str | None = None
    only: dict[str, tuple[Scalar, ...]] = {}
    may_be_missing: bool = False
    value: str | None = None
    title: str = ""


class History(Strict):
    """Features of a key's past: what was known before the row.

    Adds `NAME_count` (earlier rows with the same keys), `NAME_recency` (time units since the last
    of them) and, for each outcome, `NAME_OUTCOME` (its mean over them, pulled towards the mean over
    all earlier rows by `smoothing` pseudo-rows); the last two are missing where there is no such
    row. Only rows earlier by more than `delay` time units count: an outcome must have been known.
    """

    name: Name
    keys: tuple[str, ...] = Field(min_length=1)
    outcomes: tuple[str, ...] = ()
    delay: float = Field(0, ge=0, le=2**53)  # beyond, whole numbers are not told apart
    smoothing: float = Field(10.0, gt=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it adds."""
        outcomes = (f"{self.name}_{outcome}" for outcome in self.outcomes)
        return (f"{self.name}_count", f"{self.name}_recency", *outcomes)


Scale = Literal["standard", "log"]


class Feature(Strict):
    """One input of the model.

    column: its column, by default its name. kind: "categorical" values are ids; "numeric" values
    are cut into `buckets` quantile buckets of the training split, each with its own embedding.
    scale: the model takes the number itself, and the buckets only serve to look at it: "standard"
    is the number less the mean of the training split, over its standard deviation, "log" the same
    of sign(x) log(1 + |x|). min_count: a category seen less often in training is treated as unseen.
    """

    kind: Literal["categorical", "numeric"]
    column: str | None = None
    buckets: int = Field(16, ge=2, le=1024)
    scale: Scale | None = None
    min_count: int = Field(1, ge=1)
    title: str = ""

    @model_validator(mode="after")
    def _scaled_numbers(self) -> "Feature":
        if self.scale is not None and self.kind != "numeric":
            raise ValueError(f"scale = '{self.scale}' needs kind = \"numeric\"")
        return self


class Description(Strict):
    """A dataset: its rows, split, features, scenario levels, task chain and rights."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    title: str
    provenance: Literal["public", "simulated", "private"]
    licence: str
    citation: str = ""
    notes: tuple[str, ...] = ()
    source: Source
    split: Split
    level: tuple[Level, ...] = Field(min_length=1)
    task: tuple[Task, ...] = Field(min_length=1)
    never_features: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    features: dict[str, dict[str, Feature]] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Description":
        for what, names in (
            ("level", [level.name for level in self.level]),
            ("task", [task.name for task in self.task]),
            ("history", [block.name for block in self.history]),
            ("feature", [name for group in self.features.values() for name in group]),
            *((f"level '{level.name}': scenario", level.scenarios) for level in self.level),
        ):
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(f"{what} '{min(repeated)}' is there twice")
        levels, tasks = {level.name for level in self.level}, {task.name for task in self.task}
        if "task" in levels:
            raise ValueError("no level can be called 'task': that is the name of the task layers")
        for what, used in (("level", levels), ("task", tasks - {"task"})):
            if used & RESERVED:
                raise ValueError(
                    f"no {what} can be called '{min(used & RESERVED)}': tables of results use it"
                )
        if levels & tasks:
            raise ValueError(f"'{min(levels & tasks)}' is the name of a level and of a task")
        earlier: list[str] = []
        for task in self.task:
            if task.follows is not None and task.follows not in earlier:
                raise ValueError(
                    f"task '{task.name}' follows '{task.follows}', which is no earlier task"
                    f"{nearest(task.follows, earlier)}"
                )
            earlier.append(task.name)
        self._check_only()
        if "split" in {*self.input_columns, *(task.label for task in self.task)}:
            raise ValueError(
                "the column 'split' is replaced by the name of each row's split: it cannot be a"
                " feature, level or label; rename it in the table"
            )
        if self.history and self.source.time is None:
            raise ValueError("history needs source.time, the column that orders rows")
        for name, feature in self.fields.items():
            column = feature.column or name
            if column in self.forbidden:
                raise ValueError(
                    f"feature '{name}' reads '{column}', which is known only after the impression"
                )
        for what, columns in self._columns_used():
            if truth := [column for column in columns if column.startswith(TRUTH)]:
                raise ValueError(
                    f"{what} reads '{truth[0]}': columns that begin with '{TRUTH}' hold the truth"
                    " of a simulation, which no model may see"
                )
        return self

    def _check_only(self) -> None:
        levels = {level.name: level.scenarios for level in self.level}
        tasks = {task.name: task for task in self.task}
        for task in self.task:
            for level, values in task.only.items():
                if level not in levels:
                    hint = nearest(level, levels)
                    raise ValueError(f"task '{task.name}': only: no level '{level}'{hint}")
                wrong = sorted(set(map(str, values)) - set(levels[level]))
                if wrong or not values:
                    known = ", ".join(levels[level])
                    what = f"no scenario '{wrong[0]}'" if wrong else "no scenario is named"
                    raise ValueError(f"task '{task.name}': only.{level}: {what} (known: {known})")
            for level, values in (tasks[task.follows].only if task.follows else {}).items():
                if not set(map(str, task.only.get(level, levels[level]))) <= set(map(str, values)):
                    raise ValueError(
                        f"task '{task.name}' follows '{task.follows}', which exists only in some"
                        f" scenarios of '{level}': it can exist only there too; say so in only"
                    )

    def _columns_used(self) -> list[tuple[str, list[str]]]:
        """Columns read by each part of the description, except `keep`."""
        drawn = self.split.random
        parts: list[tuple[str, list[str | None]]] = [
            ("source", [self.source.time, *(join.on for join in self.source.join)]),
            ("split", [self.split.column, drawn.key if drawn else None]),
        ]
        parts += [(f"feature '{name}'", [f.column or name]) for name, f in self.fields.items()]
        parts += [(f"level '{level.name}'", [level.column]) for level in self.level]
        parts += [(f"task '{task.name}'", [task.label, task.value]) for task in self.task]
        parts += [(f"history '{b.name}'", [*b.keys, *b.outcomes]) for b in self.history]
        return [(what, [c for c in columns if c is not None]) for what, columns in parts]

    @property
    def fields(self) -> dict[str, Feature]:
        """Features of all groups in order, by name."""
        return {name: f for group in self.features.values() for name, f in group.items()}

    @property
    def forbidden(self) -> frozenset[str]:
        """Columns that may never be features: labels, outcomes and `never_features`."""
        labels = (task.label for task in self.task)
        outcomes = (outcome for block in self.history for outcome in block.outcomes)
        return frozenset((*labels, *outcomes, *self.never_features))

    def exists(self, task: Task, scenarios: Mapping[str, str]) -> bool:
        """Whether a task exists in a scenario, given as level → scenario."""
        return all(scenarios[level] in map(str, values) for level, values in task.only.items())

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns that a row must have to be predicted: features and scenario levels."""
        columns = [feature.column or name for name, feature in self.fields.items()]
        levels = (level.column for level in self.level if level.column is not None)
        return tuple(dict.fromkeys([*columns, *levels]))

    @property
    def parents(self) -> tuple[int, ...]:
        """For each task, the index of the task it follows, or -1."""
        names = [task.name for task in self.task]
        return tuple(-1 if t.follows is None else names.index(t.follows) for t in self.task)


def read_description(path: Path) -> Description:
    """Read `dataset.toml`, or the one in the folder `path`; InputError names key and remedy."""
    file = path / DESCRIPTION if exists(path) and path.is_dir() else path
    if not exists(file):
        raise InputError(
            f"{path}: no dataset description here; `aesm2 describe TABLE` drafts a dataset.toml"
        )
    return parse(Description, read_toml(file), str(file))
