"""The Attribution page through AppTest."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.attribution import GateLogit, Probability, attribute, features_of, mean_baseline
from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from app import cache
from app.attribution import slice as attribution_slice
from app.background import State
from tests import small
from tests.app.conftest import with_numbers

PAGE = "views/attribution.py"
Start = Callable[..., AppTest]


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def bars(at: AppTest, key: str = "attribution-row") -> dict[str, Any]:
    (chart,) = [c for c in at.get("plotly_chart") if c.proto.id.endswith(key)]
    trace: dict[str, Any] = json.loads(chart.proto.spec)["data"][0]
    return trace


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def batch(checkpoint: Checkpoint) -> Batch:
    return checkpoint.encode(Dataset.open(small.dataset()).split("test"), labels=True)


def test_the_numbers_are_those_of_the_library(
    start: Start, checkpoint: Checkpoint, batch: Batch
) -> None:
    at = with_numbers(sound(start(PAGE)), "attribution-row")
    found = attribute(checkpoint.model, batch[:1], Probability("ctcvr"), "held",
                      mean_baseline(checkpoint.model, batch),
                      features_of(checkpoint.description))  # fmt: skip
    order = np.argsort(-np.abs(found.contributions[0]))
    np.testing.assert_allclose(bars(at)["x"], found.contributions[0][order], atol=1e-9)
    table = next(d.value for d in at.dataframe if "attribution" in d.value.columns)
    assert table["feature"].tolist() == [found.names[i] for i in order]
    assert any("attributions add up to" in m.value for m in at.markdown)
    tables = [d.value for d in at.dataframe]
    agreement = next(t for t in tables if "spearman" in t.columns)
    assert len(agreement) == 6
    completeness = next(t for t in tables if "delta" in t.columns)
    assert completeness["delta"].iloc[0] == pytest.approx(found.delta[0], abs=1e-6)


@pytest.mark.parametrize(
    ("view", "title"),
    [
        ({"attr__what": "logit", "task": "ctcvr"}, "log-odds of ctcvr given ctr"),
        ({"attr__what": "specific", "expert": "3"}, "specific score of expert 3 in country.1"),
        ({"attr__what": "shared", "layer": "task.1"}, "shared score of expert 0 in task.1"),
        ({"attr__what": "specific", "layer": "task.1", "task": "ctr"},
         "specific score of expert 0 in task.1 for ctr"),
        ({"attr__what": "gate", "attr__gate": "1"}, "expert 0 in country.1, gate it"),
        ({"attr__what": "margin-shared", "attr__base": "missing"}, "shared choice in country.1"),
        ({"attr__method": "gradients", "attr__base": "unseen"}, "probability of ctcvr"),
        ({"attr__method": "shapley", "attr__by": "group"}, "probability of ctcvr"),
    ],
)  # fmt: skip
def test_every_question(start: Start, view: dict[str, str], title: str) -> None:
    at = sound(start(PAGE, **view))
    assert any(title in s.value for s in at.subheader)
    assert len(bars(at)["x"]) == (2 if view.get("attr__by") == "group" else 6)


def test_against_another_row(start: Start, checkpoint: Checkpoint, batch: Batch) -> None:
    frame = Dataset.open(small.dataset()).split("test")
    at = sound(start(PAGE, attr__base="row"))
    assert any("Give the id of the row" in i.value for i in at.info)
    at = sound(start(PAGE, attr__base="row", attr__row="nobody"))
    assert any("no row “nobody”" in i.value for i in at.info)
    at = sound(start(PAGE, attr__base="row", attr__row=str(frame.index[4])))
    assert any(f"against row {frame.index[4]}" in m.value for m in at.markdown)
    same = sound(start(PAGE, attr__base="row", attr__row=str(frame.index[0])))
    np.testing.assert_allclose(bars(same)["x"], 0, atol=1e-12)


def test_the_mean_is_of_the_scenarios_of_the_bar_whatever_is_searched(start: Start) -> None:
    frame = Dataset.open(small.dataset()).split("test")
    count = int((frame["country"] == "it").sum())
    row = frame.index[frame["country"] == "it"][2]
    at = sound(start(PAGE, s__country="it", q=str(row), row=str(row)))
    assert any(f"against the mean of {count} rows" in m.value for m in at.markdown)
    assert np.abs(bars(at)["x"]).max() > 1e-6
    assert any("1 of the 1 rows" in c.value for c in at.caption)


def test_many_rows_in_the_background(start: Start, checkpoint: Checkpoint, batch: Batch) -> None:
    at = sound(start(PAGE, attr__count="64", attr__level="page"))
    assert any("Not computed yet" in i.value for i in at.info)
    at = at.button(key="attribution-start").click().run()
    job = next(iter(cache.background()._entries.values())).job
    assert cache.background().wait(job.id, 60).state is State.DONE
    at = with_numbers(sound(at.run()), "attribution-means")
    table = next(d.value for d in at.dataframe if "absolute_low" in d.value.columns)
    positions = np.sort(np.random.default_rng(0).choice(len(batch), 64, replace=False))
    found = attribute(checkpoint.model, batch[positions], Probability("ctcvr"), "held",
                      mean_baseline(checkpoint.model, batch),
                      features_of(checkpoint.description))  # fmt: skip
    assert table["scenario"].unique().tolist() == ["all", "0", "1"]
    mine = table[table["scenario"] == "all"].set_index("feature")["mean"]
    np.testing.assert_allclose(mine[list(found.names)], found.contributions.mean(0), atol=1e-7)
    of_one = found.contributions[batch.scenarios[positions, 1].numpy() == 1].mean(0)
    mine = table[table["scenario"] == "1"].set_index("feature")["mean"]
    np.testing.assert_allclose(mine[list(found.names)], of_one, atol=1e-7)
    assert at.button(key="attribution-start").disabled
    assert any(c.value.startswith("64 rows. Delta") for c in at.caption)
    again = sound(start(PAGE, attr__count="64", attr__measure="absolute"))
    assert len(again.get("plotly_chart")) == 2, "another visitor finds the result"


def test_a_job_can_be_watched_and_stopped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on = threading.Event()

    def slow(asked: Any, positions: Any) -> Any:
        def work(tick: Callable[[float], None]) -> None:
            while not go_on.wait(0.01):
                tick(0.25)

        return work

    monkeypatch.setattr(attribution_slice, "work", slow)
    try:
        at = start(PAGE, attr__method="ablation", attr__count="64")
        at = sound(at.button(key="attribution-start").click().run())
        assert at.button(key="attribution-start").disabled
        assert not [i for i in at.info if "Not computed" in i.value]
        at = sound(at.button(key="attribution-stop").click().run())
        assert any("Stopped before its end" in i.value for i in at.info)
        assert not at.button(key="attribution-start").disabled
    finally:
        go_on.set()


def test_a_job_that_fails_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(asked: Any, positions: Any) -> Any:
        def work(tick: Callable[[float], None]) -> None:
            raise aesm2.InputError("the memory is full")

        return work

    monkeypatch.setattr(attribution_slice, "work", broken)
    at = start(PAGE, attr__method="shapley", attr__count="64")
    at = at.button(key="attribution-start").click().run()
    ids = list(cache.background()._entries)
    cache.background().wait(ids[-1], 20)
    at = at.run()
    assert any("It did not work: the memory is full." in error.value for error in at.error)
    assert not at.button(key="attribution-start").disabled


def test_copy_as_python_makes_the_same_figures(
    start: Start, small_root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_root)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)
    view = {"s__country": "it", "attr__what": "gate", "attr__count": "64"}
    at = sound(start(PAGE, **view))
    at = at.button(key="attribution-start").click().run()
    cache.background().wait(list(cache.background()._entries)[-1], 60)
    at = sound(at.run())
    codes = [code.value for code in at.code if "attribution" in code.value]
    assert len(codes) == 2
    for code, key in zip(codes, ("attribution-row", "attribution-means"), strict=True):
        made: dict[str, Any] = {}
        exec(code, made)
        np.testing.assert_allclose(made["figure"].data[0].x, bars(at, key)["x"], atol=1e-9)
        assert made["target"] == GateLogit("country.1", 0)


def test_what_cannot_be_explained_is_said(start: Start) -> None:
    at = sound(start(PAGE, checkpoint="plain"))
    assert any("chooses no experts" in i.value for i in at.info)
    assert at.get("plotly_chart") == []


def test_hostile_addresses(start: Start) -> None:
    bad = dict.fromkeys(
        ("what", "base", "method", "by", "steps", "count", "level", "measure", "gate", "row"), "<b>"
    )
    at = sound(start(PAGE, expert="99", row="no such", **{f"attr__{k}": v for k, v in bad.items()}))
    assert any("There is no row “no such”" in i.value for i in at.info)
    at = sound(start(PAGE, expert="-1", **{f"attr__{k}": v for k, v in bad.items()}))
    assert len(bars(at)["x"]) == 6
    at = sound(start(PAGE, attr__what="specific", expert="99"))
    assert any(re.search("expert 0 in", s.value) for s in at.subheader)
