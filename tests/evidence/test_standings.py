"""Standings by hand-made numbers, and by a loop over all cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.evidence.standings import (
    BETTER,
    CELL,
    EVEN,
    MEASURES,
    UNKNOWN,
    WORSE,
    board,
    cell_title,
    challenge,
    standings,
    variant_title,
    verdict,
)
from tests.evidence import made

AUC = MEASURES["auc"]


def test_titles() -> None:
    assert variant_title("hard_sharing") == "Hard Sharing"
    assert variant_title("mmoe+ids") == "MMoE + ids"
    assert variant_title("w/o noise") == "w/o noise"
    assert cell_title("all", "ctr") == "all rows · CTR"
    assert cell_title("HP → RI", "ctcvr") == "HP → RI · CTCVR"


def test_means_spreads_and_ranks() -> None:
    found = standings(made.runs(), AUC, "country")
    assert set(found["scope"]) == {"country", "all"}
    assert found["scope"].iloc[-1] == "all"
    own = found[(found["scenario"] == "fr") & (found["task"] == "ctr")].set_index("variant")
    for name in made.VARIANTS:
        assert own.loc[name, "mean"] == pytest.approx(100 * made.MEANS[name][1])
        assert own.loc[name, "sd"] == pytest.approx(100 * made.SPREAD * np.sqrt(2))
    assert own["rank"].tolist() == [1, 2, 2, 4, 5]  # two share the second place
    assert own["seeds"].eq(2).all()
    assert own["n"].eq(500).all()
    undefined = found[(found["scenario"] == "it") & (found["task"] == "ctcvr")]
    assert undefined[["mean", "rank"]].isna().all(axis=None)
    assert undefined["seeds"].eq(0).all()


def test_less_log_loss_is_better() -> None:
    auc, loss = (standings(made.runs(), MEASURES[key], "country") for key in ("auc", "log_loss"))
    pd.testing.assert_series_equal(auc["rank"], loss["rank"])
    assert loss["mean"].iloc[0] == pytest.approx(1 - auc["mean"].iloc[0] / 100)


def test_the_weighted_mean_is_a_scope_of_its_own() -> None:
    found = standings(made.runs(), MEASURES["weighted"], "country")
    assert set(found["scope"]) == {"weighted"}
    assert found["mean"].tolist() == pytest.approx([70.0] * 10)


def test_against_the_best_baseline() -> None:
    found = challenge(standings(made.runs(), AUC, "country"), made.comparisons(), AUC)
    own = found[found["reference"] == "aesm2"].set_index(["scenario", "task"])
    told = {cell: (line["baseline"], line["outcome"], line["first"]) for cell, line in
            own.to_dict("index").items()}  # fmt: skip
    assert told == {
        ("fr", "ctr"): ("mmoe", EVEN, True),
        ("it", "ctr"): ("mmoe+ids", WORSE, False),
        ("fr", "ctcvr"): ("mmoe+ids", EVEN, False),
        ("all", "ctr"): ("mmoe+ids", EVEN, False),  # above it, but below AESM² + ids
        ("all", "ctcvr"): ("mmoe", EVEN, False),
    }
    ids = found[found["reference"] == "aesm2+ids"].set_index(["scenario", "task"])
    assert ids.loc[("all", "ctr"), "outcome"] == BETTER
    assert ids.loc[("all", "ctr"), "difference"] == 2.0


def test_what_is_not_tested_is_unknown() -> None:
    loss = MEASURES["log_loss"]
    found = challenge(standings(made.runs(), loss, "country"), made.comparisons(), loss)
    assert set(found["outcome"]) == {UNKNOWN}
    assert found["first"].sum() == 2
    nothing = challenge(standings(made.runs(), AUC, "country"), made.comparisons()[:0], AUC)
    assert nothing.empty


def test_the_verdict_counts_the_cells() -> None:
    found = challenge(standings(made.runs(), AUC, "country"), made.comparisons(), AUC)
    plain, ids = verdict(found, 3)
    assert plain == (
        "AESM² has the best mean in 1 of 5 cells. Against the best of 3 baselines in each cell it"
        " is not distinguishable in 4 and significantly worse in 1."
    )
    assert "AESM² + ids has the best mean in 1 of 5 cells" in ids
    assert ids.endswith(
        "significantly better in 1, not distinguishable in 2 and significantly worse in 2."
    )


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_outcomes_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = made.runs()
    runs["auc"] = rng.choice([0.6, 0.7, 0.8, np.nan], len(runs), p=[0.3, 0.3, 0.3, 0.1])
    told = made.comparisons()
    told["p_adjusted"] = rng.choice([0.01, 0.2, np.nan], len(told))
    told["difference"] = rng.normal(size=len(told))
    found = challenge(standings(runs, AUC, "country"), told, AUC)
    means = runs.groupby(["variant", *CELL])["auc"].mean()
    for line in found.itertuples():
        cell = (line.scope, line.scenario, line.task)
        others = {n: means[(n, *cell)] for n in ("mmoe", "mmoe+ids", "mlp")}
        assert others[line.baseline] == pytest.approx(np.nanmax(list(others.values())))
        own = means[(line.reference, *cell)]
        best = np.nanmax([means[(n, *cell)] for n in made.VARIANTS])
        assert line.first == (own > best - 1e-12 and own > others[line.baseline] + 1e-12)
        pair = (told["reference"] == line.reference) & (told["variant"] == line.baseline)
        for column, value in zip(CELL, cell, strict=True):
            pair &= told[column] == value
        p, difference = told.loc[pair, ["p_adjusted", "difference"]].iloc[0]
        wanted = UNKNOWN if np.isnan(p) else EVEN if p >= 0.05 else \
            BETTER if difference > 0 else WORSE  # fmt: skip
        assert line.outcome == wanted


def test_the_board() -> None:
    lines = standings(made.runs(), AUC, "country")
    of = board(lines, challenge(lines, made.comparisons(), AUC))
    assert of.means.index.tolist() == list(made.VARIANTS)
    assert of.means.columns.tolist()[-2:] == [("all", "ctr"), ("all", "ctcvr")]
    assert of.written(2).loc["aesm2", ("fr", "ctr")] == "75.00 ± 1.41"
    assert of.written(2).loc["aesm2", ("it", "ctcvr")] == "undefined"
    starred = [(v, *cell) for v, row in of.stars.iterrows() for cell, star in row.items() if star]
    assert sorted(starred) == [
        ("aesm2", "it", "ctr"), ("aesm2+ids", "all", "ctcvr"), ("aesm2+ids", "all", "ctr"),
        ("aesm2+ids", "fr", "ctcvr"),
    ]  # fmt: skip
    one_seed = standings(made.runs().query("seed == 0"), AUC, "country")
    bare = board(one_seed, challenge(one_seed, made.comparisons()[:0], AUC))
    assert bare.written(1).loc["mlp", ("fr", "ctr")] == "65.0"
    assert not bare.stars.any(axis=None)
