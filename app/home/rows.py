"""Interesting rows of the test split, each with a way into the Instance Lens."""

import numpy as np
import streamlit as st

from aesm2.errors import InputError
from aesm2.routing.highlights import Call, Disagreement
from app import cache, state, widgets
from app.lens import page as lens
from app.markdown import as_sentence

ROUNDING = 1e-5  # nats; a difference of divergences that float32 explains


def section(opened: cache.Opened) -> None:
    """Draw the cards, or say kindly why there are none."""
    st.subheader("Rows worth a look", anchor=False)
    try:
        rows = cache.rows(opened.checkpoint, "test")
    except InputError as error:
        st.info(as_sentence(error), icon=":material/folder_off:")
        st.page_link("views/lens.py", label="Upload rows in the Lens", icon=":material/upload:")
        return
    found = cache.highlights(opened, rows, widgets.current_task())
    drawn = f"{found.looked_at:,} of the {found.rows:,} test rows, drawn with seed {found.seed}"
    whole = f"all {found.rows:,} test rows"
    st.caption(f"Found among {whole if found.looked_at == found.rows else drawn}.")
    places = st.columns(3)
    with places[0]:
        _call(rows, found.decisive, "decisive")
    with places[1]:
        _call(rows, found.closest, "closest")
    with places[2]:
        _disagreement(opened, rows, found.disagreement)


def _call(rows: cache.RowSet, call: Call | None, kind: str) -> None:
    titles = {"decisive": "Most decisive routing", "closest": "Closest call"}
    with st.container(border=True, key=f"home-{kind}"):
        st.markdown(f"**{titles[kind]}**")
        if call is None:
            st.write("This model has no layer in which a row chooses among experts.")
            return
        name = str(rows.frame.index[call.position])
        why = {
            "decisive": "Its worst expert taken beats the best one left by the widest margin: no"
            f" other row's choice was as clear. Its tightest choice is in {call.layer}.",
            "closest": f"In {call.layer}, an expert was left out by the narrowest margin:"
            " a slight change of the row can bring in another one.",
        }
        st.write(f"Row {name}. {why[kind]}")
        tie = " A gap this small is within rounding: another device may choose otherwise."
        st.caption(
            f"Gap {call.gap:.3g} nats of KL; the median row's is {call.median:.3g}."
            f"{tie if call.gap < ROUNDING else ''}"
        )
        _open(kind, name, call.layer)


def _disagreement(opened: cache.Opened, rows: cache.RowSet, found: Disagreement | None) -> None:
    described = opened.checkpoint.description
    level = described.level[0]
    title = widgets.escaped(level.title or level.name)
    scenarios = [widgets.escaped(scenario) for scenario in level.scenarios]
    with st.container(border=True, key="home-disagreement"):
        st.markdown("**Biggest disagreement**")
        if found is None:
            one = f"{title} has one scenario only" if len(level.scenarios) < 2 else (
                "No row here is in a scenario that shares this task with another one"
            )  # fmt: skip
            st.write(f"{one}: there is nothing to disagree.")
            return
        name, task = str(rows.frame.index[found.position]), described.task[found.task]
        low, high = int(np.nanargmin(found.probabilities)), int(np.nanargmax(found.probabilities))
        chance = [lens.percent(float(found.probabilities[i])) for i in (low, high, found.own)]
        st.write(
            f"Row {name}. The same features scored under every {title}: {task.title or task.name}"
            f" is {chance[1]} likely under {scenarios[high]}, but {chance[0]} under"
            f" {scenarios[low]}."
        )
        st.caption(
            f"Own {title} {scenarios[found.own]}: {chance[2]}. Range"
            f" {100 * found.spread:.1f} points; the median row's is {100 * found.median:.1f}."
        )
        layers = [layer.name for layer in opened.checkpoint.layers if layer.level == 0]
        _open("disagreement", name, layers[0] if layers else "")


def _open(kind: str, row: str, layer: str) -> None:
    if st.button("Open in the Lens", key=f"home-open-{kind}", icon=":material/search:"):
        state.put(row=row, rows="test", slice="", **({"layer": layer} if layer else {}))
        st.switch_page("views/lens.py")
