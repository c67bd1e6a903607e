"""What the page of expert cards begins with: its inputs, the gallery, portraits in words."""

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.data.encoder import tasks_exist
from aesm2.data.scenarios import path_index, paths_within
from aesm2.plots import cards as cards_plot
from aesm2.routing.cards import Cards, value_lifts
from aesm2.routing.cards import cards as look
from aesm2.routing.portrait import first_feature, portrait
from app import cache, recipes, state, widgets
from app.atlas import page as atlas
from app.lens import page as lens
from app.lens import rows as lens_rows

NO_SELECTION = (
    "This model has no expert selection, so there are no experts to introduce: it neither chooses"
    " nor leaves out any. Pick an AESM² checkpoint in the bar."
)
GALLERY = widgets.Explanation(
    "Who takes each expert of this layer, and in which role: of a scenario's rows, the share that"
    " takes it as specific, as shared, as both, or not at all.",
    "One panel an expert, one bar a scenario; a full bar is all of its rows. Orange is specific to"
    " the row's own scenario (or task), blue shared by all, purple both at once; the pale rest does"
    " not take it. Click a bar to see that expert's card.",
    r"\frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}[k \in E_{sp}^{(i)}],\quad"
    r" \frac{1}{|R_s|}\sum_{i \in R_s} \mathbf{1}[k \in E_{sh}^{(i)}]",
    "Eq. 10 and 12, §3.3; Fig. 7, §4.5",
)


def options(opened: cache.Opened) -> None:
    """Draw the inputs besides the rows."""
    names = atlas.groupings(opened)
    widgets.pick("Scenarios", "grouping", list(names), atlas.OWN, names.__getitem__, width=190)
    experts = [str(k) for k in range(widgets.current_layer().experts)]
    widgets.pick("Expert", "expert", experts, "0", width=100)


def expert() -> int:
    """Return the expert of the view, after `options`."""
    return int(state.get("expert", "0"))


def grouping(opened: cache.Opened) -> str:
    """Return how rows are grouped: by the layer's own level, the first one in a task layer."""
    wanted, names = state.get("grouping", atlas.OWN), opened.checkpoint.encoder.schema.level_names
    return names[widgets.current_layer().level or 0] if wanted == atlas.OWN else wanted


def target() -> int:
    """Return the target that the experts are looked at for: the bar's task in a task layer."""
    return widgets.current_task() if widgets.current_layer().kind == "task" else 0


def among(opened: cache.Opened, rows: cache.RowSet) -> np.ndarray:
    """Mark the rows of the bar's scenarios, in a task layer those that have the bar's task."""
    schema, scenarios = opened.checkpoint.encoder.schema, rows.batch.scenarios.numpy()
    kept: np.ndarray = paths_within(schema, widgets.current_scenarios())[
        path_index(scenarios, schema)
    ]
    if widgets.current_layer().kind == "task":
        kept = kept & tasks_exist(opened.checkpoint.description, scenarios)[:, target()]
    return kept


def cards(opened: cache.Opened, rows: cache.RowSet) -> Cards | None:
    """Look at the experts of the bar's layer; None, said kindly, where no row is left."""
    layer, kept = widgets.current_layer().name, among(opened, rows)
    if not kept.any():
        st.info("No row here is in the scenarios and has the task chosen above.",
                icon=":material/filter_alt:")  # fmt: skip
        return None
    by = grouping(opened)

    def build() -> Cards:
        with opened.lock:
            return look(opened.checkpoint.model, rows.batch, layer, target(), by, kept)

    with st.spinner("Looking at who takes each expert, a few seconds…"):
        name = f"cards-{layer}-{target()}-{by}-{widgets.current_scenarios()}"
        return cache.found(name, opened.checkpoint, [rows], build)


def lifts(
    opened: cache.Opened, rows: cache.RowSet, found: Cards, k: int, field: int
) -> pd.DataFrame:
    """Return `value_lifts` of one feature for one expert."""
    encoder = opened.checkpoint.encoder
    name = list(opened.checkpoint.description.fields)[field]
    values = rows.batch.fields.numpy()[found.rows, field]
    return value_lifts(values, found.taken[:, k], encoder.value_names(name), name in encoder.edges)


def words(opened: cache.Opened, rows: cache.RowSet, found: Cards, k: int) -> str:
    """Return an expert's portrait."""
    field = first_feature(found, k)
    if field is None:
        return " ".join(portrait(found, k, None, None))
    return " ".join(portrait(found, k, titles(opened)[field], lifts(opened, rows, found, k, field)))


def titles(opened: cache.Opened) -> list[str]:
    """Return what each feature is called."""
    fields = opened.checkpoint.description.fields
    return [feature.title or name for name, feature in fields.items()]


def gallery(opened: cache.Opened, rows: cache.RowSet, found: Cards, stamp: str) -> None:
    """Draw all experts of the layer; a click chooses one."""
    chosen = expert()
    key = f"experts-gallery-{found.spec.name}-{found.by}".replace(".", "-")
    figure = lens_rows.told(  # not of uploads: it names the file, which others may have as well
        opened, rows, f"{key}-{found.target}-{widgets.current_scenarios()}-{chosen}",
        lambda: cards_plot.gallery_figure(found, chosen, stamp),
    )  # fmt: skip
    clicked = widgets.chart(
        figure, key,
        f"All experts of {of_words(found)}: who takes them, in which role", GALLERY,
        cards_plot.gallery_table(found),
        " ".join(words(opened, rows, found, k) for k in range(found.spec.experts)),
        selectable=True,
        code=code(opened, rows, found, f"figure = gallery_figure(found, {chosen}, {stamp!r})",
                  "gallery_figure"),
    )  # fmt: skip
    there = len(cards_plot.drawn_scenarios(found))
    if there < int((found.counted > 0).sum()):
        st.caption(f"Drawn: the {there} scenarios with most rows; Numbers has all.")
    with st.expander("Every expert in two sentences", icon=":material/notes:"):
        atlas.bullets([words(opened, rows, found, k) for k in range(found.spec.experts)])
    if lens.fresh("experts", [key, *clicked] if clicked else []):
        state.put(expert=str(int(clicked[0])))
        st.rerun()


def of_words(found: Cards) -> str:
    """Say which layer, and which task, the experts are of."""
    task = found.spec.gates[found.target] if found.spec.kind == "task" else ""
    return f"{found.spec.name}{f' for {task}' if task else ''}"


def code(opened: cache.Opened, rows: cache.RowSet, found: Cards, end: str, plot: str) -> str:
    """Return the script that makes `found` and draws it with a function of `aesm2.plots.cards`."""
    spec, path = found.spec, widgets.current_scenarios()
    kept = [f"among = paths_within(model.schema, {path!r})[path_index(scenarios, model.schema)]"]
    if spec.kind == "task":
        kept.append(f"among &= tasks_exist(checkpoint.description, scenarios)[:, {found.target}]")
    lines = [
        "from aesm2.data.encoder import tasks_exist",
        "from aesm2.data.scenarios import path_index, paths_within",
        f"from aesm2.plots.cards import {plot}",
        "from aesm2.routing.cards import cards, value_lifts",
        "model, scenarios = checkpoint.model, batch.scenarios.numpy()",
        *kept,
        f"found = cards(model, batch, {spec.name!r}, {found.target}, {found.by!r}, among)",
        end,
    ]
    return recipes.script(opened, rows, "\n".join(lines))
