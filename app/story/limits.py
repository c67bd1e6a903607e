"""The last step of the story: what all this cannot show, read from the checkpoint and evidence."""

import numpy as np
import pandas as pd

from aesm2.checkpoint import Checkpoint
from aesm2.data.scenarios import OVERALL
from aesm2.evidence.standings import (
    COMPARED,
    MEASURES,
    size_words,
    standings,
    variant_title,
)
from aesm2.plots import forest as forest_plot
from app import cache, studies
from app.bench import charts as bench_charts
from app.story import words
from app.story.evidence import NO_STUDY, OWN, Studies, challenged_of, compared_scope, plain_runs
from app.story.parts import Chart, Step, chart

WIDE = 10.0  # points of AUC × 100; an interval this wide tells little


def limits_step(found: Studies, checkpoint: Checkpoint, task: int, looked_at: str) -> Step:
    """Step 8: what is not shown; looked_at: rows the steps before looked at, in words."""
    described, evaluation = checkpoint.description, checkpoint.evaluation
    name = described.task[task].name
    title = described.task[task].title or name
    said = [
        source_words(described.provenance, described.title),
        checkpoint_words(evaluation, name, title),
        thin_words(evaluation, name, title),
    ]
    if looked_at:
        said.append(f"The steps on single visits and experts looked at {looked_at}.")
    runs = plain_runs(found.own)
    charts: tuple[Chart, ...] = ()
    if found.own is not None and runs is not None:
        challenged = challenged_of(found.own, runs, compared_scope(found.own, runs))
        said += [words.plain_verdict(challenged), *_spread(found.own, runs, name, title)]
        charts = tuple(_forest(found.own, runs, name))
    elif found.own is None:
        said.append(NO_STUDY.partition(".")[0] + ".")
    said += [
        "Every interval takes visits for independent. Those of one person are alike, so the true"
        " intervals are wider.",
        "What an expert is called is arbitrary, and that an expert goes to a door says who uses it,"
        " not why.",
    ]
    if found.shop is not None:
        shop = found.shop.evidence.manifest["dataset"]["title"]
        said.append(f"What it is worth was computed in a shop that was made up ({shop}), for"
                    " shoppers who look at results as a convention says.")  # fmt: skip
    return Step(said, charts)


def source_words(provenance: str, title: str) -> str:
    """Say what kind of data the story stands on."""
    if provenance == "simulated":
        return (
            f"The data ({title}) are simulated: no real person did any of this. That is what makes"
            " the truth known, and what limits it to a shop that was made up."
        )
    return (
        f"The data ({title}) are {provenance} and logged: what people would have done with other"
        " results is not in them."
    )


def checkpoint_words(evaluation: pd.DataFrame, task: str, title: str) -> str:
    """Say how good this one trained model is, and how sure that is."""
    own = evaluation[(evaluation["split"] == "test") & (evaluation["task"] == task)]
    line = own[own["scope"] == OVERALL]
    if line.empty or line["auc"].isna().all():
        return f"How well this model ranks for {title} was not measured, or cannot be."
    auc, low, high = (100 * float(line[c].iloc[0]) for c in ("auc", "auc_low", "auc_high"))
    interval = "no interval" if np.isnan(low) else f"95 %: {low:.2f} to {high:.2f}"
    return (
        f"This is one trained model. Its AUC × 100 for {title} is {auc:.2f} ({interval}, n ="
        f" {int(line['n'].iloc[0]):,} test rows). Trained again with another seed it would choose"
        " other experts by number, and predict a little differently."
    )


def thin_words(evaluation: pd.DataFrame, task: str, title: str) -> str:
    """Say in how many scenarios the model's quality is hardly known."""
    own = evaluation[(evaluation["split"] == "test") & (evaluation["task"] == task)]
    own = own[own["scope"] != OVERALL]
    if own.empty:
        return "By scenario nothing was measured."
    gone = int(own["auc"].isna().sum())
    wide = int((100 * (own["auc_high"] - own["auc_low"]) > WIDE).sum())
    return (
        f"Of {len(own)} scenarios measured for {title}, the AUC is undefined in {gone} (a class is"
        f" missing) and known to no better than {WIDE:g} points in {wide}."
    )


def _spread(study: cache.Study, runs: pd.DataFrame, task: str, title: str) -> list[str]:
    """Say how much the AUC of AESM² moves from seed to seed."""
    lines = standings(runs, MEASURES["auc"], OVERALL)
    own = lines[(lines["variant"] == OWN) & (lines["task"] == task) & lines["sd"].notna()]
    return [
        f"In the study {study.evidence.name}, on {study.evidence.manifest['rows']['train']:,} rows,"
        f" {int(line['seeds'])} trainings of AESM² that differ in their seeds have an AUC × 100 of"
        f" {line['mean']:.2f} ± {line['sd']:.2f} for {title}."
        for line in own.to_dict("records")
    ]


def _forest(study: cache.Study, runs: pd.DataFrame, task: str) -> list[Chart]:
    every = study.evidence.tables.get("comparisons", pd.DataFrame(columns=COMPARED))
    own = every[every["variant"].isin(set(runs["variant"]))]
    lines = forest_plot.forest_lines(own, OWN, OVERALL, OVERALL, task)
    if lines.empty:
        return []
    title, size = variant_title(OWN), size_words(runs, OVERALL, OVERALL, task)
    figure = forest_plot.forest_figure(lines, title, size, studies.stamp(study))
    return [
        chart(
            figure, "forest", f"{title} minus each model, all rows · {task.upper()}",
            bench_charts.FOREST, lines, forest_plot.forest_words(lines, title),
        )
    ]  # fmt: skip
