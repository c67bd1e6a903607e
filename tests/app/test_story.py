"""Story mode: its sentences by value, and all its steps through AppTest."""

import base64
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.batch import Batch
from aesm2.data.counts import stored_counts
from aesm2.data.dataset import Dataset
from aesm2.evidence.paper import published
from aesm2.evidence.seesaw import differences, seesaw
from aesm2.plots.rates import Panel
from aesm2.routing.counterfactual import doors
from aesm2.routing.highlights import highlights
from aesm2.routing.knockout import knockouts
from app import cache
from app.story import evidence as story_evidence
from app.story import limits as story_limits
from app.story import source as story_source
from app.story import words as story_words
from app.story.parts import CHAPTERS
from tests import degenerate, small
from tests.app.test_bench import evidence
from tests.app.test_data import charts, sound, texts
from tests.evidence import made

PAGE = "views/story.py"
Start = Callable[..., AppTest]
__all__ = ["evidence"]  # a fixture
EXPECTED = [
    ["story-rates-ctr-impressions", "story-rates-ctcvr-impressions"],
    ["story-trades"],
    ["story-strip"],
    ["story-doors", "story-other"],
    ["story-distance"],
    ["story-worth"],
    ["story-worth-mmoe"],
    ["story-forest"],
]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return Dataset.open(small.dataset()).split("test")


@pytest.fixture(scope="module")
def batch(checkpoint: Checkpoint, rows: pd.DataFrame) -> Batch:
    return checkpoint.encode(rows, labels=True)


def heading(at: AppTest) -> str:
    return next(h.value for h in at.header)


def said(at: AppTest) -> str:
    return texts(at).replace("\\", "")


def numbers(values: Any) -> np.ndarray:
    """Values of a drawn figure, flat; plotly packs those of an array."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.array(values, np.float64).ravel()


def press(at: AppTest, key: str) -> AppTest:
    (button,) = [b for b in at.button if b.key == key]
    return sound(button.click().run())


# What is said


def panel(values: list[tuple[str, int, float, float, float]]) -> Panel:
    columns = ["scenario", "n", "value", "low", "high"]
    lines = pd.DataFrame([("all", 0, 0.0, 0.0, 0.0), *values], columns=columns)
    return Panel("ctr-impressions", "tab", "Click / impressions", "%", lines)


def test_the_two_most_different_rates_of_those_with_rows_enough() -> None:
    of = [("a", 1000, 10.0, 8.3, 12.0), ("b", 2000, 40.0, 38.0, 42.0),
          ("c", 29, 100.0, 88.0, 100.0), ("d", 500, 20.0, 16.7, 23.7)]  # fmt: skip
    found = story_words.rate_words(panel(of))
    assert found == (
        "Click / impressions: 40 % in b (n = 2,000, 95 %: 38 to 42) against 10 % in a (n = 1,000,"
        " 95 %: 8.3 to 12), 4 times as often. The two intervals do not overlap."
    )
    none = story_words.rate_words(panel([("a", 40, 0.0, 0.0, 8.8), ("b", 40, 2.5, 0.4, 13)]))
    assert "times" not in none
    assert none.endswith("The two intervals overlap, so chance may explain it.")
    assert "fewer than two scenarios have 30 rows" in story_words.rate_words(panel([]))


def figures(values: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "scope": "tab", "scenario": str(place), "task": "ctr", "value": value}
            for model, own in values.items()
            for place, value in enumerate(own)
        ]
    )


def test_who_trades_what() -> None:
    of = differences(figures({"A": (70, 60, 50), "B": (69, 62, 50.05), "C": (60, 50, 40)}))
    first, second = story_words.trade_words(of, seesaw(of, 0.1), 0.1)
    assert "of 3 pairs of models, 1 are each better by more than 0.1 points" in first
    assert second.startswith(
        "The sharpest trade: A is 1.00 points ahead of B in tab 0 · CTR, and 2.00 points behind in"
        " tab 1 · CTR."
    )
    alike = differences(figures({"A": (70, 60), "C": (60, 50)}))
    (only,) = story_words.trade_words(alike, seesaw(alike, 0.1), 0.1)
    assert "none of the pairs of usual models (1) trades" in only


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["better", "worse", "not distinguishable"], "measurably ahead in 1 of 3 places, and"
         " measurably behind in 1."),
        (["better", "better"], "ahead in 2 of 2 places, and nowhere measurably behind"),
        (["worse", "not distinguishable", "not tested"], "nowhere shown to be better than the best"
         " usual model, and it is measurably behind in 1 of 2 places"),
        (["not distinguishable"] * 4, "neither shown to be better nor to be worse than the best"
         " usual model, in any of 4 places"),
        (["not tested"], "Nothing here was tested against AESM²."),
    ],
)  # fmt: skip
def test_the_verdict_is_said_as_it_is(outcomes: list[str], words: str) -> None:
    found = story_words.plain_verdict(pd.DataFrame({"reference": "aesm2", "outcome": outcomes}))
    assert words in found


def every_door(values: tuple[float, ...], own: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "level": "country", "scenario": ["fr", "it", "elsewhere"][: len(values)],
            "own": [place == own for place in range(len(values))], "ctr": values,
        }
    )  # fmt: skip


def test_the_door_that_changes_most(checkpoint: Checkpoint) -> None:
    described = checkpoint.description
    three = every_door((0.5, 0.4, 0.7))
    assert story_words.other_door(three, "ctr") == "elsewhere"
    found = story_words.through_words(three, described, 0, "elsewhere")
    assert found == (
        "The same visit through elsewhere instead of fr: ctr goes from 50.00 % to 70.00 % (+20.00"
        " points). Nothing but the door was changed."
    )
    gone = every_door((0.5, math.nan, math.nan))
    assert story_words.other_door(gone, "ctr") == "it"
    assert story_words.through_words(gone, described, 0, "it").endswith("does not exist in both.")
    assert story_words.other_door(every_door((0.5,)), "ctr") is None


def test_who_enters_and_leaves() -> None:
    lines = pd.DataFrame([
        {"layer": "tab.1", "target_before": "4", "target_after": "6", "entered_specific": (0, 3),
         "left_specific": (1, 6), "entered_shared": (), "left_shared": (), "moved_weight": 0.94},
        {"layer": "task.1", "target_before": "ctr", "target_after": "ctr", "entered_specific": (),
         "left_specific": (), "entered_shared": (), "left_shared": (), "moved_weight": 0.02},
    ])  # fmt: skip
    assert story_words.moved_words(lines) == [
        "In tab.1 (4 → 6): ▲ specific 0 and 3 in place of 1 and 6; 94% of the mix moves.",
        "In task.1 (ctr): the same experts; 2% of the mix moves.",
    ]


def test_the_paper_is_quoted() -> None:
    assert story_words.quoted_words(published(8)) == (
        "clicks +0.10 %, purchases per click +2.61 %, purchases +2.51 % and sales value +7.21 %"
    )


def test_how_sure_the_checkpoint_is() -> None:
    nan = math.nan
    lines = pd.DataFrame(
        [
            ("all", 0.75, 0.7, 0.8),
            ("t", 0.6, 0.5, 0.7),
            ("t", nan, nan, nan),
            ("t", 0.6, 0.56, 0.64),
        ],
        columns=["scope", "auc", "auc_low", "auc_high"],
    ).assign(split="test", task="ctr", n=1234)
    found = story_limits.checkpoint_words(lines, "ctr", "Click")
    assert "Its AUC × 100 for Click is 75.00 (95 %: 70.00 to 80.00, n = 1,234 test rows)" in found
    assert "was not measured" in story_limits.checkpoint_words(lines, "like", "Like")
    assert story_limits.thin_words(lines, "ctr", "Click") == (
        "Of 3 scenarios measured for Click, the AUC is undefined in 1 (a class is missing) and"
        " known to no better than 10 points in 1."
    )
    assert "simulated: no real person" in story_limits.source_words("simulated", "A shop")
    assert "are public and logged" in story_limits.source_words("public", "A shop")


def test_worth_against_the_plain_and_the_best_model(tmp_path: Path) -> None:
    replay = made.replay()
    replay.loc[replay["variant"] == "mlp", "baseline"] *= 2
    study = cache.study(made.write(tmp_path / "hand", {"replay": replay}))
    step = story_evidence.worth_step(story_evidence.Studies(None, study), "shop")
    assert [c.key for c in step.charts] == ["story-worth-mmoe", "story-worth-mlp"]
    assert step.said[1].startswith("Against one model for all, MMoE. Purchases: no difference")
    assert step.said[2].startswith("Against the usual model that sells most, Shared MLP. Purch")
    figure = step.charts[0].figure  # 5 % of 0.005 × 10 shown × 1,000 lists
    assert figure.data[0].x[0] == pytest.approx(2.5)
    assert "offline replay, no A/B test" in figure.layout.annotations[0].text.replace("<br>", " ")


# The steps


def test_all_eight_steps_forth_and_back(
    start: Start, evidence: Path, checkpoint: Checkpoint, batch: Batch, rows: pd.DataFrame
) -> None:
    first = sound(start("", mode="story", task="ctr"))
    assert not [b for b in first.selectbox if b.key == "view-checkpoint"], "the bar is hidden"
    for number, at in walk(first):
        expected = EXPECTED[number - 1] if number > 1 else EXPECTED[0][:1]  # of task ctr
        assert heading(at) == CHAPTERS[number - 1].title
        assert at.get("progress")[0].proto.text == f"Step {number} of 8"
        assert dict(at.query_params).get("step", "1") == str(number)
        assert list(charts(at)) == expected, number
        check(number - 1, said(at), charts(at), checkpoint, batch, rows)
    assert next(b for b in at.button if b.key == "story-next").disabled
    at = press(at, "story-back")
    assert heading(at) == CHAPTERS[6].title


def check(
    number: int,
    text: str,
    drawn: dict[str, dict[str, Any]],
    checkpoint: Checkpoint,
    batch: Batch,
    rows: pd.DataFrame,
) -> None:
    """What a step says, against the same computed here."""
    position = highlights(checkpoint.model, batch, 0, description=checkpoint.description).decisive
    assert position is not None
    if number == 0:
        counts = stored_counts(checkpoint.statistics, checkpoint.encoder.schema, "all")
        total = int(counts.impressions.sum())
        assert f"{total:,} visits, told apart as 3 by country and 2 by page" in text
        rate = 100 * counts.positives[:, 0].sum() / counts.labelled[:, 0].sum()
        dots = drawn["story-rates-ctr-impressions"]["data"][0]
        assert numbers(dots["x"])[0] == pytest.approx(rate)
    if number == 1:
        assert "none of the pairs of usual models (1) trades" in text
        assert "AESM² has the best mean in 3 of 5 cells" in text
        assert "measurably ahead in 2 of 5 places, and nowhere measurably behind" in text
    if number == 2:
        assert f"row {rows.index[position.position]}, came through" in text
        assert f"Of {len(rows)} visits looked at" in text
        trace = checkpoint.trace(rows.iloc[[position.position]])
        most = int(trace.layers[0].mixing_weights[0].argmax())
        assert f"Expert {most} counts most" in text
    if number == 3:
        every = doors(checkpoint, rows.iloc[[position.position]]).query("level == 'country'")
        np.testing.assert_allclose(
            numbers(drawn["story-doors"]["data"][0]["x"]), 100 * every["ctr"]
        )
        assert story_words.other_door(every.reset_index(drop=True), "ctr") in text
    if number == 5:
        cells = knockouts(checkpoint.model, batch).to_frame().query("task == 'ctr'")
        lines = cells[cells["scope"] == "all"]
        worst = lines.loc[lines["auc_change"].idxmin()]
        assert f"expert {worst['expert']} of {worst['layer']}" in text
        wanted = cells[cells["layer"] == worst["layer"]]["auc_change"].to_numpy()
        heat = next(d for d in drawn["story-worth"]["data"] if d["type"] == "heatmap")
        np.testing.assert_allclose(numbers(heat["z"]), wanted, atol=1e-9)
    if number == 6:
        assert "no A/B test" in text
        assert "not ours, and not these data" in text
        assert "purchases per click +2.61 %" in text
        assert "sells most, MMoE. Purchases: no difference" in text
    if number == 7:
        assert f"looked at all {len(rows)} test rows" in text
        assert "2 trainings of AESM² that differ in their seeds have an AUC × 100 of 72.00" in text


def test_the_way_out_leads_back_to_where_one_was(start: Start) -> None:
    at = sound(start("", mode="story", step="3", s__page="1"))
    at = press(at, "story-leave")
    assert heading(at) == "What am I looking at?"
    assert dict(at.query_params) == {"checkpoint": "shop", "s-page": "1"}


def test_on_its_own_page_the_menus_stay_until_it_is_presented(start: Start) -> None:
    at = sound(start(PAGE, step="2"))
    assert [box for box in at.selectbox if box.key == "view-checkpoint"]
    at = press(at, "story-present")
    assert dict(at.query_params)["mode"] == "story"
    assert not [box for box in at.selectbox if box.key == "view-checkpoint"]
    assert heading(at) == CHAPTERS[1].title


def test_maths_and_notes_are_remembered(start: Start) -> None:
    at = sound(start("", mode="story", step="6"))
    assert "For the speaker" not in said(at)
    for toggle in ("story-maths-toggle", "story-notes-toggle"):
        (found,) = [t for t in at.toggle if t.key == toggle]
        at = sound(found.set_value(True).run())
    assert dict(at.query_params)["maths"] == dict(at.query_params)["notes"] == "on"
    assert CHAPTERS[5].maths in [formula.value.strip("$\n") for formula in at.latex]
    at = press(at, "story-back")
    assert CHAPTERS[4].notes[0] in said(at)
    (found,) = [t for t in at.toggle if t.key == "story-notes-toggle"]
    at = sound(found.set_value(False).run())
    assert "notes" not in at.query_params


def test_a_step_that_is_not_there(start: Start) -> None:
    for step in ("9", "٣", "8" * 4000):
        at = sound(start("", mode="story", step=step))
        assert heading(at) == CHAPTERS[0].title
        assert dict(at.query_params).get("step") == "1"


def test_a_checkpoint_that_is_not_there(start: Start) -> None:
    assert heading(sound(start("", mode="story", checkpoint="no<such"))) == CHAPTERS[0].title


# What is left where something is not there


def test_without_evidence(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AESM2_EVIDENCE", raising=False)
    at = sound(start("", mode="story", step="2"))
    assert "no study of this checkpoint's dataset here" in said(at)
    at = sound(start("", mode="story", step="7"))
    assert "No study here has a replay" in said(at)
    assert "purchases per click +2.61 %" in said(at)
    assert "no study of this checkpoint's dataset here" in said(press(at, "story-next"))


def test_a_study_of_other_data_is_told_apart(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    other = made.ABOUT["dataset"] | {"name": "mall", "title": "A mall"}
    made.write(tmp_path / "mall", dataset=other)
    at = sound(start("", mode="story", step="7"))
    assert "a simulated shop (A mall, other data than this model's)" in said(at)
    assert "no study of this checkpoint's dataset" in said(sound(start("", mode="story", step="2")))


def test_a_study_without_comparisons_claims_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    made.write(tmp_path / "bare", {"runs": made.runs()})
    at = sound(start("", mode="story", step="2"))
    assert "Nothing here was tested against AESM²." in said(at)
    assert not charts(sound(start("", mode="story", step="8")))


def walk(at: AppTest) -> Iterator[tuple[int, AppTest]]:
    """Yield every step and its number, from the first."""
    for number in range(1, 9):
        yield number, at
        at = press(at, "story-next") if number < 8 else at


def test_a_model_without_selection(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AESM2_EVIDENCE", raising=False)
    for step, at in walk(sound(start("", mode="story", checkpoint="plain"))):
        assert len(charts(at)) == (2, 0, 0, 1, 0, 0, 0, 0)[step - 1], step
        assert ("no expert selection" in said(at)) == (step in (3, 4, 5, 6)), step


def test_a_dataset_that_is_not_here(small_root: Path, tmp_path: Path, start: Start) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "checkpoints")
    for step, at in walk(sound(start("", root=tmp_path, mode="story"))):
        assert step > 1 or len(charts(at)) == 2
        assert ("is not here" in said(at)) == (step in (3, 4, 5, 6)), step


@pytest.mark.parametrize("name", ["one_scenario", "four_levels", "some_scenarios"])
def test_it_stands_on_any_data(start: Start, name: str) -> None:
    at = sound(start("", root=degenerate.root(), mode="story", checkpoint=name))
    for _ in range(7):
        at = press(at, "story-next")
    assert heading(at) == CHAPTERS[7].title


def test_many_rows_are_sampled_and_said(
    start: Start, monkeypatch: pytest.MonkeyPatch, batch: Batch
) -> None:
    monkeypatch.setattr(story_source, "MOST", 20)
    at = sound(start("", mode="story", step="6", task="ctcvr"))
    stamp = f"test split, 20 of {len(batch)} rows, drawn with seed 0"
    (drawn,) = charts(at).values()
    notes = [a["text"].replace("<br>", " ") for a in drawn["layout"]["annotations"]]
    assert any(stamp in note for note in notes)


@pytest.mark.parametrize("step", ["1", "3", "4", "5", "6"])
def test_the_code_makes_the_charts(
    start: Start, small_root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    at = sound(start("", mode="story", step=step, task="ctr"))
    figures_: list[go.Figure] = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: figures_.append(figure))
    monkeypatch.chdir(small_root)
    blocks = [block.value for block in at.code if "import aesm2" in block.value]
    assert len(blocks) == len(charts(at))
    for block, drawn in zip(blocks, charts(at).values(), strict=True):
        exec(block, {})
        own = json.loads(figures_[-1].to_json())["data"]
        for shown, again in zip(drawn["data"], own, strict=True):
            assert {k: v for k, v in shown.items() if k != "textfont"} == {
                k: v for k, v in again.items() if k != "textfont"
            }


def test_a_rate_many_times_as_high_is_written_out() -> None:
    apart = panel([("a", 4000, 30.0, 29.0, 31.0), ("b", 4000, 0.2, 0.1, 0.3)])
    assert ", 150 times as often." in story_words.rate_words(apart)
