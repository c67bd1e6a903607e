"""AESM² taken apart: Table 6, and the divergences of Figure 6 with and without auxiliary loss."""

import textwrap

import pandas as pd

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.ablation import FULL, WITHOUT, mean_curves
from aesm2.evidence.standings import (
    MEASURES,
    board,
    cell_title,
    challenge,
    size_words,
    standings,
)
from aesm2.plots import forest as forest_plot
from aesm2.plots import training as training_plot
from app import cache, recipes, studies, widgets
from app.bench.table import Shown, draw

TABLE = widgets.Explanation(
    "What is left of the AUC when a part of AESM² is taken away, or something is added that the"
    " paper does not have.",
    "Every line is trained with the settings that were chosen for AESM², with as many seeds. The"
    " first lines are the paper's; those that begin with “+” are not in the paper. ★ at AESM² says"
    " that it differs significantly (p < 0.05, by rows and seeds, Holm) from the best of the other"
    " lines in that column. “+ all experts at work”: nothing is selected at all.",
    "",
    "Table 6, §4.4",
)
FOREST = widgets.Explanation(
    "How much each change costs (green ▶, right of the line) or gains (purple ◀) in AUC.",
    "A hollow mark is a difference that chance explains: p ≥ 0.05 after Holm's correction. The"
    " interval covers both the test rows and the training seeds.",
    r"\bar d \pm t_{0.975,\nu} \sqrt{S^2 / n + \max(c, 0)}",
    "Table 6, §4.4",
)
CURVES = widgets.Explanation(
    "How sharp the choice of experts becomes in training, with and without the auxiliary loss.",
    "The smaller the divergence, the clearer an expert is specific to its scenario or task, or"
    " shared by all. Means over seeds; the dashed line is trained without the auxiliary loss.",
    r"\sum_{k \in E_{sp}} \mathrm{KL}(p_j, \tilde G_{k}),\quad"
    r" \sum_{k \in E_{sh}} \mathrm{KL}(q, \tilde G_{k})",
    "Fig. 6, Eq. 20, §4.4",
)


def section(study: cache.Study) -> None:
    """Draw the table, the differences and the curves."""
    runs = studies.table(study, "ablation")
    if runs is None:
        return
    compared = study.evidence.tables.get("ablation_comparisons")
    if compared is None or compared.empty:
        studies.missing(study, "ablation_comparisons")
        return
    scopes = studies.scopes(study, runs)
    by = next(iter(scopes))

    def build() -> Shown:
        lines, measure = standings(runs, MEASURES["auc"], by), MEASURES["auc"]
        challenged = challenge(lines, compared, measure)
        return Shown(lines, challenged, board(lines, challenged), measure)

    shown = cache.of_study(f"ablation {by}", study, build)
    draw(study, shown, f"bench-ablation-{by}", TABLE)
    _forest(study, runs, compared, by)
    _curves(study)


def _forest(study: cache.Study, runs: pd.DataFrame, compared: pd.DataFrame, by: str) -> None:
    own = compared[compared["scope"].isin([by, OVERALL])]
    cells = dict.fromkeys(zip(own["scope"], own["scenario"], own["task"], strict=True))
    named = {cell_title(scenario, task): (scope, scenario, task) for scope, scenario, task in cells}
    names = sorted(named, key=lambda name: named[name][0] != OVERALL)
    cell = widgets.pick("Scenario and task", "ablation-cell", names, names[0], width=220)
    scope, scenario, task = named[cell]
    lines = forest_plot.forest_lines(own, FULL, scope, scenario, task)
    size = size_words(runs, scope, scenario, task)
    figure = cache.of_study(
        f"ablation forest {cell}",
        study,
        lambda: forest_plot.forest_figure(lines, FULL, size, studies.stamp(study)),
    )
    widgets.chart(
        figure,
        studies.slug("bench-ablation-forest", cell),
        f"AESM² minus each change of it: {cell}",
        FOREST,
        lines.rename(columns={"difference": "points", "low": "95 % low", "high": "95 % high"}),
        forest_plot.forest_words(lines, FULL),
        code=recipes.of_evidence(
            study,
            "from aesm2.evidence.ablation import FULL\n"
            "from aesm2.evidence.standings import size_words\n"
            "from aesm2.plots import forest\n"
            f"cell = {(scope, scenario, task)}\n"
            "compared = evidence.tables['ablation_comparisons']\n"
            "lines = forest.forest_lines(compared, FULL, *cell)\n"
            "size = size_words(evidence.tables['ablation'], *cell)\n"
            f"figure = forest.forest_figure(lines, FULL, size, {studies.stamp(study)!r})",
        ),
    )


def _curves(study: cache.Study) -> None:
    curves = study.evidence.tables.get("ablation_curves")
    frames = {} if curves is None else mean_curves(curves)
    if curves is None or not frames:
        studies.missing(study, "ablation_curves")
        return
    own = curves[curves["variant"].isin([FULL, WITHOUT])]
    stamp = f"{studies.stamp(study)}; mean of {own['seed'].nunique()} seeds"
    stamp = "<br>".join(textwrap.wrap(stamp, 72))
    widgets.chart(
        cache.of_study(
            "ablation curves",
            study,
            lambda: training_plot.divergence_figure(frames, "step", stamp),
        ),
        "bench-ablation-curves",
        "How sharp the selection is: Σ KL over the chosen experts",
        CURVES,
        training_plot.curves_table(frames).drop(columns="smooth", errors="ignore"),
        "Sums of KL by layer over training, with and without auxiliary loss",
        code=recipes.of_evidence(
            study,
            "from aesm2.evidence.ablation import mean_curves\n"
            "from aesm2.plots import training\n"
            "frames = mean_curves(evidence.tables['ablation_curves'])\n"
            f"figure = training.divergence_figure(frames, 'step', {stamp!r})",
        ),
    )
