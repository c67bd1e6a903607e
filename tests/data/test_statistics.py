"""Impressions and positives per scenario, against pandas by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

import aesm2
from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, Dataset, rows_of
from aesm2.data.statistics import scenario_statistics
from tests import small
from tests.models import cases


def test_against_the_raw_log() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    log = pd.read_parquet(small.dataset() / "log.parquet")
    log = log[log["country"] != "zz"]  # not kept
    found = opened.statistics
    assert list(found.columns) == ["split", "country", "page", "impressions", "ctr", "ctcvr"]
    days = {"train": range(1, 7), "validation": range(7, 9), "test": range(9, 11)}
    for line in found.to_dict("records"):
        country = "xx" if line["country"] == "elsewhere" else line["country"]
        rows = log[
            log["day"].isin(days[line["split"]])
            & (log["country"] == country)
            & (log["page"] == int(line["page"]))
        ]
        assert line["impressions"] == len(rows) > 0
        assert line["ctr"] == rows["click"].sum()
        assert line["ctcvr"] == (rows["click"] * rows["buy"]).sum()
    assert found["impressions"].sum() == len(log)
    assert not found.duplicated(["split", "country", "page"]).any()


def test_a_sale_without_a_click_does_not_count() -> None:
    frame = Dataset.open(small.dataset()).frame().assign(click=0, buy=1)
    encoder = aesm2.load(small.run() / "checkpoint", "cpu").encoder
    batches = {split: encoder.encode(rows_of(frame, split), labels=True) for split in SPLITS}
    assert (scenario_statistics(batches, encoder.schema)[["ctr", "ctcvr"]] == 0).all(axis=None)


def test_splits_and_scenarios_are_in_order_and_empty_ones_left_out() -> None:
    shape = cases.schema(levels=(12,))  # "s10" would come before "s2" as text
    scenarios = torch.tensor([[11], [2], [10], [2]])
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    batch = Batch(torch.zeros(4, 2, dtype=torch.int32), scenarios, labels)
    found = scenario_statistics({"train": batch, "test": batch[:1]}, shape)
    assert found.to_dict("list") == {
        "split": ["train", "train", "train", "test"],
        "level0": ["s2", "s10", "s11", "s11"],
        "impressions": [2, 1, 1, 1],
        "task0": [2, 0, 1, 1],
        "task1": [1, 0, 1, 1],
    }
    assert found["impressions"].dtype == np.int64


def test_rows_without_labels_are_an_error() -> None:
    shape = cases.schema()
    batch = cases.batch(shape, 3)
    with pytest.raises(ValueError, match="the test rows have no labels"):
        scenario_statistics({"test": Batch(batch.fields, batch.scenarios)}, shape)
