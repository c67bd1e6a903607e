"""What the Training curves are made of: options, charts, snapshots of utilisation, comparison."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.scenarios import OVERALL, PATH, existing
from aesm2.files import read_lines
from aesm2.plots import metrics as metrics_plot
from aesm2.plots import training as training_plot
from aesm2.plots import utilisation as utilisation_plot
from aesm2.routing.shares import ROLES, layer_shares
from aesm2.routing.utilisation import Utilisation
from aesm2.training import history
from app import cache, state, widgets
from app.curves import code
from app.curves.runs import Run, stamp

Found = TypeVar("Found")
SMOOTHING = {"0": "none", "0.5": "light", "0.8": "medium", "0.95": "strong"}
LOSSES = widgets.Explanation(
    "What training makes smaller, term by term, each as it enters the sum.",
    "The scale is logarithmic: a step on it is a factor of ten, so a term far below the others"
    " hardly steers training. Every point is a mean since the one before. Terms whose λ or γ is 0"
    " are not drawn.",
    r"L = \sum_k \lambda_k L_k + \lambda_{sp} L_{sp} + \lambda_{sh} L_{sh} + \gamma \|\Theta\|^2",
    "Eq. 19–22, §3.4",
)
VALIDATION = widgets.Explanation(
    "How well the model ranked rows it was not trained on, measured again and again.",
    "The star and the dotted line mark the step whose weights were kept: the one with the best"
    " mean over the tasks of the AUC over all rows. Curves of small scenarios jump by chance:"
    " the numbers of rows stand under Numbers.",
)
DIVERGENCE = widgets.Explanation(
    "How far the chosen experts are from the ideal: specific to one scenario, or shared by all"
    " alike. The auxiliary loss pushes both down.",
    "0 is a perfectly sharp choice. Sums over the chosen experts, so a larger K gives larger"
    " values; in a task layer also over the tasks. Each role has one scale over all layers.",
    r"\sum_{k \in E_{sp}} \mathrm{KL}(p_j, \tilde{G}[k,:]), \quad"
    r" \sum_{k \in E_{sh}} \mathrm{KL}(q, \tilde{G}[k,:])",
    "Fig. 6, §4.4; Eq. 20",
)
USE = widgets.Explanation(
    "Which experts the validation rows took at that moment of training.",
    "Each line is a scenario or task, each column an expert; yellow is much, blue little, always on"
    " the scale from 0 to 1. Over a line the shares add up to K.",
    r"u_{sk} = \frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}[k \in E^{(i)}]",
    "Fig. 7, §4.5; Eq. 10 and 12, §3.3",
)


@dataclass(frozen=True)
class Options:
    """How to draw. x: the axis. factor: of the smoothing. by: scope of validation AUC."""

    x: training_plot.Axis
    factor: float
    by: str


def options(run: Run) -> Options:
    """Draw the inputs that all charts share."""
    axes = {"step": "optimizer step", "seconds": "time"}
    x = widgets.pick("Along", "x", list(axes), "step", axes.__getitem__, width=160)
    factor = widgets.pick("Smoothing", "smooth", list(SMOOTHING), "0", SMOOTHING.__getitem__,
                          width=140)  # fmt: skip
    levels = run.checkpoint.description.level
    scopes = {level.name: f"by {level.title or level.name}" for level in levels}
    scopes = {OVERALL: "all rows", **scopes}
    by = widgets.pick("Validation AUC", "curve-by", list(scopes), levels[0].name,
                      scopes.__getitem__, width=200)  # fmt: skip
    return Options("seconds" if x == "seconds" else "step", float(factor), by)


def facts(run: Run) -> None:
    """Draw the run in a few numbers."""
    told = history.facts(run.history)
    seconds = told.seconds
    with st.container(horizontal=True, key="curves-facts"):
        st.metric("Steps", f"{told.steps:,}", border=True, width=120)
        st.metric("Best step", f"{run.checkpoint.steps:,}", border=True, width=120,
                  help="the weights of this checkpoint")  # fmt: skip
        st.metric("Time", "unknown" if math.isnan(seconds) else duration(seconds), border=True,
                  width=140)  # fmt: skip
        speed = told.rows_per_second
        st.metric(
            "Rows/s", "unknown" if math.isnan(speed) else f"{speed:,.0f}", border=True, width=140,
            help="median over the records, on the machine that trained",
        )  # fmt: skip
        train, validation = told.records
        st.caption(f"{train:,} records of training, {validation:,} of validation.", width=180)
        if train + validation == 1:
            st.caption("One record only: a dot, no curve yet.", width=180)


def losses(runs: list[Run], chosen: Options) -> None:
    """Draw the terms of the loss."""
    frames = _frames(
        runs, chosen, ["term"],
        lambda run: history.loss_frame(run.history, run.checkpoint.config.training),
    )  # fmt: skip
    if not frames:
        st.info("No losses were recorded.", icon=":material/info:")
        return
    last = next(iter(frames.values())).groupby("term", sort=False)["value"].last()
    widgets.chart(
        _drawn(
            "losses",
            runs,
            chosen,
            lambda: training_plot.losses_figure(frames, chosen.x, stamp(runs)),
        ),
        _key("losses", runs, chosen),
        "Loss by term, as it enters the sum",
        LOSSES,
        lambda: training_plot.curves_table(frames),
        "At the last record: " + ", ".join(f"{term} {v:.3g}" for term, v in last.items()),
        code=code.frames(
            frames,
            runs,
            chosen.factor,
            "history.loss_frame(run.history(), run.config.training)",
            ["term"],
            f"training.losses_figure(frames, {chosen.x!r}, {stamp(runs)!r})",
        ),
    )


def validation(runs: list[Run], chosen: Options) -> None:
    """Draw validation AUC over training."""

    def lines(run: Run) -> pd.DataFrame:
        frame = history.validation_frame(run.history)
        return frame[frame["scope"].isin({OVERALL, chosen.by})]

    frames = _frames(runs, chosen, ["task", "scope", "scenario"], lines)
    if not frames:
        st.info("Nothing was measured on the validation rows.", icon=":material/info:")
        return
    best = {run.name: run.checkpoint.steps for run in runs}
    wanted = f"scope in {[OVERALL, chosen.by]}"
    described = runs[0].checkpoint.description
    widgets.chart(
        _drawn(
            "validation",
            runs,
            chosen,
            lambda: training_plot.validation_figure(frames, best, described, chosen.x, stamp(runs)),
        ),
        _key(f"validation-{chosen.by}", runs, chosen),
        "Validation AUC × 100",
        VALIDATION,
        lambda: training_plot.curves_table(frames).rename(columns={"value": "AUC × 100"}),
        f"Validation AUC over training; the weights of step {runs[0].checkpoint.steps} were kept",
        code=code.frames(
            frames,
            runs,
            chosen.factor,
            f"history.validation_frame(run.history()).query({wanted!r})",
            ["task", "scope", "scenario"],
            "training.validation_figure(\n"
            "    frames, {name: run.steps for name, run in runs.items()},"
            f" runs[{runs[0].name!r}].description,\n    {chosen.x!r}, {stamp(runs)!r},\n)",
        ),
    )


def divergences(runs: list[Run], chosen: Options) -> None:
    """Draw the divergences of the chosen experts, as in Figure 6."""
    frames = _frames(
        runs, chosen, ["layer", "role"], lambda run: history.divergence_frame(run.history)
    )
    if not frames:
        st.info("No layer of this run selects experts: there are no divergences to show.",
                icon=":material/info:")  # fmt: skip
        return
    widgets.chart(
        _drawn(
            "divergences",
            runs,
            chosen,
            lambda: training_plot.divergence_figure(frames, chosen.x, stamp(runs)),
        ),
        _key("divergences", runs, chosen),
        "How sharp the selection is: Σ KL over the chosen experts",
        DIVERGENCE,
        lambda: training_plot.curves_table(frames),
        "Sums of KL by layer, for specific and shared experts, over training",
        code=code.frames(
            frames,
            runs,
            chosen.factor,
            "history.divergence_frame(run.history())",
            ["layer", "role"],
            f"training.divergence_figure(frames, {chosen.x!r}, {stamp(runs)!r})",
        ),
    )


def snapshots(run: Run) -> None:
    """Draw utilisation of the current layer as it was at a step."""
    checkpoint = run.checkpoint
    if not checkpoint.layers:
        st.info("This model selects no experts, so there is no use of them to show.",
                icon=":material/info:")  # fmt: skip
        return
    schema, layer = checkpoint.encoder.schema, widgets.current_layer()
    every = _told("snapshots", [run], lambda: _snapshots(checkpoint))
    found = [
        (step, used) for step, used in every if any(o.spec.name == layer.name for o in used.layers)
    ]
    if not found:
        st.info(f"No snapshot of {layer.name} was recorded while this run trained.",
                icon=":material/info:")  # fmt: skip
        return
    groupings = {level.name: level.title or level.name for level in checkpoint.description.level}
    groupings = {"own": "its own level", **groupings}
    last = found[-1][0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = widgets.pick("Scenarios by", "snapshot-by", list(groupings), "own",
                          groupings.__getitem__, width=180)  # fmt: skip
        asked = _step(last)
        if last > 0 and len(found) > 1:
            st.slider("Step", 0, last, width=520, **state.bind("at", asked))
    step, used = history.nearest_snapshot(found, asked)
    if by == "own":
        by = OVERALL if layer.level is None else schema.level_names[layer.level]
    exists = existing(checkpoint.description, schema, PATH)
    shown = utilisation_plot.panels([layer_shares(used, layer.name, by, exists)], ROLES, "share")
    st.caption(f"Snapshot at step {step:,}, the nearest of {len(found)}; validation rows.")
    script, stamped = code.snapshot(run, layer.name, by, step), widgets.stamp()
    widgets.chart(
        cache.figure(
            script, [checkpoint],
            lambda: utilisation_plot.utilisation_figure(shown, f"{stamped}, validation split"),
        ),
        f"curves-use-{layer.name}-{by}-{step}".replace(".", "-"),
        f"Who used which experts of {layer.name} at step {step:,}: share of rows",
        USE,
        lambda: utilisation_plot.utilisation_table(shown).assign(step=step),
        f"Share of rows that took each expert of {layer.name} at step {step}",
        code=script,
    )  # fmt: skip


def _snapshots(checkpoint: Checkpoint) -> list[tuple[int, Utilisation]]:
    lines = read_lines(checkpoint.path / "utilisation.jsonl")
    return history.snapshots(lines, checkpoint.encoder.schema, checkpoint.layers)


def comparison(runs: list[Run]) -> None:
    """Draw what the runs were configured differently in, and their final test metrics."""
    if len(runs) < 2:
        return
    st.subheader("What differs between the runs", anchor=False)
    configs = {run.name: run.checkpoint.config for run in runs}
    table = _told("settings", runs, lambda: history.config_differences(configs))
    datasets = [run.checkpoint.description.name for run in runs]
    if len(set(datasets)) > 1:
        st.warning("These runs are of different datasets: their numbers do not compare.",
                   icon=":material/warning:")  # fmt: skip
    if table.empty:
        st.caption("Their configurations are the same.")
    else:
        widgets.table(table, "curves-settings")
    st.markdown("**Final test AUC × 100**")
    evaluations = {run.name: run.checkpoint.evaluation for run in runs}
    compared = _told("metrics", runs, lambda: metrics_plot.comparison_table(evaluations, "test"))
    numbers = {name: "%+.2f" if name.endswith("difference") else "%.2f"
               for name in compared.columns[4:]}  # fmt: skip
    widgets.table(compared, "curves-metrics", column_config={
        name: st.column_config.NumberColumn(format=form) for name, form in numbers.items()
    })  # fmt: skip
    st.caption(
        f"Differences are in points, to {runs[0].name}. They are of single runs: another seed moves"
        " them as well, so a small one may be chance. The 95 % intervals of each stand on Home."
    )


def duration(seconds: float) -> str:
    """Write a time for reading."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _frames(
    runs: list[Run], chosen: Options, by: list[str], read: Callable[[Run], pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Read a frame of every run that has one, smoothed."""

    def build() -> dict[str, pd.DataFrame]:
        frames = {run.name: read(run) for run in runs}
        kept = {name: frame for name, frame in frames.items() if len(frame)}
        return {name: history.smoothed(frame, chosen.factor, by) for name, frame in kept.items()}

    return _told(f"frames by {by} {chosen}", runs, build)


def _step(last: int) -> int:
    """Return the step of the view, within the run; by default its end."""
    return state.number("at", last, 0, last)


def _drawn(
    kind: str, runs: list[Run], chosen: Options, build: Callable[[], go.Figure]
) -> go.Figure:
    """Return a figure of the runs, built once for these runs, their names and options."""
    names = [run.name for run in runs]
    return cache.figure(f"{kind} {chosen} {names}", [run.checkpoint for run in runs], build)


def _told(key: str, runs: list[Run], build: Callable[[], Found]) -> Found:
    """Return what `key` says of the runs and their names, computed once."""
    names = [run.name for run in runs]
    return cache.told(f"{key} {names}", [run.checkpoint for run in runs], build)


def _key(name: str, runs: list[Run], chosen: Options) -> str:
    compared = f"{len(runs)}-{chosen.x}"
    return f"curves-{name}-{compared}"
