"""A pinned chart, and the report that pinned charts make.

A pin holds all that its chart owes its reader, as plain values: nothing of it is computed again
when the report is written. A report is a value too: every change returns another one.
"""

import hashlib
import json
import math
from typing import Annotated, Any

import pandas as pd
import plotly.graph_objects as go
from pydantic import AllowInfNan, Field, StringConstraints

from aesm2.config import Strict
from aesm2.errors import InputError
from aesm2.plots.style import stamp_of
from aesm2.report.figures import LARGEST_FIGURE, figure_text

MOST_PINS = 50
MOST_CELLS = 500_000  # of the table of one pin
MOST_BYTES = 40 * 2**20  # of figures and tables together
LONGEST_COMMENT, LONGEST_TITLE, LONGEST_CODE = 4_000, 200, 20_000
FONT_SIZES = (10, 24)  # px

Line = Annotated[str, StringConstraints(max_length=500)]
Words = Annotated[str, StringConstraints(max_length=4_000)]
Title = Annotated[str, StringConstraints(max_length=LONGEST_TITLE)]
Comment = Annotated[str, StringConstraints(max_length=LONGEST_COMMENT)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Cell = bool | int | Annotated[float, AllowInfNan(True)] | str | None


class Column(Strict):
    """One column of a table; None is a missing value."""

    name: Line
    cells: list[Cell]


class Table(Strict):
    """The numbers behind a chart, as plain values; columns of one length."""

    columns: list[Column] = Field(max_length=500)

    @staticmethod
    def of(frame: pd.DataFrame) -> "Table":
        """Take a frame without its index, as the app shows and exports it."""
        names = [" · ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in frame.columns]
        columns = (frame.iloc[:, place] for place in range(frame.shape[1]))
        return Table(
            columns=[
                Column(name=name[:500], cells=[_plain(value) for value in column.tolist()])
                for name, column in zip(names, columns, strict=True)
            ]
        )

    @property
    def lines(self) -> int:
        """Number of its lines."""
        return len(self.columns[0].cells) if self.columns else 0

    def frame(self) -> pd.DataFrame:
        """Return it as a frame; columns of the same name are kept apart."""
        frame = pd.DataFrame({place: c.cells for place, c in enumerate(self.columns)})
        return frame.set_axis([column.name for column in self.columns], axis=1)


class Help(Strict):
    """What a chart's help says: a sentence, how to read it, a formula in LaTeX, its source."""

    sentence: Words
    reading: Words = ""
    formula: Words = ""
    source: Line = ""


class Context(Strict):
    """What a chart was about: the model, and the view that showed it.

    hash: of the checkpoint. scenario: the chosen scenario of each level, "" where none was. slice:
    the rows. page: path of the app's page; address: path and query that bring the view back.
    """

    checkpoint: Line = ""
    hash: Line = ""
    layer: Line = ""
    scenario: Line = ""
    task: Line = ""
    slice: Line = ""
    page: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{0,40}$")] = ""
    address: Annotated[str, StringConstraints(max_length=2_000)] = ""


class Pin(Strict):
    """A chart that was pinned; build one with `pinned`.

    id: determined by chart and page. key: the chart's name in file names. figure: plotly JSON.
    code: Python that makes it. reopened: it came from a file, so nobody here vouches for its code.
    """

    id: Id
    key: Line
    title: Title
    figure: Annotated[str, StringConstraints(max_length=LARGEST_FIGURE)]
    table: Table
    stamp: Line
    help: Help
    alt: Words = ""
    code: Annotated[str, StringConstraints(max_length=LONGEST_CODE)] = ""
    context: Context = Context()
    reopened: bool = False

    @property
    def size(self) -> str:
        """Say how many rows its numbers are of, "" where its table does not tell."""
        for column in self.table.columns:
            if column.name.lower() in ("n", "rows", "impressions"):
                numbers = [v for v in column.cells if isinstance(v, int | float)]
                # A whole number may be beyond all floats, which `isfinite` would make it.
                counts = [int(v) for v in numbers if isinstance(v, int) or math.isfinite(v)]
                if counts:
                    low, high = min(counts), max(counts)
                    return f"n = {low:,}" if low == high else f"n from {low:,} to {high:,} a line"
        return ""

    @property
    def weight(self) -> int:
        """About how many bytes it takes."""
        return len(self.figure) + 12 * self.table.lines * len(self.table.columns)


class Report(Strict):
    """Pinned charts in order, with comments by their ids. font_size: px."""

    title: Title = "Report"
    pins: tuple[Pin, ...] = Field((), max_length=MOST_PINS)
    comments: dict[Id, Comment] = {}
    font_size: int = Field(15, ge=FONT_SIZES[0], le=FONT_SIZES[1])

    def comment(self, id_: str) -> str:
        """Return what was written about a pin."""
        return self.comments.get(id_, "")

    def added(self, new: Pin) -> "Report":
        """Put a pin at the end; InputError where the report is full."""
        if any(old.id == new.id for old in self.pins):
            return self
        if len(self.pins) >= MOST_PINS:
            raise InputError(f"a report holds at most {MOST_PINS} charts; take one out first")
        if sum(own.weight for own in (*self.pins, new)) > MOST_BYTES:
            raise InputError(
                f"the report would be larger than {MOST_BYTES // 2**20} MB; take a chart out first"
            )
        return self.model_copy(update={"pins": (*self.pins, new)})

    def without(self, id_: str) -> "Report":
        """Take a pin and its comment out."""
        comments = {other: words for other, words in self.comments.items() if other != id_}
        pins = tuple(own for own in self.pins if own.id != id_)
        return self.model_copy(update={"pins": pins, "comments": comments})

    def moved(self, id_: str, by: int) -> "Report":
        """Move a pin down by so many places, or up where negative; at an end it stays."""
        ids = [own.id for own in self.pins]
        if id_ not in ids:
            return self
        place = ids.index(id_)
        pins = list(self.pins)
        moving = pins.pop(place)
        pins.insert(min(max(place + by, 0), len(pins)), moving)
        return self.model_copy(update={"pins": tuple(pins)})

    def renamed(self, id_: str, title: str) -> "Report":
        """Give a pin another title; an empty one leaves it as it is."""
        title = title.strip()[:LONGEST_TITLE]
        pins = tuple(
            own.model_copy(update={"title": title}) if title and own.id == id_ else own
            for own in self.pins
        )
        return self.model_copy(update={"pins": pins})

    def commented(self, id_: str, words: str) -> "Report":
        """Write about a pin; cut at `LONGEST_COMMENT` characters."""
        comments = {**self.comments, id_: words.strip()[:LONGEST_COMMENT]}
        kept = {own: text for own, text in comments.items() if text}
        return self.model_copy(update={"comments": kept})


def pinned(
    figure: go.Figure,
    data: pd.DataFrame,
    key: str,
    title: str,
    help_: Help,
    *,
    alt: str = "",
    code: str = "",
    context: Context = Context(),  # noqa: B008  frozen
) -> Pin:
    """Pin a finished figure and the numbers behind it.

    Raises InputError where figure, table or code is too large for a report.
    """
    if data.size > MOST_CELLS:
        raise InputError(
            f"“{title}” has a table of {data.size:,} values, a report takes {MOST_CELLS:,}:"
            " show less of it, or take its CSV"
        )
    text = figure_text(figure, title)
    return Pin(
        id=pin_id(context.page, key, text),
        key=key[:500],
        title=title[:LONGEST_TITLE],
        figure=text,
        table=Table.of(data),
        stamp=stamp_of(figure)[:500],
        help=help_,
        alt=alt[:4_000],
        code=code if len(code) <= LONGEST_CODE else "",
        context=context,
    )


def pin_id(page: str, key: str, figure: str) -> str:
    """Return the id of a chart: the same chart on the same page has the same."""
    return hashlib.sha256(json.dumps([page, key, figure]).encode()).hexdigest()[:16]


def _plain(value: Any) -> Cell:
    """Return a value as JSON knows it; None for every kind of missing."""
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if hasattr(value, "item"):  # a number of numpy
        return _plain(value.item())
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
