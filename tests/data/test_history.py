"""History features against a loop over all pairs of rows."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.description import History
from aesm2.data.history import history_columns
from aesm2.errors import InputError

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["x", "y"]), st.integers(0, 8), st.integers(0, 1)),
    min_size=1,
    max_size=25,
)


def log(rows: list[tuple[int, str, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user", "tab", "time", "click"])


def slow_history(frame: pd.DataFrame, block: History) -> list[tuple[float, float, float]]:
    """(count, recency, rate of clicks) of every row, by looking at every other row."""
    rows, found = frame.to_dict("records"), []
    for row in rows:
        known = [other for other in rows if row["time"] - other["time"] > block.delay]
        own = [other for other in known if all(other[k] == row[k] for k in block.keys)]
        ages = [row["time"] - other["time"] for other in own]
        rate = math.nan
        if own:
            prior = sum(other["click"] for other in known) / len(known)
            clicks = sum(other["click"] for other in own)
            rate = (clicks + block.smoothing * prior) / (len(own) + block.smoothing)
        found.append((len(ages), min(ages, default=math.nan), rate))
    return found


@given(
    ROWS,
    st.sampled_from([("user",), ("user", "tab")]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0]),
    st.sampled_from([0.5, 10.0]),
)
def test_agrees_with_a_loop_over_pairs(rows, keys, delay: float, smoothing: float) -> None:
    frame = log(rows)
    block = History(name="h", keys=keys, outcomes=("click",), delay=delay, smoothing=smoothing)
    found = history_columns(frame, block, "time")
    assert tuple(found.columns) == block.columns
    np.testing.assert_allclose(found, slow_history(frame, block), rtol=1e-6)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_irrelevant(rows, random) -> None:
    frame = log(rows)
    block = History(name="h", keys=("user",), outcomes=("click",))
    shuffled = frame.loc[random.sample(range(len(frame)), len(frame))]
    found = history_columns(shuffled, block, "time")
    assert list(found.index) == list(shuffled.index)
    pd.testing.assert_frame_equal(found.sort_index(), history_columns(frame, block, "time"))


def test_rows_at_the_same_instant_never_count_for_each_other() -> None:
    frame = log([(0, "x", 5, 1), (0, "x", 5, 1), (0, "x", 6, 0)])
    found = history_columns(frame, History(name="h", keys=("user",), outcomes=("click",)), "time")
    assert found["h_count"].tolist() == [0, 0, 2]
    assert found["h_recency"].tolist()[2] == 1
    assert found["h_click"].isna().tolist() == [True, True, False]


def test_the_label_of_a_row_never_changes_its_own_history() -> None:
    block = History(name="h", keys=("user",), outcomes=("click",))
    frame = log([(0, "x", t, t % 2) for t in range(6)])
    before = history_columns(frame, block, "time")
    frame.loc[3, "click"] = 1 - frame.loc[3, "click"]
    after = history_columns(frame, block, "time")
    pd.testing.assert_frame_equal(after[:4], before[:4])
    assert (after["h_click"][4:] != before["h_click"][4:]).all()


def test_a_delay_hides_rows_that_are_too_recent_to_be_known() -> None:
    frame = log([(0, "x", 0, 1), (0, "x", 10, 0), (0, "x", 20, 0)])
    rates, counts = [], []
    for delay in (0, 9, 10, 19, 20):
        block = History(name="h", keys=("user",), outcomes=("click",), delay=delay, smoothing=1)
        found = history_columns(frame, block, "time")
        rates.append(found["h_click"][2])
        counts.append(found["h_count"][2])
    assert rates == pytest.approx([0.5, 0.5, 1, 1, math.nan], nan_ok=True)
    assert counts == [2, 2, 1, 1, 0]


def test_smoothing_pulls_towards_the_mean_of_all_earlier_rows() -> None:
    frame = log([(0, "x", 0, 1), (1, "x", 0, 0), (2, "x", 1, 0), (0, "x", 1, 0)])
    block = History(name="h", keys=("user",), outcomes=("click",), smoothing=2.0)
    found = history_columns(frame, block, "time")["h_click"]
    assert np.isnan(found[2])
    assert found[3] == pytest.approx((1 + 2 * 0.5) / (1 + 2))


def test_missing_keys_are_a_key_of_their_own() -> None:
    frame = log([(0, "x", 0, 0), (0, None, 1, 0), (0, None, 2, 0)])
    counts = history_columns(frame, History(name="h", keys=("tab",)), "time")["h_count"]
    assert counts.tolist() == [0, 0, 1]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_instants_may_be_timestamps_of_any_unit(unit: str) -> None:
    """They count in seconds; nanoseconds times many keys would not fit 64 bits."""
    keys, days = 3000, 60
    frame = pd.DataFrame(
        {
            "user": np.tile(np.arange(keys), 2),
            "time": pd.to_datetime(np.repeat([0, days], keys), unit="D").as_unit(unit),
            "click": np.repeat([1, 0], keys),
        }
    )
    found = history_columns(frame, History(name="h", keys=("user",)), "time")
    assert found["h_count"].tolist() == [0] * keys + [1] * keys
    assert found["h_recency"][keys:].to_numpy() == pytest.approx(days * 86_400)


@pytest.mark.parametrize("unit", ["s", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_instants_may_have_a_zone(zone: str, unit: str) -> None:
    """Between 1:59 and 3:00 of that night in Paris a minute goes by, of which clocks show 61."""
    utc = pd.to_datetime(["2026-03-29T00:59Z", "2026-03-29T01:00Z"]).as_unit(unit)
    frame = pd.DataFrame({"user": [0, 0], "time": utc.tz_convert(zone)})
    found = history_columns(frame, History(name="h", keys=("user",)), "time")
    assert found["h_count"].tolist() == [0, 1]
    assert found["h_recency"].iloc[1] == 60


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["yesterday", "today"], "source.time: 'time' holds"),
        ([1.0, math.nan], "row 1: 'time' is missing"),
        ([1, 2**63], f"'time' holds {2**63}, beyond 64 bits"),
    ],
)
def test_a_time_that_orders_nothing_is_an_error(times: list[object], message: str) -> None:
    frame = pd.DataFrame({"user": [0, 0], "time": times})
    with pytest.raises(InputError, match=message):
        history_columns(frame, History(name="h", keys=("user",)), "time")


def test_fractions_of_a_time_unit_count() -> None:
    frame = pd.DataFrame({"user": [0, 0, 0], "time": [1.2, 1.7, 1.7]})
    found = history_columns(frame, History(name="h", keys=("user",)), "time")
    assert found["h_count"].tolist() == [0, 1, 1]
    assert found["h_recency"].tolist()[1:] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "row 1: 'click'"),
        ("often", "row 1: 'click'"),
        (10**400, "column 'click' holds a whole number beyond"),
    ],
)
def test_an_outcome_that_is_no_number_is_an_error(bad: object, message: str) -> None:
    frame = pd.DataFrame({"user": [0, 0], "time": [0, 1], "click": [1, bad]})
    with pytest.raises(InputError, match=message):
        history_columns(frame, History(name="h", keys=("user",), outcomes=("click",)), "time")
