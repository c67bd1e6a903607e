"""One slice: its rows, in words what is different on them, and what can be done with it."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from aesm2.errors import InputError
from aesm2.slices import (
    Found,
    Measure,
    Slice,
    conjoined,
    difference,
    mask,
    parse,
    sentence,
    single_sentence,
)
from aesm2.slices.find import Line
from aesm2.slices.text import EXAMPLE
from app import cache, state, widgets
from app.markdown import as_sentence
from app.rows import source as row_source
from app.slices import page as slices
from app.slices import saved


def section(opened: cache.Opened, rows: cache.RowSet, found: Found | None,
              measures: Sequence[Measure]) -> None:  # fmt: skip
    """Draw the box for a slice and, of the slice in it, its rows, its sentences and its uses."""
    st.text_input(
        "A slice", placeholder=EXAMPLE, icon=":material/filter_alt:", help=row_source.SLICE_HELP,
        **state.bind("look", state.get("look")),
    )  # fmt: skip
    text = state.get("look")
    if not text.strip():
        st.caption("Click a mark above, or type a slice here, to look at it and to use it.")
        return
    try:
        own = parse(text, opened.checkpoint.description)
        inside = mask(own, rows.frame, opened.checkpoint.description)
    except InputError as error:
        st.warning(as_sentence(error), icon=":material/edit:")
        return
    n = int(inside.sum())
    st.markdown(f"**{n:,} of {len(inside):,} rows** ({100 * n / len(inside):.3g} %)")
    tested = {line.measure: line for line in (found.lines if found else ()) if line.slice == own}
    told = _sentences(opened, rows, own, inside, tested, measures)
    st.markdown("\n".join(f"- {widgets.escaped(text)}" for text in told))
    whole = conjoined(parse(rows.slice, opened.checkpoint.description), own)
    saved.actions(opened, str(whole), n)


def _sentences(
    opened: cache.Opened, rows: cache.RowSet, own: Slice, inside: np.ndarray,
    tested: dict[Measure, Line], measures: Sequence[Measure],
) -> list[str]:  # fmt: skip
    """Say what was found of a slice; of one that was not tested, what one test of it gives."""
    values = slices.row_values(opened, rows, measures) if measures else {}
    said = []
    for measure in measures:
        if measure in tested:
            said.append(sentence(tested[measure]))
            continue
        known = ~np.isnan(values[measure])
        n = int((known & inside).sum())
        share = n / max(1, int(known.sum()))
        result = difference(values[measure], inside)
        said.append(f"{single_sentence(own, measure, n, share, result)} One test on all rows.")
    return said
