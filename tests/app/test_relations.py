"""The Relations page through AppTest, on evidence made by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import with_numbers
from tests.app.test_bench import evidence
from tests.app.test_data import charts, pick, sound, table, texts
from tests.evidence import made

PAGE = "views/relations.py"
Start = Callable[..., AppTest]
__all__ = ["evidence"]  # a fixture


def test_matrices_beside_those_of_the_paper(start: Start, evidence: Path) -> None:
    at = with_numbers(sound(start(PAGE)), "relations-auc-ctr")
    assert list(charts(at)) == [
        "relations-auc-ctr", "relations-paper-ctr", "relations-auc-ctcvr", "relations-paper-ctcvr",
        "relations-trees-auc-ctr-aesm2",
    ]  # fmt: skip
    numbers = table(at, "train").set_index(["train", "test"])
    assert numbers.loc[("it", "fr"), "mean"] == pytest.approx(64)
    found = charts(at)
    stamps = {
        key: " ".join(note["text"] for note in own["layout"]["annotations"]).replace("<br>", " ")
        for key, own in found.items()
    }
    assert "simulated data: A small shop" in stamps["relations-auc-ctr"]
    assert "quoted from the paper: Zou et al., SIGIR 2022, Table 7" in stamps[
        "relations-paper-ctcvr"
    ]  # fmt: skip
    assert "ρ = 1.00, one-sided p = 0.167" in texts(at)


def test_a_task_with_undefined_cells(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE, relations__task="ctcvr"))
    assert "Left out, since a figure of theirs is undefined: it." in texts(at)
    at = pick(at, "Transfer of", "ctr")
    assert "Left out" not in texts(at)


def test_without_a_table_the_command(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    made.write(tmp_path / "bare", {"runs": made.runs()})
    at = sound(start(PAGE))
    assert at.code[0].value.startswith("aesm2 transfer DATASET")
    made.write(tmp_path / "half", {"transfer": made.transfer()})
    at = sound(start(PAGE, study="half"))
    commands = [code.value for code in at.code if code.language == "bash"]
    assert commands[0].startswith("aesm2 compare DATASET")


def test_too_few_scenarios_are_told_in_words(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    few = made.transfer().query("train == 'fr'")
    made.write(tmp_path / "few", {"transfer": few, "distances": made.distances()})
    at = sound(start(PAGE))
    assert "expected 2 or more" in texts(at)
