"""What the Impact page is made of, in the words of those who run a shop."""

import functools

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.impact import LISTS, MEASURES, impact, impact_words, signed
from aesm2.evidence.paper import SOURCE
from aesm2.evidence.paper import published as figures
from aesm2.evidence.standings import variant_title
from aesm2.plots.impact import impact_figure
from app import cache, recipes, studies, widgets

TITLES = {"clicks": "Clicks", "purchases": "Purchases", "sales value": "Sales value (GMV)"}
QUOTED = {"ctr": "clicks", "cvr": "purchases per click", "ctcvr": "purchases", "gmv": "sales value"}
CHART = widgets.Explanation(
    "How much more would come of 1,000 searches if their results were ordered by AESM² instead.",
    "A triangle is what to expect: to the right (green) a gain, to the left (purple) a loss. The"
    " line through it is the range that the truth lies in 19 times out of 20, over other searches"
    " and other trainings of both models; a hollow triangle may be chance. The diamond is what an"
    " order by the true chance of a purchase would bring: nobody can sell more often, while clicks"
    " and sales value could be higher still. n is the number of searches that were replayed.",
)
ASSUMPTIONS = (
    "**This is not an A/B test.** No real shopper saw anything. The shop, its shoppers and its"
    " items are simulated, so that it is known how likely every shopper clicks and buys.",
    "**Every search has the same candidates for both models.** They differ only in the order, and"
    " only the first 10 are shown.",
    "**Shoppers look at the first results more than at later ones**: at the second 63 % as often as"
    " at the first, at the third 50 %, at the tenth 29 %. This curve is a convention, not measured;"
    " another one gives other numbers.",
    "**What a shopper does with an item does not depend on the other items shown**, and nobody"
    " stops looking after a purchase.",
    "**The models do not learn from what happens.** In a real shop they would be trained again on"
    " the clicks that their own order caused.",
    "Prices are those of the simulated shop, so sales value is in its own unit of money.",
)


def expected(study: cache.Study) -> None:
    """Draw what to expect of AESM² in a simulated shop."""
    if study.evidence.manifest["dataset"]["provenance"] != "simulated":
        st.info(
            f"“{widgets.escaped(study.evidence.name)}” is a study of logged data: nobody knows what"
            " its users would have done with another order of results, so nothing is claimed here."
            " Pick a study of simulated data above.", icon=":material/info:",
        )  # fmt: skip
        return
    replay = studies.table(study, "replay")
    if replay is None:
        return
    references = list(replay["reference"].unique())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        reference = widgets.pick("Order results by", "ranker", references, references[0],
                                 variant_title, width=180)  # fmt: skip
        others = list(replay.loc[replay["reference"] == reference, "variant"].unique())
        variant = widgets.pick("instead of", "instead", others, others[0], variant_title,
                               width=200)  # fmt: skip
    lines = cache.of_study(
        f"impact {reference} {variant}", study, lambda: impact(replay, reference, variant)
    )
    names = (variant_title(reference), variant_title(variant))
    _headline(lines[lines["scenario"] == OVERALL], names, studies.stamp(study))
    _assumptions()
    st.subheader("Where does it come from?", anchor=False)
    _charts(study, lines, reference, variant)
    studies.made(study, "replay")


def published() -> None:
    """Show the online test of the paper, as numbers of their own."""
    st.markdown(
        "For two weeks the authors let AESM² order the results of AliPay's search for part of its"
        " users, and compared it with the search that had been in use, in percent of the latter."
        " These are other shops and other shoppers: they cannot be set beside the numbers above."
    )
    for number, title in ((8, "All of the search"), (9, "By entrance")):
        wide, notes = cache.told(f"the paper's {number}", [], functools.partial(_quoted, number))
        st.markdown(f"**{title}: change in %**")
        source = f"quoted from the paper: {SOURCE}, Table {number}, online A/B test on AliPay"
        widgets.table(
            wide, f"paper-table-{number}", source, width="content",
            column_config={
                name: st.column_config.NumberColumn(format="%+.2f %%") for name in wide.columns[1:]
            },
        )  # fmt: skip
        st.caption(". ".join([source[:1].upper() + source[1:], *notes]) + ".")


def _quoted(number: int) -> tuple[pd.DataFrame, list[str]]:
    """Return a table of the online test, a line a scenario, and what is to be noted about it."""
    told = figures(number)
    told = told.assign(
        measure=told["task"].map(QUOTED), scenario=told["scenario"].replace(OVERALL, "everywhere")
    )
    wide = told.pivot_table(index="scenario", columns="measure", values="value", sort=False)
    noted = zip(told["measure"], told["note"], strict=True)
    return wide.reset_index(), [f"{measure}: {note}" for measure, note in noted if note]


def _headline(lines: pd.DataFrame, names: tuple[str, str], source: str) -> None:
    with st.container(horizontal=True, key="impact-tiles"):
        for line in lines.to_dict("records"):
            st.metric(
                f"{TITLES[line['measure']]} per {LISTS:,} result lists", signed(line["extra"]),
                f"of {signed(line['possible'])} possible", delta_color="off", delta_arrow="off",
                border=True, width=300,
            )  # fmt: skip
    st.caption(f"{widgets.escaped(source)}; computed, not measured on shoppers.")
    with st.container(border=True, key="impact-says"):
        st.markdown("**What this says**")
        said = [impact_words(line, *names) for line in lines.to_dict("records")]
        st.markdown("\n".join(f"- {widgets.escaped(sentence)}" for sentence in said))


def _assumptions() -> None:
    with st.container(border=True, key="impact-assumptions"):
        st.markdown(":material/rule: **What is assumed**")
        st.markdown("\n".join(f"- {sentence}" for sentence in ASSUMPTIONS))


def _charts(study: cache.Study, lines: pd.DataFrame, reference: str, variant: str) -> None:
    stamp = f"{studies.stamp(study)}; offline replay, no A/B test"
    measures = [m for m in MEASURES if (lines["measure"] == m).any()]
    for measure, place in zip(measures, st.columns(len(measures), gap="medium"), strict=True):
        key = studies.slug("impact", measure, reference, variant)
        own = lines[lines["measure"] == measure]
        with place:
            widgets.chart(
                cache.of_study(
                    f"figure {key}", study, functools.partial(impact_figure, lines, measure, stamp)
                ),
                key,
                f"{TITLES[measure]}: {variant_title(reference)} instead of"
                f" {variant_title(variant)}",
                CHART,
                own.drop(columns="measure"),
                " ".join(
                    f"{line['scenario']}: {signed(line['extra'])}."
                    for line in own.to_dict("records")
                ),
                code=recipes.of_evidence(
                    study,
                    "from aesm2.evidence.impact import impact\n"
                    "from aesm2.plots.impact import impact_figure\n"
                    f"lines = impact(evidence.tables['replay'], {reference!r}, {variant!r})\n"
                    f"figure = impact_figure(lines, {measure!r}, {stamp!r})",
                ),
            )
