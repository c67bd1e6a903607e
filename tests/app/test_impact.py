"""The Impact page through AppTest, on evidence made by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import with_numbers
from tests.app.test_bench import evidence
from tests.app.test_data import charts, pick, sound, table, texts
from tests.evidence import made

PAGE = "views/impact.py"
Start = Callable[..., AppTest]
__all__ = ["evidence"]  # a fixture


def test_what_to_expect_with_its_assumptions(start: Start, evidence: Path) -> None:
    at = with_numbers(sound(start(PAGE)), "impact-clicks")
    tiles = {tile.label: (tile.value, tile.delta) for tile in at.metric}
    assert tiles["Clicks per 1,000 result lists"] == ("+50.0", "of +500 possible")
    assert tiles["Purchases per 1,000 result lists"] == ("+2.50", "of +25.0 possible")
    said = texts(at).replace("\\", "")
    assert "This is not an A/B test" in said
    assert "no difference that could be told from chance" in said
    assert "simulated data: A small shop, CC0; study hand; computed" in said
    assert list(charts(at)) == [
        f"impact-{m}-aesm2-mmoe" for m in ("clicks", "purchases", "sales-value")
    ]
    numbers = table(at, "possible").set_index("scenario")
    assert numbers.loc["fr", "extra"] == pytest.approx(-20)
    at = pick(at, "instead of", "mlp")
    assert dict(at.query_params)["instead"] == "mlp"
    assert "impact-clicks-aesm2-mlp" in charts(at)


def test_the_online_test_is_quoted_apart(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE))
    everywhere = table(at, "purchases per click")
    assert everywhere.iloc[0].tolist() == ["everywhere", 0.10, 2.61, 2.51, 7.21]
    assert "Quoted from the paper: Zou et al., SIGIR 2022, Table 9, online A/B test" in texts(at)
    assert not any("2.61" in str(chart) for chart in charts(at).values())


def test_logged_data_claim_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    public = made.ABOUT["dataset"] | {"provenance": "public"}
    made.write(tmp_path / "logged", {"runs": made.runs()}, dataset=public)
    at = sound(start(PAGE))
    assert "nothing is claimed here" in texts(at)
    assert not charts(at)


def test_without_a_replay_the_command(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    made.write(tmp_path / "bare", {"runs": made.runs()})
    at = sound(start(PAGE))
    assert at.code[0].value.startswith("aesm2 replay DATASET")
    assert "Quoted from the paper" in texts(at)


def test_the_first_study_is_one_with_a_replay(start: Start, evidence: Path) -> None:
    made.write(evidence / "bare", {"runs": made.runs()})
    assert "impact-clicks-aesm2-mmoe" in charts(sound(start(PAGE)))
    assert start(PAGE, study="bare").code[0].value.startswith("aesm2 replay")
