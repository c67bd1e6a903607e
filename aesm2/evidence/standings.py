"""Who stands where: the mean of every model in every cell, and AESM² against the best baseline.

A cell is a scope, a scenario in it and a task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from aesm2.config import ModelConfig
from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError
from aesm2.evidence.measures import WEIGHTED
from aesm2.evidence.study import IDS
from aesm2.evidence.tables import summary

CELL = ["scope", "scenario", "task"]
COMPARED = ["reference", "variant", *CELL, "difference", "low", "high", "p_adjusted"]
LEVEL = 0.05  # of significance, of p after Holm's correction
BETTER, EVEN, WORSE, UNKNOWN = "better", "not distinguishable", "worse", "not tested"
TITLES = {c.model_fields["name"].default: c.title for c in get_args(get_args(ModelConfig)[0])}


@dataclass(frozen=True)
class Measure:
    """A measure of a run. column: of the runs; factor: from there to what is shown.

    lower: whether less is better. scope: the only one it is shown in, "" for scenarios and all.
    tested: whether comparisons are of it.
    """

    title: str
    column: str
    factor: float = 1.0
    digits: int = 2
    lower: bool = False
    scope: str = ""
    tested: bool = False


MEASURES = {
    "auc": Measure("AUC × 100", "auc", 100.0, tested=True),
    "weighted": Measure("weighted AUC × 100", "auc", 100.0, scope=WEIGHTED),
    "truth_auc": Measure("AUC × 100 against the true probabilities", "truth_auc", 100.0),
    "log_loss": Measure("log loss in nats", "log_loss", digits=4, lower=True),
    "calibration_error": Measure(
        "calibration error × 100", "calibration_error", 100.0, digits=3, lower=True
    ),
}


def variant_title(name: str) -> str:
    """Return what a variant is called: "mmoe+ids" is MMoE + ids; others stand for themselves."""
    model = name.removesuffix(IDS)
    title = TITLES.get(model, model)
    return f"{title} + ids" if name.endswith(IDS) else title


def cell_title(scenario: str, task: str) -> str:
    """Name a cell in a heading: "HP → RI · CTR"."""
    return f"{'all rows' if scenario == OVERALL else scenario} · {task.upper()}"


def size_words(runs: pd.DataFrame, scope: str, scenario: str, task: str) -> str:
    """Say how many rows, positives and seeds a cell has: "n = 900 rows, 60 positives, 3 seeds"."""
    own = runs[(runs["scope"] == scope) & (runs["scenario"] == scenario) & (runs["task"] == task)]
    if own.empty:
        raise InputError(f"there are no runs of {scope} {scenario}, {task}")
    first, seeds = own.iloc[0], own["seed"].nunique()
    return f"n = {first['n']:,} rows, {first['positives']:,} positives, {seeds} seeds"


def of_ids(table: pd.DataFrame, ids: str) -> pd.DataFrame:
    """Return the lines of a table whose variants are all "with" or "without" ids, or "both"."""
    if ids == "both":
        return table
    columns = [column for column in ("reference", "variant") if column in table]
    seen = pd.concat([table[column].str.endswith(IDS) for column in columns], axis=1)
    return table[(seen == (ids == "with")).all(axis=1)]


def standings(runs: pd.DataFrame, measure: Measure, by: str) -> pd.DataFrame:
    """Rank the variants in every cell by their mean over seeds.

    by: scope whose scenarios are shown, before all rows. One line a variant and cell, in the order
    of `runs`, all rows last: n (test rows), positives, seeds (in which the measure is defined),
    mean and sd (NaN for one seed) as they are shown, rank (1 is best, NaN where undefined).
    """
    scopes = [measure.scope] if measure.scope else list(dict.fromkeys([by, OVERALL]))
    parts = [runs[runs["scope"] == scope] for scope in scopes]
    shown = pd.concat(parts, ignore_index=True)
    means = summary(shown, measure.column).rename(columns={"n": "seeds"})
    means[["mean", "sd"]] *= measure.factor
    sizes = shown.groupby(CELL, sort=False)[["n", "positives"]].first().reset_index()
    found = means.drop(columns=["low", "high"]).merge(sizes, on=CELL)
    rank = found.groupby(CELL, sort=False)["mean"].rank(ascending=measure.lower, method="min")
    return found.assign(rank=rank)


def challenge(standing: pd.DataFrame, comparisons: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Compare each reference with the best of the baselines in every cell.

    standing: see `standings`. comparisons: see `comparison.comparisons`; every variant that is not
    a reference there is a baseline. One line a reference and cell: baseline, first (whether no
    variant has a better mean and no baseline as good a one), difference with low, high and
    p_adjusted, and outcome: BETTER, EVEN, WORSE, or UNKNOWN where the difference has no p, as for
    a measure that is not `tested`.
    """
    references = [r for r in comparisons["reference"].unique() if r in set(standing["variant"])]
    baselines = standing[~standing["variant"].isin(comparisons["reference"])]
    best = baselines.sort_values("rank", kind="stable").dropna(subset=["mean"]).groupby(CELL)
    strongest = best.head(1).rename(columns={"variant": "baseline", "rank": "baseline_rank"})
    own = standing[standing["variant"].isin(references)].rename(columns={"variant": "reference"})
    pairs = own.merge(strongest[[*CELL, "baseline", "baseline_rank"]], on=CELL)
    told = comparisons.rename(columns={"variant": "baseline"})
    told = told[["reference", "baseline", *COMPARED[2:]]]
    told = told if measure.tested else told.iloc[:0]
    found = pairs.merge(told, on=["reference", "baseline", *CELL], how="left")
    significant = found["p_adjusted"] < LEVEL
    outcome = np.select(
        [found["p_adjusted"].isna(), ~significant, found["difference"] > 0],
        [UNKNOWN, EVEN, BETTER], WORSE,
    )  # fmt: skip
    first = (found["rank"] == 1) & (found["baseline_rank"] > 1)
    columns = ["reference", *CELL, "baseline", "difference", "low", "high", "p_adjusted"]
    return found[columns].assign(first=first, outcome=outcome)


def verdict(challenged: pd.DataFrame, baselines: int) -> list[str]:
    """Say in words how each reference stands against the best baseline; a sentence a reference.

    challenged: see `challenge`. baselines: number of models that the best was picked from.
    """
    best = f"the best of {baselines} baselines in each cell"
    best = best if baselines > 1 else "the only baseline"
    sentences = []
    for reference, own in challenged.groupby("reference", sort=False):
        counts = own["outcome"].value_counts()
        told = [f"{_SAID[name]} in {counts[name]}" for name in _SAID if name in counts]
        sentences.append(
            f"{variant_title(str(reference))} has the best mean in {own['first'].sum()} of"
            f" {len(own)} cells. Against {best} it is {_listed(told)}."
        )
    return sentences


_SAID = {
    BETTER: "significantly better",
    EVEN: "not distinguishable",
    WORSE: "significantly worse",
    UNKNOWN: "not tested",
}


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


@dataclass(frozen=True)
class Board:
    """Standings as tables: variants down, (scenario, task) across.

    means, spreads: mean and standard deviation over seeds, NaN where undefined. ranks: 1 is best.
    stars: whether a reference differs significantly from the cell's best baseline.
    """

    means: pd.DataFrame
    spreads: pd.DataFrame
    ranks: pd.DataFrame
    stars: pd.DataFrame

    def written(self, digits: int) -> pd.DataFrame:
        """Return every cell as "mean ± sd", the mean alone for one seed, or "undefined"."""
        pairs = zip(self.means.to_numpy().flat, self.spreads.to_numpy().flat, strict=True)
        texts = [_written(mean, sd, digits) for mean, sd in pairs]
        cells = np.array(texts, object).reshape(self.means.shape)
        return pd.DataFrame(cells, self.means.index, self.means.columns)


def board(standing: pd.DataFrame, challenged: pd.DataFrame) -> Board:
    """Lay standings out; see `standings` and `challenge`."""
    scenarios, tasks = standing["scenario"].unique(), standing["task"].unique()
    columns = [(scenario, task) for scenario in scenarios for task in tasks]
    index = list(dict.fromkeys(standing["variant"]))
    marked = challenged[challenged["outcome"].isin([BETTER, WORSE])]
    stars = marked.rename(columns={"reference": "variant"}).assign(star=1.0)

    def laid(frame: pd.DataFrame, value: str) -> pd.DataFrame:
        cells = frame.set_index(["scenario", "task", "variant"])[value]
        keys = [(*column, variant) for column in columns for variant in index]
        grid = cells.reindex(keys).to_numpy().reshape(len(columns), len(index)).T
        across = pd.MultiIndex.from_tuples(columns, names=["scenario", "task"])
        return pd.DataFrame(grid, pd.Index(index, name="variant"), across)

    means, spreads, ranks = (laid(standing, value) for value in ("mean", "sd", "rank"))
    return Board(means, spreads, ranks, laid(stars, "star").notna())


def _written(mean: float, sd: float, digits: int) -> str:
    if np.isnan(mean):
        return "undefined"
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")
