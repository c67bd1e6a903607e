"""Bench: is AESM² better than the models one would use instead?"""

import streamlit as st

from app import studies
from app.bench import ablation as bench_ablation
from app.bench import charts as bench_charts
from app.bench import page as bench
from app.bench import regimes as bench_regimes


def page() -> None:
    """Draw the page: verdict, standings, differences, trades, costs, tuning, ablation, regimes."""
    st.header("Bench: is it better than what one would use instead?", anchor=False)
    st.caption(
        "AESM² and other models, trained on the same rows with the same budget, measured on the"
        " same test rows; how sure each difference is, and what it costs."
    )
    study = studies.chosen()
    if study is None:
        return
    studies.facts(study)
    runs = studies.table(study, "runs")
    if runs is not None:
        chosen = bench.options(study, runs)
        standing = bench.standing(study, runs, chosen)
        bench.verdict(standing)
        bench.table(study, standing)
        bench.each_seed(study, standing)
        bench.published(study)
        st.subheader("How large is the difference, and how sure?", anchor=False)
        bench_charts.forest(study, standing)
        st.subheader("Who trades with whom?", anchor=False)
        bench_charts.trades(study, standing)
        st.subheader("What does it cost?", anchor=False)
        bench_charts.cost(study, standing)
        st.subheader("Was every model tuned with the same care?", anchor=False)
        bench_charts.tuning(study, standing)
    st.subheader("Which parts of AESM² does it owe this to?", anchor=False)
    bench_ablation.section(study)
    st.subheader("When does choosing experts help?", anchor=False)
    bench_regimes.section()


page()
