"""What positives are worth, against loops; the interval against simulations."""

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.data.batch import Batch
from aesm2.data.description import Description
from aesm2.data.scenarios import OVERALL
from aesm2.data.schema import Schema
from aesm2.data.worth import Worth, worth, worth_table
from aesm2.errors import InputError
from tests.data.tables import describe

DESCRIBED = describe(("task.1.value", "price_paid"))
SHAPE = Schema((3, 3), (("0", "1"),), ("tab",), ("ctr", "ctcvr"), (-1, 0))


def rows(labels: list[tuple[float, float]], tabs: list[int]) -> Batch:
    count = len(tabs)
    return Batch(
        torch.zeros(count, 2, dtype=torch.int32), torch.tensor(tabs)[:, None], torch.tensor(labels)
    )


NAN = float("nan")
BATCH = rows([(1, 1), (1, 0), (0, 0), (1, 1), (1, 1), (1, NAN)], [0, 0, 0, 1, 1, 1])
FRAME = pd.DataFrame({"price_paid": [10.0, 99.0, 99.0, 4.0, None, 99.0]})


def table(frame: pd.DataFrame = FRAME, batch: Batch = BATCH, by: str = "tab") -> pd.DataFrame:
    return worth_table(worth(frame, batch, DESCRIBED, SHAPE), by).set_index("scenario")


def test_by_hand() -> None:
    found = table()
    first, second = found.loc["0"], found.loc["1"]
    assert (first["n"], first["positives"], first["unknown"], first["total"]) == (3, 1, 0, 10)
    assert first["per_thousand"] == pytest.approx(10_000 / 3)
    assert (second["n"], second["positives"], second["unknown"]) == (2, 2, 1)  # one has no label
    assert (second["total"], second["mean"]) == (4, 4)
    overall = table(by=OVERALL).loc["all"]
    assert (overall["n"], overall["total"], overall["mean"]) == (5, 14, 7)
    assert set(found["task"]) == {"ctcvr"}


def test_the_sum_is_that_of_all_rows() -> None:
    parts = [(FRAME.iloc[s], BATCH[s]) for s in (slice(0, 2), slice(2, 6))]
    a, b = (worth(frame, batch, DESCRIBED, SHAPE) for frame, batch in parts)
    whole = worth(FRAME, BATCH, DESCRIBED, SHAPE)
    for x, y in zip((a + b).sums, whole.sums, strict=True):
        np.testing.assert_array_equal(x, y)


def test_no_value_has_no_interval() -> None:
    none = rows([(0, 0)] * 3, [0, 0, 0])
    found = table(FRAME.iloc[:3], none)
    assert found.loc["0", "per_thousand"] == 0
    assert np.isnan(found.loc["0", ["low", "high"]].to_numpy(float)).all()
    assert np.isnan(found.loc["1", "per_thousand"])  # and no rows at all


def test_equal_values_of_all_rows_are_certain() -> None:
    found = table(pd.DataFrame({"price_paid": [3.0] * 4}), rows([(1, 1)] * 4, [0] * 4)).loc["0"]
    assert found["low"] == found["high"] == found["per_thousand"] == 3000


def test_the_interval_covers_the_truth_in_95_of_100_draws() -> None:
    """Log-normal prices at a rate of 2 %: sums are skewed, and so is the interval."""
    rng, n, rate = np.random.default_rng(0), 5000, 0.02
    truth = 1000 * rate * np.exp(0.5)
    drawn = [np.exp(rng.standard_normal(rng.binomial(n, rate))) for _ in range(2000)]

    def sums(power: int) -> np.ndarray:
        return np.array([[(values**power).sum()] for values in drawn])

    many = len(drawn)
    shape = Schema((), (tuple(map(str, range(many))),), ("draw",), ("buy",), (-1,))
    labelled = np.full((many, 1), float(n))
    found = worth_table(
        Worth(shape, ("buy",), labelled, sums(0), 0 * labelled, sums(1), sums(2)), "draw"
    )
    covered = ((found["low"] < truth) & (truth < found["high"])).mean()
    assert 0.93 < covered < 0.965


def test_a_value_column_that_is_not_there_or_holds_text() -> None:
    with pytest.raises(InputError, match=r"task\.value: the table lacks the column 'price_paid'"):
        worth(FRAME.rename(columns={"price_paid": "price"}), BATCH, DESCRIBED, SHAPE)
    with pytest.raises(InputError, match="row 0: 'price_paid' is 'dear', not a number"):
        worth(FRAME.astype(object).fillna("dear").replace(10.0, "dear"), BATCH, DESCRIBED, SHAPE)


def test_no_task_with_a_value_adds_up_nothing() -> None:
    plain: Description = describe()
    assert worth(FRAME, BATCH, plain, SHAPE).tasks == ()
