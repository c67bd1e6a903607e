"""The table of the Bench: models by scenarios and tasks, its verdict, its exports."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.paper import SOURCE
from aesm2.evidence.paper import published as figures
from aesm2.evidence.standings import (
    COMPARED,
    MEASURES,
    Measure,
    board,
    cell_title,
    challenge,
    of_ids,
    standings,
    variant_title,
)
from aesm2.evidence.standings import verdict as sentences
from aesm2.evidence.study import IDS
from app import cache, studies, widgets
from app.bench import table as bench_table
from app.bench.table import Shown

IDS_TITLES = {
    "both": "without and with ids",
    "without": "without ids",
    "with": "with ids",
}
QUOTED = {"3": "Table 3: AliPay", "4": "Table 4: AliExpress"}
METHOD = widgets.Explanation(
    "The mean of every model over its runs with different seeds ± their standard deviation, on the"
    " same test rows. ① is the best of a column, ② the second.",
    "A ★ at AESM² says that it differs significantly from the best baseline of that column: p <"
    " 0.05 after Holm's correction over the cells of that pair. The test takes both sources of"
    " chance into account, the test rows and the training seeds (Obuchowski and Rockette, 1995,"
    " with Hillis's degrees of freedom, 2007, on DeLong's covariances); it is made for the AUC"
    " only. The best of many baselines is partly best by luck, which makes it hard on AESM²."
    " Rows of one user are alike, which the test does not know. “+ ids”: hidden layers or experts"
    " also see the scenario ids. Click a heading to sort.",
    r"t = \frac{\bar d}{\sqrt{S^2 / n + \max(c, 0)}}",
)


@dataclass(frozen=True)
class Options:
    """What is shown. metric: key of MEASURES; by: a scope; ids: key of IDS_TITLES."""

    metric: str
    by: str
    ids: str

    @property
    def measure(self) -> Measure:
        """The measure."""
        return MEASURES[self.metric]

    @property
    def key(self) -> str:
        """Tells one choice from another."""
        return studies.slug(self.metric, self.by, self.ids)


@dataclass(frozen=True)
class Standing:
    """Standings of the chosen variants. runs, comparisons: of these variants only."""

    options: Options
    runs: pd.DataFrame
    comparisons: pd.DataFrame
    shown: Shown

    @property
    def references(self) -> list[str]:
        """The variants that are compared with the others."""
        return list(self.comparisons["reference"].unique())

    @property
    def baselines(self) -> list[str]:
        """All other variants."""
        return [name for name in self.shown.board.means.index if name not in self.references]


def options(study: cache.Study, runs: pd.DataFrame) -> Options:
    """Draw the inputs of the table."""
    measures = [
        key for key, measure in MEASURES.items()
        if runs.loc[runs["scope"].eq(measure.scope or OVERALL), measure.column].notna().any()
    ]  # fmt: skip
    scopes = studies.scopes(study, runs)
    seen = runs["variant"].str.endswith(IDS)
    both = list(IDS_TITLES) if seen.any() and not seen.all() else ["both"]
    with st.container(horizontal=True, vertical_alignment="bottom", key="bench-options"):
        metric = widgets.pick("Measure", "metric", measures, measures[0],
                              lambda key: MEASURES[key].title, width=320)  # fmt: skip
        by = widgets.pick("Scenarios", "bench-by", list(scopes), next(iter(scopes)),
                          scopes.__getitem__, width=170)  # fmt: skip
        ids = widgets.pick(
            "Variants", "ids", both, "both", IDS_TITLES.__getitem__, width=200,
            help="ids: hidden layers or experts also see the scenario ids",
        )  # fmt: skip
    return Options(metric, by, ids)


def standing(study: cache.Study, runs: pd.DataFrame, chosen: Options) -> Standing:
    """Rank the chosen variants."""

    def build() -> Standing:
        every = study.evidence.tables.get("comparisons", pd.DataFrame(columns=COMPARED))
        own, pairs = of_ids(runs, chosen.ids), of_ids(every, chosen.ids)
        lines = standings(own, chosen.measure, chosen.by)
        challenged = challenge(lines, pairs, chosen.measure)
        return Standing(
            chosen, own, pairs, Shown(lines, challenged, board(lines, challenged), chosen.measure)
        )

    return cache.of_study(f"standing {chosen}", study, build)


def verdict(shown: Standing) -> None:
    """Say how AESM² stands against the best baseline."""
    with st.container(border=True, key="bench-verdict"):
        st.markdown("**What this says**")
        if not shown.baselines or shown.shown.challenged.empty:
            st.markdown("- There is nothing to compare AESM² with here.")
            return
        said = sentences(shown.shown.challenged, len(shown.baselines))
        st.markdown("\n".join(f"- {widgets.escaped(sentence)}" for sentence in said))
        if not shown.options.measure.tested:
            st.caption("Differences are tested for the AUC only.")


def table(study: cache.Study, standing: Standing) -> None:
    """Draw the table with its help and its exports."""
    bench_table.draw(study, standing.shown, f"bench-{standing.options.key}", METHOD)


def each_seed(study: cache.Study, shown: Standing) -> None:
    """Draw the value of every run, on demand."""
    box = st.expander("Every run", icon=":material/casino:", key="bench-seeds", on_change="rerun")
    if box.open:
        measure, runs = shown.options.measure, shown.runs
        scopes = [measure.scope] if measure.scope else [shown.options.by, OVERALL]
        own = runs[runs["scope"].isin(scopes)]
        wide = own.pivot_table(
            index=["variant", "scenario", "task"], columns="seed", values=measure.column,
            sort=False, dropna=False, observed=True,
        )  # fmt: skip
        wide = (measure.factor * wide).rename(columns=lambda seed: f"seed {seed}").reset_index()
        with box:
            widgets.table(
                wide.assign(variant=wide["variant"].map(variant_title)),
                f"bench-seeds-{shown.options.key}", studies.stamp(study),
                column_config=bench_table.number_columns(list(wide.columns[3:]), measure.digits),
            )  # fmt: skip


def published(study: cache.Study) -> None:
    """Draw what the paper printed, on demand and apart from what was measured here."""
    box = st.expander("What the paper printed", icon=":material/format_quote:",
                      key="bench-published", on_change="rerun")  # fmt: skip
    if not box.open:
        return
    own = study.evidence.manifest["dataset"]["name"].lower()
    with box:
        number = widgets.pick("Table of the paper", "quoted", list(QUOTED),
                              "4" if "aliexpress" in own else "3", QUOTED.__getitem__,
                              width=240)  # fmt: skip
        lines = figures(int(number)).assign(
            cell=lambda f: [cell_title(*c) for c in zip(f["scenario"], f["task"], strict=True)]
        )
        wide = lines.pivot_table(index="model", columns="cell", values="value", sort=False)
        source = f"quoted from the paper: {SOURCE}, Table {number}, AUC × 100"
        widgets.table(
            wide.reset_index(), f"paper-table-{number}", source,
            column_config=bench_table.number_columns(list(wide.columns), 2),
        )  # fmt: skip
        st.caption(
            f"{source}. These are numbers on other data, from other runs: their order may be"
            " compared with the order above, their height may not."
        )
