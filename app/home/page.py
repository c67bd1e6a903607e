"""What Home is made of: key facts, the architecture, metrics, the data's statistics, the card."""

import pandas as pd
import streamlit as st

from aesm2.checkpoint import CARD, Checkpoint
from aesm2.data.counts import stored_counts
from aesm2.data.scenarios import OVERALL, PATH
from aesm2.plots import architecture as architecture_plot
from aesm2.plots import metrics as metrics_plot
from app import cache, recipes, state, widgets
from app.data import about as data_about
from app.data import tables as data_tables
from app.lens import page as lens

ARCHITECTURE = widgets.Explanation(
    "The steps a row goes through, from its features at the top to its predictions at the bottom."
    " In each layer the model picks, for that row alone, a few of the experts.",
    "Each circle is an expert. K says how many a row takes: ▲ specific to its own scenario (or"
    " task), ● shared by all; one expert may be taken in both roles. Click a layer to make it the"
    " current one on every page.",
    r"\hat{y} = \text{tower}_k\big(\text{task layers}(\text{levels}(x))\big)",
    "Fig. 3, §3",
)
METRICS = widgets.Explanation(
    "How well the model puts positives above negatives: the AUC is the chance that it ranks a"
    " random positive row above a random negative one. 50 is guessing, 100 is perfect.",
    "A dot is the AUC × 100 of one scenario, the line through it its 95 % interval (DeLong): a"
    " short line is a sure value. The dotted line is the AUC over all rows, which can be above that"
    " of every scenario: telling a good scenario from a bad one counts as well. “Undefined” means"
    " that a class is missing: no positives, or no negatives.",
    r"\text{AUC} = P(\hat{y}^+ > \hat{y}^-) + \tfrac12 P(\hat{y}^+ = \hat{y}^-)",
)
SPLIT_TITLES = {"test": "test", "validation": "validation", "train": "training"}


def introduction() -> None:
    """Say in plain words what AESM² is and what this app shows."""
    st.markdown(
        "**AESM²** is a ranking model for services that show items in several places (*scenarios*)"
        " and care about several outcomes (*tasks*), such as a click and a purchase. Inside it are"
        " small networks called *experts*, and for every single row the model itself picks the few"
        " that fit its scenario and the few that all scenarios share. This app opens a trained"
        " model and shows which experts were picked and why, who uses which, how good the"
        " predictions are, and how training got there."
    )


def facts(checkpoint: Checkpoint) -> None:
    """Draw the key facts as tiles."""
    described, counted = checkpoint.description, checkpoint.statistics
    stages = architecture_plot.stages(checkpoint.config.model, described)
    layers = [stage for stage in stages if stage.experts]
    trained = int(counted.loc[counted["split"] == "train", "impressions"].sum())
    levels = " × ".join(str(len(level.scenarios)) for level in described.level)
    kind = checkpoint.config.model.title
    st.caption(f"Open now: {kind} trained on {widgets.escaped(described.title)}.")
    with st.container(horizontal=True, key="home-facts"):
        st.metric("Data", described.provenance, border=True, width=190,
                  help=widgets.escaped(widgets.stamp()))  # fmt: skip
        st.metric("Rows trained on", f"{trained:,}", border=True, width=190)
        _auc_tiles(checkpoint)
        st.metric(
            "Scenarios", levels, border=True, width=130,
            help=widgets.escaped("; ".join(
                f"{lv.title or lv.name}: {', '.join(lv.scenarios)}" for lv in described.level
            )),
        )  # fmt: skip
        st.metric("Tasks", len(described.task), border=True, width=110)
        st.metric("Layers", len(layers), border=True, width=110, help="layers made of experts")
        st.metric(
            "Experts", sum(stage.experts for stage in layers), border=True, width=120,
            help="over all layers",
        )  # fmt: skip


def architecture(opened: cache.Opened) -> None:
    """Draw the architecture; a click on a layer makes it the current one."""
    checkpoint = opened.checkpoint
    stages = architecture_plot.stages(checkpoint.config.model, checkpoint.description)
    current = widgets.current_layer().name if checkpoint.layers else ""
    stamp, script = widgets.stamp(), recipes.script(opened, None, _architecture_lines(current))
    clicked = widgets.chart(
        cache.drawn(
            opened, "", script,
            lambda: architecture_plot.architecture_figure(stages, current, stamp),
        ),
        "home-architecture",
        "Architecture: what happens to a row",
        ARCHITECTURE,
        lambda: architecture_plot.architecture_table(stages),
        " then ".join(f"{s.name} ({s.experts} experts)" if s.experts else s.name for s in stages),
        selectable=bool(checkpoint.layers),
        code=script,
    )  # fmt: skip
    if not checkpoint.layers:
        st.caption(
            f"This is a “{checkpoint.config.model.name}” model: it has no expert selection, so"
            " there is no layer to look into."
        )
        return
    if lens.fresh("architecture", clicked) and clicked[0] != current:
        state.put(layer=str(clicked[0]))
        st.rerun()


def metrics(opened: cache.Opened) -> None:
    """Draw AUC by scenario and task, and the table with counts, calibration and log loss."""
    checkpoint = opened.checkpoint
    described, evaluation = checkpoint.description, checkpoint.evaluation
    with st.container(horizontal=True, vertical_alignment="bottom"):
        splits = [s for s in ("test", "validation") if (evaluation["split"] == s).any()]
        if not splits:
            st.info("This checkpoint holds no measurements.", icon=":material/info:")
            return
        split = widgets.pick("Measured on", "metrics-split", splits, splits[0],
                             lambda name: f"{SPLIT_TITLES[name]} rows", width=180)  # fmt: skip
        scopes = {"levels": "overall and by level"}
        if (evaluation["scope"] == PATH).any():
            scopes[PATH] = "fine-grained"
        scope = widgets.pick("Scenarios", "metrics-scope", list(scopes), "levels",
                             scopes.__getitem__, width=200)  # fmt: skip
    lines = metrics_plot.measured(evaluation, split, scope == PATH)
    script = recipes.script(opened, None, _metrics_lines(split, scope == PATH))
    stamp = f"{widgets.stamp()}, {split} split"
    widgets.about(slice=split)
    widgets.chart(
        cache.drawn(
            opened, "", script, lambda: metrics_plot.metrics_figure(lines, described, stamp)
        ),
        f"home-metrics-{split}-{scope}",
        f"AUC × 100 on the {SPLIT_TITLES[split]} rows, with 95 % intervals",
        METRICS,
        lambda: metrics_plot.metrics_table(lines),
        metrics_words(lines, split),
        code=script,
    )
    st.caption(
        "Calibration, under Numbers: mean prediction over the actual rate; 1 is right on average,"
        " above 1 the model promises too much."
    )


def _architecture_lines(layer: str) -> str:
    return (
        "from aesm2.plots import architecture\n"
        "stages = architecture.stages(checkpoint.config.model, checkpoint.description)\n"
        f"figure = architecture.architecture_figure(stages, {layer!r}, {widgets.stamp()!r})"
    )


def _metrics_lines(split: str, paths: bool) -> str:
    stamp = f"{widgets.stamp()}, {split} split"
    return (
        "from aesm2.plots import metrics\n"
        f"lines = metrics.measured(checkpoint.evaluation, {split!r}, paths={paths})\n"
        f"figure = metrics.metrics_figure(lines, checkpoint.description, {stamp!r})"
    )


def metrics_words(lines: pd.DataFrame, split: str) -> str:
    """Return what the dot plot shows, for those who cannot see it."""
    known = lines.dropna(subset=["auc"])
    if known.empty:
        return f"AUC on the {split} rows is undefined everywhere"
    best, worst = (known.iloc[int(at)] for at in (known["auc"].argmax(), known["auc"].argmin()))
    ends = (
        f"{100 * line['auc']:.2f} ({line['scope']} {line['scenario']}, {line['task']})"
        for line in (worst, best)
    )
    return f"AUC × 100 on the {split} rows from {' to '.join(ends)}"


def statistics(checkpoint: Checkpoint) -> None:
    """Draw the data's statistics as Tables 1 and 2 of the paper, by the counts it holds."""
    by, split = data_tables.options(checkpoint)
    counts = stored_counts(checkpoint.statistics, checkpoint.encoder.schema, split)
    data_tables.table(checkpoint, counts, by, split, "home-statistics")
    st.page_link("views/data.py", label="More about the data", icon=":material/table_chart:")


def rights(checkpoint: Checkpoint) -> None:
    """Show where the data come from, their licence, citation and notes, and the model card."""
    data_about.rights(checkpoint)
    st.caption(f"Checkpoint {checkpoint.name}, {checkpoint.steps:,} steps, hash"
               f" {checkpoint.hash[:12]}")  # fmt: skip
    with st.expander("Model card", icon=":material/description:"):
        card = checkpoint.path / CARD
        if card.is_file():
            st.markdown(card.read_text(encoding="utf-8", errors="replace"))
        else:
            st.info(f"This checkpoint has no model card: {CARD} is not in its folder.")


def _auc_tiles(checkpoint: Checkpoint) -> None:
    lines = metrics_plot.measured(checkpoint.evaluation, "test", paths=False)
    overall = {own["task"]: own for own in lines[lines["scope"] == OVERALL].to_dict("records")}
    for task in checkpoint.description.task:
        title = f"Test AUC × 100: {task.title or task.name}"
        line = overall.get(task.name)
        if line is None or pd.isna(line["auc"]):
            st.metric(title, "undefined", border=True, width=260)
            continue
        interval = "no interval"
        if pd.notna(line["auc_low"]):
            interval = f"95 %: {100 * line['auc_low']:.2f} – {100 * line['auc_high']:.2f}"
        st.metric(title, f"{100 * line['auc']:.2f}", border=True, width=260, delta=interval,
                  delta_color="off", delta_arrow="off",
                  help=f"n = {line['n']:,}, of which {line['positives']:,} positives")  # fmt: skip
