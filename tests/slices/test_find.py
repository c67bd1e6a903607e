"""The search: planted slices are found, nothing is found where nothing is, nodes are nested."""

import numpy as np
import pandas as pd
import pytest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.slices import Measure, Search, difference, find, mask, parse, sentence, single_sentence
from aesm2.slices.candidates import Column, _told_apart, candidates, inputs, round_edges
from tests import small

LOSS, GAP = Measure("loss", "ctr", title="Click"), Measure("gap", layer="country.1")
FEWEST = 25


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return Dataset.open(small.dataset()).frame()


@pytest.fixture(scope="module")
def batch(checkpoint: Checkpoint, frame: pd.DataFrame) -> Batch:
    return checkpoint.encode(frame, labels=True)


PLANTED = ["price >= 3 & page = 1", "age missing", "country = elsewhere", "user_past_count < 4"]


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_slice_is_found(
    checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch, text: str
) -> None:
    planted = mask(parse(text, checkpoint.description), frame, checkpoint.description)
    values = np.random.default_rng(0).normal(0, 0.3, len(frame)) + planted
    found = find(frame, batch, checkpoint.encoder, {LOSS: values}, Search(support=0.04))
    best = max(found.discoveries, key=lambda line: line.difference.effect)
    own = mask(best.slice, frame, checkpoint.description)
    assert (own & planted).sum() / (own | planted).sum() > 0.85
    assert best.difference.low <= 1 <= best.difference.high + 0.1
    assert best.q < 1e-6
    assert best.rows == own.sum()
    assert best.share == pytest.approx(own.mean())


def test_nothing_is_found_where_nothing_is(
    checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch
) -> None:
    repeats, some, rate = 100, 0, 0.05
    for seed in range(repeats):
        rng = np.random.default_rng([7, seed])
        values = {LOSS: rng.exponential(1, len(frame)), GAP: (rng.random(len(frame)) < 0.1) * 1.0}
        found = find(frame, batch, checkpoint.encoder, values, Search(seed=seed, support=0.05))
        assert len(found.lines) > 5
        some += bool(found.discoveries)
    assert some / repeats <= rate + 2 * np.sqrt(rate * (1 - rate) / repeats)


def test_the_nodes_are_the_rows_of_their_slices_and_nested(
    checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch
) -> None:
    described = checkpoint.description
    of = inputs(frame, batch, checkpoint.encoder, FEWEST)
    assert {column.name for column in of.columns} >= {"country", "page", "age", "brand", "price"}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gone = frame["age"].isna().to_numpy()
        target = rng.normal(0, 1, len(frame)) + seed % 3 * gone + seed % 2 * (frame["age"] > 40)
        nodes = candidates(of, target.to_numpy(), 3, FEWEST, seed)
        assert 3 <= len(nodes) <= 13
        for node in nodes:
            assert (mask(node.slice, frame, described) == node.rows).all(), str(node.slice)
            assert node.rows.sum() >= FEWEST
            assert len(node.slice) <= node.depth <= 3
        for a in nodes:
            for b in nodes:
                both = (a.rows & b.rows).sum()
                assert both in (0, a.rows.sum(), b.rows.sum()), "nested or apart"
        (half,) = [node for node in nodes if node.depth == 1]
        assert half.rows.mean() <= 0.5


def test_the_tested_rows_have_no_part_in_the_choice(
    checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch
) -> None:
    values = np.random.default_rng(1).normal(size=len(frame))
    first = find(frame, batch, checkpoint.encoder, {LOSS: values}, Search(seed=3))
    order = np.random.default_rng(3).permutation(len(frame))
    tested = order[len(frame) // 2 :]
    other = values.copy()
    other[tested] = np.random.default_rng(2).normal(size=len(tested))
    second = find(frame, batch, checkpoint.encoder, {LOSS: other}, Search(seed=3))
    assert {line.slice for line in first.lines} == {line.slice for line in second.lines}
    assert (first.grown, first.tested) == (len(frame) // 2, len(tested))
    for line in first.lines:
        inside = mask(line.slice, frame, checkpoint.description)[np.sort(tested)]
        np.testing.assert_allclose(line.difference, difference(values[np.sort(tested)], inside))


def test_one_control_over_all_measures(
    checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch
) -> None:
    rng = np.random.default_rng(4)
    values = {LOSS: rng.normal(size=len(frame)), GAP: rng.normal(size=len(frame))}
    values[GAP][::5] = np.nan
    found = find(frame, batch, checkpoint.encoder, values)
    alone = find(frame, batch, checkpoint.encoder, {LOSS: values[LOSS]})
    assert [line.slice for line in found.of(LOSS, every=True)] == [
        line.slice for line in alone.lines
    ]
    p = np.array([line.difference.p for line in found.lines])
    q = [min(1.0, *(own * len(p) / (p <= own).sum() for own in p[p >= mine])) for mine in p]
    np.testing.assert_allclose([line.q for line in found.lines], q)
    table = found.to_frame()
    assert table["unit"].eq("nats").all()
    assert len(table) == len(found.lines)
    assert table["held_out"].max() <= found.tested


def test_of_columns_that_split_alike_the_first_is_asked() -> None:
    half, third = np.array([True, False, True, False]), np.array([True, False, False, False])
    number = Column("price", edges=(3.0,))
    made = [
        (Column("tab", value="0"), half), (Column("ui", value="two"), ~half),
        (Column("ui", value="three"), third), (number, half.astype(float)), (Column("x"), half),
    ]  # fmt: skip
    names = [(column.name, column.value) for column, _ in _told_apart(made)]
    assert names == [("tab", "0"), ("ui", "three"), ("price", "")]


def test_round_edges_stay_close_and_apart() -> None:
    edges = (0.0312345, 0.21234, 0.2129, 3.14159, 1650000123.0)
    assert round_edges(edges) == (0.03, 0.2123, 0.2129, 3.1, 1700000000.0)
    rounded = np.array(round_edges(edges))
    width = np.diff(edges)
    least = np.minimum(np.append(width, np.inf), np.append(np.inf, width))
    assert (np.abs(rounded - edges) <= least / 10).all()
    assert round_edges((0.123456,)) == (0.123,)
    assert round_edges(()) == ()
    assert round_edges((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)


def test_in_words(checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch) -> None:
    planted = frame["price"].to_numpy() >= 3
    calm = np.random.default_rng(0).normal(0, 0.1, len(frame))
    found = find(frame, batch, checkpoint.encoder, {LOSS: calm - planted}, Search(depth=1))
    (line,) = found.lines
    share = round(100 * line.share)
    # the smaller side is named; its sign follows
    assert sentence(line).startswith("Rows with price")
    assert f"(n = {line.rows:,}, {share} %): Click log loss is " in sentence(line)
    assert sentence(line).endswith("q < 0.001.")
    low, high = sentence(line).split("[")[1].split("]")[0].split(", ")
    assert 0.9 < float(low) < float(high) < 1.1
    told = single_sentence(line.slice, GAP, 3, 0.5, difference(calm[:3], np.array([1, 0, 0]) > 0))
    assert told.endswith("too few rows to compare selection gap of country.1.")


@pytest.mark.parametrize(
    ("bad", "says"),
    [({"depth": 4}, "1 to 3"), ({"support": 0.5}, "least share"), ({"rate": 0}, "rate"),
     ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_searches_are_refused(bad: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Search(**bad)  # type: ignore[arg-type]


def test_too_few_rows(checkpoint: Checkpoint, frame: pd.DataFrame, batch: Batch) -> None:
    with pytest.raises(InputError, match="too few to look"):
        find(frame[:79], batch[:79], checkpoint.encoder, {LOSS: np.zeros(79)})
    same = find(frame, batch, checkpoint.encoder, {LOSS: np.zeros(len(frame))})
    assert same.lines == () or not same.discoveries
