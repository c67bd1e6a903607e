"""One expert's card: what its rows have in common, what depends on it, its company, its history."""

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import PATH, existing
from aesm2.inference import probabilities
from aesm2.plots import cards as cards_plot
from aesm2.plots import paired as paired_plot
from aesm2.plots.style import Role
from aesm2.routing.cards import ROLE_NAMES, Cards, knockout, role_history
from aesm2.routing.portrait import features_ranked, knockout_words
from app import cache, recipes, state, widgets
from app.experts import page as experts
from app.lens import page as lens

NO_LABELS = (
    "These rows have no labels, so ranking cannot be measured: choose a split of the dataset above,"
    " or upload rows with labels."
)
FEATURES = widgets.Explanation(
    "How differently each feature is distributed among the rows that take this expert and among"
    " all others of the layer.",
    "0 is no more than a random draw of as many rows would differ, 1 is no value in common; a"
    " hollow mark is within what 95 % of such draws do. The scenario itself often explains much of"
    " it: choose one in the bar to look within it. Rows of one user are alike, so a little above 0"
    " proves little. Click a mark to see the feature's values.",
    r"\frac{\mathrm{JS}_2(p, q) - E}{1 - E}\quad\text{(bits; E: by chance, Vinh et al., 2010)}",
)
LIFTS = widgets.Explanation(
    "How much more often rows with a value take this expert than all rows do; the same number says"
    " how much more common the value is among the expert's rows than among all.",
    "Right of 1: the value draws the expert; left of it: it keeps it away. Hollow marks hold 1 in"
    " their interval. n is the number of rows with the value. The interval is Wilson's for the"
    " share of them that take the expert, over the expert's share of all rows, which is taken as"
    " known.",
    r"\mathrm{lift}(v) = \frac{P(v \mid k)}{P(v)} = \frac{P(k \mid v)}{P(k)}",
)
KNOCKOUT = widgets.Explanation(
    "What happens to ranking when this expert is taken out: its score is set to +∞ in both choices,"
    " so the next best expert takes its place, and every row is predicted again.",
    "Left of zero: the model ranks worse without it, so it is needed. The interval is DeLong's for"
    " the difference of two AUCs on the same rows; hollow: it holds zero. Other experts were"
    " trained beside it and are not trained again, so this is what the trained model leans on, not"
    " what a model without it could learn. “Undefined”: a class is missing.",
    r"\Delta = \mathrm{AUC}_{\text{without } k} - \mathrm{AUC}",
    "Eq. 10 and 12, §3.3",
)
TOGETHER = widgets.Explanation(
    "Which experts are taken by the same rows, in whatever role, against what independent choices"
    " would give.",
    "Blue: together more often than by chance; red: less often; the scale is log₂, so +1 is twice"
    " as often. The framed line is this expert's. A row takes few experts, so sets drawn blindly"
    " lie below 1 as well; the line below the chart says where.",
    r"\mathrm{lift}(k, l) = \frac{P(k, l)}{P(k)\,P(l)}",
)
HISTORY = widgets.Explanation(
    "How the expert found its role while the model learned: the share of validation rows that took"
    " it as specific and as shared, at each measurement.",
    "A line that settles is a role that was found; one that jumps late is a choice that training"
    " had not yet made. The dotted line is the step whose weights were kept: the best on validation"
    " rows; what follows it was dropped. All validation rows count, whatever the bar says.",
    "",
    "Eq. 10 and 12, §3.3; Fig. 7, §4.5",
)


def show(opened: cache.Opened, rows: cache.RowSet, found: Cards, stamp: str) -> None:
    """Draw the card of the view's expert."""
    k = experts.expert()
    st.subheader(f"Expert {k} of {experts.of_words(found)}", anchor=False)
    with st.container(border=True, key="experts-portrait"):
        st.markdown(widgets.escaped(experts.words(opened, rows, found, k)))
    _roles(found, k)
    if found.taken[:, k].any() and not found.taken[:, k].all():
        _common(opened, rows, found, k, stamp)
    else:
        every = "Every row takes" if found.taken[:, k].any() else "No row takes"
        st.info(f"{every} this expert, so nothing can set its rows apart.",
                icon=":material/info:")  # fmt: skip
    st.subheader("What depends on it", anchor=False)
    _knockout(opened, rows, k, stamp)
    left, right = st.columns(2, gap="medium")
    with left:
        _together(opened, rows, found, k, stamp)
    with right:
        _history(opened, found, k)


def _roles(found: Cards, k: int) -> None:
    """Show the expert's share of each scenario's rows, by role."""
    table = cards_plot.gallery_table(found)
    own = table[(table["expert"] == k) & (table["rows"] > 0)]
    shown = own.drop(columns=["layer", "task", "expert"]).rename(
        columns={role: f"{Role(role).glyph} {role}" for role in ROLE_NAMES}
    )
    formats = {name: st.column_config.NumberColumn(format="percent") for name in shown.columns[2:]}
    st.dataframe(shown, hide_index=True, column_config=formats, height=35 + 35 * min(len(shown), 6))


def _common(opened: cache.Opened, rows: cache.RowSet, found: Cards, k: int, stamp: str) -> None:
    """Draw what the expert's rows have in common."""
    st.subheader("What its rows have in common", anchor=False)
    names = list(opened.checkpoint.description.fields)
    titles, order = experts.titles(opened), features_ranked(found, k)
    options = [names[f] for f in order]
    title_of = dict(zip(names, titles, strict=True))
    wanted = state.get("feature")
    now = wanted if wanted in options else options[0]
    st.selectbox("Feature", options, format_func=title_of.__getitem__, width=280,
                 **state.bind("feature", now))  # fmt: skip
    field = names.index(now)
    left, right = st.columns(2, gap="medium")
    with left:
        figure = cards_plot.feature_figure(found.drift, k, order, titles, field, stamp)
        clicked = widgets.chart(
            figure, "experts-features", "Features that set its rows apart", FEATURES,
            _feature_table(found, k, order, titles),
            f"{titles[order[0]]} sets its rows apart most", selectable=True,
            code=experts.code(opened, rows, found, (
                f"from aesm2.routing.portrait import features_ranked\n"
                f"order = features_ranked(found, {k})\n"
                f"figure = feature_figure(found.drift, {k}, order, {titles!r}, {field}, {stamp!r})"
            ), "feature_figure"),
        )  # fmt: skip
    if lens.fresh("experts-feature", [k, found.spec.name, *clicked] if clicked else []):
        state.put(feature=names[int(clicked[0])])
        st.rerun()
    table = experts.lifts(opened, rows, found, k, field)
    ordered = now in opened.checkpoint.encoder.edges
    lines = (
        f"values = batch.fields.numpy()[found.rows, {field}]\n"
        f"names = checkpoint.encoder.value_names({now!r})\n"
        f"table = value_lifts(values, found.taken[:, {k}], names, ordered={ordered})\n"
        f"figure = lift_figure(table, {stamp!r})"
    )
    with right:
        widgets.chart(
            cards_plot.lift_figure(table, stamp), "experts-lift",
            f"Values of {title_of[now]}", LIFTS, table,
            f"Lift of the values of {title_of[now]} from {table['lift'].min():.2f} to"
            f" {table['lift'].max():.2f}",
            code=experts.code(opened, rows, found, lines, "lift_figure"),
        )  # fmt: skip


def _feature_table(found: Cards, k: int, order: list[int], titles: list[str]) -> pd.DataFrame:
    drift = found.drift
    return pd.DataFrame({
        "feature": [titles[f] for f in order], "rows that take it": drift.rows[0, k],
        "other rows": drift.rows[1, k], "divergence (bits)": drift.divergence[order, k],
        "by chance": drift.chance[order, k], "95 % of chance": drift.level[order, k],
        "beyond chance": drift.adjusted[order, k], "clear": drift.beyond_chance[order, k],
    })  # fmt: skip


def _knockout(opened: cache.Opened, rows: cache.RowSet, k: int, stamp: str) -> None:
    """Draw what the model loses without the expert."""
    layer, checkpoint = widgets.current_layer(), opened.checkpoint
    if not rows.labels:
        st.info(NO_LABELS, icon=":material/label_off:")
        return
    if layer.experts < 2:
        st.info(f"{layer.name} has a single expert: without it there is no model.")
        return

    def build() -> pd.DataFrame:
        with opened.lock:
            with_it = probabilities(checkpoint.model, rows.batch)
            return knockout(checkpoint.model, rows.batch, layer.name, k, with_it)

    with st.spinner(f"Predicting {len(rows.frame):,} rows without expert {k}, a few seconds…"):
        table = cache.found(f"knockout-{layer.name}-{k}", checkpoint, [rows], build)
    tasks = [task.name for task in checkpoint.description.task]
    st.markdown(widgets.escaped(knockout_words(table, tasks)))
    task = tasks[widgets.current_task()]
    lines = paired_plot.of_task(table, task)
    title = f"without expert {k} minus with it,<br>AUC × 100 (points)"
    widgets.chart(
        paired_plot.paired_figure(lines, title, stamp), "experts-knockout",
        f"Ranking of {task} without expert {k}", KNOCKOUT, table, paired_plot.paired_words(lines),
        code=recipes.script(opened, rows, "\n".join([
            "from aesm2.inference import probabilities",
            "from aesm2.plots.paired import of_task, paired_figure",
            "from aesm2.routing.cards import knockout",
            "predicted = probabilities(checkpoint.model, batch)",
            f"table = knockout(checkpoint.model, batch, {layer.name!r}, {k}, predicted)",
            f"figure = paired_figure(of_task(table, {task!r}), {title!r}, {stamp!r})",
        ])),
    )  # fmt: skip
    st.caption("All rows count here, whatever scenarios the bar shows.")


def _together(opened: cache.Opened, rows: cache.RowSet, found: Cards, k: int, stamp: str) -> None:
    """Draw which experts are taken together."""
    widgets.chart(
        cards_plot.together_figure(found, k, stamp), "experts-together",
        "Taken together: lift over independence", TOGETHER, cards_plot.together_table(found),
        experts.words(opened, rows, found, k),
        code=experts.code(opened, rows, found, f"figure = together_figure(found, {k}, {stamp!r})",
                          "together_figure"),
    )  # fmt: skip
    if found.spec.experts > 1:
        st.caption(f"Sets of the same sizes drawn blindly: lift {found.blind_lift:.2f}.")


def _history(opened: cache.Opened, found: Cards, k: int) -> None:
    """Draw the expert's shares over training."""
    checkpoint = opened.checkpoint
    history = checkpoint.utilisation_history()
    if not history:
        st.info("This checkpoint kept no record of its experts while it was trained.",
                icon=":material/info:")  # fmt: skip
        return
    exists = existing(checkpoint.description, checkpoint.encoder.schema, PATH)
    table = role_history(history, found.spec.name, found.target, k, exists)
    name, stamp = found.spec.name, f"{widgets.stamp()}, validation split"
    widgets.chart(
        cards_plot.history_figure(table, checkpoint.steps, stamp), "experts-history",
        "How its role grew over training", HISTORY, table,
        f"From step {table['step'].iloc[0]:,} to {table['step'].iloc[-1]:,} its share as specific"
        f" went from {table['specific'].iloc[0]:.0%} to {table['specific'].iloc[-1]:.0%}",
        code=recipes.script(opened, None, "\n".join([
            "from aesm2.data.scenarios import PATH, existing",
            "from aesm2.plots.cards import history_figure",
            "from aesm2.routing.cards import role_history",
            "history = checkpoint.utilisation_history()",
            "exists = existing(checkpoint.description, checkpoint.encoder.schema, PATH)",
            f"table = role_history(history, {name!r}, {found.target}, {k}, exists)",
            f"figure = history_figure(table, checkpoint.steps, {stamp!r})",
        ])),
    )  # fmt: skip
