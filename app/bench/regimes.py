"""When choosing experts helps: the regime map, the same whatever study is shown."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from aesm2.evidence.regimes import MANIFEST, leads, read_map
from aesm2.plots import regimes as plot
from app import cache, locations, recipes, widgets

MAKING = "aesm2 regimes configs/evidence/regimes.toml"
STAMP = "simulated data: worlds made to vary one thing at a time, CC0"
MAP = widgets.Explanation(
    "Where AESM² is worth it: points above the line are worlds in which it orders rows better than"
    " the best of its strongest baselines, points below are worlds in which a baseline does.",
    "Each panel moves one thing and leaves the rest at the base point (bold). Every model was tuned"
    " anew at every point, with the same trials. The score is the AUC expected over labels drawn"
    " from the true probabilities; intervals are over seeds of training (Student's t), one world a"
    " point. The best baseline is chosen on the same rows, which is hard on AESM². The intervals"
    " are not corrected for their number: of 40, two miss 0 by chance.",
    r"\bar d \pm t_{0.975,\,n-1}\, S / \sqrt{n}",
)


@dataclass(frozen=True)
class Drawn:
    """A map as it is drawn."""

    made: str
    lines: pd.DataFrame
    figure: go.Figure
    said: str


def section() -> None:
    """Draw the map and say what it shows."""
    folder = locations.regimes()
    if folder is None:
        st.info("There is no regime map here yet. This makes it, in about an hour:",
                icon=":material/science:")  # fmt: skip
        st.code(MAKING, language="bash")
        return
    drawn = cache.of_folder("regimes", folder, MANIFEST, lambda: _drawn(folder))
    st.markdown(widgets.escaped(drawn.said))
    widgets.chart(
        drawn.figure,
        "bench-regimes",
        "AESM² minus the best of its strongest baselines",
        MAP,
        plot.regimes_table(drawn.lines),
        drawn.said,
        code=recipes.of_folder(
            "from aesm2.evidence.regimes import leads, read_map\n"
            "from aesm2.plots import regimes\n"
            f"lines = leads(read_map(Path({recipes.place(folder)!r})).lines)\n"
            f"figure = regimes.regimes_figure(lines, 'AUC × 100', {STAMP!r})"
        ),
    )
    st.caption(f"Made by `{drawn.made}`.")


def _drawn(folder: Path) -> Drawn:
    found = read_map(folder)
    lines = leads(found.lines)
    figure = plot.regimes_figure(lines, "AUC × 100", STAMP)
    return Drawn(found.made, lines, figure, plot.regimes_words(lines))
