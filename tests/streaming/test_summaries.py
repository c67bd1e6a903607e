"""Summaries of a log against the same figures of all rows at once."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aesm2.errors import InputError
from aesm2.routing.grouped import GROUPS, UNIT, added
from aesm2.routing.knockout import knockouts
from aesm2.streaming import works
from aesm2.streaming.engines import merged
from aesm2.streaming.evaluation import EvaluationSummary
from aesm2.streaming.files import of_files
from aesm2.streaming.knockout import KnockoutSummary
from aesm2.streaming.parts import Log, of_frame
from aesm2.streaming.works import Counting, KnockingOut, Measuring, block_rows, group_of
from tests import small
from tests.streaming import made


def log(rows: int = 150) -> Log:
    return of_frame(made.frame(), "rows", rows)


def test_evaluation_is_that_of_all_rows() -> None:
    checkpoint = made.checkpoint()
    summary = merged(log(), Measuring(checkpoint.path))
    found, exact = summary.to_frame(), checkpoint.evaluate(made.frame())
    error = found.pop("auc_error")
    assert error.max() < 0.01  # few pairs
    assert list(found.columns) == list(exact.columns)
    for column in ("scope", "scenario", "task", "n", "positives"):
        assert found[column].tolist() == exact[column].tolist()
    for column in ("rate", "mean_prediction", "log_loss"):
        np.testing.assert_allclose(found[column], exact[column], rtol=0, atol=1e-7)
    assert (abs(found["auc"] - exact["auc"]) <= error + 1e-12)[exact["auc"].notna()].all()
    assert found["auc"].isna().equals(exact["auc"].isna())
    np.testing.assert_allclose(found["auc_low"], exact["auc_low"], atol=5e-3)
    schema = checkpoint.encoder.schema
    again = EvaluationSummary.from_bytes(schema, summary.to_bytes())
    pd.testing.assert_frame_equal(again.to_frame(), summary.to_frame())


def test_labels_that_are_unknown_are_not_counted(tmp_path: Path) -> None:
    text = small.DESCRIPTION.replace(
        'conditional = "cvr"', 'conditional = "cvr"\nmay_be_missing = true\nonly = { page = [1] }'
    )
    data = small.write_dataset(tmp_path / "shop", text)
    path = small.fit(tmp_path / "run", small.config(epochs=1), dataset=data)
    found = merged(log(), Measuring(path)).to_frame()
    of_sale = found[found["task"] == "ctcvr"].set_index(["scope", "scenario"])
    assert of_sale.loc[("page", "0"), "n"] == 0
    assert np.isnan(of_sale.loc[("page", "0"), "auc"])
    assert of_sale.loc[("all", "all"), "n"] == (made.frame()["page"] == 1).sum()


@pytest.mark.parametrize("cluster", [None, "user"])
def test_utilisation_is_that_of_all_rows(cluster: str | None) -> None:
    checkpoint = made.checkpoint()
    summary = merged(log(), Counting(checkpoint.path, cluster=cluster, block=7))
    total, exact = summary.total(), checkpoint.utilisation(made.frame())
    assert np.array_equal(total.rows, exact.rows)
    for own, whole in zip(total.layers, exact.layers, strict=True):
        assert np.array_equal(own.specific, whole.specific)
        assert np.array_equal(own.shared, whole.shared)
        np.testing.assert_allclose(own.weight, whole.weight, rtol=0, atol=600 / UNIT)
    groups = (
        (np.arange(len(made.frame())) // 7) % GROUPS
        if cluster is None
        else group_of(made.frame()["user"])
    )
    assert np.array_equal(summary.rows.sum(1), np.bincount(groups, minlength=GROUPS))
    for group in np.unique(groups)[:3]:  # the counts of a group are those of its rows
        of_group = checkpoint.utilisation(made.frame()[groups == group])
        assert np.array_equal(summary.layers[0].specific[group], of_group.layers[0].specific)


def test_a_group_depends_on_the_value_alone() -> None:
    numbers = pd.Series([3, 7, 3, 12])
    assert group_of(numbers).tolist() == group_of(numbers.astype(float)).tolist()
    assert group_of(numbers).tolist() == group_of(numbers.astype(str)).tolist()
    assert group_of(numbers)[0] == group_of(numbers)[2]
    assert group_of(pd.Series([3, 7])).tolist() == [25, 10]  # the same on every machine
    missing = group_of(pd.Series(["a", None, "a", None]))
    assert missing[1] == missing[3]
    spread = np.bincount(group_of(pd.Series(np.arange(6400))), minlength=GROUPS)
    assert spread.min() > 60 and spread.max() < 145


def test_blocks_are_some_ten_a_group() -> None:
    assert [block_rows(rows) for rows in (10, 6400, 10**9)] == [1, 10, 4096]


def test_a_sum_that_leaves_63_bits_is_refused() -> None:
    with pytest.raises(InputError, match="too many rows"):
        added(np.array([2**62]), np.array([2**62]))


def test_knockouts_are_those_of_all_rows() -> None:
    checkpoint = made.checkpoint()
    summary = merged(log(), KnockingOut(checkpoint.path))
    found, error = summary.total()
    exact = knockouts(checkpoint.model, checkpoint.encode(made.frame(), labels=True))
    assert (found.experts, found.scopes) == (exact.experts, exact.scopes)
    for name in ("rows", "n", "positives", "share"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))
    for name in ("log_loss", "log_loss_change", "log_loss_low", "log_loss_high"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), atol=1e-8)
    gap = abs(found.auc_change - exact.auc_change)
    assert (gap <= error + 1e-12).all()
    assert error.max() < 0.05
    wide = exact.auc_high - exact.auc_low
    widths = (found.auc_high - found.auc_low)[wide > 0] / wide[wide > 0]
    assert 0.97 < np.median(widths) < 1.15  # parts of 150 rows widen it a little
    again = KnockoutSummary.from_bytes(
        checkpoint.encoder.schema, checkpoint.layers, summary.to_bytes()
    )
    np.testing.assert_array_equal(again.total()[0].auc_change, found.auc_change)


@pytest.mark.parametrize("kind", [Measuring, Counting, KnockingOut])
def test_of_a_large_row_group_few_summaries_live_at_a_time(
    kind: type[Measuring | Counting | KnockingOut], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.frame().to_parquet(tmp_path / "log.parquet", index=False)  # one row group
    columns = works.input_columns(made.checkpoint(), labels=True)
    (part,) = of_files(str(tmp_path / "log.parquet"), columns, 30).parts
    told: list[weakref.ref[Any]] = []
    most = 0

    def spied(make: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*arguments: Any) -> Any:
            nonlocal most
            summary = make(*arguments)
            told.append(weakref.ref(summary))
            most = max(most, sum(own() is not None for own in told))
            return summary

        return spy

    monkeypatch.setattr(works, "grouped_utilisation", spied(works.grouped_utilisation))
    for summary in (EvaluationSummary, KnockoutSummary):
        monkeypatch.setattr(summary, "of", spied(summary.of))
    kind(made.checkpoint().path).open()(part)
    assert len(told) == 20
    assert most <= 3  # their sum, the last and the next


def test_rows_that_do_not_move_are_no_part_of_the_bound() -> None:
    """Where nobody chose an expert, its knock-out changes nothing, and that is certain."""
    checkpoint = made.checkpoint()
    found, error = merged(log(), KnockingOut(checkpoint.path)).total()
    unused = found.share == 0
    if unused.any():
        assert (found.auc_change[unused] == 0).all()
        assert (error[unused] == 0).all()


def test_a_bad_row_is_said_with_its_part() -> None:
    frame = made.frame().copy()
    frame["price"] = frame["price"].astype(object)
    frame.loc[203, "price"] = "dear"
    with pytest.raises(InputError, match=r"rows, row 150: its rows from \d+ on.* row 53: 'price'"):
        merged(of_frame(frame, "rows", 150), Measuring(made.checkpoint().path))


def test_a_model_without_selection(tmp_path: Path) -> None:
    plain: Any = small.fit(tmp_path / "run", small.config(epochs=1, model={"name": "mlp"}))
    assert merged(log(), Measuring(plain)).to_frame()["n"].iloc[0] == 600
    with pytest.raises(InputError, match="no expert selection to count"):
        merged(log(), Counting(plain))
    with pytest.raises(InputError, match="no expert selection to knock out"):
        merged(log(), KnockingOut(plain))
