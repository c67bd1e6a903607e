"""Replay against sums by hand, every ranking, and draws of the world."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aesm2.data.description import read_description
from aesm2.data.scenarios import SEPARATOR
from aesm2.errors import InputError
from aesm2.evidence import replay as module
from aesm2.evidence.replay import METRICS, candidate_lists, replay
from aesm2.simulation.describe import describe
from aesm2.simulation.presets import PRESETS
from aesm2.simulation.world import World

PRESET = PRESETS["alipay"].model_copy(update={"users": 500, "items": 200, "queries": 100})
SECOND = 1 / math.log2(3)  # how often the second position is looked at


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(PRESET, 3)


def table(
    path: list[str], click: list[float], buy: list[float], price: list[float]
) -> pd.DataFrame:
    ids = np.repeat(np.arange(len(path)), len(click) // len(path))
    columns = {"list_id": ids, "path": np.array(path)[ids], "truth_ctr": click}
    return pd.DataFrame(columns | {"truth_ctcvr": buy, "price": price})


def two_lists() -> pd.DataFrame:
    click, buy = [0.4, 0.2, 0.1, 0.5, 0.3, 0.2], [0.01, 0.04, 0.02, 0.1, 0.2, 0.1]
    return table(["x", "y"], click, buy, [10, 20, 30, 5, 1, 40])


def figures(found: pd.DataFrame, column: str, scenario: str = "all") -> dict[str, float]:
    own = found[found["scenario"] == scenario]
    return dict(zip(own["metric"], own[column], strict=True))


def test_two_lists_by_hand() -> None:
    """a shows candidates 2, 1 and 1, 0; b 0, 1 and 0, 1; the oracle 1, 2 and 1, 0."""
    found = replay(np.array([1, 2, 3, 1, 3, 0.5]), np.zeros(6), two_lists(), top=2)
    clicks = {
        "a": 0.1 + 0.2 * SECOND + 0.3 + 0.5 * SECOND,
        "b": 0.4 + 0.2 * SECOND + 0.5 + 0.3 * SECOND,
        "oracle": 0.2 + 0.1 * SECOND + 0.3 + 0.5 * SECOND,
    }
    conversions = {
        "a": 0.02 + 0.04 * SECOND + 0.2 + 0.1 * SECOND,
        "b": 0.01 + 0.04 * SECOND + 0.1 + 0.2 * SECOND,
        "oracle": 0.04 + 0.02 * SECOND + 0.2 + 0.1 * SECOND,
    }
    gmv = {
        "a": 0.6 + 0.8 * SECOND + 0.2 + 0.5 * SECOND,
        "b": 0.1 + 0.8 * SECOND + 0.5 + 0.2 * SECOND,
        "oracle": 0.8 + 0.6 * SECOND + 0.2 + 0.5 * SECOND,
    }
    wanted = {
        ranker: [clicks[ranker] / 4, conversions[ranker] / clicks[ranker],
                 conversions[ranker] / 4, gmv[ranker] / 2]
        for ranker in clicks
    }  # fmt: skip
    for ranker, values in wanted.items():
        assert list(figures(found, ranker).values()) == pytest.approx(values)
    for column, ranker in (("uplift", "a"), ("ceiling", "oracle")):
        gain = 100 * (np.array(wanted[ranker]) / np.array(wanted["b"]) - 1)
        assert list(figures(found, column).values()) == pytest.approx(gain)
    assert figures(found, "a", "y")["gmv"] == pytest.approx(0.2 + 0.5 * SECOND)
    assert found[["scope", "scenario"]].drop_duplicates().to_numpy().tolist() == [
        ["all", "all"], ["path", "x"], ["path", "y"],
    ]  # fmt: skip
    assert found["lists"].tolist() == [2] * 4 + [1] * 8
    assert found.loc[found["scope"] == "path", ["low", "high"]].isna().all(axis=None)


def test_intervals_of_two_lists_are_those_of_three_outcomes() -> None:
    """Both lists, or one of them twice (a quarter each): percentiles are the extremes."""
    found = replay(np.array([1, 2, 3, 1, 3, 0.5]), np.zeros(6), two_lists(), top=2)
    for metric in METRICS:
        alone = [figures(found, "uplift", path)[metric] for path in ("x", "y")]
        own = [figures(found, column)[metric] for column in ("low", "high")]
        assert own == pytest.approx(sorted(alone))


LISTS = st.lists(
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 4), st.integers(0, 4)),
    min_size=8, max_size=8,
)  # fmt: skip


@settings(max_examples=25)
@given(LISTS, st.integers(1, 5))
def test_the_oracle_loses_to_no_one(rows: list[tuple[float, float, int, int]], top: int) -> None:
    click, given_click, a, b = (np.array(column) for column in zip(*rows, strict=True))
    lists = table(["x", "y"], list(click), list(click * given_click), [1.0] * 8)
    found = replay(a, b, lists, top)
    for scenario in ("all", "x", "y"):
        best = figures(found, "oracle", scenario)["ctcvr"]
        assert best >= figures(found, "a", scenario)["ctcvr"] - 1e-12
        assert best >= figures(found, "b", scenario)["ctcvr"] - 1e-12


def test_the_oracle_is_the_best_of_all_rankings() -> None:
    lists = table(["x"], [0.9, 0.5, 0.3, 0.6], [0.1, 0.2, 0.05, 0.3], [1.0] * 4)
    orders = [np.array(order) for order in itertools.permutations(range(4))]
    earned = [figures(replay(o, o, lists, top=3), "a")["ctcvr"] for o in orders]
    assert figures(replay(orders[0], orders[0], lists, 3), "oracle")["ctcvr"] == max(earned)


def test_equal_scores_differ_by_exactly_nothing(world: World) -> None:
    lists = candidate_lists(world, 40, 7)
    scores = np.random.default_rng(1).random(len(lists)).round(1)
    found = replay(scores, scores * 3, lists, top=3)
    assert (found[["uplift", "low", "high"]].to_numpy()[found["lists"] > 1] == 0).all()
    assert (found["a"] == found["b"]).all()
    assert (found["ceiling"][found["metric"] == "ctcvr"] > 0).all()


def test_equal_scores_keep_the_order_of_candidates() -> None:
    lists = two_lists()
    tied, ordered = np.array([1, 1, 0, 2, 2, 2]), np.array([2, 1, 0, 2, 1, 0])
    found = replay(tied, ordered, lists, top=3)
    assert (found["a"] == found["b"]).all()


def test_the_interval_covers_the_uplift_over_many_lists(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 times 100 lists against all of them together."""
    monkeypatch.setattr(module, "REPLICATES", 300)
    rng, rows = np.random.default_rng(0), 100 * 6
    lists = candidate_lists(world, 12_000, 6)
    a = lists["truth_ctcvr"].to_numpy() * np.exp(rng.normal(size=len(lists)))
    b = rng.random(len(lists))
    wanted = figures(replay(a, b, lists, 3), "uplift")
    cuts = [slice(start, start + rows) for start in range(0, len(lists), rows)]
    found = [replay(a[cut], b[cut], lists.iloc[cut], 3) for cut in cuts]
    for metric in METRICS:
        bounds = [[figures(own, side)[metric] for side in ("low", "high")] for own in found]
        covered = [low <= wanted[metric] <= high for low, high in bounds]
        assert 0.87 < np.mean(covered) < 0.99


def test_no_cut_changes_a_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists drawn are the first of more lists; replicates are the same however many at once."""
    lists = candidate_lists(world, 60, 6, 2)
    monkeypatch.setattr(module, "COUNTS", 500)
    rng = np.random.default_rng(0)
    a, b = rng.random(len(lists)), rng.random(len(lists))
    cut = replay(a, b, lists)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(cut, replay(a, b, lists), rtol=1e-9)
    blocks = module.KEYS // PRESET.items
    many = candidate_lists(world, blocks + 60, 6, 2)
    pd.testing.assert_frame_equal(many.head(len(lists)), lists)
    assert many["list_id"].iloc[-1] == blocks + 59
    again = many.tail(60 * 6)[["user_id", "item_id"]].to_numpy()
    assert (again != lists[["user_id", "item_id"]].to_numpy()).any()


def test_lists_have_the_columns_of_the_log_and_its_truth(world: World, tmp_path: Path) -> None:
    lists = candidate_lists(world, 300, 5)
    (tmp_path / "dataset.toml").write_text(describe(PRESET))
    assert set(read_description(tmp_path).input_columns) <= set(lists.columns)
    log, _ = world.block(0)
    for position, kind in enumerate(("user", "item", "query")):
        own = world.entities[position].table
        joined = lists[[f"{kind}_id"]].merge(own, on=f"{kind}_id", how="left")
        pd.testing.assert_frame_equal(lists[list(own.columns)], joined)
        assert lists[f"{kind}_id"].dtype == log[f"{kind}_id"].dtype
    assert (lists["path"] == lists["channel"] + SEPARATOR + lists["domain"]).all()
    names = [SEPARATOR.join(line.path) for line in PRESET.traffic]
    cells = [e.cell[lists[f"{e.kind.name}_id"]] for e in world.entities]
    cell = np.ravel_multi_index(tuple(cells), tuple(e.kind.cells for e in world.entities))
    path = lists["path"].map(names.index).to_numpy()
    click, conversion = world.truth.probability[:, path, cell]
    assert lists["truth_ctr"].to_numpy() == pytest.approx(click)
    assert lists["truth_ctcvr"].to_numpy() == pytest.approx(click * conversion)


def test_a_list_is_one_search_with_distinct_items(world: World) -> None:
    lists = candidate_lists(world, 500, 12, 1)
    distinct = lists.groupby("list_id")[["path", "user_id", "query_id", "item_id"]].nunique()
    assert (distinct == [1, 1, 1, 12]).all(axis=None)
    possible = np.diff(world.entities[1].cumulative, axis=1, prepend=0) > 0
    names = [SEPARATOR.join(line.path) for line in PRESET.traffic]
    assert possible[lists["path"].map(names.index), lists["item_id"]].all()


def test_searches_come_as_often_as_the_world_has_them(world: World) -> None:
    count = 20_000
    lists = candidate_lists(world, count, 1, 4)
    names = [SEPARATOR.join(line.path) for line in PRESET.traffic]
    path = lists["path"].map(names.index).to_numpy()
    assert np.bincount(path) / count == pytest.approx(world.truth.share, abs=0.015)
    for entities in world.entities:
        drawn = entities.cell[lists[f"{entities.kind.name}_id"]][path == 2]
        found = np.bincount(drawn, minlength=entities.kind.cells) / len(drawn)
        assert found == pytest.approx(entities.cell_share[2], abs=0.02)


def test_candidates_are_drawn_one_after_the_other_without_those_before(world: World) -> None:
    """How often an item is among 20, against numpy's own draws without replacement."""
    lists = candidate_lists(world, 12_000, 20, 5)
    name = SEPARATOR.join(PRESET.traffic[1].path)
    own = lists[lists["path"] == name]
    found = np.bincount(own["item_id"], minlength=PRESET.items) / (len(own) / 20)
    share = np.diff(world.entities[1].cumulative[1], prepend=0)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(PRESET.items, 20, replace=False, p=share) for _ in range(4000)]
    wanted = np.bincount(np.concatenate(drawn), minlength=PRESET.items) / 4000
    assert found == pytest.approx(wanted, abs=0.05)
    assert 0.5 < found.max() < 1
    assert found.sum() == pytest.approx(20)


@pytest.mark.parametrize(("lists", "size"), [(0, 5), (3, 0), (3, 101)])
def test_impossible_lists_are_refused(world: World, lists: int, size: int) -> None:
    with pytest.raises(InputError, match="expected at least one list, of 1 to 100, the number"):
        candidate_lists(world, lists, size)


def test_scores_and_lists_that_do_not_fit_are_refused() -> None:
    lists, scores = two_lists(), np.zeros(6)
    with pytest.raises(InputError, match=r"each of 6 rows; found \(5,\), 0 NaN"):
        replay(scores, scores[:5], lists)
    with pytest.raises(InputError, match=r"each of 6 rows; found \(6,\), 1 NaN"):
        replay(np.array([0, 0, 0, np.nan, 0, 0]), scores, lists)
    with pytest.raises(InputError, match="top is 0"):
        replay(scores, scores, lists, top=0)
    for rows in ([0, 1, 2, 3, 4], [0, 3, 1, 4, 2, 5], []):
        with pytest.raises(InputError, match="lists of one size, the rows of each together"):
            replay(scores[: len(rows)], scores[: len(rows)], lists.iloc[rows])
