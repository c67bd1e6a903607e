"""A slice as text: what is written reads back the same, what is wrong is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.errors import InputError
from aesm2.slices import Missing, OneOf, Range, Slice
from aesm2.slices.text import LONGEST, read

WORDS = st.sampled_from(["missing", "in", "not", "or", "and", "IN", "3", "-1e5", "nan", "inf", ""])
TEXTS = st.one_of(
    st.text(max_size=8), WORDS, st.sampled_from(['a"b', "a\\", "a b", "a&b", "<=", "é"])
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BOUNDS = st.one_of(st.none(), NUMBERS)
RANGES = st.builds(
    Range, TEXTS, st.one_of(BOUNDS), NUMBERS, st.booleans(), st.booleans(), st.booleans()
) | st.builds(Range, TEXTS, NUMBERS, st.none(), st.booleans(), st.booleans(), st.booleans())
CONDITIONS = st.one_of(
    st.builds(OneOf, TEXTS, st.lists(TEXTS, min_size=1, max_size=4).map(tuple), st.booleans()),
    RANGES,
    st.builds(Missing, TEXTS, st.booleans()),
)
SLICES = st.lists(CONDITIONS, max_size=4).map(lambda found: Slice(tuple(found)))


@settings(max_examples=60)
@given(SLICES)
def test_what_is_written_reads_back(own: Slice) -> None:
    assert read(str(own)) == own


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ()),
        ("tab=1", (OneOf("tab", ("1",)),)),
        ("tab != 1 & price>=3", (OneOf("tab", ("1",), True), Range("price", 3.0))),
        ('brand in (a, "b c",c) and age missing',
         (OneOf("brand", ("a", "b c", "c")), Missing("age"))),
        ("brand not in (a)", (OneOf("brand", ("a",), True),)),
        ("age = missing & age != missing", (Missing("age"), Missing("age", True))),
        ('age = "missing"', (OneOf("age", ("missing",)),)),
        ("age not missing", (Missing("age", True),)),
        ("3 <= price < 7 or missing", (Range("price", 3.0, 7.0, or_missing=True),)),
        ("-1 < price <= 1e-7", (Range("price", -1.0, 1e-7, False, True),)),
        ("3 < price", (Range("price", 3.0, None, False),)),
        ("price < 7", (Range("price", None, 7.0),)),
        ('"3" < 7', (Range("3", None, 7.0),)),
    ],
)  # fmt: skip
def test_the_language(text: str, wanted: tuple[object, ...]) -> None:
    assert read(text).conditions == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tab", "at “the end”: one of =, !="),
        ("tab = ", "a value was expected"),
        ("tab = 1 price", "& between two conditions"),
        ("tab = 1 &", "a condition after &"),
        ("tab = in", 'write "in" in quotes'),
        ("tab > x", "a number was expected"),
        ("tab > inf", "a number was expected"),
        ("tab in 1", r"\( and a list"),
        ("tab in (1", r", or \)"),
        ("tab not 3", "in or missing"),
        ("tab > 3 or 5", "missing after or"),
        ('tab = "x', "the quotes do not end"),
        ("tab = a\\b", "not understood"),
        ("= 3", "the name of a column"),
        ("x" * (LONGEST + 1), "longer than"),
        (" & ".join(["a=1"] * 21), "more than 20 conditions"),
    ],
)
def test_what_is_wrong_is_told_with_where(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        own = read(text)
    except InputError:
        return
    assert read(str(own)) == own


def test_a_slice_for_reading() -> None:
    own = read("3 <= price < 7 & tab != 1 & age missing")
    assert own.words == "3 ≤ price < 7 and tab ≠ 1 and age missing"
    assert own.columns == ("price", "tab", "age")
    assert Slice().words == "anything"
