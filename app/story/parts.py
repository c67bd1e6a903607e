"""What a step of the story holds, and the titles and notes of all of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import narrow
from app.widgets import Explanation

TYPE, TICKS, CELLS = 15, 13, 14  # of figures' text, to be read from the back of a room
WIDE = 6  # up to so many columns a heatmap's cells are wide enough for large numbers
STAMP = 64  # characters of a line of the stamp: charts stand beside words or each other


@dataclass(frozen=True)
class Chart:
    """A chart, as `widgets.chart` takes it."""

    figure: go.Figure
    key: str
    title: str
    explanation: Explanation
    data: pd.DataFrame
    alt: str
    code: str = ""


@dataclass(frozen=True)
class Step:
    """What a step shows.

    said: sentences, the first the largest. missing: why something is not here. aside: a title and
    sentences that must not be taken for the rest.
    """

    said: list[str] = field(default_factory=list)
    charts: tuple[Chart, ...] = ()
    missing: str = ""
    aside: tuple[str, list[str]] = ("", [])


@dataclass(frozen=True)
class Chapter:
    """What is the same of a step for every model. about: what is being prepared for it.

    maths: in LaTeX, with where it is from. notes: for who speaks.
    """

    title: str
    about: str
    maths: str
    source: str
    notes: tuple[str, ...]


CHAPTERS = (
    Chapter(
        "Many doors to one service",
        "counting the doors",
        r"\hat p_s = \frac{\text{positives}_s}{n_s},\qquad P(y = 1 \mid x, s) \ne P(y = 1 \mid x)",
        "§1 and §3.1",
        (
            "Ask who uses the service through which door before showing the numbers.",
            "The point: the same person behaves differently at another door. One average describes"
            " nobody.",
            "The line through a dot is how sure the rate is; a short line is a sure one.",
        ),
    ),
    Chapter(
        "One model for all trades one against another",
        "comparing the usual models",
        r"\Delta_{s,k}(a, b) = \text{AUC}_{s,k}(a) - \text{AUC}_{s,k}(b)",
        "§4.2",
        (
            "The usual answer is one shared model. Read one cell aloud: better in so many places,"
            " worse in so many.",
            "AUC × 100 is how often the model ranks somebody who will above somebody who will not:"
            " 50 is guessing, 100 perfect.",
            "Say the plain verdict as it stands, also where it is not in favour of AESM².",
        ),
    ),
    Chapter(
        "How it chooses, for one customer",
        "looking for the clearest choice",
        r"E_{sp} = \text{TopK}\big(-\text{KL}(p_j, \tilde G[k,:])\big),\quad"
        r" E_{sh} = \text{TopK}\big(-\text{KL}(q, \tilde G[k,:])\big)",
        "Eq. 10–13, §3.3",
        (
            "A column is a stage of the model, a line an expert. ▲ made for this door, ● good for"
            " everybody, ◆ both, ○ left out.",
            "Nobody wrote a rule for this: the choice is learned, and made again for every visit.",
            "It is the clearest choice that was found, not a typical one; say so if asked.",
        ),
    ),
    Chapter(
        "The same customer through another door",
        "sending the customer through every door",
        r"\hat y_k(x, s) \;\text{ against }\; \hat y_k(x, s')",
        "§3.3",
        (
            "Everything about the visit stays; only the door changes.",
            "Green squares ring the experts whose role is another one than on the page before.",
            "It is what the model would answer, not proof of what the customer would do.",
        ),
    ),
    Chapter(
        "Who shares with whom",
        "measuring who uses the same experts",
        r"d(a, b) = \sqrt{\text{JS}_2(u_a, u_b)}",
        "Fig. 7, §4.5",
        (
            "Low numbers: the two doors lean on the same experts. High numbers: each goes its own"
            " way.",
            "The tree joins the most alike first. Does it match how the business is organised?",
            "Numbers in brackets are within chance.",
        ),
    ),
    Chapter(
        "What breaks when an expert goes",
        "knocking out every expert",
        r"\Delta_{k} = A(\text{without } k) - A",
        "Eq. 10–15, §3.3",
        (
            "Each line is the model with that one expert gone and the next best in its place.",
            "Red is a loss, in points of AUC × 100. Brackets: not told from chance.",
            "Little red means that experts stand in for each other, which is robustness as well as"
            " redundancy.",
        ),
    ),
    Chapter(
        "What it is worth",
        "reading what the ranking is worth",
        r"\Delta = \frac{1000}{L} \sum_{l=1}^{L} \sum_{i=1}^{10}"
        r" \frac{y_{\pi_a(i)} - y_{\pi_b(i)}}{\log_2(1 + i)}",
        "Tables 8 and 9, §4.6, for what is quoted",
        (
            "Two different things are on this page. Ours is computed in a simulated shop; the"
            " quoted numbers are the authors' online test, on other shops and shoppers.",
            "Never call ours an A/B test.",
            "A hollow triangle may be chance; the diamond is what perfect knowledge would bring.",
        ),
    ),
    Chapter(
        "What this cannot show",
        "gathering the limits",
        r"\bar d \pm t_{0.975,\nu} \sqrt{S^2 / n + \max(c, 0)}",
        "Obuchowski and Rockette (1995), Hillis (2007)",
        (
            "End on this page: it is what the rest is trusted for.",
            "A line across zero is a difference that chance explains.",
            "The next step that would show more is a test on real users.",
        ),
    ),
)  # fmt: skip


def chart(
    figure: go.Figure,
    name: str,
    title: str,
    explanation: Explanation,
    data: pd.DataFrame,
    alt: str,
    code: str = "",
) -> Chart:
    """Make a chart of a step, its text large; name: tells the charts of the story apart."""
    figure.update_layout(font={"size": TYPE})
    figure.update_xaxes(tickfont={"size": TICKS})
    figure.update_yaxes(tickfont={"size": TICKS})
    for heat in figure.select_traces({"type": "heatmap"}):
        if np.shape(heat.z)[1] <= WIDE:
            heat.textfont.size = CELLS
    narrow(figure, STAMP)
    return Chart(figure, f"story-{name}", title, explanation, data, alt, code)
