"""What a slice means for a dataset, held against pandas; and the same rows in fewer words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.dataset import Dataset
from aesm2.data.description import Description
from aesm2.errors import InputError
from aesm2.slices import (
    Condition,
    Missing,
    OneOf,
    Range,
    Slice,
    conjoined,
    mask,
    parse,
    simplified,
    within,
)
from aesm2.slices.text import read
from tests import small

QUERIES = {
    "price >= 3": "price >= 3",
    "price < 3": "price < 3",
    "3 < price <= 6": "3 < price <= 6",
    "price = 1.50": "price == 1.5",
    "price not in (0, 1.5)": "price not in [0, 1.5]",
    "age > 30": "age > 30",
    "age > 30 or missing": "age > 30 or age.isna()",
    "age missing": "age.isna()",
    "age not missing": "age.notna()",
    "age != 30": "age != 30",  # pandas too: a missing age is not 30
    "brand = 1": "brand == 1",
    "brand in (0, 3) & user < 20": "brand in [0, 3] and user < 20",
    "brand != 1 & page = 0": "brand != 1 and page == 0",
    "country = fr": "country == 'fr'",
    "country = elsewhere": "country == 'xx'",
    "country != elsewhere & price >= 3": "country != 'xx' and price >= 3",
    "country not in (fr, it)": "country not in ['fr', 'it']",
    "page >= 1": "page >= 1",
    "": "price == price",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.open(small.dataset())


@pytest.fixture(scope="module")
def frame(dataset: Dataset) -> pd.DataFrame:
    return dataset.frame()


@pytest.mark.parametrize(("text", "query"), QUERIES.items(), ids=QUERIES)
def test_a_mask_is_that_of_pandas(
    dataset: Dataset, frame: pd.DataFrame, text: str, query: str
) -> None:
    own = parse(text, dataset.description)
    found = mask(own, frame, dataset.description)
    assert found.dtype == bool
    assert found.sum() > 0
    assert frame[found].equals(frame.query(query, engine="python"))
    assert within(frame, text, dataset.description).equals(frame[found])


def test_the_spelling_of_a_table_does_not_matter(dataset: Dataset, frame: pd.DataFrame) -> None:
    own = parse(
        "brand in (1, 2) & price >= 3 & country = it & age not missing", dataset.description
    )
    wanted = mask(own, frame, dataset.description)
    spelt = frame.assign(brand=frame["brand"].astype(float), price=frame["price"].astype(str))
    assert (mask(own, spelt, dataset.description) == wanted).all()
    assert (mask(own, frame.astype({"brand": str}), dataset.description) == wanted).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "prize = 3",
            "'prize', which is no feature or level of A small shop .did you mean 'price'",
        ),
        ("click = 1", "'click', which is no feature"),
        ("price = dear", "needs a number"),
        ("country = frr", "no scenario of 'country' .known: fr, it, elsewhere. .did you mean 'fr'"),
        ("country missing", "a row always has a scenario"),
        ("country > 3", "holds text"),
    ],
)
def test_what_does_not_fit_is_told(
    dataset: Dataset, frame: pd.DataFrame, text: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        within(frame, text, dataset.description)


VALUES = st.lists(st.sampled_from(["0", "1", "2", "9"]), min_size=1, max_size=3).map(tuple)
EDGES = st.sampled_from([-1.0, 0.0, 1.0, 1.5, 2.0, 3.0])
ABOUT_X = st.one_of(
    st.builds(OneOf, st.just("age"), VALUES, st.booleans()),
    st.builds(Range, st.just("age"), EDGES, EDGES, st.booleans(), st.booleans(), st.booleans()),
    st.builds(Range, st.just("age"), EDGES, st.none(), st.booleans(), or_missing=st.booleans()),
    st.builds(Range, st.just("age"), st.none(), EDGES, or_missing=st.booleans()),
    st.builds(Missing, st.just("age"), st.booleans()),
)
ABOUT_PAGE = st.builds(
    OneOf, st.just("page"), st.sampled_from([("0",), ("1",), ("0", "1")]), st.booleans()
)
TABLE = pd.DataFrame(
    [(age, page) for age in (0.0, 1.0, 1.5, 2.0, 3.0, np.nan) for page in (0, 1)],
    columns=["age", "page"],
)


@given(st.lists(ABOUT_X | ABOUT_PAGE, max_size=5))
def test_simplifying_keeps_the_rows(conditions: list[Condition]) -> None:
    described = _described()
    own = Slice(tuple(conditions))
    fewer = simplified(own)
    assert len(fewer) <= len(own)
    assert (mask(fewer, TABLE, described) == mask(own, TABLE, described)).all()
    assert simplified(fewer) == fewer


def _described() -> Description:
    return Dataset.open(small.dataset()).description


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("price >= 3 & price < 7", "3 <= price < 7"),
        ("price >= 3 & price >= 4 & price > 4", "price > 4"),
        ("price < 7 or missing & price not missing", "price < 7"),
        ("price < 7 or missing & price >= 1", "1 <= price < 7"),
        ("brand != a & brand != b", "brand not in (a, b)"),
        ("brand = a & brand != b", "brand = a"),
        ("brand in (a, b) & brand in (b, c)", "brand = b"),
        ("brand = a & brand = b", "brand = a & brand = b"),  # none: left as it is
        ("brand missing & brand != a", "brand missing"),
        ("brand = a & page = 1 & brand not missing", "brand = a & page = 1"),
    ],
)
def test_merging_by_hand(text: str, wanted: str) -> None:
    assert str(simplified(read(text))) == wanted
    first, _, second = text.partition(" & ")
    assert str(conjoined(read(first), read(second))) == wanted
