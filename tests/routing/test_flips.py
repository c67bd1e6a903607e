"""Feature flips: encoded again through `counterfactual`, the choice really differs."""

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.layers.embedding import FIRST_VALUE, UNSEEN
from aesm2.routing.counterfactual import Changes, counterfactual, predictions
from aesm2.routing.flips import WHICH, FeatureFlips, alternatives, feature_flips, raw_value
from tests import degenerate, small

LAYERS = [("country.1", 0), ("page.1", 0), ("task.1", 1)]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return Dataset.open(small.dataset()).split("test")


def sets_after(
    checkpoint: Checkpoint, row: pd.DataFrame, layer: str, task: int, changes: Changes
) -> tuple[tuple[bool, bool], pd.Series]:
    """Whether the specific and the shared set differ, and the predictions, by `counterfactual`."""
    both = counterfactual(checkpoint, row, changes)
    a, b = (traced.layer(layer).of_task(task) for traced in (both.before, both.after))
    told = predictions(both.after, checkpoint).set_index("task")["probability"]
    differs = (not torch.equal(a.specific, b.specific), not torch.equal(a.shared, b.shared))
    return differs, told


@pytest.mark.parametrize(("layer", "task"), LAYERS)
def test_every_alternative_against_the_counterfactual(
    checkpoint: Checkpoint, frame: pd.DataFrame, layer: str, task: int
) -> None:
    row = frame.iloc[[4]]
    found = feature_flips(checkpoint, row, layer, task)
    assert found.known == len(found.alternatives)
    for line in found.alternatives.itertuples():
        changes = Changes(features={line.feature: line.value})
        differs, told = sets_after(checkpoint, row, layer, task, changes)
        assert (line.specific, line.shared) == differs, line
        assert line.ctr == pytest.approx(told["ctr"], rel=1e-5)
        assert line.ctcvr == pytest.approx(told["ctcvr"], rel=1e-5)
    before = predictions(counterfactual(checkpoint, row, Changes()).before, checkpoint)
    assert list(found.before.values()) == pytest.approx(before["probability"].tolist(), rel=1e-5)


def test_the_best_flip_has_the_fewest_buckets_and_then_the_widest_margin(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    seen = set()
    for position in range(0, 32, 8):
        found = feature_flips(checkpoint, frame.iloc[[position]], "page.1", 0)
        for which in WHICH:
            best = found.best(which)
            assert set(best["feature"]) == set(checkpoint.description.fields)
            assert best["flips"].is_monotonic_decreasing
            for line in best.itertuples():
                every = of_feature(found, line.feature, which)
                assert (line.flipping, line.tried) == (every["flips"].sum(), len(every))
                rivals = every[every["flips"]] if line.flips else every
                assert bool(line.flips) == bool(every["flips"].any())
                seen.add((which, line.kind, bool(line.flips)))
                if line.flips and np.isfinite(line.buckets):
                    assert line.buckets == rivals["buckets"].min()
                    rivals = rivals[rivals["buckets"] == line.buckets]
                wanted = rivals["margin"].max() if line.flips else rivals["margin"].min()
                assert line.margin == pytest.approx(wanted)
            flipping = best[best["flips"]]["margin"]
            assert flipping.is_monotonic_decreasing
            assert best[~best["flips"]]["margin"].is_monotonic_increasing
    assert {("either", "numeric", True), ("shared", "categorical", True)} <= seen


def of_feature(found: FeatureFlips, feature: str, which: str) -> pd.DataFrame:
    """The alternatives of a feature with what the loop says: flips, and the margin left."""
    lines = found.alternatives[found.alternatives["feature"] == feature].copy()
    names = [which] if which != "either" else ["specific", "shared"]
    flips, margin = [], []
    for line in lines.to_dict("records"):
        flipped = [name for name in names if line[name]]
        flips.append(bool(flipped))
        margin.append(min(line[f"margin_{name}"] for name in (flipped or names)))
    return lines.assign(flips=flips, margin=margin)


def test_raw_values_are_encoded_as_what_they_stand_for(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    encoder, row = checkpoint.encoder, frame.iloc[[0]]
    for place, (name, feature) in enumerate(encoder.description.fields.items()):
        for index in range(encoder.schema.fields[place]):
            if feature.kind == "numeric" and index == UNSEEN:
                continue
            changes = Changes(features={name: raw_value(encoder, name, index)})
            batch = counterfactual(checkpoint, row, changes).batch
            assert int(batch.fields[0, place]) == index, (name, index)


def test_of_too_many_alternatives_the_largest_vocabularies_give_way(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    encoder = checkpoint.encoder
    batch = checkpoint.encode(frame.iloc[[0]])
    places, values, known = alternatives(encoder, batch)
    assert len(places) == known
    least = np.bincount(places).min()
    fewer, drawn, still = alternatives(encoder, batch, most=known - 5)
    assert still == known
    assert known - 5 - len(encoder.schema.fields) < len(fewer) <= known - 5
    assert np.bincount(fewer).min() == least
    again = alternatives(encoder, batch, most=known - 5)[1]
    np.testing.assert_array_equal(drawn, again)
    assert set(zip(fewer, drawn, strict=True)) <= set(zip(places, values, strict=True))
    told = feature_flips(checkpoint, frame.iloc[[0]], "page.1", 0, most=known - 5)
    assert (told.known, len(told.alternatives)) == (known, len(fewer))


def test_a_missing_number_has_no_distance(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    row = frame.iloc[[0]].assign(age=np.nan)
    ages = feature_flips(checkpoint, row, "page.1", 0).alternatives.query("feature == 'age'")
    assert ages["buckets"].isna().all()
    assert set(ages["from"]) == {"missing"}
    assert ages["index"].min() == FIRST_VALUE


def test_a_task_that_does_not_exist_has_no_prediction() -> None:
    place = degenerate.root()
    checkpoint = load(place / "checkpoints" / "some_scenarios", "cpu")
    rows = Dataset.open(place / "data_samples" / "some_scenarios").split("test")
    found = feature_flips(checkpoint, rows[rows["country"] == "it"].iloc[:1], "task.1", 0)
    assert np.isnan(found.before["ctcvr"])
    assert found.alternatives["ctcvr"].isna().all()
    assert found.alternatives["ctr"].notna().all()


def test_one_row_at_a_time(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="one row, found 2"):
        feature_flips(checkpoint, frame.head(2), "page.1", 0)
