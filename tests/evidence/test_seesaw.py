"""Who trades cells with whom: by hand, by counting, and in the paper's tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.evidence.paper import published
from aesm2.evidence.seesaw import differences, seesaw

CELLS = [("NL", "ctr"), ("NL", "ctcvr"), ("FR", "ctr")]


def figures(values: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(model, *cell, value) for model, line in values.items()
         for cell, value in zip(CELLS, line, strict=True)],
        columns=["model", "scenario", "task", "value"],
    )  # fmt: skip


def line(found: pd.DataFrame, reference: str, variant: str) -> list[object]:
    own = found[(found["reference"] == reference) & (found["variant"] == variant)]
    return own[["cells", "better", "worse", "trades"]].iloc[0].tolist()


def test_by_hand() -> None:
    values = {"a": [71.0, 80.0, 60.0], "b": [70.0, 81.0, 60.0], "c": [72.0, 82.0, np.nan]}
    found = seesaw(differences(figures(values)))
    assert len(found) == 6
    assert line(found, "a", "b") == [3, 1, 1, True]
    assert line(found, "b", "a") == [3, 1, 1, True]
    assert line(found, "a", "c") == [2, 0, 2, False]
    assert line(found, "c", "a") == [2, 2, 0, False]


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=2, max_size=4),
    st.integers(0, 3),
)
def test_counts_are_those_of_a_loop(values: list[list[int]], margin: int) -> None:
    named = {f"m{number}": [float(v) for v in own] for number, own in enumerate(values)}
    found = seesaw(differences(figures(named)), margin)
    assert len(found) == len(named) * (len(named) - 1)
    for a, b in itertools.permutations(named, 2):
        gaps = [x - y for x, y in zip(named[a], named[b], strict=True)]
        better, worse = (sum(sign * gap > margin for gap in gaps) for sign in (1, -1))
        assert line(found, a, b) == [3, better, worse, better > 0 and worse > 0]


def test_seeds_are_averaged() -> None:
    one, other = figures({"a": [70, 80, 60], "b": [71, 80, 60]}), figures({"a": [74, 80, 59]})
    found = differences(pd.concat([one, other]))
    own = found[found["reference"] == "a"].set_index(["scenario", "task"])["difference"]
    assert own.to_dict() == {("NL", "ctr"): 1, ("NL", "ctcvr"): 0, ("FR", "ctr"): -0.5}


def test_only_significant_differences_count_where_a_level_is_given() -> None:
    """A pair given in one order counts in both; the same scenario of another scope is apart."""
    lines = [("all", "all", 0.5, 0.01), ("path", "all", 0.5, 0.2),
             ("path", "NL", -0.3, 0.04), ("path", "FR", -0.3, np.nan)]  # fmt: skip
    compared = pd.DataFrame(lines, columns=["scope", "scenario", "difference", "p_adjusted"])
    compared = compared.assign(reference="a", variant="b", task="ctr")
    found = seesaw(compared, level=0.05)
    assert line(found, "a", "b") == line(found, "b", "a") == [4, 1, 1, True]
    assert line(seesaw(compared), "b", "a") == [4, 2, 2, True]
    assert line(seesaw(compared, level=0.02), "b", "a") == [4, 0, 1, False]
    assert line(seesaw(compared, margin=0.4), "a", "b") == [4, 2, 0, False]


@pytest.mark.parametrize("table", [3, 4])
def test_aesm2_trades_with_no_one_and_the_baselines_do_with_each_other(table: int) -> None:
    """§4.2: PLE and MMoE trade on AliPay, STAR and HMoE on AliExpress."""
    found = seesaw(differences(published(table)))
    aesm2 = found[found["reference"] == "AESM²"]
    assert (aesm2["better"] == 10).all()
    assert len(aesm2) == 7
    traders = {3: ("PLE", "MMoE"), 4: ("STAR", "HMoE")}[table]
    assert line(found, *traders)[3]
    assert found.query("reference != 'AESM²' and variant != 'AESM²'")["trades"].sum() > 10
