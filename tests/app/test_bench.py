"""The Bench through AppTest, on evidence made by hand."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from aesm2.evidence.regimes import read_plan, save_map
from app import cache, locations
from tests.app.conftest import with_numbers
from tests.app.test_data import charts, pick, sound, table, texts
from tests.evidence import made
from tests.evidence.test_regimes import lines as regimes_by_hand

PAGE = "views/bench.py"
Start = Callable[..., AppTest]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of evidence folders that the app finds: hand."""
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path / "evidence"))
    made.write(tmp_path / "evidence" / "hand")
    return tmp_path / "evidence"


def board(at: AppTest) -> pd.DataFrame:
    """The first table of models, that of the bench; the ablation has another."""
    return next(t.value for t in at.dataframe if "all rows · CTR" in t.value.columns)


def test_without_evidence_the_way_to_some(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AESM2_EVIDENCE", raising=False)
    at = sound(start(PAGE))
    assert "There is no evidence here yet" in texts(at)
    assert at.code[0].value.startswith("aesm2 compare data_samples/alipay_sim --quick")


def test_the_table_its_verdict_and_provenance(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE))
    shown = board(at)
    assert shown.index.tolist() == ["AESM²", "AESM² + ids", "MMoE", "MMoE + ids", "Shared MLP"]
    assert shown["fr · CTR"].tolist() == pytest.approx([75, 74, 74, 73, 66])
    said = texts(at).replace("\\", "")
    assert "AESM² has the best mean in 1 of 5 cells" in said
    assert "significantly worse in 1" in said
    assert "simulated data: A small shop, CC0; study hand" in said
    assert "A quick study (2 seeds, 6 trials)" in said
    assert "n = 1,000 test rows, 100 positives of CTR" in said
    written = at.dataframe[0].proto.arrow_data.styler.display_values
    display = pa.ipc.open_stream(written).read_pandas()
    assert display.iloc[0, 0] == "① 75.00 ± 1.41"
    assert display.iloc[0, 2] == "60.00 ± 1.41 ★"


def test_charts_and_their_numbers(start: Start, evidence: Path) -> None:
    at = with_numbers(sound(start(PAGE, cell="it · CTR")), "bench-forest")
    found = charts(at)
    assert len(found) == 6
    (forest,) = [own for key, own in found.items() if key.startswith("bench-forest")]
    assert forest["data"][0]["marker"]["symbol"][0] == "triangle-right-open"
    notes = " ".join(note["text"] for note in forest["layout"]["annotations"])
    assert "simulated data: A small shop" in notes.replace("<br>", " ")
    assert table(at, "points")["points"].tolist() == [1, -1, -1, -2]


def test_the_address_holds_the_view(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE, metric="log_loss", ids="with", study="hand"))
    shown = board(at)
    assert shown.index.tolist() == ["AESM² + ids", "MMoE + ids"]
    assert shown["fr · CTR"].tolist() == pytest.approx([0.26, 0.27])
    assert "not tested in 5" in texts(at)
    at = pick(at, "Variants", "both")
    assert dict(at.query_params)["ids"] == "both"
    assert len(board(at)) == 5


def test_every_run_and_the_papers_table_on_demand(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE))
    at.session_state["bench-seeds"] = at.session_state["bench-published"] = True
    at = sound(at.run())
    own = table(at, "seed 1").set_index(["variant", "scenario", "task"])
    assert own.loc[("MMoE", "fr", "ctr")].tolist() == pytest.approx([73, 75])
    quoted = table(at, "VP → BS · CTR").set_index("model")
    assert quoted.loc["AESM²", "VP → BS · CTR"] == 72.13
    assert "quoted from the paper" in texts(at)
    assert "other data" in texts(at)


def test_a_missing_table_says_which_command_makes_it(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_EVIDENCE", str(tmp_path))
    made.write(tmp_path / "bare", {"runs": made.runs()})
    at = sound(start(PAGE))
    commands = [code.value for code in at.code]
    assert any(f"aesm2 ablate DATASET --out {tmp_path / 'bare'}" in own for own in commands)
    assert any("aesm2 compare DATASET" in own for own in commands)
    assert "There is nothing to compare AESM² with here" in texts(at)
    made.write(tmp_path / "apart", made.ablation())
    at = sound(start(PAGE, study="apart"))
    assert "has no table of this yet (runs)" in texts(at).replace("\\", "")
    assert table(at, "fr · CTR").index.tolist()[0] == "AESM²"


def test_a_broken_folder_is_told_in_words(start: Start, evidence: Path) -> None:
    (evidence / "broken").mkdir()
    (evidence / "broken" / "evidence.json").write_text("{}", encoding="utf-8")
    sound(start(PAGE))
    at = start(PAGE, study="broken")
    assert not at.exception
    assert "not evidence of this version" in at.error[0].value


def test_a_changed_manifest_is_read_again(evidence: Path) -> None:
    first = cache.study(evidence / "hand")
    assert cache.study(evidence / "hand") is first
    made.write(evidence / "hand", {"replay": made.replay().head(3)})
    again = cache.study(evidence / "hand")
    assert again.id != first.id
    assert "replay" in again.evidence.tables


def test_evidence_named_by_the_user_comes_before_that_shipped(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locations, "ROOT", tmp_path / "root")
    for name in ("hand", "shipped"):
        made.write(tmp_path / "root" / "checkpoints" / "evidence" / name, {"runs": made.runs()})
    assert locations.studies() == {
        "hand": evidence / "hand",
        "shipped": tmp_path / "root" / "checkpoints" / "evidence" / "shipped",
    }


def test_without_a_regime_map_the_way_to_one(start: Start, evidence: Path) -> None:
    at = sound(start(PAGE))
    assert "There is no regime map here yet" in texts(at)
    assert at.code[-1].value == "aesm2 regimes configs/evidence/regimes.toml"


def test_the_regime_map(start: Start, evidence: Path) -> None:
    lines = regimes_by_hand()
    plan = read_plan(Path(__file__).parents[2] / "configs" / "evidence" / "regimes.toml")
    save_map(evidence / "regimes", plan, lines, "aesm2 regimes by hand")
    at = with_numbers(sound(start(PAGE)), "bench-regimes")
    assert "ahead of its best baseline in 0 of 3 points and tasks, behind in 1" in texts(at)
    assert "aesm2 regimes by hand" in texts(at)
    (figure,) = [own for key, own in charts(at).items() if key.startswith("bench-regimes")]
    assert figure["data"][1]["y"] == pytest.approx([0, -2])
    assert table(at, "best baseline")["lead"].tolist() == pytest.approx([2, 0, 0, -2])
