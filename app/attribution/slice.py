"""Attributions over many rows: computed in the background, then means with intervals."""

import copy
import hashlib
import uuid
from collections.abc import Callable

import numpy as np
import streamlit as st
import torch

from aesm2.attribution import METHODS, Attribution, attribute, means, means_words
from aesm2.data.scenarios import scenario_names
from aesm2.plots.attribution import MEASURES, Measure, means_alt, means_figure
from app import cache, failures, recipes, state, widgets
from app.attribution import row
from app.attribution.page import Asked, shown_rows
from app.background import Job, State, Tick

COUNTS = ("64", "256", "1024")
POLL = 1.0  # seconds between two looks at a job
SEED = 0  # of the draw of rows
OWNER = "attribution-owner"
MEANS = (
    " Over many rows: a mark is a mean over the rows of a scenario, the diamond over all of them,"
    " with a 95 % interval of Student's t that takes rows as independent; rows of one user are"
    " alike, so it is rather too narrow. A mean near 0 may hide effects of both signs: look at the"
    " mean size as well."
)


def section(asked: Asked, stamp: str) -> None:
    """Draw the inputs, the job while it runs, and its result."""
    levels = [level.name for level in asked.opened.checkpoint.description.level]
    with st.container(horizontal=True, vertical_alignment="bottom", key="attribution-slice"):
        count = widgets.pick("Rows at most", "attr-count", list(COUNTS), COUNTS[1], width=130)
        level = widgets.pick("Split by", "attr-level", levels, levels[0], width=160)
        names = {str(measure): words for measure, words in MEASURES.items()}
        measure = widgets.pick("Show", "attr-measure", list(names), "mean", names.__getitem__,
                               width=250)  # fmt: skip
        shown = shown_rows(asked)
        positions = drawn(shown, int(count))
        id_ = job_id(asked, positions)
        job = cache.background().find(id_)
        st.button(
            "Start", icon=":material/play_arrow:", key="attribution-start", type="primary",
            disabled=len(positions) == 0 or (job is not None and job.state is not State.FAILED
                                             and job.state is not State.CANCELLED),
            on_click=_start, args=(id_, asked, positions),
        )  # fmt: skip
    st.caption(
        f"{len(positions):,} of the {len(shown):,} rows that the bar and the search above leave,"
        f" drawn at random; {METHODS[asked.method]}, {widgets.escaped(asked.title)}, against"
        f" {widgets.escaped(asked.against)}."
    )
    current = cache.background().of(owner())
    active = current is not None
    st.fragment(live, run_every=POLL if active else None)(active)
    if job is None:
        if not active:
            st.info("Not computed yet for these settings: press Start. The page stays usable.",
                    icon=":material/info:")  # fmt: skip
    elif job.state is State.FAILED:
        st.error(f"It did not work: {widgets.escaped(str(job.error))}.", icon=":material/error:")
    elif job.state is State.CANCELLED:
        st.info("Stopped before its end; nothing was kept.", icon=":material/info:")
    elif job.state is State.DONE:
        _result(asked, positions, level, next(m for m in MEASURES if m == measure), job, stamp)


def live(was_active: bool) -> None:
    """Draw how far the visitor's job is; the whole page again once it is over."""
    worker = cache.background()
    job = worker.of(owner())
    if job is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            waiting = "waits for its turn" if job.state is State.WAITING else f"{job.progress:.0%}"
            st.progress(job.progress, text=f"{job.title}: {waiting}")
            st.button("Stop", icon=":material/stop:", key="attribution-stop", width=100,
                      on_click=worker.cancel, args=(job.id, owner()))  # fmt: skip
    elif was_active:
        state.publish()
        st.rerun()


def owner() -> str:
    """Name this visitor, for as long as the session lasts."""
    if state.recall(OWNER) is None:
        state.remember(OWNER, uuid.uuid4().hex)
    return str(state.recall(OWNER))


def drawn(shown: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` of the rows shown, drawn from a fixed seed, in order."""
    if len(shown) <= count:
        return shown
    chosen: np.ndarray = np.sort(np.random.default_rng(SEED).choice(shown, count, replace=False))
    return chosen


def job_id(asked: Asked, positions: np.ndarray) -> str:
    """Return what determines the result of a job, in short."""
    content = hashlib.sha256(positions.astype(np.int64).tobytes())
    parts = (asked.opened.checkpoint.hash, asked.rows.id, asked.key, asked.method)
    content.update("|".join(parts).encode())
    return content.hexdigest()[:16]


def work(asked: Asked, positions: np.ndarray) -> Callable[[Tick], Attribution]:
    """Return the computation, on a copy of the model: nobody waits for its lock."""
    checkpoint, batch = asked.opened.checkpoint, asked.rows.batch[torch.from_numpy(positions)]

    def compute(tick: Tick) -> Attribution:
        model = copy.deepcopy(checkpoint.model)
        return attribute(
            model, batch, asked.target, asked.method, asked.baseline(), asked.features,
            steps=asked.steps, tick=tick,
        )  # fmt: skip

    return compute


@failures.callback
def _start(id_: str, asked: Asked, positions: np.ndarray) -> None:
    title = f"{METHODS[asked.method]} of {len(positions):,} rows, {asked.title}"
    cache.background().submit(id_, title, work(asked, positions), owner())


def _result(
    asked: Asked, positions: np.ndarray, level: str, measure: Measure, job: Job, stamp: str
) -> None:
    found: Attribution = job.result
    described = asked.opened.checkpoint.description
    place = [own.name for own in described.level].index(level)
    names = scenario_names(asked.opened.checkpoint.encoder.schema, level)
    table = means(found, asked.rows.batch.scenarios[positions, place].numpy(), names)
    told = row.explanation(asked.target, asked.method)
    widgets.chart(
        means_figure(table, measure, found.unit, names, stamp),
        "attribution-means",
        f"{MEASURES[measure].capitalize()}: {asked.title}, against {asked.against}",
        widgets.Explanation(
            told.sentence, told.reading + MEANS,
            r"\bar a_i = \tfrac1n \sum_r a_{ri}" if measure == "mean"
            else r"\overline{|a_i|} = \tfrac1n \sum_r |a_{ri}|", told.source,
        ),
        table,
        means_alt(table, found.unit),
        code=_code(asked, positions, place, measure, stamp),
    )  # fmt: skip
    st.caption(means_words(found))


def _code(asked: Asked, positions: np.ndarray, place: int, measure: Measure, stamp: str) -> str:
    lines = f"""
import torch
from aesm2.attribution import means
from aesm2.plots.attribution import means_figure
{asked.code}
some = batch[torch.tensor({positions.tolist()})]
found = attribute(checkpoint.model, some, target, {asked.method!r}, baseline, features,
                  steps={asked.steps})
names = checkpoint.description.level[{place}].scenarios
table = means(found, some.scenarios[:, {place}].numpy(), names)
figure = means_figure(table, {measure!r}, found.unit, names, {stamp!r})
"""
    return recipes.script(asked.opened, asked.rows, lines)
