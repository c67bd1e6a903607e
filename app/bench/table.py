"""A table of models by scenarios and tasks on screen, and what it exports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from aesm2.evidence.latex import latex
from aesm2.evidence.standings import CELL, Board, Measure, cell_title, variant_title
from app import cache, studies, widgets

PLACES = {1: "①", 2: "②"}
COLOURS = {1: "rgba(0, 158, 115, 0.28)", 2: "rgba(0, 158, 115, 0.11)"}


@dataclass(frozen=True)
class Shown:
    """Standings and what follows from them: see aesm2.evidence.standings."""

    lines: pd.DataFrame
    challenged: pd.DataFrame
    board: Board
    measure: Measure


def draw(study: cache.Study, shown: Shown, key: str, explanation: widgets.Explanation) -> None:
    """Draw the table with its help and its exports. key: determines `shown` with the study."""
    measure, source = shown.measure, studies.stamp(study)
    with st.container(key=f"table-{key}"):
        widgets.titled(f"Test {measure.title}, mean over seeds ± standard deviation", explanation)
        styled = cache.of_study(f"styled {key}", study, lambda: _styled(shown))
        st.dataframe(
            styled, height="content", placeholder="undefined", column_config=_columns(shown.board)
        )
        caption = (
            f"Test {measure.title}, mean over seeds and standard deviation. Best bold, second"
            f" underlined; * differs from the best baseline (p < 0.05, Holm). {source}."
        )
        with st.container(horizontal=True):
            widgets.csv(_told(shown), key, source)
            widgets.download("LaTeX", f"{key}.tex", "text/x-tex",
                             lambda: latex(shown.board, measure.digits, caption))  # fmt: skip
        st.caption(
            f"① best, ② second, ★ differs from the best baseline (p < 0.05). {_sizes(shown)}"
            f" {widgets.escaped(source)}."
        )


def number_columns(names: list[Any], digits: int) -> dict[str, Any]:
    """Return how columns of numbers are written."""
    return dict.fromkeys(names, st.column_config.NumberColumn(format=f"%.{digits}f"))


def _styled(shown: Shown) -> Styler:
    """Return the means as numbers, which sort, written and coloured as the table shows them."""
    of = shown.board
    written, names = of.written(shown.measure.digits).to_numpy(), _names(of)
    ranks, stars = of.ranks.to_numpy(), of.stars.to_numpy()
    means = of.means.set_axis(names, axis=1)
    means.index = pd.Index([variant_title(str(v)) for v in means.index], name="model")
    styled = means.style
    for row, variant in enumerate(means.index):
        for column, name in enumerate(names):
            star = " ★" if stars[row, column] else ""
            text = f"{PLACES.get(ranks[row, column], '')} {written[row, column]}{star}".strip()
            styled.format(_always(text), subset=pd.IndexSlice[[variant], [name]])
    colours = of.ranks.map(lambda rank: _css(COLOURS.get(rank))).to_numpy()
    return styled.apply(lambda _: colours, axis=None)  # by the whole: it is done for every drawing


def _css(colour: str | None) -> str:
    return f"background-color: {colour}" if colour else ""


def _always(text: str) -> Callable[[object], str]:
    return lambda _: text


def _names(of: Board) -> list[str]:
    return [cell_title(*cell) for cell in of.means.columns.tolist()]


def _columns(of: Board) -> dict[str, Any]:
    return {name: st.column_config.NumberColumn(width=140) for name in _names(of)}


def _told(shown: Shown) -> pd.DataFrame:
    """Return the table in long form, for export: a line a model and cell."""
    lines = shown.lines.assign(
        model=shown.lines["variant"].map(variant_title), measure=shown.measure.title
    )
    told = shown.challenged.rename(columns={"reference": "variant", "baseline": "best_baseline"})
    whole = lines.merge(told, on=["variant", *CELL], how="left")
    first = ["model", "variant", *CELL, "measure", "mean", "sd", "rank", "seeds", "n", "positives"]
    return whole[[*first, "best_baseline", "difference", "low", "high", "p_adjusted", "outcome"]]


def _sizes(shown: Shown) -> str:
    lines = shown.lines
    known = lines.loc[lines["seeds"] > 0, "seeds"]
    low, high = known.min(), known.max()
    seeds = f"{low}" if low == high else f"{low} to {high}"
    positives = ", ".join(
        f"{own['positives'].iloc[-1]:,} positives of {str(task).upper()}"
        for task, own in lines.groupby("task", sort=False)
    )
    return f"n = {lines['n'].max():,} test rows, {positives}; {seeds} seeds."
