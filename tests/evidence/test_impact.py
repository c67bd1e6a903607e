"""What a replay means for a shop, by hand."""

import math

import pandas as pd
import pytest

from aesm2.evidence.impact import impact, impact_words, number, signed
from tests.evidence import made


def line(found: pd.DataFrame, scenario: str, measure: str) -> pd.Series:
    own = found[(found["scenario"] == scenario) & (found["measure"] == measure)]
    return own.iloc[0]


def test_extra_per_thousand_lists_by_hand() -> None:
    """Uplifts of 4 and 6 %: sd √2, so t · √2 / √2 = 12.7 %, and 1 % from the searches."""
    found = impact(made.replay(), "aesm2", "mmoe")
    assert len(found) == 9
    half = math.hypot(1, 12.706204736174694)
    for measure, base in (("clicks", 1000.0), ("purchases", 50.0), ("sales value", 2000.0)):
        own = line(found, "all", measure)
        assert own["baseline"] == pytest.approx(base)
        assert own["extra"] == pytest.approx(0.05 * base)
        assert own["low"] == pytest.approx((0.05 - half / 100) * base)
        assert own["high"] == pytest.approx((0.05 + half / 100) * base)
        assert own["possible"] == pytest.approx(0.5 * base)
        assert own[["lists", "seeds"]].tolist() == [400, 2]
    assert line(found, "fr", "clicks")["extra"] == pytest.approx(-20)
    assert math.isnan(line(found, "it", "clicks")["extra"])


def test_one_seed_has_the_interval_of_the_searches() -> None:
    found = impact(made.replay().query("seed == 0"), "aesm2", "mmoe")
    own = line(found, "all", "clicks")
    assert own[["low", "extra", "high"]].tolist() == pytest.approx([30, 40, 50])


def test_a_list_of_other_length() -> None:
    found = impact(made.replay().assign(shown=5), "aesm2", "mlp")
    assert line(found, "all", "clicks")["extra"] == pytest.approx(25)
    assert line(found, "all", "sales value")["extra"] == pytest.approx(100)


def test_words() -> None:
    gain = {"measure": "clicks", "extra": 40.0, "low": 30.0, "high": 50.0, "possible": 455.2}
    assert impact_words(gain, "AESM²", "MMoE") == (
        "Clicks: 40.0 more per 1,000 result lists with AESM² than with MMoE (between +30.0 and"
        " +50.0); perfect knowledge would bring +455."
    )
    loss = gain | {"measure": "sales value", "extra": -4.0, "low": -5.0, "high": -3.0}
    assert "4.00 less per 1,000" in impact_words(loss, "a", "b")
    assert "chance" in impact_words(gain | {"low": -1.0}, "a", "b")
    assert "too few searches" in impact_words(gain | {"low": math.nan}, "a", "b")
    assert impact_words(gain | {"extra": math.nan}, "a", "b") == "Clicks: nothing to compare."


@pytest.mark.parametrize(
    ("value", "written"),
    [(1234.6, "+1,235"), (-45.67, "−45.7"), (0.001, "0.00"), (3.456, "+3.46"), (0.0, "0.00")],
)
def test_signs(value: float, written: str) -> None:
    assert signed(value) == written
    assert signed(math.nan) == "unknown"
    assert number(99.96) == "100.0"
