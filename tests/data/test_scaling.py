"""Numbers taken as they are: scaled by the training split, missing ones at the mean and marked."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.data.description import Scale
from aesm2.data.encoder import Encoder
from aesm2.data.scaling import FARTHEST, Scaling
from aesm2.errors import InputError
from tests.data.tables import describe
from tests.data.test_encoder import TRAINING, fitted, rows

SCALED = (("features.item.price.scale", "standard"),)


def by_hand(values: list[float], training: list[float], scale: Scale) -> list[list[float]]:
    """Value and mark of each, one at a time."""

    def curved(x: float) -> float:
        return math.copysign(math.log1p(abs(x)), x) if scale == "log" else x

    known = [curved(x) for x in training if math.isfinite(x)]
    mean = sum(known) / len(known)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in known) / len(known)) or 1.0
    found = []
    for x in values:
        own = 0.0 if math.isnan(x) else (curved(x) - mean) / deviation
        found.append([max(-FARTHEST, min(FARTHEST, own)), float(math.isnan(x))])
    return found


finite = st.floats(-1e6, 1e6)


@given(
    st.lists(finite, min_size=2, max_size=9),
    st.lists(finite | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=9),
    st.sampled_from(["standard", "log"]),
)
def test_values_are_scaled_as_by_hand(
    training: list[float], values: list[float], scale: Scale
) -> None:
    if np.ptp(training) < 1e-3:  # its deviation is rounding alone
        training = [*training, max(training) + 1.0]
    scaling = Scaling.fit(np.array([*training, math.nan]), scale)
    wanted = np.array(by_hand(values, training, scale))
    np.testing.assert_allclose(scaling.scaled(np.array(values)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("numbers", [[], [math.nan], [3.0, 3.0]])
def test_numbers_without_spread_are_the_mean(numbers: list[float]) -> None:
    scaling = Scaling.fit(np.array(numbers), "standard")
    assert scaling.deviation == 1
    assert scaling.scaled(np.array([scaling.mean]))[0, 0] == 0


def test_the_mark_of_a_missing_value_stands_only_where_training_met_one() -> None:
    assert Scaling.fit(np.array([1.0, math.nan]), "standard").columns == 2
    never = Scaling.fit(np.array([1.0, 3.0]), "standard")
    np.testing.assert_array_equal(never.scaled(np.array([math.nan, 3.0])), [[0], [1]])


def test_the_encoder_keeps_buckets_to_look_at_and_adds_numbers() -> None:
    plain, encoder = fitted(), fitted(TRAINING, *SCALED)
    frame = rows(price=[1.0, 5.0, None])
    batch = encoder.encode(frame)
    assert torch.equal(batch.fields, plain.encode(frame).fields)
    assert encoder.schema.numbers == (1, 1)  # price misses a value in training
    spread = math.sqrt(2)  # of 1 … 5
    wanted = torch.tensor([[-2 / spread, 0], [2 / spread, 0], [0, 1]])
    torch.testing.assert_close(batch.numbers, wanted)
    assert batch[1:].numbers is not None and len(batch[1:].numbers) == 2
    assert plain.encode(frame).numbers is None
    assert "scaling" not in plain.to_json()  # files of earlier checkpoints stay as they were


def test_scaling_survives_being_stored() -> None:
    encoder = fitted(TRAINING, *SCALED)
    again = Encoder.from_json(encoder.description, encoder.to_json())
    assert again == encoder
    frame = rows(price=[2.5])
    assert torch.equal(again.encode(frame).numbers, encoder.encode(frame).numbers)


def test_only_numbers_have_a_scale() -> None:
    with pytest.raises(InputError, match='needs kind = "numeric"'):
        describe(("features.user.user.scale", "log"))
    with pytest.raises(InputError, match="scale"):
        describe(("features.item.price.scale", "linear"))
