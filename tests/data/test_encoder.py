"""From a data frame to indices: every kind of value, and every kind of bad value."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.batch import Batch
from aesm2.data.encoder import Encoder, as_numbers
from aesm2.errors import InputError
from aesm2.layers.embedding import FIRST_VALUE, MISSING, UNSEEN
from tests.data.tables import describe

TRAINING = pd.DataFrame(
    {
        "user": ["b", "a", "b", None, "c", "c"],
        "price": [1.0, 2.0, 3.0, 4.0, math.nan, 5.0],
        "tab": [0, 1, 0, 1, 0, 1],
        "click": [1, 1, 0, 0, 1, 0],
        "buy": [1, 0, 1, 0, 1, 0],
    }
)


def fitted(training: pd.DataFrame = TRAINING, *changes: tuple[str, Any]) -> Encoder:
    return Encoder.fit(describe(*changes), training)


def rows(**columns: list[Any]) -> pd.DataFrame:
    """Rows that are fine except for the columns given."""
    count = len(next(iter(columns.values())))
    fine = {"user": ["a"] * count, "price": [1.0] * count, "tab": [0] * count}
    return pd.DataFrame({**fine, **columns})


def users(encoder: Encoder, values: list[Any] | pd.Series) -> list[int]:
    return encoder.encode(rows(user=values)).fields[:, 0].tolist()


def prices(encoder: Encoder, values: list[Any]) -> list[int]:
    return encoder.encode(rows(price=values)).fields[:, 1].tolist()


def error(encoder: Encoder, frame: pd.DataFrame, labels: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        encoder.encode(frame, labels=labels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_categories_are_sorted_after_missing_and_unseen() -> None:
    encoder = fitted()
    assert encoder.categories["user"] == ("a", "b", "c")
    a, b, c = range(FIRST_VALUE, FIRST_VALUE + 3)
    found = users(encoder, ["c", "a", "b", "z", None, math.nan, "A"])
    assert found == [c, a, b, UNSEEN, MISSING, MISSING, UNSEEN]


def test_a_rare_category_is_unseen() -> None:
    encoder = fitted(TRAINING, ("features.user.user.min_count", 2))
    assert encoder.categories["user"] == ("b", "c")
    assert users(encoder, ["a", "b", None]) == [UNSEEN, FIRST_VALUE, MISSING]


@pytest.mark.parametrize(
    "spelt",
    [
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["1", "0", "1"],
        [True, False, True],
        pd.Series([1, 0, 1], dtype="Int64"),
        pd.Series([1, 0, 1], dtype="float32"),
        pd.Series([1, 0, 1], dtype="int8"),
        pd.Series(["1", "0", "1"], dtype="category"),
        pd.Series([1, 0, "1"], dtype=object),
    ],
    ids=lambda spelt: str(getattr(spelt, "dtype", spelt[0])),
)
def test_1_and_its_other_spellings_are_one_category(spelt: list[Any] | pd.Series) -> None:
    training = TRAINING[:3].assign(user=[1, 0, 5])
    assert users(fitted(training), spelt) == [FIRST_VALUE + 1, FIRST_VALUE, FIRST_VALUE + 1]
    other = fitted(TRAINING[:3].assign(user=spelt))
    assert other.categories["user"] == ("0", "1")


def test_ids_that_became_floats_beside_missing_ones_are_still_those_ids() -> None:
    encoder = fitted(TRAINING.assign(user=[7, 8, 9, 7, 8, 9]))
    assert users(encoder, [7.0, math.nan, 9.0]) == [FIRST_VALUE, MISSING, FIRST_VALUE + 2]
    with_gap = fitted(TRAINING.assign(user=[7.0, math.nan, 9.0, 7.0, 9.0, 9.0]))
    assert with_gap.categories["user"] == ("7", "9")
    assert users(with_gap, pd.Series([7, pd.NA, 9], dtype="Int64")) == [2, MISSING, 3]


def test_half_ids_are_not_whole_ones() -> None:
    encoder = fitted(TRAINING.assign(user=[1.5, 1.0, 2.0, 1.5, 1.0, 2.0]))
    assert encoder.categories["user"] == ("1", "1.5", "2")


def test_buckets_are_quantiles_of_training_with_the_lower_bound_included() -> None:
    encoder = fitted()
    assert encoder.edges["price"] == (2.0, 3.0, 4.0)
    found = prices(encoder, [-9.0, 1.99, 2.0, 2.5, 3.0, 4.0, 99.0, math.nan])
    wanted = [0, 0, 1, 1, 2, 3, 3]
    assert found == [FIRST_VALUE + bucket for bucket in wanted] + [MISSING]


def test_encoding_other_rows_does_not_move_the_edges() -> None:
    encoder = fitted()
    before = prices(encoder, [2.5])
    prices(encoder, [1000.0, 2000.0, 2.5])
    assert prices(encoder, [2.5]) == before
    assert encoder.edges["price"] == (2.0, 3.0, 4.0)


def test_infinity_is_in_the_outer_buckets_and_moves_no_edge() -> None:
    encoder = fitted(TRAINING.assign(price=[1.0, 2.0, 3.0, 4.0, math.inf, 5.0]))
    assert encoder.edges["price"] == (2.0, 3.0, 4.0)
    assert prices(encoder, [math.inf, -math.inf]) == [FIRST_VALUE + 3, FIRST_VALUE]


@pytest.mark.parametrize("price", [3.0, math.nan])
def test_a_constant_or_empty_numeric_column_has_one_bucket(price: float) -> None:
    encoder = fitted(TRAINING.assign(price=price))
    assert encoder.edges["price"] == ()
    assert encoder.schema.fields == (FIRST_VALUE + 3, FIRST_VALUE + 1)
    assert prices(encoder, [3.0, -1.0, math.nan]) == [FIRST_VALUE, FIRST_VALUE, MISSING]


def test_numbers_written_as_text_are_numbers() -> None:
    assert prices(fitted(), ["2.5", "3", None]) == [FIRST_VALUE + 1, FIRST_VALUE + 2, MISSING]


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_moment_that_is_missing_is_missing(zone: str | None) -> None:
    """Not the earliest moment there is, which would move every edge."""
    days = ["2026-01-01", None, "2026-01-03", "2026-01-04", "2026-01-02", None]
    moments = pd.Series(pd.to_datetime(days)).dt.tz_localize(zone)
    training = TRAINING.assign(price=moments)
    encoder = fitted(training)
    assert min(encoder.edges["price"]) > 0  # all are after 1970
    assert encoder.encode(training).fields[[1, 5], 1].tolist() == [MISSING] * 2
    ages = moments - moments[0]
    assert np.isnan(as_numbers(ages, "age")).tolist() == ages.isna().tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_are_seconds_in_whatever_unit_a_file_stores_them(unit: str) -> None:
    """The same rows from CSV and from parquet fall into the same buckets."""
    texts = [
        "1970-01-01 00:00:01",
        "2026-01-03 12:00:00",
        "9999-06-30 00:00:00" if unit == "s" else None,
    ]
    for zone in (None, "UTC", "Asia/Tokyo"):
        moments = pd.Series(pd.to_datetime(texts, utc=True)).dt.tz_convert(zone)
        numbers = as_numbers(moments.dt.as_unit(unit), "day")
        assert numbers[:2].tolist() == [1, 1_767_441_600]
        assert str(numbers[2]) == ("253386316800.0" if unit == "s" else "nan")
    assert as_numbers(pd.Series([1500]).astype("timedelta64[ms]"), "age").tolist() == [1.5]


def test_text_in_a_numeric_column_names_row_and_value() -> None:
    message = error(fitted(), rows(price=[1.0, "cheap", "dear"]))
    assert message == "row 1: 'price' is 'cheap', not a number"
    with pytest.raises(InputError, match="row 2: 'price' is 'cheap'"):
        fitted(TRAINING.assign(price=[1.0, 2.0, "cheap", 4.0, 5.0, 6.0]))


def test_a_number_beyond_all_floats_is_named() -> None:
    for column, labels in (("price", False), ("click", True)):
        beyond = rows(click=[1, 0], buy=[0, 0]).astype({column: object})
        beyond.loc[1, column] = 10**400
        message = error(fitted(), beyond, labels)
        assert message == (
            f"column '{column}' holds a whole number beyond 1.8e+308, the largest there is"
        )


@pytest.mark.parametrize("column", ["user", "tab"])
def test_lists_are_no_values(column: str) -> None:
    message = error(fitted(), rows(**{column: [[1, 2], [3]]}))
    assert message == f"column '{column}' holds lists or the like, not values"


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=10),
    st.integers(2, 8),
)
def test_every_number_falls_between_the_edges_of_its_bucket(
    training: list[float], values: list[float], buckets: int
) -> None:
    frame = pd.DataFrame({"user": "a", "price": training, "tab": 0})
    encoder = fitted(frame, ("features.item.price.buckets", buckets))
    edges = [-math.inf, *encoder.edges["price"], math.inf]
    assert edges == sorted(set(edges))
    assert len(edges) <= buckets + 1
    for value, index in zip(values, prices(encoder, values), strict=True):
        bucket = index - FIRST_VALUE
        assert edges[bucket] <= value
        assert value < edges[bucket + 1] or value == math.inf


def test_every_index_is_inside_the_schema() -> None:
    encoder = fitted()
    schema = encoder.schema
    assert schema.fields == (FIRST_VALUE + 3, FIRST_VALUE + 4)
    assert schema.levels == (("0", "1"),)
    assert (schema.level_names, schema.tasks) == (("tab",), ("ctr", "ctcvr"))
    assert schema.parents == (-1, 0)
    batch = encoder.encode(rows(user=["c", "z"], price=[99.0, math.nan]))
    assert (batch.fields < torch.tensor(schema.fields)).all()
    assert batch.fields.dtype == torch.int32
    assert batch.scenarios.dtype == torch.int64
    assert batch.labels is None


@pytest.mark.parametrize("spelt", [[1, 0], [1.0, 0.0], ["1", "0"], [True, False]])
def test_scenarios_are_in_the_order_of_the_gates(spelt: list[Any]) -> None:
    encoder = fitted(TRAINING, ("level.0.values", [1, 0]))
    assert encoder.encode(rows(tab=spelt)).scenarios.tolist() == [[0], [1]]


def test_an_unknown_scenario_is_an_error_that_lists_the_known() -> None:
    message = error(fitted(), rows(tab=[0, 1, 7]))
    assert message == "row 2: 'tab' is 7, which is no scenario of level 'tab' (known: 0, 1)"
    assert "row 1: 'tab' is nan" in error(fitted(), rows(tab=[0, math.nan]))
    assert "row 0: 'tab' is None" in error(fitted(), rows(tab=pd.Series([None, 0], dtype=object)))


def test_an_unknown_or_missing_scenario_goes_to_other() -> None:
    encoder = fitted(TRAINING, ("level.0.other", "rest"))
    assert encoder.schema.levels == (("0", "1", "rest"),)
    found = encoder.encode(rows(tab=[7, 0, math.nan, 1])).scenarios
    assert found.flatten().tolist() == [2, 0, 2, 1]


def test_labels_are_multiplied_along_the_chain() -> None:
    labels = fitted().encode(TRAINING, labels=True).labels
    assert labels.dtype == torch.float32
    assert labels.tolist() == [[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("bad", "remedy"),
    [(2, "`positive`"), (-1, "`positive`"), (0.5, "`positive`"), (math.nan, "may_be_missing")],
)
def test_a_label_is_0_or_1(bad: float, remedy: str) -> None:
    frame = TRAINING.assign(buy=[1, bad, 1, 0, 0, 0])
    message = error(fitted(), frame, labels=True)
    assert message.startswith("row 1: label 'buy' is ")
    assert "not 0 or 1" in message
    assert remedy in message
    assert len(fitted().encode(frame)) == 6  # nobody asked for the labels


def labels_of(frame: pd.DataFrame, *changes: tuple[str, Any]) -> list[list[float]]:
    found = fitted(TRAINING, *changes).encode(frame, labels=True).labels
    assert found is not None
    return [[-1.0 if math.isnan(v) else v for v in row] for row in found.tolist()]  # NaN as -1


def test_after_a_0_a_label_is_0_even_where_it_is_missing() -> None:
    frame = TRAINING.assign(buy=[1, 0, math.nan, math.nan, 1, 0])
    assert labels_of(frame) == [[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 0]]


def test_a_label_may_be_missing_where_the_description_says_so() -> None:
    may = ("task.1.may_be_missing", True)
    frame = TRAINING.assign(buy=[1, math.nan, 1, 1, math.nan, 0])
    assert labels_of(frame, may) == [[1, 1], [1, -1], [0, 0], [0, 0], [1, -1], [0, 0]]


def test_after_an_unknown_label_the_next_one_still_tells() -> None:
    may = ("task.0.may_be_missing", True)
    frame = TRAINING.assign(click=[math.nan, math.nan, 0, 0, 1, 0])
    assert labels_of(frame, may)[:2] == [[-1, 1], [-1, 0]]


def test_a_task_may_exist_only_in_some_scenarios() -> None:
    only = ("task.1.only", {"tab": [1]})
    frame = TRAINING.assign(buy=["?", 0, "?", 0, None, 0])  # what stands elsewhere is not looked at
    assert labels_of(frame, only) == [[1, -1], [1, 0], [0, -1], [0, 0], [1, -1], [0, 0]]


def test_positive_lists_the_values_that_count_as_1() -> None:
    yes = ("task.0.positive", ["yes", "Y"])
    frame = TRAINING.assign(click=["yes", "Y", "no", "N", "yes", "n"])
    assert [row[0] for row in labels_of(frame, yes)] == [1, 1, 0, 0, 1, 0]
    numbers = TRAINING.assign(click=[2.0, 2.0, 1.0, 0.0, 2.0, 0.0])
    assert [row[0] for row in labels_of(numbers, ("task.0.positive", [2]))] == [1, 1, 0, 0, 1, 0]
    missing = TRAINING.assign(click=["yes", None, "no", "no", "yes", "no"])
    assert "row 1: label 'click'" in error(fitted(TRAINING, yes), missing, labels=True)


def test_markers_are_missing_values() -> None:
    encoder = fitted(TRAINING, ("source.missing", ["-", "?", -999]))
    assert users(encoder, ["a", "-", "?", "x"]) == [FIRST_VALUE, MISSING, MISSING, UNSEEN]
    assert prices(encoder, ["1", "-", "?"])[1:] == [MISSING, MISSING]
    assert prices(encoder, [1.0, -999.0, 5.0])[1] == MISSING
    assert prices(encoder, [1.0, -998.0])[1] != MISSING


def test_a_level_of_one_scenario_needs_no_column() -> None:
    one = ("level.0", {"name": "shop", "values": ["all of it"]})
    encoder = fitted(TRAINING, one)
    batch = encoder.encode(TRAINING.drop(columns="tab"))
    assert batch.scenarios.tolist() == [[0]] * 6
    assert encoder.schema.levels == (("all of it",),)


def test_a_label_may_be_a_truth_value() -> None:
    frame = TRAINING.assign(click=TRAINING["click"].astype(bool))
    labels = fitted().encode(frame, labels=True).labels
    assert labels[:, 0].tolist() == [1, 1, 0, 0, 1, 0]


def test_missing_columns_are_named_with_the_nearest() -> None:
    message = error(fitted(), rows(tab=[0]).rename(columns={"price": "prices", "user": "zzz"}))
    assert message == "the table lacks the columns 'user', 'price' (did you mean 'prices'?)"
    assert "the table lacks the column 'click'" in error(
        fitted(), TRAINING.drop(columns="click"), labels=True
    )
    with pytest.raises(InputError, match="the training split lacks the column 'tab'"):
        fitted(TRAINING.drop(columns="tab"))


def test_an_empty_frame_is_an_empty_batch() -> None:
    batch = fitted().encode(TRAINING[:0], labels=True)
    assert len(batch) == 0
    assert batch.fields.shape == (0, 2)
    assert batch.scenarios.shape == (0, 1)
    assert batch.labels.shape == (0, 2)


def test_the_index_of_the_frame_is_irrelevant() -> None:
    shuffled = TRAINING.set_axis([9, 9, 3, -1, 0, 5])
    wanted = fitted().encode(TRAINING, labels=True)
    found = fitted(shuffled).encode(shuffled, labels=True)
    assert torch.equal(found.fields, wanted.fields)
    assert torch.equal(found.labels, wanted.labels)


def test_encoding_leaves_the_frame_as_it_was() -> None:
    frame = TRAINING.copy()
    fitted(frame).encode(frame, labels=True)
    pd.testing.assert_frame_equal(frame, TRAINING)


def test_json_round_trip_is_the_identity() -> None:
    encoder = fitted()
    text = json.dumps(encoder.to_json())
    again = Encoder.from_json(encoder.description, json.loads(text))
    assert again == encoder
    frame = rows(user=["a", "z", None], price=[2.0, math.nan, 4.1])
    assert torch.equal(again.encode(frame).fields, encoder.encode(frame).fields)


def test_every_index_has_a_name() -> None:
    encoder = fitted()
    assert encoder.value_names("user") == ["missing", "unseen", "a", "b", "c"]
    assert encoder.value_names("price")[2:] == ["< 2", "2 – 3", "3 – 4", "≥ 4"]
    constant = fitted(TRAINING.assign(price=1.0))
    assert constant.value_names("price") == ["missing", "unseen", "any"]
    assert [len(encoder.value_names(name)) for name in ("user", "price")] == list(
        encoder.schema.fields
    )


def test_unseen_values_are_counted() -> None:
    encoder = fitted()
    batch = encoder.encode(rows(user=["z", "y", None, "a"], price=[1, None, None, None]))
    counts = encoder.unseen_counts(batch)
    assert counts.to_dict("list") == {
        "feature": ["user", "price"],
        "missing": [1, 3],
        "unseen": [2, 0],
    }


def test_a_slice_an_index_or_a_mask_of_a_batch_is_a_batch() -> None:
    batch = fitted().encode(TRAINING, labels=True)
    for picked, wanted in (
        (slice(1, 3), [1, 2]),
        (torch.tensor([4, 0]), [4, 0]),
        (torch.tensor([False, True] * 3), [1, 3, 5]),
    ):
        part = batch[picked]
        assert isinstance(part, Batch)
        for name in ("fields", "scenarios", "labels"):
            assert torch.equal(getattr(part, name), getattr(batch, name)[wanted])
    assert Batch(batch.fields, batch.scenarios)[:2].labels is None
    np.testing.assert_array_equal(batch.to("cpu").fields, batch.fields)
