"""Figures of the Bench by their values."""

import numpy as np
import pandas as pd
import pytest

from aesm2.evidence.seesaw import differences, seesaw
from aesm2.evidence.tables import summary
from aesm2.plots.forest import forest_figure, forest_lines, forest_words
from aesm2.plots.style import stamp_of
from aesm2.plots.tradeoff import tradeoff_figure, tradeoff_lines, tradeoff_words
from aesm2.plots.trades import WRITTEN, trades_figure, trades_words
from aesm2.plots.tuning import tuning_figure, tuning_table, tuning_words
from tests.evidence import made


def test_a_forest_by_hand() -> None:
    lines = forest_lines(made.comparisons(), "aesm2", "country", "it", "ctr")
    assert lines["model"].tolist() == ["Shared MLP", "AESM² + ids", "MMoE", "MMoE + ids"]
    figure = forest_figure(lines, "AESM²", "n = 500", "hand-made")
    (dots,) = figure.data
    assert list(dots.x) == [1, -1, -1, -2]
    assert list(dots.error_x.array) == list(dots.error_x.arrayminus) == [1, 1, 1, 1]
    assert list(dots.marker.symbol) == [
        "triangle-right-open", "triangle-left-open", "triangle-left-open", "triangle-left",
    ]  # fmt: skip
    assert list(figure.layout.yaxis.ticktext) == lines["model"].tolist()
    assert "n = 500" in figure.layout.xaxis.title.text
    assert figure.layout.shapes[0].x0 == 0
    assert stamp_of(figure) == "hand-made"
    assert forest_words(lines, "AESM²").startswith("AESM² is significantly ahead of 0 and behind 1")


def test_a_forest_without_intervals_or_values() -> None:
    lines = forest_lines(made.comparisons(), "aesm2", "country", "it", "ctcvr")
    (dots,) = forest_figure(lines, "AESM²", "", "s").data
    assert list(dots.text) == ["\u00a0\u00a0undefined"] * 4
    assert list(dots.marker.size) == [0] * 4
    bare = forest_lines(made.comparisons(), "aesm2", "all", "all", "ctr")
    bare[["low", "high", "p_adjusted"]] = np.nan
    (dots,) = forest_figure(bare, "AESM²", "", "s").data
    assert all(symbol.endswith("-open") for symbol in dots.marker.symbol)
    assert list(dots.error_x.array) == [0] * 4
    assert "no interval" in dots.hovertext[0]


def trades(models: int) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(models, 4))
    lines = [(f"m{i}", f"s{j}", "ctr", v) for i, own in enumerate(values) for j, v in
             enumerate(own)]  # fmt: skip
    return seesaw(differences(pd.DataFrame(lines, columns=["model", "scenario", "task", "value"])))


def test_the_matrix_of_trades() -> None:
    found = trades(3)
    figure = trades_figure(found, "s")
    heat = figure.data[0]
    for line in found.itertuples():
        at = list(heat.y).index(line.reference), list(heat.x).index(line.variant)
        assert heat.z[at] == line.better - line.worse
        assert heat.text[at] == f"{line.better}:{line.worse}"
    assert np.isnan(np.diag(heat.z)).all()
    assert heat.zmax == -heat.zmin == max(1, np.nanmax(np.abs(heat.z)))
    assert trades_words(found).startswith(f"{found['trades'].sum() // 2} of 3 pairs")
    assert trades_figure(trades(WRITTEN + 1), "s").data[0].texttemplate is None


def test_accuracy_against_cost() -> None:
    overall = made.runs().query("scope == 'all' and task == 'ctr'")
    lines = tradeoff_lines(summary(overall.assign(auc=100 * overall["auc"])), made.costs())
    assert lines["variant"].tolist() == list(made.VARIANTS)
    assert lines["frontier"].tolist() == [True, True, False, False, False]
    figure = tradeoff_figure(lines, "n = 1,000", "s")
    cheap, fast = figure.data[:5], figure.data[5:]
    names = ["AESM²", "AESM² + ids", "Shared MLP", "MMoE", "MMoE + ids"]
    assert [dot.name for dot in cheap] == names
    assert [dot.x[0] for dot in cheap] == [1000, 2000, 5000, 3000, 4000]
    assert [dot.x[0] for dot in fast] == pytest.approx([90000, 45000, 18000, 30000, 22500])
    assert [dot.y[0] for dot in cheap] == pytest.approx([72, 73, 65, 70, 71])
    assert [dot.marker.symbol for dot in cheap[:2]] == ["star", "star-open"]
    assert cheap[4].marker.symbol == f"{cheap[3].marker.symbol}-open"
    assert cheap[2].marker.symbol != cheap[3].marker.symbol
    named = [dot.name for dot in figure.data if dot.showlegend]
    assert named == ["AESM²", "Shared MLP", "MMoE"]
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
    half = 12.706204736 * np.sqrt(2) / np.sqrt(2)  # t of one degree of freedom, sd √2
    assert cheap[0].error_y.array[0] == pytest.approx(half)
    assert "AESM² + ids with 73.00 at 2,000" in tradeoff_words(lines)


def test_tuning() -> None:
    trials = made.trials()
    figure = tuning_figure(trials, "s")
    (dots,) = figure.data
    assert list(dots.x[:3]) == pytest.approx([60, 61, 60])
    assert list(dots.y[:6]) == [0, 0, 0, 1, 1, 1]
    assert list(dots.marker.symbol[:3]) == ["circle-open", "diamond", "circle-open"]
    assert figure.layout.yaxis.ticktext[2] == "MMoE (n = 3)"
    assert tuning_words(trials) == (
        "3 trials for each of 5 variants; the chosen ones score 61.00 to 61.00"
    )
    table = tuning_table(trials).set_index("model")
    assert table.loc["MMoE", "auxiliary"].isna().all()
    assert (table.loc["AESM² + ids", "auxiliary"] == 1e-3).all()
