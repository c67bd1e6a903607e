"""What columns look like: dates of any form, flags of any spelling, markers of missing values."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from aesm2.data.draft import names
from aesm2.data.draft.dates import date_form
from aesm2.data.draft.profile import Looked, look
from aesm2.data.draft.sample import sample_of

MOMENTS = pd.date_range("2026-10-28 13:05:09.5", periods=20, freq="31h", tz="UTC")
FORMS = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d. %B %Y", "%d-%b-%Y", "%a, %d %b %Y",
    "%A, %B %d, %Y", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f",
    "%m/%d/%Y %I:%M %p", "%m/%d/%Y, %I:%M:%S %p", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S %Z", "%b %d %Y %H:%M",
]  # fmt: skip
NEEDS_A_NAME = ["%Y%m%d", "%Y-%m", "%d.%m.%y", "%m/%d/%y", "%d-%b-%y", "%Y%m%d%H%M%S"]


@pytest.mark.parametrize("form", [*FORMS, *NEEDS_A_NAME])
def test_a_form_is_found_that_reads_what_was_written(form: str) -> None:
    texts = MOMENTS.strftime(form).unique().tolist()
    found = date_form(texts, named=True)
    assert found is not None
    assert found.doubt == ""
    read = pd.to_datetime(pd.Series(texts), format=found.form, utc=True)
    meant = pd.to_datetime(pd.Series(texts), format=form, utc=True)
    pd.testing.assert_series_equal(read, meant)
    assert (date_form(texts, named=False) is None) == (form in NEEDS_A_NAME)


def test_single_digits_and_a_name_of_a_month() -> None:
    found = date_form(["Nov 3, 2026", "Nov 12, 2026"], named=False)
    assert found is not None
    assert found.form == "%b %d, %Y"
    assert date_form(["3/11/2026", "28/11/2026"], named=False).form == "%d/%m/%Y"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("texts", "form", "other"),
    [
        (["03/11/2026", "05/11/2026", "09/11/2026"], "%d/%m/%Y", "%m/%d/%Y"),
        (["11/03/2026", "11/05/2026", "11/09/2026"], "%m/%d/%Y", "%d/%m/%Y"),
        (["11/03/26", "11/05/26"], "%m/%d/%y", "%d/%m/%y"),
        (["03-11-2026 10:00", "04-11-2026 11:30"], "%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M"),
    ],
)
def test_day_and_month_that_could_be_either_lie_close_together(
    texts: list[str], form: str, other: str
) -> None:
    found = date_form(texts, named=True)
    assert found is not None
    assert found.form == form
    spans = [(max(d) - min(d)).days for d in
             (pd.to_datetime(texts, format=f) for f in (form, other))]  # fmt: skip
    assert spans[0] < spans[1]
    assert found.doubt == (
        f"day and month may be the other way round: read as {form} the dates span {spans[0]} days,"
        f" as {other} {spans[1]}"
    )


def test_of_equal_spans_the_day_comes_first() -> None:
    found = date_form(["05/05/2026", "06/06/2026"], named=False)
    assert found is not None
    assert found.form == "%d/%m/%Y"
    assert found.doubt


def test_texts_of_several_precisions_are_iso() -> None:
    texts = ["2026-01-01T10:00:00+01:00", "2026-07-01T10:00:00.5+02:00"]
    assert date_form(texts, named=True).form == "ISO8601"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "texts",
    [
        ["red"], ["1.2.3", "1.2.4"], ["2026-01-01", "soon"], ["2026-02-30"], ["31/31/2026"],
        ["0206-01-01"], ["12:30"], [""], [], ["x" * 50 + "1"], ["2026-01-01", "2026-13-01"],
        ["%d", "1%"],
    ],
)  # fmt: skip
def test_what_is_no_date(texts: list[str]) -> None:
    assert date_form(texts, named=True) is None


# ---- profiles -----------------------------------------------------------------------------------


def looked(**columns: Any) -> Looked:
    return look(sample_of(pd.DataFrame(columns), "t.csv"))


def repeated(*values: object, rows: int = 60) -> list[object]:
    return [values[i % len(values)] for i in range(rows)]


@pytest.mark.parametrize(
    ("values", "positive", "flag"),
    [
        ((0, 1), (), [0, 1]),
        ((True, False), (), [1, 0]),
        ((1.0, 0.0, None), (), [1, 0, np.nan]),
        ((True, None, False), (), [1, np.nan, 0]),
        (("0", "1"), (), [0, 1]),
        ((-1, 1), (1,), [0, 1]),
        (("yes", "no"), ("yes",), [1, 0]),
        (("Y", "N", "y", "?"), ("Y", "y"), [1, 0, 1, np.nan]),
        (("True", "false", "T", "F"), ("T", "True"), [1, 0, 1, 0]),
        (("1", "no", " Yes "), (" Yes ", "1"), [1, 0, 1]),
        (("ja", "nein", "unknown"), ("ja",), [1, 0, np.nan]),
    ],
)
def test_flags_of_any_spelling(
    values: tuple[object, ...], positive: tuple[object, ...], flag: list[float]
) -> None:
    found = looked(x=repeated(*values))
    assert found.profiles["x"].form == "flag"
    assert found.profiles["x"].positive == positive
    np.testing.assert_array_equal(found.flags["x"][: len(flag)], flag)


@pytest.mark.parametrize(
    "values",
    [(1, 2), ("f", "m"), ("yes", "maybe", "no"), ("yes", "y"), (0, 0), (0, 1, 2), ("no", "-")],
)
def test_what_is_no_flag(values: tuple[object, ...]) -> None:
    assert looked(x=repeated(*values)).flags == {}


@pytest.mark.parametrize(
    ("values", "missing", "form"),
    [
        (("1.5", "?", "2"), ("?",), "numbers"),
        (("a", "", "b", "N/A", "\\N", "null"), ("", "N/A", "\\N", "null"), "text"),
        (("5", "unknown", "-999", "-"), ("-", "unknown", "-999"), "numbers"),
        (("2026-01-01", "none", "2026-01-02", "0000-00-00"), ("none", "0000-00-00"), "date"),
        (("red", "unknown", "none"), (), "text"),  # values like others, among words
        (("NA", "DE", "FR"), (), "text"),  # Namibia
        (("NA", "DE", "Berlin"), ("NA",), "text"),
        ((3, 40, -999), (-999,), "numbers"),
        ((3.5, 40.5, -99.0), (-99,), "numbers"),
        ((3, -5, -999), (), "numbers"),  # a number among negative ones
        ((3, 40, -1), (), "numbers"),
        ((3, 40, 999), (), "numbers"),
    ],
)
def test_markers_of_missing_values(
    values: tuple[object, ...], missing: tuple[object, ...], form: str
) -> None:
    found = looked(x=repeated(*values))
    assert set(found.missing) == set(missing)
    assert found.profiles["x"].form == form
    assert found.profiles["x"].missing == pytest.approx(len(missing) / len(values))
    assert found.profiles["x"].distinct == len(values) - len(missing)


def test_a_number_is_a_marker_only_where_it_is_one_in_every_column() -> None:
    temperature = repeated(-999, -5, 20)
    assert looked(x=repeated(3, -999), y=repeated(1, 2)).missing == (-999,)
    assert looked(x=repeated(3, -999), y=temperature).missing == ()


def test_text_that_spells_numbers_is_numbers() -> None:
    found = looked(x=repeated("1.5", "?", "2"))
    assert found.frame["x"].dtype == np.float64
    assert found.frame["x"].iloc[:3].tolist()[0::2] == [1.5, 2.0]


@pytest.mark.parametrize("rows", [60, 2])
def test_whole_numbers_that_no_float_holds_are_names(rows: int) -> None:
    found = looked(user=repeated(10**400, 1, rows=rows), clicked=repeated(0, 1, rows=rows))
    assert found.profiles["user"].form == "text"
    assert found.profiles["user"].distinct == 2


def test_categories_lists_and_columns_of_nothing() -> None:
    found = looked(
        c=pd.Categorical(repeated("a", "b")), lists=[[1]] * 60, empty=[None] * 60,
        dashes=["-"] * 60, one=[7] * 60,
    )  # fmt: skip
    forms = {name: profile.form for name, profile in found.profiles.items()}
    assert forms == {
        "c": "text", "lists": "lists", "empty": "empty", "dashes": "empty", "one": "numbers",
    }  # fmt: skip
    assert [found.profiles[n].distinct for n in ("c", "dashes", "one")] == [2, 0, 1]


@pytest.mark.parametrize(
    ("name", "values", "unique"),
    [
        ("x", [f"v{i}" for i in range(60)], True),
        ("x", list(range(100, 160)), True),  # they count on
        ("x", [i * 37 for i in range(60)], False),  # a measure
        ("order_id", [i * 37 for i in range(60)], True),
        ("x", [i / 7 for i in range(60)], False),
        ("x", [f"v{i // 2}" for i in range(60)], False),
        ("x", [f"v{i}" for i in range(10)], False),  # too few rows to say so
    ],
)
def test_values_that_hardly_repeat(name: str, values: list[object], unique: bool) -> None:
    assert looked(**{name: values}).profiles[name].unique == unique


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("addToCart_7d", "add to cart 7d"), ("IS_CLICK", "is click"), ("é click!", "click")],
)
def test_words_of_a_name(name: str, words: str) -> None:
    assert names.words(name) == words


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (names.OUTCOME, ["click", "isClicked", "add_to_cart", "is_like", "long_view", "ordered"],
         ["likelihood", "viewport", "ordering", "page", "premium", "reviewer"]),
        (names.SCENARIO, ["country", "siteId", "page", "sub_channel", "domain"],
         ["pages_seen", "table", "happy", "opposite"]),
        (names.ID, ["id", "user_id", "userId", "itemid", "row"], ["paid", "bid", "android"]),
        (names.PAST, ["clicks_7d", "avg_ctr", "click_count", "last_order"], ["click", "order"]),
        (names.SALE, ["purchase", "order", "is_sale"], ["click", "sales_channel"]),
    ],
)  # fmt: skip
def test_what_names_tell(pattern: Any, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not names.says(pattern, name)] == []
    assert [name for name in no if names.says(pattern, name)] == []


def test_dates_and_groups_by_name() -> None:
    dates = ["date", "event_date", "created_at", "timestamp", "ts", "day", "orderDate"]
    assert all(names.is_date(name) for name in dates)
    others = ["update", "candidate", "weekday", "time_ms", "days_since_signup", "hour_of_day"]
    assert not any(names.is_date(name) for name in others)
    groups = {
        "user_id": "user", "gender": "user", "item_price": "item", "query": "query",
        "hour": "context", "device_type": "context", "x7": "other", "user_tag": "user",
    }  # fmt: skip
    assert {name: names.group_of(name) for name in groups} == groups
