"""The charts of the Bench: differences, trades, costs, tuning."""

import streamlit as st

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.seesaw import auc_seesaw
from aesm2.evidence.standings import cell_title, size_words, variant_title
from aesm2.evidence.tables import summary
from aesm2.plots import forest as forest_plot
from aesm2.plots import tradeoff as tradeoff_plot
from aesm2.plots import trades as trades_plot
from aesm2.plots import tuning as tuning_plot
from app import cache, recipes, studies, widgets
from app.bench.page import Standing

MARGINS = {"0": "any difference", "0.1": "over 0.1 points", "0.5": "over 0.5 points"}
FOREST = widgets.Explanation(
    "How much higher the AUC of AESM² is than that of each other model, with its 95 % interval.",
    "Right of the line AESM² is better (green ▶), left of it the other model (purple ◀). A hollow"
    " mark is a difference that chance explains: p ≥ 0.05 after Holm's correction over the cells of"
    " that pair. The interval covers both sources of chance, test rows and training seeds"
    " (Obuchowski and Rockette, 1995; Hillis, 2007); it is of this cell alone, so that it may leave"
    " out zero where the corrected p is above 0.05.",
    r"\bar d \pm t_{0.975,\nu} \sqrt{S^2 / n + \max(c, 0)}",
)
TRADES = widgets.Explanation(
    "In how many cells (a scenario and a task) the model of the line has the higher mean AUC than"
    " that of the column, and in how many the lower.",
    "Blue: better in more cells; red: worse in more. Two numbers above 0 are a seesaw: better in"
    " some cells and worse in others. The means are over seeds and nothing is tested here, so small"
    " differences are partly chance: choose a margin that a difference must exceed. All rows are"
    " left out, since they are the scenarios again.",
    "",
    "§4.2",
)
COST = widgets.Explanation(
    "The mean AUC of every model against what it costs to predict.",
    "Up is better. Left: multiply-adds of its matrix products for one row, further left is cheaper."
    " Right: rows predicted per second, further right is faster, measured side by side on one"
    " machine (see below). Each model has a shape and colour, AESM² is the star; hollow marks see"
    " scenario ids. The interval is of the mean over seeds (Student's t); the test rows are the"
    " same for all.",
)
TUNING = widgets.Explanation(
    "The validation score of every trial of settings, for every model.",
    "Every model gets the same number of trials at the same points of the same ranges; the filled"
    " diamond is the trial whose settings its final runs use. Those use other seeds and are"
    " measured on the test rows, which no trial has seen. λ and the noise scale act on AESM² only,"
    " within the same number of trials.",
)


def forest(study: cache.Study, shown: Standing) -> None:
    """Draw AESM² minus every other model in one cell."""
    if shown.comparisons.empty:
        st.info("No AESM² is among these variants to compare with the others.",
                icon=":material/info:")  # fmt: skip
        return
    options = shown.options
    own = shown.comparisons[shown.comparisons["scope"].isin([options.by, OVERALL])]
    cells = dict.fromkeys(zip(own["scope"], own["scenario"], own["task"], strict=True))
    named = {cell_title(scenario, task): (scope, scenario, task) for scope, scenario, task in cells}
    names = sorted(named, key=lambda name: named[name][0] != OVERALL)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cell = widgets.pick("Scenario and task", "cell", names, names[0], width=220)
        reference = widgets.pick("Compare", "against", shown.references, shown.references[0],
                                 variant_title, width=160)  # fmt: skip
    scope, scenario, task = named[cell]
    lines = forest_plot.forest_lines(own, reference, scope, scenario, task)
    title = variant_title(reference)
    figure = cache.of_study(
        f"forest {options} {cell} {reference}",
        study,
        lambda: forest_plot.forest_figure(
            lines, title, size_words(shown.runs, scope, scenario, task), studies.stamp(study)
        ),
    )
    widgets.chart(
        figure,
        studies.slug("bench-forest", options.ids, cell, reference),
        f"{title} minus each model: {cell}",
        FOREST,
        lines.rename(columns={"difference": "points", "low": "95 % low", "high": "95 % high"}),
        forest_plot.forest_words(lines, title),
        code=recipes.of_evidence(
            study,
            f"{opened(options.ids, 'runs', 'comparisons')}\n"
            "from aesm2.evidence.standings import size_words, variant_title\n"
            "from aesm2.plots import forest\n"
            f"cell = {(scope, scenario, task)}\n"
            f"lines = forest.forest_lines(comparisons, {reference!r}, *cell)\n"
            "size = size_words(runs, *cell)\n"
            f"title = variant_title({reference!r})\n"
            f"figure = forest.forest_figure(lines, title, size, {studies.stamp(study)!r})",
        ),
    )


def trades(study: cache.Study, shown: Standing) -> None:
    """Draw which models are better in some cells and worse in others."""
    runs = shown.runs[shown.runs["scope"] == shown.options.by]
    margin = widgets.pick("Count", "margin", list(MARGINS), "0", MARGINS.__getitem__, width=180)
    if runs["variant"].nunique() < 2:
        st.info("There is only one model here.", icon=":material/info:")
        return
    found = cache.of_study(
        f"trades {shown.options} {margin}",
        study,
        lambda: auc_seesaw(shown.runs, shown.options.by, float(margin)),
    )
    drawn = cache.of_study(
        f"trades figure {shown.options} {margin}",
        study,
        lambda: trades_plot.trades_figure(found, studies.stamp(study)),
    )
    count = len(runs[["scenario", "task"]].drop_duplicates())
    widgets.chart(
        drawn,
        studies.slug("bench-trades", shown.options.by, shown.options.ids, margin),
        f"Cells in which the model of the line is better:worse, of {count}",
        TRADES,
        found,
        trades_plot.trades_words(found),
        code=recipes.of_evidence(
            study,
            f"{opened(shown.options.ids, 'runs')}\n"
            "from aesm2.evidence.seesaw import auc_seesaw\n"
            "from aesm2.plots import trades\n"
            f"found = auc_seesaw(runs, {shown.options.by!r}, {float(margin)})\n"
            f"figure = trades.trades_figure(found, {studies.stamp(study)!r})",
        ),
    )


def cost(study: cache.Study, shown: Standing) -> None:
    """Draw accuracy against cost."""
    costs = studies.table(study, "costs")
    if costs is None:
        return
    tasks = list(shown.runs["task"].unique())
    task = widgets.pick("Task", "cost-task", tasks, tasks[0], str.upper, width=140)
    overall = shown.runs[(shown.runs["scope"] == OVERALL) & (shown.runs["task"] == task)]
    means = summary(overall.assign(auc=100 * overall["auc"]))
    lines = tradeoff_plot.tradeoff_lines(means, costs)
    if lines.empty:
        st.info("The AUC is undefined here, or no cost was measured of these variants.",
                icon=":material/info:")  # fmt: skip
        return
    figure = cache.of_study(
        f"cost {shown.options} {task}",
        study,
        lambda: tradeoff_plot.tradeoff_figure(
            lines, size_words(shown.runs, OVERALL, OVERALL, task), studies.stamp(study)
        ),
    )
    widgets.chart(
        figure,
        studies.slug("bench-cost", shown.options.ids, task),
        f"AUC × 100 of all rows · {task.upper()} against cost",
        COST,
        lines,
        tradeoff_plot.tradeoff_words(lines),
        code=recipes.of_evidence(
            study,
            f"{opened(shown.options.ids, 'runs')}\n"
            "from aesm2.evidence.standings import size_words\n"
            "from aesm2.evidence.tables import summary\n"
            "from aesm2.plots import tradeoff\n"
            f"own = runs[(runs['scope'] == {OVERALL!r}) & (runs['task'] == {task!r})]\n"
            "means = summary(own.assign(auc=100 * own['auc']))\n"
            "lines = tradeoff.tradeoff_lines(means, evidence.tables['costs'])\n"
            f"size = size_words(runs, {OVERALL!r}, {OVERALL!r}, {task!r})\n"
            f"figure = tradeoff.tradeoff_figure(lines, size, {studies.stamp(study)!r})",
        ),
    )
    studies.made(study, "costs")


def tuning(study: cache.Study, shown: Standing) -> None:
    """Draw the trials."""
    every = studies.table(study, "trials")
    if every is None:
        return
    trials = every[every["variant"].isin(shown.runs["variant"])]
    figure = cache.of_study(
        f"tuning {shown.options}",
        study,
        lambda: tuning_plot.tuning_figure(trials, studies.stamp(study)),
    )
    widgets.chart(
        figure,
        studies.slug("bench-tuning", shown.options.ids),
        "Validation score of every trial",
        TUNING,
        tuning_plot.tuning_table(trials),
        tuning_plot.tuning_words(trials),
        code=recipes.of_evidence(
            study,
            f"{opened(shown.options.ids, 'runs', 'trials')}\n"
            "from aesm2.plots import tuning\n"
            "trials = trials[trials['variant'].isin(runs['variant'])]\n"
            f"figure = tuning.tuning_figure(trials, {studies.stamp(study)!r})",
        ),
    )


def opened(ids: str, *tables: str) -> str:
    """Return the lines that take tables of `evidence`, of the variants that are shown."""
    lines = [f"{name} = evidence.tables[{name!r}]" for name in tables]
    if ids != "both":
        lines.insert(0, "from aesm2.evidence.standings import of_ids")
        lines += [f"{name} = of_ids({name}, {ids!r})" for name in tables]
    return "\n".join(lines)
