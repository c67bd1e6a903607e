"""What the page of slices is made of: its inputs, what was found, and one slice looked at."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from aesm2.errors import InputError
from aesm2.plots.slices import slices_figure, slices_words
from aesm2.slices import Found, Measure, Search, find, measured, measures_of, sentence
from aesm2.slices.find import DEEPEST, Line, lines_frame
from app import cache, recipes, state, widgets
from app.lens import page as lens
from app.markdown import as_sentence
from app.rows import source as row_source

SUPPORTS = {"0.005": "0.5 %", "0.01": "1 %", "0.02": "2 %", "0.05": "5 %", "0.1": "10 %"}
SHOWN = {"found": "discoveries only", "all": "all that were tested"}
ACROSS = 2  # charts beside each other on a wide screen
MOST = 8  # slices of one chart
MOST_MEASURES = 6
LARGEST_SEED = 2**31 - 1
FOREST = widgets.Explanation(
    "Rows that share a few values, and how far a measure is on them from where it is on all other"
    " rows. They were picked on one half of the rows and are measured here on the other half.",
    "A mark is the difference to all other rows, the line through it its 95 % interval; n counts"
    " the slice's rows in both halves. A hollow mark may be chance: its q is above 0.05. Among the"
    " full ones, 5 % are expected to be false (Benjamini–Hochberg over all tests of the search). p"
    " is the larger of Welch's and of a random draw of as many rows. Rows count as independent;"
    " rows of one user are alike, so intervals are a little too short. Slices overlap: one cause"
    " can show in several. A slice says where, not why. Click a mark to look at its slice.",
    r"\Delta = \frac{1}{|S|}\sum_{i \in S} v_i - \frac{1}{|\bar S|}\sum_{i \notin S} v_i,\quad"
    r" q_{(i)} = \min_{j \ge i} p_{(j)} N / j",
)


def measures_input(opened: cache.Opened, rows: cache.RowSet) -> list[Measure]:
    """Draw the choice of measures and return those chosen."""
    checkpoint = opened.checkpoint
    offered = {own.key: own for own in measures_of(checkpoint.model, checkpoint.description)
               if rows.labels or own.kind not in ("loss", "calibration")}  # fmt: skip
    if not offered:
        st.info("These rows have no labels, and this model selects no experts: there is nothing to"
                " compare. Take rows with labels above.", icon=":material/info:")  # fmt: skip
        return []
    asked = dict.fromkeys(state.get("measures").split(","))
    wanted = [key for key in asked if key in offered][:MOST_MEASURES]
    if not wanted and state.get("measures") != "none":
        wanted = _usual(opened, offered)
    names = {key: f"{own.name[:1].upper()}{own.name[1:]}" for key, own in offered.items()}
    st.multiselect("Where does it differ?", list(offered), format_func=names.__getitem__,
                   max_selections=MOST_MEASURES, **state.bind("measures", wanted))  # fmt: skip
    return [offered[key] for key in wanted]


def search_input() -> tuple[Search, bool]:
    """Draw how to look; return it, and whether to show all that was tested."""
    depths = [str(depth) for depth in range(1, DEEPEST + 1)]
    depth = widgets.pick("Conditions, at most", "depth", depths, depths[-1], width=140)
    support = widgets.pick("Rows, at least", "support", list(SUPPORTS), "0.02",
                           SUPPORTS.__getitem__, width=120)  # fmt: skip
    seed = state.number("halves", 0, 0, LARGEST_SEED)
    st.number_input("Seed of the halves", 0, LARGEST_SEED, width=140,
                    help="Which rows the slices are picked on, and which they are tested on.",
                    **state.bind("halves", seed))  # fmt: skip
    shown = widgets.pick("Show", "slices", list(SHOWN), "found", SHOWN.__getitem__, width=175)
    return Search(int(depth), float(support), seed), shown == "all"


def looked_or_told(
    opened: cache.Opened, rows: cache.RowSet, measures: Sequence[Measure], search: Search
) -> Found | None:
    """Look for slices; None, with what to do, where there is nothing to look at."""
    if not measures:
        st.info("Choose one measure or more above.", icon=":material/rule:")
        return None
    try:
        return looked(opened, rows, measures, search)
    except InputError as error:
        st.info(f"{as_sentence(error)} Take other rows, or clear the slice.",
                icon=":material/filter_alt:")  # fmt: skip
        return None


def looked(
    opened: cache.Opened, rows: cache.RowSet, measures: Sequence[Measure], search: Search
) -> Found:
    """Look for slices; what was found before is kept."""
    values = row_values(opened, rows, measures)
    ids = (opened.checkpoint.hash, rows.id, *(own.key for own in measures), repr(search))
    words = f"Looking for slices: about {3 * len(measures)} s for 50,000 rows…"
    encoder = opened.checkpoint.encoder
    return cache.kept(
        ("slices", *ids), words, lambda: find(rows.frame, rows.batch, encoder, values, search)
    )


def row_values(
    opened: cache.Opened, rows: cache.RowSet, measures: Sequence[Measure]
) -> dict[Measure, np.ndarray]:
    """Measure every row once."""

    def build() -> dict[Measure, np.ndarray]:
        checkpoint = opened.checkpoint
        with opened.lock:
            return measured(checkpoint.model, rows.batch, checkpoint.description, measures)

    keys = ("measured", opened.checkpoint.hash, rows.id, *(own.key for own in measures))
    return cache.kept(keys, "Measuring every row: about 6 s for 50,000 of them…", build)


def says(found: Found, measures: Sequence[Measure]) -> None:
    """Say the largest differences of each measure that hold, and how much was looked at."""
    rate = found.search.rate
    told = [sentence(line) for own in measures for line in extremes(found.of(own))]
    with st.container(border=True, key="slices-says"):
        st.markdown("**What this says**")
        if told:
            st.markdown("\n".join(f"- {widgets.escaped(text)}" for text in told))
        st.caption(
            f"{len(found.lines)} slices were picked on {found.grown:,} rows and tested on the other"
            f" {found.tested:,}; {len(found.discoveries)} differ at q ≤ {rate:g}."
        )


def extremes(lines: Sequence[Line]) -> list[Line]:
    """Return the slice with the highest and the one with the lowest measure, where there are."""
    above = [line for line in lines if line.difference.effect > 0]
    below = [line for line in lines if line.difference.effect < 0]
    return above[:1] + below[:1]


def charts(
    opened: cache.Opened, rows: cache.RowSet, found: Found, measures: Sequence[Measure], every: bool
) -> None:
    """Draw one forest a measure, two beside each other; a click makes its slice the looked-at."""
    clicked = []
    for start in range(0, len(measures), ACROSS):
        pair = measures[start : start + ACROSS]
        for own, place in zip(pair, st.columns(ACROSS, gap="medium"), strict=False):
            with place:
                clicked += _forest(opened, rows, found, own, measures, every)
    if clicked:
        state.put(look=clicked[0])
        st.toast("See “One slice” below the charts.", icon=":material/south:")


def _forest(
    opened: cache.Opened, rows: cache.RowSet, found: Found, own: Measure,
    measures: Sequence[Measure], every: bool,
) -> list[str]:  # fmt: skip
    """Draw one measure; return the slice that was newly clicked, if any."""
    lines = found.of(own, every)
    if not lines:
        st.info(_nothing(found, own), icon=":material/check_circle:")
        return []
    key, stamp = f"slices-{own.key}".replace(":", "-").replace(".", "-"), row_source.stamp(rows)
    clicked = widgets.chart(
        slices_figure(lines[:MOST], found.search.rate, stamp), key,
        _heading(own, len(lines)), FOREST, lines_frame(lines),
        slices_words(lines, found.search.rate), selectable=True,
        code=recipes.script(opened, rows, _code(own, measures, found.search, every, stamp)),
    )  # fmt: skip
    return clicked if lens.fresh(key, clicked) else []


def table(rows: cache.RowSet, found: Found, every: bool) -> None:
    """Draw the results as a table, the largest effect of each measure first."""
    lines = found.lines if every else found.discoveries
    if lines:
        widgets.titled("All results", FOREST)
        widgets.table(lines_frame(tuple(lines)), "slices-table", row_source.stamp(rows),
                      column_config=_FORMATS)  # fmt: skip


def _usual(opened: cache.Opened, offered: dict[str, Measure]) -> list[str]:
    task = opened.checkpoint.description.task[widgets.current_task()].name
    wanted = [f"loss:{task}", f"calibration:{task}"]
    if opened.checkpoint.layers:
        layer = widgets.current_layer()
        wanted.append(f"set:{layer.name}" + (f":{task}" if layer.kind == "task" else ""))
    return [key for key in wanted if key in offered]


def _nothing(found: Found, own: Measure) -> str:
    tested = len(found.of(own, every=True))
    if not tested:
        return f"{_heading(own, 0)}: no slice to test; allow for fewer rows, or take more rows."
    return (
        f"{_heading(own, 0)}: none of {tested} slices differs from the rest by more than chance"
        f" explains (q ≤ {found.search.rate:g}). Show all that were tested, or look at another"
        " measure."
    )


def _heading(own: Measure, lines: int) -> str:
    name = f"{own.name[:1].upper()}{own.name[1:]}"
    return f"{name} ({MOST} of {lines})" if lines > MOST else name


def _code(
    own: Measure, measures: Sequence[Measure], search: Search, every: bool, stamp: str
) -> str:
    """Return the lines that look for slices of all measures, as q counts the tests of them all."""
    looked = f"depth={search.depth}, support={search.support}, seed={search.seed}"
    return f"""
from aesm2.plots.slices import slices_figure
from aesm2.slices import Search, find, measured
from aesm2.slices.measures import measure

keys = {[other.key for other in measures]}  # q counts the tests of all of them
measures = [measure(key, checkpoint.model, checkpoint.description) for key in keys]
values = measured(checkpoint.model, batch, checkpoint.description, measures)
search = Search({looked})
found = find(rows, batch, checkpoint.encoder, values, search)
lines = found.of(measures[keys.index({own.key!r})], every={every})[:{MOST}]
figure = slices_figure(lines, search.rate, {stamp!r})
"""


_FORMATS = {
    "share": st.column_config.NumberColumn(format="percent"),
    **{name: st.column_config.NumberColumn(format="%.3g")
       for name in ("inside", "outside", "effect", "low", "high", "p", "q")},
}  # fmt: skip
