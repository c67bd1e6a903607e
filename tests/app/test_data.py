"""The Data page through AppTest."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.counts import count, stored_counts
from aesm2.data.dataset import SPLITS, Dataset, rows_of
from aesm2.data.drift import scenario_drift
from aesm2.plots.data import statistics_table, written_statistics
from aesm2.plots.drift import ranked
from app import cache, locations
from app.data import rows as data_rows
from app.data import tables as data_tables
from tests import degenerate, small
from tests.app.conftest import with_numbers

PAGE = "views/data.py"
Start = Callable[..., AppTest]


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def texts(at: AppTest) -> str:
    return "\n".join(e.value for e in [*at.markdown, *at.caption, *at.info, *at.warning])


def charts(at: AppTest) -> dict[str, dict[str, Any]]:
    """Figures by key."""
    found = at.get("plotly_chart")  # ids are "$$ID-hash-key"
    return {c.proto.id.split("-", 2)[2]: json.loads(c.proto.spec) for c in found}


def table(at: AppTest, column: str) -> pd.DataFrame:
    (found,) = [t.value for t in at.dataframe if column in t.value.columns]
    return found


def pick(at: AppTest, label: str, value: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return sound(box.select(value).run())


def frames() -> dict[str, pd.DataFrame]:
    whole = Dataset.open(small.dataset()).frame()
    return {split: rows_of(whole, split) for split in SPLITS}


def checkpoint() -> aesm2.Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.mark.parametrize(("by", "split"), [("country", "all"), ("path", "test"), ("page", "train")])
def test_the_papers_table_of_the_rows_at_hand(start: Start, by: str, split: str) -> None:
    at = sound(start(PAGE, data__by=by, data__split=split))
    opened = checkpoint()
    counts = stored_counts(opened.statistics, opened.encoder.schema, split)
    wanted = written_statistics(statistics_table(counts, opened.description, by))
    pd.testing.assert_frame_equal(table(at, "ALL"), wanted, check_dtype=False)
    assert "sample" not in texts(at)


def test_a_chart_a_rate_with_its_provenance_and_numbers(start: Start) -> None:
    at = with_numbers(sound(start(PAGE, data__split="test")), "data-rate-ctr")
    found = charts(at)
    rates = [key for key in found if key.startswith("data-rate")]
    assert rates == [f"data-rate-{rate}-country-test" for rate in
                     ("ctr-impressions", "ctcvr-impressions", "ctcvr-ctr")]  # fmt: skip
    notes = " ".join(note["text"] for note in found[rates[0]]["layout"]["annotations"])
    assert "simulated data: A small shop" in notes
    assert "test rows" in notes.replace("<br>", " ")
    numbers = table(at, "95 % low")
    test = frames()["test"]
    assert numbers["n"].tolist() == [len(test), *(
        (test["country"] == c).sum() for c in ("fr", "it", "xx")
    )]  # fmt: skip


def test_features_in_the_order_of_their_difference(start: Start) -> None:
    at = sound(start(PAGE, data__split="train"))
    opened, train = checkpoint(), frames()["train"]
    batch = opened.encode(train)
    found = scenario_drift(
        batch.fields.numpy(), opened.encoder.schema.fields, batch.scenarios[:, 0].numpy(), 3
    )
    names = list(opened.description.fields)
    heat = charts(at)["data-drift-country-train-6"]
    order = [names[f] for f in ranked(found)]
    assert heat["layout"]["yaxis"]["ticktext"] == order
    (values,) = [key for key in charts(at) if key.startswith("data-values")]
    assert values == f"data-values-country-train-{order[0]}"


def test_a_click_on_a_feature_shows_its_values_once(start: Start) -> None:
    at = start(PAGE)
    key = next(key for key in charts(at) if key.startswith("data-drift"))
    brand = list(checkpoint().description.fields).index("brand")
    at.session_state[key] = {"selection": {"points": [{"customdata": brand}]}}
    at = sound(at.run())
    assert dict(at.query_params)["feature"] == "brand"
    assert "data-values-country-all-brand" in charts(at)
    at = pick(at, "Feature", "price")  # the old click is not taken again
    assert dict(at.query_params)["feature"] == "price"


def test_values_are_in_the_words_of_the_encoder(start: Start) -> None:
    at = sound(start(PAGE, feature="price", drift="splits"))
    found = charts(at)["data-values-country-splits-price"]
    seen = found["layout"]["yaxis"]["ticktext"]
    assert set(seen) <= set(checkpoint().encoder.value_names("price"))
    names = [trace["name"] for trace in found["data"][1:]]
    rows = frames()
    assert names == [f"training (n = {len(rows['train'])})", f"test (n = {len(rows['test'])})"]


def test_training_and_test_are_compared_in_every_scenario(start: Start) -> None:
    at = sound(start(PAGE, drift="splits", data__by="page"))
    heat = charts(at)["data-drift-page-splits-6"]
    ticks = [tick.split(" (")[0] for tick in heat["layout"]["xaxis"]["ticktext"]]
    assert ticks == ["all rows", "page 0", "page 1"]


def test_rows_by_label_scenario_and_search(start: Start) -> None:
    test = frames()["test"]
    at = sound(start(PAGE, y__ctr="1", y__ctcvr="0", s__country="fr", data__q="price>=3"))
    shown = table(at, "scenario")
    kept = test[(test["click"] == 1) & (test["buy"] == 0) & (test["country"] == "fr")]
    kept = kept[kept["price"] >= 3]
    assert shown["row"].tolist() == list(map(str, kept.index))
    assert f"{len(kept)} of {len(test)} rows" in texts(at)
    at = at.selectbox(key="view-rows").select("train").run()
    assert set(table(at, "scenario")["row"]) <= set(map(str, frames()["train"].index))


def test_a_filter_that_leaves_nothing_can_be_cleared(start: Start) -> None:
    at = sound(start(PAGE, y__ctr="none"))
    assert "No row has all of this" in texts(at)
    at = sound(at.button(key="data-clear").click().run())
    assert "y-ctr" not in at.query_params
    assert len(table(at, "scenario")) == len(frames()["test"])


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_row_opens_in_the_lens(start: Start, split: str) -> None:
    at = sound(start(PAGE, rows=split, y__ctr="1"))
    wanted = table(at, "scenario")["row"][2]
    ids = [frame.proto.id.split("-", 2)[-1] for frame in at.dataframe]
    (key,) = [id_ for id_ in ids if id_.startswith("data-rows-")]
    at.session_state[key] = {"selection": {"rows": [2], "columns": [], "cells": []}}
    at = sound(at.run())
    at = sound(at.button(key="data-open").click().run())
    assert dict(at.query_params)["row"] == wanted
    assert any(heading.value == f"Row {wanted}" for heading in at.subheader)


def test_labels_wanted() -> None:
    opened = aesm2.load(degenerate.root() / "checkpoints" / "some_scenarios", "cpu")
    frame = degenerate.rows()
    rows = cache.RowSet("x", "test", frame, opened.encode(frame, labels=True), True)
    assert rows.batch.labels is not None
    own = rows.batch.labels.numpy()
    assert data_rows.with_labels(rows, ["", "", ""]).all()
    for label, mask in (
        ("1", own[:, 1] == 1),
        ("0", own[:, 1] == 0),
        ("none", np.isnan(own[:, 1])),
    ):
        np.testing.assert_array_equal(data_rows.with_labels(rows, ["", label, ""]), mask)
    both = data_rows.with_labels(rows, ["1", "none", ""])
    np.testing.assert_array_equal(both, (own[:, 0] == 1) & np.isnan(own[:, 1]))


def test_where_the_data_come_from(start: Start) -> None:
    at = sound(start(PAGE))
    said = texts(at).replace("\\", "")  # signs of Markdown are escaped
    for words in (
        "CC0", "Nobody, 2026", "Invented from a seed", "items.csv is joined to them on item",
        "By day: train up to 6", "for rows with the same user", "6 features: 4 user, 2 item",
        "`buy`, `click`, `watched`",
    ):  # fmt: skip
        assert words in said, words
    features = table(at, "encoding").set_index("feature")
    rows = pd.concat(frames().values())
    assert features.loc["age", "missing"] == pytest.approx(100 * rows["age"].isna().mean())


def test_without_the_dataset_the_stored_counts_are_shown(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "checkpoints")
    at = sound(start(PAGE, root=tmp_path))
    said = texts(at)
    assert "The rows are not at hand, so the counts below are those that the checkpoint" in said
    assert "Comparing features needs the rows" in said
    opened = checkpoint()
    total = f"{opened.statistics['impressions'].sum():,}"
    assert table(at, "ALL")["ALL"].iloc[0] == total
    assert len(charts(at)) == 3  # rates
    assert "missing" not in table(at, "encoding").columns


def test_a_sample_of_the_training_data_is_called_one(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_root, tmp_path / "root")
    log = tmp_path / "root" / "data_samples" / "shop" / "log.parquet"
    pd.read_parquet(log).sample(frac=0.5, random_state=0).to_parquet(log, index=False)
    at = sound(start(PAGE, root=tmp_path / "root"))
    here = len(Dataset.open(log.parent).frame())
    there = checkpoint().statistics["impressions"].sum()
    assert f"are a sample: {here:,} of the {there:,} (all splits)" in texts(at)
    assert table(at, "ALL")["ALL"].iloc[0] == f"{here:,}"


def test_other_rows_than_those_of_the_checkpoint() -> None:
    said = data_tables.sample_words(12_000, 10_000, "test rows")
    assert "are not those of this checkpoint: 12,000 here, 10,000 (test rows)" in said


def test_a_split_without_rows_is_said(start: Start, small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root, tmp_path / "root")
    log = tmp_path / "root" / "data_samples" / "shop" / "log.parquet"
    whole = pd.read_parquet(log)
    whole[whole["day"] < 9].to_parquet(log, index=False)
    at = sound(start(PAGE, root=tmp_path / "root", data__split="test"))
    assert "There are no test rows here" in texts(at)
    at = sound(start(PAGE, root=tmp_path / "root", drift="splits"))
    assert "Training or test rows are missing here" in texts(at)


def test_counts_match_the_batch_of_every_split(start: Start) -> None:
    """The page adds up splits; so must the counts."""
    opened = checkpoint()
    schema = opened.encoder.schema
    found = [count(opened.encode(frame, labels=True), schema) for frame in frames().values()]
    whole = found[0] + found[1] + found[2]
    at = sound(start(PAGE))
    assert table(at, "ALL")["ALL"].tolist()[:3] == [
        f"{n:,}" for n in (whole.impressions.sum(), *whole.positives.sum(0))
    ]


def test_rows_without_labels_have_none_to_ask_for() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test").drop(columns=["click", "buy"])
    rows = cache.RowSet("upload:x", "x", frame, opened.encode(frame, labels=False), False)
    for wanted, all_of_them in ((["", ""], True), (["none", ""], True), (["", "0"], False)):
        assert (data_rows.with_labels(rows, wanted) == all_of_them).all()


def test_a_table_older_than_the_rest_of_its_folder_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small.write_dataset(tmp_path / "data" / "shop")
    checkpoint, log = aesm2.load(small.run() / "checkpoint", "cpu"), folder / "log.parquet"
    monkeypatch.setattr(locations, "data_places", lambda: [folder.parent])
    os.utime(folder / "dataset.toml", ns=(2 * 10**18, 2 * 10**18))  # it was edited last
    before = len(cache.rows(checkpoint, "test").frame)
    pd.read_parquet(log).iloc[::2].to_parquet(log)
    assert 0 < len(cache.rows(checkpoint, "test").frame) < before
