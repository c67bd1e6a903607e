"""Attributions of one row: the bars, what they add up to, and how far the methods agree."""

import numpy as np
import streamlit as st

from aesm2.attribution import (
    METHODS,
    Attribution,
    GateLogit,
    Logit,
    Margin,
    Method,
    Probability,
    Score,
    Target,
    agreement,
    attribute,
    completeness,
    completeness_words,
)
from aesm2.plots.attribution import attribution_figure, attribution_table, attribution_words
from app import cache, recipes, widgets
from app.attribution.page import Asked
from app.lens import page as lens
from app.lens import row as lens_row

FORMULAS = {
    "held": r"a_i = (x_i - b_i) \int_0^1 \frac{\partial f_E}{\partial x_i}(b + t\,(x - b))\,dt",
    "gradients": r"a_i = (x_i - b_i) \int_0^1 \frac{\partial f}{\partial x_i}(b + t\,(x - b))\,dt",
    "ablation": r"a_i = f(x) - f(x \text{ with } x_i = b_i)",
    "shapley": r"a_i = \mathrm{mean}_\pi\; f(\pi \text{ up to } i) - f(\pi \text{ before } i)",
}
READINGS = {
    "held": "f_E is the model with the row's own choice of experts E held along the whole path, the"
    " mixing weights following the gates, so that it has no jumps (integrated gradients:"
    " Sundararajan et al., 2017).",
    "gradients": "The choice of experts is left free along the path; the jumps where it changes"
    " have no gradient and are lost (integrated gradients: Sundararajan et al., 2017).",
    "ablation": "Each feature alone is put to its baseline, and the model chooses anew.",
    "shapley": "Features come in one after the other, in random orders, each followed by its"
    " reverse, the same for all rows; the model chooses anew each time (Štrumbelj and Kononenko,"
    " 2010).",
}
AGREEMENT = widgets.Explanation(
    "How alike two methods order the features of this row, by the size of the attribution.",
    "ρ (Spearman) and τ (Kendall) are 1 for the same order, 0 for orders that have nothing to do"
    " with each other. The last column counts the features that are among both methods' three"
    " largest. Where methods disagree, the features act together or the choice of experts jumps:"
    " do not tell a story from one of them alone.",
)
COMPLETENESS = widgets.Explanation(
    "What the attributions add up to, and what they should: the target at the row minus the target"
    " at the baseline.",
    "Delta is the sum minus that difference. It is small for integrated gradients with the choice"
    " held (more steps make it smaller) and 0 for Shapley values. Without holding the choice it"
    " keeps the jumps. The baseline differs where the choice is held: the row's experts are used"
    " there too. Changes: in how many pieces of the path the model's own choice changes.",
    r"\delta = \sum_i a_i - (f(x) - f(b))",
)


def section(asked: Asked, stamp: str) -> None:
    """Draw the chart of the chosen method and what the methods say together."""
    found = every_method(asked)
    own = found[asked.method]
    left, right = st.columns([5, 3], gap="medium")
    with left:
        _bars(asked, own, stamp)
    with right:
        st.markdown("**Do they add up?**")
        for words in completeness_words(own):
            st.markdown(f"- {words}")
    left, right = st.columns(2, gap="medium")
    with left:
        widgets.titled("Completeness of every method", COMPLETENESS)
        widgets.table(completeness(found), "attribution-completeness", stamp, column_config={
            name: st.column_config.NumberColumn(format="%.4g")
            for name in ("baseline", "row", "sum", "delta")
        })  # fmt: skip
    if len(asked.features.names) > 1:
        with right:
            widgets.titled("Do the methods agree?", AGREEMENT)
            widgets.table(agreement(found), "attribution-agreement", stamp, column_config={
                "spearman": st.column_config.NumberColumn("ρ", format="%.2f"),
                "kendall": st.column_config.NumberColumn("τ", format="%.2f"),
                "top": st.column_config.NumberColumn("of the top 3"),
            })  # fmt: skip


def every_method(asked: Asked) -> dict[Method, Attribution]:
    """Return the attributions of the row by every method."""
    batch = asked.rows.batch[asked.position : asked.position + 1]

    def build() -> dict[Method, Attribution]:
        baseline, model = asked.baseline(), asked.opened.checkpoint.model
        return {
            method: attribute(
                model, batch, asked.target, method, baseline, asked.features, steps=asked.steps
            )
            for method in METHODS
        }

    return cache.attributed(f"{asked.position}|{asked.key}", asked.opened, asked.rows, build)


def values(asked: Asked) -> list[str]:
    """Return what each feature is in the row, marked where missing or unseen; "" for groups."""
    described = asked.opened.checkpoint.description
    if asked.features.names != tuple(described.fields):
        return [""] * len(asked.features.names)
    flags = lens_row.features(asked.opened.checkpoint, asked.rows, asked.position)["flag"]
    row = asked.rows.frame.iloc[asked.position]
    cells = [row[feature.column or name] for name, feature in described.fields.items()]
    return [f"{_short(cell)} {flag}".strip() for cell, flag in zip(cells, flags, strict=True)]


def _bars(asked: Asked, own: Attribution, stamp: str) -> None:
    told = values(asked)
    by = "feature" if any(told) else "group"
    widgets.chart(
        attribution_figure(own, told, stamp),
        "attribution-row",
        f"What each {by} adds: {asked.title}, against {asked.against}",
        explanation(asked.target, asked.method),
        attribution_table(own, told),
        attribution_words(own),
        code=_code(asked, told, stamp),
    )


def explanation(target: Target, method: Method) -> widgets.Explanation:
    """Return the help of a chart of attributions."""
    direction = " A score is a distance: a feature that lowers it makes the choice more likely." * (
        isinstance(target, Score)
    )
    return widgets.Explanation(
        "How much each feature moves the target from its value at the baseline to its value at this"
        " row. The scenario is not a feature here: it stays the row's own.",
        f"Blue to the right raises, red to the left lowers.{direction} {READINGS[method]} The small"
        " ones are added up in the grey bar. It tells what the model uses, not what causes what.",
        FORMULAS[method],
        f"the target: {_source(target)}",
    )


def _source(target: Target) -> str:
    match target:
        case Probability():
            return "Eq. 18, §3.3 and §4.1"
        case Logit():
            return "Eq. 18, §3.3"
        case GateLogit():
            return "Eq. 7–8, §3.3"
        case Score(role="specific") | Margin(role="specific"):
            return "Eq. 10–11, §3.3"
        case _:
            return "Eq. 12–13, §3.3"


def _short(cell: object) -> str:
    number = isinstance(cell, (float, np.floating)) and not np.isnan(cell)
    return f"{cell:.4g}" if number else lens.spell(cell)


def _code(asked: Asked, told: list[str], stamp: str) -> str:
    at = asked.position
    lines = f"""
from aesm2.plots.attribution import attribution_figure
{asked.code}
found = attribute(checkpoint.model, batch[{at} : {at + 1}], target, {asked.method!r}, baseline,
                  features, steps={asked.steps})
figure = attribution_figure(found, {told!r}, {stamp!r})
"""
    return recipes.script(asked.opened, asked.rows, lines)
