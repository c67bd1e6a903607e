"""The smallest change that flips a row's choice: of its gate logits, of one feature."""

import functools
from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.plots.ledger import Ledger, gap_sentence, number
from aesm2.plots.margins import change_figure, change_words
from aesm2.plots.style import Role
from aesm2.routing.counterfactual import features_to_text
from aesm2.routing.flips import MOST, WHICH, FeatureFlips, Which, feature_flips
from aesm2.routing.margins import CHOOSING, Choosing
from aesm2.routing.minimal import SmallestChange, smallest_change
from aesm2.routing.trace import LayerTrace
from app import cache, recipes, state, widgets
from app.lens import page as lens
from app.lens import rows as lens_rows
from app.rows import table as row_table
from app.widgets import Explanation

FEW = 3000  # alternatives tried unless all are asked for; a second or two
CHANGE = Explanation(
    "The least that has to be added to the row's gate matrix for another expert to be chosen.",
    "Two lines of G move, all others stay: “out” leaves the set, “in” takes its place. Blue is"
    " added, red taken away. Their Euclidean norm says how near the flip is, in gate logits.",
    r"\min \lVert \Delta \rVert_2 \;\text{ so that }\; \mathrm{KL}(\cdot, \tilde G'[a,:]) ="
    r" \mathrm{KL}(\cdot, \tilde G'[b,:]),\; G' = G + \Delta",
    "for Eq. 7–13, §3.3",
)
FEATURES = Explanation(
    "Every feature changed alone, to each value the model knows: are other experts chosen?",
    "One line a feature. ✓: some value flips the choice; shown is the one with the fewest buckets"
    " of change and, among those, the widest margin left. Otherwise the value that comes nearest."
    " Columns of the past change one by one here, though in life they would move together. Click a"
    " line to open the row in the Lens with that change.",
)


def logits(opened: cache.Opened, rows: cache.RowSet, position: int, layer: LayerTrace,
           of: Ledger, stamp: str) -> None:  # fmt: skip
    """Draw the smallest change of gate logits for both choices."""
    st.subheader("The smallest change of the gate logits that flips it", anchor=False)
    places = st.columns(2, gap="medium")
    for place, choosing in zip(places, CHOOSING, strict=True):
        with place:
            found = _smallest(opened, rows, position, layer, choosing)
            if found is None:
                st.info(gap_sentence(of, choosing), icon=":material/info:")
                continue
            key = f"geometry-change-{choosing}-{of.spec.name}".replace(".", "-")
            code = _logits_code(opened, rows, position, choosing, stamp)
            build = functools.partial(change_figure, found, of.spec.gates, stamp)
            widgets.chart(
                lens_rows.drawn(opened, rows, position)(code, build), key,
                f"{Role(choosing).glyph} {choosing.capitalize()} choice: change of G", CHANGE,
                of.matrix(found.change), change_words(found), code=code,
            )  # fmt: skip
            st.caption(change_words(found) + _against_noise(opened, found))


def features(opened: cache.Opened, rows: cache.RowSet, position: int, stamp: str) -> None:
    """Draw which single feature flips the choice of the layer of the view."""
    title = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = {"either": "either set", "specific": "the specific set", "shared": "the shared set"}
        chosen = widgets.pick("Flips", "flips", list(WHICH), "either", names.__getitem__, width=170)
        most = widgets.pick("Values tried", "tried", [str(FEW), str(MOST)], str(FEW),
                            lambda text: f"up to {int(text):,}", width=150)  # fmt: skip
    with title:
        script = _features_code(opened, rows, position, most, chosen)
        widgets.titled("The smallest change of one feature that flips it", FEATURES, script)
    which: Which = next(name for name in get_args(Which) if name == chosen)
    found = _flips(opened, rows, position, int(most))
    best = found.best(which)
    _told(found, best, names[which])
    table = flips_table(opened, found, best)
    scope = f"{rows.frame.index[position]}{found.layer}{found.task}{which}{most}"
    content = f"{opened.checkpoint.hash}{rows.id}{scope}"
    line, new = row_table.choose(table, "geometry-flips", content, column_config={
        "margin left, nats": st.column_config.NumberColumn(format="%.3g"),
    })  # fmt: skip
    widgets.csv(table, "geometry-flips", stamp)
    if line is not None and new:
        change = best.iloc[line]
        name = str(rows.frame.index[position])
        state.put(row=name, set=features_to_text({change["feature"]: change["value"]}))
        st.switch_page("views/lens.py")


def flips_table(opened: cache.Opened, found: FeatureFlips, best: pd.DataFrame) -> pd.DataFrame:
    """Present `FeatureFlips.best` in words, with the view's task before and after."""
    described = opened.checkpoint.description
    task = described.task[widgets.current_task()].name
    before = found.before[task]
    sets = np.array(["–", "shared", "specific", "both"], dtype=object)
    changed = 2 * best["specific"].to_numpy(int) + best["shared"].to_numpy(int)
    titles = [described.fields[name].title or name for name in best["feature"]]
    return pd.DataFrame(
        {
            "feature": titles,
            "flips": np.where(best["flips"], "✓", "–"),
            "now": best["from"],
            "change to": best["to"],
            "buckets": best["buckets"].astype("Int64"),
            "set that differs": sets[changed],
            "margin left, nats": best["margin"],
            "values that flip": [
                f"{a:,} of {b:,}" for a, b in zip(best["flipping"], best["tried"], strict=True)
            ],
            f"p{task.upper()} now": lens.percent(before),
            "after": [lens.percent(value) for value in best[task]],
            "difference": [lens.points(value - before) for value in best[task]],
        }
    )


def _told(found: FeatureFlips, best: pd.DataFrame, names: str) -> None:
    flipping = int(best["flips"].sum())
    tried, known = len(found.alternatives), found.known
    part = "" if tried == known else (
        f" of {known:,}: of features with many values only some, drawn with seed 0"
    )  # fmt: skip
    if flipping:
        said = f"**{flipping} of {len(best)} features** can flip {names} of {found.layer} alone."
    else:
        said = (
            f"**No feature** flips {names} of {found.layer} alone: what the row says in any one"
            " field does not decide this call. The table shows what comes nearest."
        )
    st.markdown(said)
    st.caption(f"Tried {tried:,} single-feature changes{part}; scenarios stay as they are.")


def _smallest(
    opened: cache.Opened, rows: cache.RowSet, position: int, layer: LayerTrace, choosing: Choosing
) -> SmallestChange | None:
    task = widgets.current_task()
    key = f"geometry-change-{layer.name}-{task}-{choosing}-{position}"

    def build() -> SmallestChange | None:
        return smallest_change(layer, 0, task if layer.kind == "task" else 0, choosing)

    return cache.found(key, opened.checkpoint, [rows], build)


def _flips(opened: cache.Opened, rows: cache.RowSet, position: int, most: int) -> FeatureFlips:
    layer, task = widgets.current_layer().name, widgets.current_task()

    def build() -> FeatureFlips:
        with opened.lock, st.spinner("Trying every single-feature change of the row, a few"
                                     " seconds…"):  # fmt: skip
            return feature_flips(opened.checkpoint, rows.frame.iloc[[position]], layer, task, most)

    key = f"geometry-flips-{layer}-{task}-{most}-{position}"
    return cache.found(key, opened.checkpoint, [rows], build)


def _against_noise(opened: cache.Opened, found: SmallestChange) -> str:
    """Compare a change with the noise of Eq. 8 that the model was trained with."""
    scale = getattr(opened.checkpoint.config.model, "noise_scale", 0.0)
    deviation = scale * len(found.change)
    if not deviation:
        return ""
    return (
        f" In training each gate logit had noise of standard deviation {number(deviation)} (Eq. 8):"
        f" the flip is {number(found.norm / deviation)} of these away."
    )


def _logits_code(
    opened: cache.Opened, rows: cache.RowSet, position: int, choosing: Choosing, stamp: str
) -> str:
    spec = widgets.current_layer()
    task = widgets.current_task() if spec.kind == "task" else 0
    lines = [
        "from aesm2.plots.margins import change_figure",
        "from aesm2.routing.minimal import smallest_change",
        f"layer = checkpoint.trace(rows.iloc[[{position}]]).layer({spec.name!r})",
        f"found = smallest_change(layer, 0, {task}, {choosing!r})",
        f"figure = change_figure(found, layer.gates, {stamp!r})",
    ]
    return recipes.script(opened, rows, "\n".join(lines))


def _features_code(
    opened: cache.Opened, rows: cache.RowSet, position: int, most: str, which: str
) -> str:
    layer, task = widgets.current_layer().name, widgets.current_task()
    lines = [
        "from aesm2.routing.flips import feature_flips",
        f"row = rows.iloc[[{position}]]",
        f"found = feature_flips(checkpoint, row, {layer!r}, {task}, most={most})",
        f"best = found.best({which!r})",
    ]
    script = recipes.script(opened, rows, "\n".join(lines))
    return script.removesuffix("figure.show()") + "print(best)"
