"""The interventions of the view: read, said in words, added to, taken back, and named."""

import streamlit as st

from aesm2.errors import InputError
from aesm2.routing.interventions import (
    Fix,
    Intervention,
    Interventions,
    KnockOut,
    Retarget,
    SetK,
    Swap,
    parse,
    to_text,
    validate,
    words,
)
from aesm2.routing.trace import LayerSpec
from app import failures, state, widgets
from app.interventions import form

DO, UNDO, NAMED = "do", "interventions-undo", "interventions-named"
MOST_UNDONE = 50


def builder(layers: tuple[LayerSpec, ...]) -> Interventions:
    """Draw what is done to the model, and the ways to change it; return the interventions."""
    now = current(layers)
    with st.container(border=True, key="interventions-builder"):
        st.markdown("**What is done to the model**")
        for place, own in enumerate(now):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{place + 1}. {widgets.escaped(words(own))}", width="stretch")
                st.button(
                    "Remove", icon=":material/close:", type="tertiary", key=f"do-remove-{place}",
                    on_click=put, args=(to_text((*now[:place], *now[place + 1 :])),),
                )  # fmt: skip
        if not now:
            st.caption("Nothing yet: the model chooses as it was trained. Add an intervention.")
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.popover("Add", icon=":material/add:"):
                _add(layers, now)
            undone = state.recall(UNDO) or []
            st.button(
                "Undo", icon=":material/undo:", disabled=not undone, on_click=_undo, key="do-undo"
            )
            st.button(
                "Clear", icon=":material/delete:", disabled=not now, on_click=put, args=("",),
                key="do-clear",
            )  # fmt: skip
            with st.popover("Named", icon=":material/bookmark:"):
                _named(now)
    return now


def current(layers: tuple[LayerSpec, ...]) -> Interventions:
    """Return the view's interventions; none, saying why, where they do not fit the model."""
    text = state.get(DO)
    try:
        found = parse(text)
        validate(layers, found)
    except InputError as error:
        said = str(error)
        st.warning(
            f"The interventions in the address cannot be done here: {widgets.escaped(said)}.",
            icon=":material/warning:",
        )
        st.button("Drop them", on_click=put, args=("",), key="do-drop")
        return ()
    return found


@failures.callback
def put(text: str) -> None:
    """Replace the view's interventions; the last ones can be brought back."""
    before = state.get(DO)
    if text != before:
        state.remember(UNDO, [*(state.recall(UNDO) or []), before][-MOST_UNDONE:])
        state.put(do=text)


def added(now: Interventions, new: Intervention) -> Interventions:
    """Add an intervention in the place of the one that it contradicts, if any."""
    return (*(own for own in now if own != new and not _replaces(new, own)), new)


def example(layers: tuple[LayerSpec, ...]) -> None:
    """Offer a first intervention where there is none."""
    first = KnockOut(layers[0].name, 0)
    st.info("Nothing is done to the model yet, so there is nothing to compare. Add an intervention"
            " above, or begin with an example.", icon=":material/science:")  # fmt: skip
    if layers[0].experts > 1:
        st.button(
            f"Knock out expert 0 of {first.layer}", type="primary", key="do-example",
            on_click=put, args=(to_text((first,)),),
        )  # fmt: skip


def _replaces(new: Intervention, old: Intervention) -> bool:
    match new, old:
        case (Swap(level=a), Swap(level=b)):
            return a == b
        case (Fix(layer=a), Fix(layer=b)) | (SetK(layer=a), SetK(layer=b)):
            return a == b
        case (Retarget(layer=a), Retarget(layer=b)):
            return a == b
    return False


def _add(layers: tuple[LayerSpec, ...], now: Interventions) -> None:
    new = form.form(layers)
    together, problem = added(now, new), _problem(layers, added(now, new))
    st.caption(f":material/arrow_right: {widgets.escaped(words(new))}.")
    if problem:
        st.warning(widgets.escaped(problem), icon=":material/block:")
    st.button(
        "Add it", type="primary", disabled=bool(problem) or new in now, key="do-add",
        on_click=put, args=(to_text(together),),
    )  # fmt: skip


def _problem(layers: tuple[LayerSpec, ...], wanted: Interventions) -> str:
    try:
        validate(layers, wanted)
    except InputError as error:
        return str(error)
    return ""


@failures.callback
def _undo() -> None:
    *rest, last = state.recall(UNDO)
    state.remember(UNDO, rest)
    state.put(do=last)


def _named(now: Interventions) -> None:
    """Draw the interventions that were given a name in this session."""
    kept: dict[str, str] = state.recall(NAMED) or {}
    name = st.text_input("Name of what is done now", key="do-name", max_chars=40).strip()
    st.button(
        "Save", disabled=not (name and now), key="do-save", on_click=_save,
        args=(name, to_text(now)),
    )  # fmt: skip
    if not kept:
        st.caption("Names are kept for this session; the address keeps the interventions for good.")
    for place, (own, text) in enumerate(kept.items()):
        st.button(
            widgets.escaped(own), key=f"do-named-{place}", on_click=put, args=(text,),
            type="tertiary", icon=":material/bookmark:", help=text,
        )  # fmt: skip


@failures.callback
def _save(name: str, text: str) -> None:
    state.remember(NAMED, (state.recall(NAMED) or {}) | {name: text})
