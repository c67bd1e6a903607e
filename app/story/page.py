"""Story mode: eight steps for those who run the business, prepared before the first is shown."""

from collections.abc import Callable

import streamlit as st

from aesm2.errors import InputError
from app import cache, state, widgets
from app.atlas import page as atlas
from app.story import evidence, limits, row, rows, source
from app.story.evidence import Studies
from app.story.parts import CHAPTERS, Chapter, Step
from app.story.source import Source

MODE, ON = "story", "on"
STYLE = """<style>
[data-testid="stHeader"] {display: none}
[data-testid="stMainBlockContainer"] {padding-top: 1.2rem; padding-bottom: 1rem}
</style>"""
TYPE = """<style>
.st-key-story h2 {font-size: 2.3rem; padding: 0.2rem 0}
.st-key-story-lead p {font-size: 1.45rem; line-height: 1.4; font-weight: 600}
.st-key-story-says li, .st-key-story-says p, .st-key-story-aside li, .st-key-story-aside p,
.st-key-story-notes li {font-size: 1.15rem; line-height: 1.45}
.st-key-story-maths .katex {font-size: 1.5rem}
@media (max-width: 640px) {
.st-key-story h2 {font-size: 1.6rem}
.st-key-story-lead p {font-size: 1.15rem}
.st-key-story-says li, .st-key-story-says p, .st-key-story-aside li, .st-key-story-aside p,
.st-key-story-notes li {font-size: 1rem}
.st-key-story-maths .katex {font-size: 1rem}
}
</style>"""


def on() -> bool:
    """Whether the view asks for the story in place of the page."""
    return state.get("mode") == MODE


def show() -> None:
    """Draw the step of the view, on a page of its own or, in story mode, alone."""
    alone = on()
    st.html(TYPE + (STYLE if alone else ""))
    try:
        steps = _prepared()
    except Exception:
        if alone:  # no menu leads out
            _leave()
        raise
    numbers = [str(number) for number in range(1, len(CHAPTERS) + 1)]
    at = int(state.choice("step", numbers, "1")) - 1
    with st.container(key="story"):
        _bar(at, alone)
        st.header(CHAPTERS[at].title, anchor=False)
        _body(steps[at])
        if state.get("maths") == ON:
            _maths(CHAPTERS[at], steps[at])
        if state.get("notes") == ON:
            _notes(CHAPTERS[at])


def _bar(at: int, alone: bool) -> None:
    """Draw how far the story is, and the ways on, back and out."""
    last = len(CHAPTERS) - 1
    with st.container(
        horizontal=True, vertical_alignment="center", key="story-bar", horizontal_alignment="left"
    ):
        st.button(
            "Back", icon=":material/arrow_back:", key="story-back", disabled=at == 0,
            shortcut="Left", on_click=state.put, kwargs={"step": str(at)},
        )  # fmt: skip
        st.button(
            "Next", icon=":material/arrow_forward:", key="story-next", disabled=at == last,
            shortcut="Right", type="primary", on_click=state.put, kwargs={"step": str(at + 2)},
        )  # fmt: skip
        _toggle("Show the maths", "maths")
        _toggle("Presenter notes", "notes")
        if alone:
            _leave()
        else:
            st.button(
                "Present without menus", icon=":material/slideshow:", key="story-present",
                on_click=state.put, kwargs={"mode": MODE},
            )  # fmt: skip
    st.progress((at + 1) / len(CHAPTERS), f"Step {at + 1} of {len(CHAPTERS)}")


def _leave() -> None:
    st.button(
        "Leave the story", icon=":material/close:", key="story-leave", type="tertiary",
        on_click=state.put, kwargs={"mode": "", "step": ""},
    )  # fmt: skip


def _toggle(label: str, name: str) -> None:
    now = state.get(name) == ON
    state.show(f"story-{name}-toggle", now)
    st.toggle(
        label, key=f"story-{name}-toggle", on_change=state.put, kwargs={name: "" if now else ON}
    )


def _body(step: Step) -> None:
    lead, *rest = step.said or [""]
    if lead:
        with st.container(key="story-lead"):
            st.markdown(widgets.escaped(lead))
    if step.missing:
        st.info(step.missing, icon=":material/info:")
    if len(step.charts) == 1 and rest:
        words, *places = st.columns([2, 3], gap="large")
    else:
        words, places = st.container(), st.columns(max(1, len(step.charts)), gap="medium")
    if rest:
        with words, st.container(key="story-says"):
            atlas.bullets(rest)
    for made, place in zip(step.charts, places, strict=False):
        with place:
            widgets.chart(
                made.figure, made.key, made.title, made.explanation, made.data, made.alt,
                code=made.code,
            )  # fmt: skip
    title, sentences = step.aside
    if sentences:
        with st.container(border=True, key="story-aside"):
            st.markdown(f":material/format_quote: **{title}**")
            atlas.bullets(sentences)


def _maths(chapter: Chapter, step: Step) -> None:
    with st.container(border=True, key="story-maths"):
        st.markdown("**The maths**")
        st.latex(chapter.maths)
        st.caption(f"Source: {chapter.source}")
        formulas = dict.fromkeys(made.explanation.formula for made in step.charts)
        for formula in (own for own in formulas if own not in ("", chapter.maths)):
            st.latex(formula)


def _notes(chapter: Chapter) -> None:
    with st.container(border=True, key="story-notes"):
        st.markdown(":material/co_present: **For the speaker**")
        atlas.bullets(list(chapter.notes))


def _prepared() -> tuple[Step, ...]:
    """Return all steps; the first time, with a progress bar that says what is being prepared."""
    widgets.settle()
    opened, task = widgets.current(), widgets.current_task()
    whole, why = _rows(opened)
    found = evidence.find(opened.checkpoint)
    most = str(source.MOST)
    ids = (opened.checkpoint.hash, "" if whole is None else whole.id, most, found.id, str(task))

    def build() -> tuple[Step, ...]:
        bar = st.progress(0.0, "Preparing the story…")
        steps = _build(source.source(opened, whole, why, task), found, bar.progress)
        bar.empty()
        return steps

    return cache.prepared(ids, build)


def _build(
    of: Source, found: Studies, progress: Callable[[float, str], object]
) -> tuple[Step, ...]:
    checkpoint = of.opened.checkpoint
    total = len(CHAPTERS)

    def breaking() -> Step:
        return rows.breaking_step(
            of, lambda done: progress((5 + done) / total, f"{_says(5)} {done:.0%}")
        )

    builders: list[Callable[[], Step]] = [
        lambda: rows.doors_step(of),
        lambda: evidence.trades_step(found),
        lambda: row.choice_step(of),
        lambda: row.through_step(of),
        lambda: rows.sharing_step(of),
        breaking,
        lambda: evidence.worth_step(found, checkpoint.description.name),
        lambda: limits.limits_step(found, checkpoint, of.task, of.looked_at),
    ]
    steps = []
    for number, builder in enumerate(builders):
        progress(number / total, _says(number))
        try:
            steps.append(builder())
        except InputError as error:
            steps.append(Step(missing=f"{_capital(str(error))}."))
    return tuple(steps)


def _says(number: int) -> str:
    return f"Preparing the story, {number + 1} of {len(CHAPTERS)}: {CHAPTERS[number].about}…"


def _rows(opened: cache.Opened) -> tuple[cache.RowSet | None, str]:
    """Return the test rows; where they are not here, None and why."""
    try:
        return cache.rows(opened.checkpoint, "test"), ""
    except InputError as error:
        rest = "The steps on rates, other models, worth and limits need no rows."
        return None, f"{_capital(str(error))}. {rest}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
