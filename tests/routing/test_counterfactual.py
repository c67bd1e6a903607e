"""Counterfactuals against encoding and tracing the changed rows by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.routing.counterfactual import (
    Changes,
    answer,
    counterfactual,
    differences,
    doors,
    features_from_text,
    features_to_text,
    parse_value,
    predictions,
)
from tests import degenerate, small


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return Dataset.open(small.dataset()).split("test")


def test_no_change_changes_nothing(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    both = counterfactual(checkpoint, frame.head(3), Changes())
    assert not Changes()
    torch.testing.assert_close(both.before.logits, both.after.logits)
    found = differences(both.before, both.after, 2)
    assert not any(map(len, found["entered_specific"]))
    assert not any(map(len, found["left_shared"]))
    assert (found["moved_weight"] < 1e-6).all()


def test_a_scenario_changes_and_features_do_not(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    for level in checkpoint.description.level:
        for scenario in level.scenarios:
            both = counterfactual(checkpoint, frame, Changes({level.name: scenario}))
            batch = checkpoint.encode(frame)
            assert torch.equal(both.batch.fields, batch.fields)
            place = [lv.name for lv in checkpoint.description.level].index(level.name)
            assert (both.after.scenarios[:, place] == level.scenarios.index(scenario)).all()
            others = [i for i in range(batch.scenarios.shape[1]) if i != place]
            assert torch.equal(both.after.scenarios[:, others], batch.scenarios[:, others])
            torch.testing.assert_close(
                both.before.logits, checkpoint.trace(frame).logits, rtol=1e-4, atol=1e-5
            )


def test_it_equals_the_trace_of_a_frame_changed_by_hand(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    rows = frame.head(5)
    both = counterfactual(
        checkpoint, rows, Changes({"country": "it"}, {"price": 7.5, "brand": "2", "age": None})
    )
    by_hand = checkpoint.trace(rows.assign(country="it", price=7.5, brand=2, age=np.nan))
    torch.testing.assert_close(both.after.logits, by_hand.logits)
    for a, b in zip(both.after.layers, by_hand.layers, strict=True):
        assert torch.equal(a.specific, b.specific)
        assert torch.equal(a.shared, b.shared)
        torch.testing.assert_close(a.mixing_weights, b.mixing_weights)
    before = checkpoint.trace(rows)
    torch.testing.assert_close(both.before.logits, before.logits)
    assert list(both.before.index) == list(both.after.index) == list(rows.index)


def test_a_value_training_never_met_is_unseen(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    both = counterfactual(checkpoint, frame.head(1), Changes(features={"brand": "nobody"}))
    counts = checkpoint.encoder.unseen_counts(both.batch).set_index("feature")
    assert counts.loc["brand", "unseen"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (Changes({"contry": "it"}), "did you mean 'country'"),
        (Changes({"country": "spain"}), "no scenario of level 'country'"),
        (Changes(features={"prize": 1.0}), "did you mean 'price'"),
        (Changes(features={"price": "dear"}), "not a number"),
    ],
)
def test_what_is_not_there_is_refused(
    checkpoint: Checkpoint, frame: pd.DataFrame, changes: Changes, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        counterfactual(checkpoint, frame.head(1), changes)


def test_every_door_is_the_counterfactual_of_that_scenario(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    row = frame.iloc[[4]]
    every = doors(checkpoint, row)
    levels = checkpoint.description.level
    assert len(every) == sum(len(level.scenarios) for level in levels)
    assert every["own"].sum() == len(levels)
    for line in every.itertuples():
        both = counterfactual(checkpoint, row, Changes({line.level: line.scenario}))
        expected = both.after.log_probability.exp()[0].tolist()
        np.testing.assert_allclose([line.ctr, line.ctcvr], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="one row"):
        doors(checkpoint, frame)


def test_predictions_follow_the_chain(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    found = predictions(checkpoint.trace(frame.head(4)), checkpoint)
    assert list(found["row"]) == [row for row in frame.index[:4] for _ in range(2)]
    ctr, ctcvr = found[found["task"] == "ctr"], found[found["task"] == "ctcvr"]
    np.testing.assert_allclose(ctr["conditional"], ctr["probability"], rtol=1e-5)
    product = ctr["probability"].to_numpy() * ctcvr["conditional"].to_numpy()
    np.testing.assert_allclose(ctcvr["probability"], product, rtol=1e-5)


def test_differences_are_those_of_the_sets(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    row = frame.iloc[[0]]
    own = checkpoint.encode(row).scenarios[0, 0]
    names = checkpoint.description.level[0].scenarios
    other = names[(int(own) + 1) % len(names)]
    both = counterfactual(checkpoint, row, Changes({"country": other}))
    found = differences(both.before, both.after)
    lines = iter(found.itertuples())
    for a, b in zip(both.before.layers, both.after.layers, strict=True):
        for task in range(2) if a.kind == "task" else [0]:
            line, x, y = next(lines), a.of_task(task), b.of_task(task)
            old = set(x.specific[0].nonzero().flatten().tolist())
            new = set(y.specific[0].nonzero().flatten().tolist())
            assert set(line.entered_specific) == new - old
            assert set(line.left_specific) == old - new
            assert 0 <= line.moved_weight <= 1 + 1e-6
    first = found.iloc[0]
    assert (first["target_before"], first["target_after"]) == (names[int(own)], other)


def test_a_model_without_selection_has_predictions_and_no_layers(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame
) -> None:
    target = tmp_path_factory.mktemp("plain") / "run"
    plain = load(small.fit(target, small.config(model={"name": "mlp"}, epochs=1)), "cpu")
    both = counterfactual(plain, frame.head(2), Changes({"page": "1"}))
    assert both.before.layers == both.after.layers == ()
    np.testing.assert_allclose(
        both.before.log_probability.exp(), plain.predict(frame.head(2)), rtol=1e-5
    )
    assert differences(both.before, both.after).empty
    assert len(doors(plain, frame.head(1))) == 5
    with pytest.raises(InputError, match="no rows"):
        answer(plain, plain.encode(frame.head(0)), frame.index[:0])


@given(
    st.dictionaries(
        st.sampled_from(["price", "age"]),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.dictionaries(st.sampled_from(["user", "brand"]), st.none() | st.text()),
)
def test_changed_features_survive_the_address(numbers: dict, texts: dict) -> None:
    encoder = load(small.run() / "checkpoint", "cpu").encoder
    features = {**numbers, **texts}
    assert features_from_text(features_to_text(features), encoder) == features


@pytest.mark.parametrize(
    "text", ["prize=1", "price=dear", "price=nan", "price=inf", "=;=", "price="]
)
def test_a_broken_address_is_refused(checkpoint: Checkpoint, text: str) -> None:
    with pytest.raises(InputError):
        features_from_text(text, checkpoint.encoder)


def test_values_are_read_by_kind() -> None:
    assert parse_value("7", "price", True) == 7.0
    assert parse_value("7", "brand", False) == "7"


@pytest.fixture(scope="module")
def partial() -> Checkpoint:
    """Tasks ctcvr only in fr, like only on page 1."""
    return load(degenerate.root() / "checkpoints" / "some_scenarios", "cpu")


def test_no_prediction_where_a_task_does_not_exist(partial: Checkpoint) -> None:
    rows = degenerate.rows()
    answered = answer(partial, partial.encode(rows), rows.index)
    found = predictions(answered, partial).set_index("task")
    gone = {"ctr": rows["page"] < 0, "ctcvr": rows["country"] != "fr", "like": rows["page"] == 0}
    for task, nowhere in gone.items():
        for column in ("conditional", "probability"):
            values = found.loc[task, column].to_numpy()
            np.testing.assert_array_equal(np.isnan(values), nowhere, err_msg=task)
    whole = partial.predict(rows).to_numpy().reshape(-1)
    np.testing.assert_allclose(predictions(answered, partial)["probability"], whole, atol=1e-6)


def test_doors_lead_only_to_tasks_that_exist_behind_them(partial: Checkpoint) -> None:
    rows = degenerate.rows()
    row = rows[(rows["country"] == "it") & (rows["page"] == 1)].head(1)
    found = doors(partial, row).set_index(["level", "scenario"])
    assert found["ctr"].notna().all()
    assert found["ctcvr"].notna().to_dict() == {
        place: place == ("country", "fr") for place in found.index
    }
    assert found.index[found["like"].isna()].tolist() == [("page", "0")]
