"""The steps of the story that look at evidence: studies of many models, and the paper's tables."""

import contextlib
from dataclasses import dataclass

import pandas as pd

from aesm2.checkpoint import Checkpoint
from aesm2.data.scenarios import OVERALL, PATH
from aesm2.errors import InputError
from aesm2.evidence.impact import impact, impact_words
from aesm2.evidence.measures import WEIGHTED
from aesm2.evidence.paper import SOURCE, published
from aesm2.evidence.seesaw import differences, seesaw
from aesm2.evidence.standings import (
    CELL,
    COMPARED,
    MEASURES,
    challenge,
    standings,
    variant_title,
    verdict,
)
from aesm2.evidence.study import IDS
from aesm2.plots import forest as forest_plot
from aesm2.plots.impact import impact_figure
from aesm2.plots.trades import trades_figure, trades_words
from app import bench_charts, cache, state, story_words, studies
from app import impact as impact_page
from app.story_parts import Chart, Step, chart

MARGIN = 0.1  # points of AUC × 100; smaller differences of means are not counted
FINE = 8  # up to so many fine-grained scenarios they are what is compared
OWN = "aesm2"
FAMILIAR = ("hard_sharing", "mmoe", "ple", "star", "hmoe", "mlp")  # drawn, most of them
DRAWN = 6
NO_STUDY = (
    "There is no study of this checkpoint's dataset here, so nothing is claimed about other models"
    " on it. `aesm2 compare` makes one; the Bench says how. What this model does by itself is on"
    " the other steps."
)
NO_REPLAY = (
    "No study here has a replay in a simulated shop, so nothing of our own is said about worth:"
    " `aesm2 replay` makes one. Below is what the authors measured."
)


@dataclass(frozen=True)
class Studies:
    """The study of the checkpoint's own data, and the one that replays a shop; None without."""

    own: cache.Study | None
    shop: cache.Study | None

    @property
    def id(self) -> str:
        """Determines the content."""
        return "|".join("" if of is None else of.id for of in (self.own, self.shop))


def find(checkpoint: Checkpoint) -> Studies:
    """Find the studies: that of the view if it is of these data, else the first there is."""
    opened: dict[str, cache.Study] = {}
    for name, folder in cache.studies().items():
        with contextlib.suppress(InputError, OSError):
            opened[name] = cache.study(folder)
    here = checkpoint.description.name
    mine = [n for n, s in opened.items() if s.evidence.manifest["dataset"]["name"] == here]
    wanted = state.get("study")
    first = wanted if wanted in mine else next(iter(mine), "")
    others = [first, *sorted(opened, key=lambda name: name != wanted)]
    shops = [opened[name] for name in others if name in opened and _replays(opened[name])]
    return Studies(opened.get(first), next(iter(shops), None))


def trades_step(found: Studies) -> Step:
    """Step 2: what the usual models win and lose against each other, and how AESM² stands."""
    runs = _runs(found.own)
    if found.own is None or runs is None:
        return Step(missing=NO_STUDY)
    by = _scope(found.own, runs)
    own = runs[runs["scope"] == by]
    named = own.assign(model=own["variant"].map(variant_title), value=100 * own["auc"])
    usual = differences(named.loc[named["variant"] != OWN, ["model", *CELL, "value"]])
    said = story_words.trade_words(usual, seesaw(usual, MARGIN), MARGIN)
    challenged = _challenged(found.own, runs, by)
    baselines = runs["variant"].nunique() - 1
    plain = [story_words.plain_verdict(challenged)]
    plain += verdict(challenged, baselines) if len(challenged) else []
    drawn = [name for name in FAMILIAR if name in set(own["variant"])][: DRAWN - 1]
    part = named[named["variant"].isin([*drawn, OWN])]
    table = seesaw(differences(part[["model", *CELL, "value"]]), MARGIN)
    cells, stamp = len(own[["scenario", "task"]].drop_duplicates()), studies.stamp(found.own)
    figure = chart(
        trades_figure(table, stamp), "trades",
        f"In how many of {cells} places the model of the line is better:worse, by over"
        f" {MARGIN:g} points", bench_charts.TRADES, table, trades_words(table),
    )  # fmt: skip
    return Step([*said, *plain], (figure,))


def worth_step(found: Studies, dataset: str) -> Step:
    """Step 7: what a replay of a simulated shop says; apart from it, what the paper measured."""
    aside = ("Quoted from the paper: not ours, and not these data", _quoted())
    study = found.shop
    if study is None:
        return Step([], missing=NO_REPLAY, aside=aside)
    replay = study.evidence.tables["replay"]
    reference = OWN if OWN in set(replay["reference"]) else str(replay["reference"].iloc[0])
    told = study.evidence.manifest["dataset"]
    here = "" if told["name"] == dataset else ", other data than this model's"
    said = [
        f"Computed, not measured on shoppers, and no A/B test: how much more a simulated shop"
        f" ({told['title']}{here}) would sell if {variant_title(reference)} ordered its results."
    ]
    charts = []
    for variant, what in _opponents(replay, reference).items():
        lines = impact(replay, reference, variant)
        names = variant_title(reference), variant_title(variant)
        line = lines[(lines["scenario"] == OVERALL) & (lines["measure"] == "purchases")]
        said += [f"Against {what}: {impact_words(own, *names)}" for own in line.to_dict("records")]
        stamp = f"{studies.stamp(study)}; offline replay, no A/B test"
        charts.append(
            chart(
                impact_figure(lines, "purchases", stamp), f"worth-{studies.slug(variant)}",
                f"Purchases: {names[0]} instead of {names[1]}", impact_page.CHART, lines,
                " ".join(said[-1:]),
            )
        )  # fmt: skip
    return Step(said, tuple(charts), aside=aside)


def limits_step(found: Studies, checkpoint: Checkpoint, task: str, looked_at: str) -> Step:
    """Step 8: what is not shown; looked_at: rows the steps before looked at, in words."""
    described, evaluation = checkpoint.description, checkpoint.evaluation
    said = [
        story_words.source_words(described.provenance, described.title),
        story_words.checkpoint_words(evaluation, task),
        story_words.thin_words(evaluation, task),
    ]
    if looked_at:
        said.append(f"The steps on single visits and experts looked at {looked_at}.")
    runs = _runs(found.own)
    charts: tuple[Chart, ...] = ()
    if found.own is not None and runs is not None:
        challenged = _challenged(found.own, runs, _scope(found.own, runs))
        said += [story_words.plain_verdict(challenged), *_spread(found.own, runs, task)]
        charts = tuple(_forest(found.own, runs, task))
    else:
        said.append(NO_STUDY.partition(".")[0] + ".")
    said += [
        "Every interval takes visits for independent. Those of one person are alike, so the true"
        " intervals are wider.",
        "What an expert is called is arbitrary, and that an expert goes to a door says who uses it,"
        " not why.",
    ]
    if found.shop is not None:
        title = found.shop.evidence.manifest["dataset"]["title"]
        said.append(f"What it is worth was computed in a shop that was made up ({title}), for"
                    " shoppers who look at results as a convention says.")  # fmt: skip
    return Step(said, charts)


def _runs(study: cache.Study | None) -> pd.DataFrame | None:
    """Return the runs of the variants without ids, the plain models, if AESM² is one of them."""
    if study is None or "runs" not in study.evidence.tables:
        return None
    runs = study.evidence.tables["runs"]
    plain = runs[~runs["variant"].str.endswith(IDS)]
    names = set(plain["variant"])
    return plain if OWN in names and len(names) > 2 else None


def _scope(study: cache.Study, runs: pd.DataFrame) -> str:
    """Return the scope whose scenarios are compared: fine-grained ones if they are few."""
    there = [s for s in runs["scope"].unique() if s not in (OVERALL, WEIGHTED)]
    fine = runs.loc[runs["scope"] == PATH, "scenario"].nunique()
    if 1 < fine <= FINE:
        return PATH
    levels = [level["name"] for level in study.evidence.manifest["levels"]]
    many = [n for n in levels if len(runs.loc[runs["scope"] == n, "scenario"].unique()) > 1]
    return next(iter([*many, *there]), OVERALL)


def _challenged(study: cache.Study, runs: pd.DataFrame, by: str) -> pd.DataFrame:
    every = study.evidence.tables.get("comparisons", pd.DataFrame(columns=COMPARED))
    names = set(runs["variant"])
    pairs = every[(every["reference"] == OWN) & every["variant"].isin(names)]
    measure = MEASURES["auc"]
    return challenge(standings(runs, measure, by), pairs, measure)


def _spread(study: cache.Study, runs: pd.DataFrame, task: str) -> list[str]:
    """Say how much the AUC of AESM² moves from seed to seed."""
    lines = standings(runs, MEASURES["auc"], OVERALL)
    own = lines[(lines["variant"] == OWN) & (lines["task"] == task) & lines["sd"].notna()]
    return [
        f"In the study {study.evidence.name}, {int(line['seeds'])} trainings of AESM² with other"
        f" seeds have an AUC × 100 of {line['mean']:.2f} ± {line['sd']:.2f} for {task}."
        for line in own.to_dict("records")
    ]


def _forest(study: cache.Study, runs: pd.DataFrame, task: str) -> list[Chart]:
    every = study.evidence.tables.get("comparisons", pd.DataFrame(columns=COMPARED))
    own = every[every["variant"].isin(set(runs["variant"]))]
    lines = forest_plot.forest_lines(own, OWN, OVERALL, OVERALL, task)
    if lines.empty:
        return []
    title, size = variant_title(OWN), studies.size(runs, OVERALL, OVERALL, task)
    figure = forest_plot.forest_figure(lines, title, size, studies.stamp(study))
    return [
        chart(
            figure, "forest", f"{title} minus each model, all rows · {task.upper()}",
            bench_charts.FOREST, lines, forest_plot.forest_words(lines, title),
        )
    ]  # fmt: skip


def _replays(study: cache.Study) -> bool:
    tables = study.evidence.tables
    simulated = study.evidence.manifest["dataset"]["provenance"] == "simulated"
    return simulated and len(tables.get("replay", ())) > 0


def _opponents(replay: pd.DataFrame, reference: str) -> dict[str, str]:
    """Return the plain shared model, and the model that sells most; with what they are."""
    own = replay[
        (replay["reference"] == reference) & (replay["scenario"] == OVERALL)
        & (replay["metric"] == "ctcvr") & ~replay["variant"].str.endswith(IDS)
    ]  # fmt: skip
    if own.empty:
        return {}
    earned = own.groupby("variant", sort=False)["baseline"].mean()
    plain = next((name for name in FAMILIAR if name in earned.index), str(earned.index[0]))
    best = str(earned.idxmax())
    if plain == best:
        return {plain: "the usual model that sells most"}
    return {plain: "one model for all", best: "the usual model that sells most"}


def _quoted() -> list[str]:
    whole = story_words.quoted_words(published(8))
    by = published(9)
    places = [
        f"{scenario}: {story_words.quoted_words(part)}"
        for scenario, part in by[by["scenario"] != OVERALL].groupby("scenario", sort=False)
    ]
    return [
        f"Two weeks of an online A/B test on AliPay's search, against the search in use there:"
        f" {whole} ({SOURCE}, Table 8).",
        f"By entrance ({SOURCE}, Table 9): {'; '.join(places)}.",
        "Other shops, other shoppers: these cannot be set beside the numbers above.",
    ]
