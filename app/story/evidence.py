"""The steps of the story that look at evidence: studies of many models, and the paper's tables."""

import contextlib
from dataclasses import dataclass, replace

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
from aesm2.plots.impact import impact_figure
from aesm2.plots.trades import trades_figure, trades_words
from app import cache, locations, state, studies
from app import impact as impact_page
from app.bench import charts as bench_charts
from app.story import words
from app.story.parts import Step, chart

MARGIN = 0.1  # points of AUC × 100; smaller differences of means are not counted
FINE = 8  # up to so many fine-grained scenarios they are what is compared
OWN = "aesm2"
FEW = 30  # positives or negatives; below, an AUC is hardly known
FAMILIAR = ("hard_sharing", "mmoe", "ple", "star", "hmoe", "mlp")  # drawn, most of them
DRAWN = 6
TRADES = replace(
    bench_charts.TRADES,
    reading="Blue: better in more places; red: worse in more. Two numbers above 0 are a seesaw:"
    " better in some places and worse in others. The values are means over seeds and nothing is"
    " tested here, so small differences are partly chance. All models are on the Bench.",
)
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
    for name, folder in locations.studies().items():
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
    runs = plain_runs(found.own)
    if found.own is None:
        return Step(missing=NO_STUDY)
    if runs is None:
        return Step(missing=f"The study {found.own.evidence.name} does not compare AESM² with two"
                    " or more usual models, so nothing is said of what those trade.")  # fmt: skip
    by = compared_scope(found.own, runs)
    own, thin = _sure(runs[runs["scope"] == by])
    if own.empty:
        return Step(missing=f"The study {found.own.evidence.name} has no scenario with {FEW}"
                    " positives and negatives to test on: nothing is claimed.")  # fmt: skip
    named = own.assign(model=own["variant"].map(variant_title), value=100 * own["auc"])
    usual = differences(named.loc[named["variant"] != OWN, ["model", *CELL, "value"]])
    said = words.trade_words(usual, seesaw(usual, MARGIN), MARGIN)
    if thin:
        said.append(f"Left out of this count: {thin} places with fewer than {FEW} positives or"
                    " negatives to test on.")  # fmt: skip
    challenged = challenged_of(found.own, runs, by)
    baselines = runs["variant"].nunique() - 1
    plain = [words.plain_verdict(challenged)]
    plain += verdict(challenged, baselines) if len(challenged) else []
    drawn = [name for name in FAMILIAR if name in set(own["variant"])][: DRAWN - 1]
    part = named[named["variant"].isin([*drawn, OWN])]
    table = seesaw(differences(part[["model", *CELL, "value"]]), MARGIN)
    cells, stamp = len(own[["scenario", "task"]].drop_duplicates()), studies.stamp(found.own)
    figure = chart(
        trades_figure(table, stamp), "trades",
        f"In how many of {cells} places the model of the line is better:worse, by over"
        f" {MARGIN:g} points", TRADES, table, trades_words(table),
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
        f"Computed, not measured on shoppers, and no A/B test: what a simulated shop"
        f" ({told['title']}{here}) would sell if {variant_title(reference)} ordered its results"
        " instead of a usual model."
    ]
    charts = []
    for variant, what in _opponents(replay, reference).items():
        lines = impact(replay, reference, variant)
        names = variant_title(reference), variant_title(variant)
        line = lines[(lines["scenario"] == OVERALL) & (lines["measure"] == "purchases")]
        said += [f"Against {what}, {names[1]}. {impact_words(own, *names)}"
                 for own in line.to_dict("records")]  # fmt: skip
        stamp = f"{studies.stamp(study)}; offline replay, no A/B test"
        charts.append(
            chart(
                impact_figure(lines, "purchases", stamp), f"worth-{studies.slug(variant)}",
                f"Purchases: {names[0]} instead of {names[1]}", impact_page.CHART, lines,
                " ".join(said[-1:]),
            )
        )  # fmt: skip
    return Step(said, tuple(charts), aside=aside)


def plain_runs(study: cache.Study | None) -> pd.DataFrame | None:
    """Return the runs of the variants without ids, the plain models, if AESM² is one of them."""
    if study is None or "runs" not in study.evidence.tables:
        return None
    runs = study.evidence.tables["runs"]
    plain = runs[~runs["variant"].str.endswith(IDS)]
    names = set(plain["variant"])
    return plain if OWN in names and len(names) > 2 else None


def _sure(runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep cells with FEW positives and negatives; return them and the number of those left out."""
    enough = runs[["positives"]].assign(rest=runs["n"] - runs["positives"]).min(axis=1) >= FEW
    cells = [len(part[["scenario", "task"]].drop_duplicates()) for part in (runs, runs[enough])]
    return runs[enough], cells[0] - cells[1]


def compared_scope(study: cache.Study, runs: pd.DataFrame) -> str:
    """Return the scope whose scenarios are compared: fine-grained ones if they are few."""
    there = [s for s in runs["scope"].unique() if s not in (OVERALL, WEIGHTED)]
    fine = runs.loc[runs["scope"] == PATH, "scenario"].nunique()
    if 1 < fine <= FINE:
        return PATH
    levels = [level["name"] for level in study.evidence.manifest["levels"]]
    many = [n for n in levels if len(runs.loc[runs["scope"] == n, "scenario"].unique()) > 1]
    return next(iter([*many, *there]), OVERALL)


def challenged_of(study: cache.Study, runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """Compare AESM² with the best of the others in every cell; see `standings.challenge`."""
    every = study.evidence.tables.get("comparisons", pd.DataFrame(columns=COMPARED))
    names = set(runs["variant"])
    pairs = every[(every["reference"] == OWN) & every["variant"].isin(names)]
    measure = MEASURES["auc"]
    return challenge(standings(runs, measure, by), pairs, measure)


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
        return {plain: "one model for all, the usual model that sells most"}
    return {plain: "one model for all", best: "the usual model that sells most"}


def _quoted() -> list[str]:
    whole = words.quoted_words(published(8))
    by = published(9)
    places = [
        f"{scenario}: {words.quoted_words(part)}"
        for scenario, part in by[by["scenario"] != OVERALL].groupby("scenario", sort=False)
    ]
    return [
        f"Two weeks of an online A/B test on AliPay's search, against the search in use there:"
        f" {whole} ({SOURCE}, Table 8).",
        f"By entrance ({SOURCE}, Table 9): {'; '.join(places)}.",
        "Other shops, other shoppers: these cannot be set beside the numbers above.",
    ]
