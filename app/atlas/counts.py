"""What the Atlas counts: rows at hand, or a routing summary of a log of any size."""

import functools
from dataclasses import dataclass

import streamlit as st

from aesm2.routing.shares import restricted
from aesm2.routing.utilisation import Utilisation
from app import cache, recipes, summaries, widgets
from app.atlas import page as atlas
from app.recipes import Code

ROWS = "rows"  # the view's `summary`, where rows are counted


@dataclass(frozen=True)
class Counts:
    """Counts, where they come from, and the code that makes them.

    id: tells them from others. rows: those counted, None where there is a summary alone.
    """

    id: str
    used: Utilisation
    stamp: str
    code: Code
    rows: cache.RowSet | None


def source(opened: cache.Opened) -> Counts | None:
    """Draw the choice of rows or of a summary, and count; None where there are no rows."""
    checkpoint = opened.checkpoint
    titles, now = {ROWS: "rows", **summaries.titles(checkpoint)}, ROWS
    if len(titles) > 1:
        now = widgets.pick("Count", "summary", list(titles), ROWS, titles.__getitem__, width=190)
    summaries.panel(checkpoint, "summary")
    if now != ROWS:
        file = summaries.get(checkpoint, now)
        widgets.about(slice=file.about.source)
        lines = functools.partial(_of_file, opened, summaries.place(checkpoint, now))
        kept = _kept(file.summary.total())
        return Counts(f"{now} {file.about}", kept, summaries.stamp(file), lines, None)
    rows = atlas.source(opened)
    if rows is None:
        return None
    used = _kept(cache.utilisation(opened, rows))
    lines = functools.partial(recipes.script, opened, rows)
    return Counts(rows.id, used, atlas.stamp(rows), lines, rows)


def without_rows() -> None:
    """Say what a summary cannot show."""
    st.caption(
        ":material/info: A summary holds counts, not rows: choose rows above to see those of a"
        " cell, or the gates of another model beside."
    )


def _kept(counted: Utilisation) -> Utilisation:
    return restricted(counted, widgets.current_scenarios())


def _of_file(opened: cache.Opened, place: str, lines: str) -> str:
    """Return a script that counts nothing: it reads the summary."""
    own = lines.replace("checkpoint.utilisation(rows)", "summary.total()")
    return recipes.script(
        opened,
        None,
        "from aesm2.streaming import summary_file\n"
        f"summary = summary_file.read({place!r}, checkpoint).summary\n{own}",
    )
