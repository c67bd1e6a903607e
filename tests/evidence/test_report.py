"""The report of a folder of evidence by hand-made numbers, and the shipped one."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from aesm2.cli import app
from aesm2.evidence.folder import add_tables, read_evidence
from aesm2.evidence.report import report, standings_table
from tests.evidence import made

ROOT = Path(__file__).parents[2]
STUDIES = ("kuairand", "alipay-sim", "aliexpress-sim")


def test_standings_mark_best_second_and_difference() -> None:
    table = standings_table(made.runs(), made.comparisons()).splitlines()
    assert table[0] == (
        "| model | fr · CTR | fr · CTCVR | it · CTR | it · CTCVR | all rows · CTR |"
        " all rows · CTCVR |"
    )
    assert table[2] == (
        "| AESM² | **75.00** ± 1.41 | <u>82.00</u> ± 1.41 | 60.00★ ± 1.41 | undefined |"
        " <u>72.00</u> ± 1.41 | <u>80.00</u> ± 1.41 |"
    )
    assert table[6].startswith("| Shared MLP | 66.00 ± 1.41 |")


def test_report_says_who_wins_with_interval_and_p(tmp_path: Path) -> None:
    tables = {"runs": made.runs(), "comparisons": made.comparisons(), **made.ablation()}
    add_tables(tmp_path, made.ABOUT, tables | {"transfer": made.transfer()}, "aesm2 compare shop")
    text = report(read_evidence(tmp_path))
    assert text.startswith("## A small shop\n\n4,000 training, 500 validation and 1,000 test rows")
    assert "Made by `aesm2 compare shop; commit " in text
    assert "| AESM² | it · CTR | MMoE + ids | -2.00 [-3.00, -1.00] | 0.010 | worse |" in text
    assert "| AESM² | it · CTCVR |" not in text  # nothing to compare
    assert "| w/o auxiliary loss | all rows · CTR | +2.00 [+1.00, +3.00] | 0.010 |" in text
    assert "| CTR | fr | 80.00 | 60.00 | 70.00 |" in text
    assert "| CTCVR | es | 72.00 | undefined | 78.00 |" in text
    assert "replay" not in text


def test_replay_is_the_mean_over_seeds() -> None:
    """Checked on the shipped evidence, straight from the parquet."""
    folder = ROOT / "checkpoints" / "evidence" / "alipay-sim"
    lines = pd.read_parquet(folder / "replay.parquet")
    own = lines[(lines.reference == "aesm2") & (lines.variant == "ple") & (lines.scenario == "all")]
    expected = [
        f"{own[own.metric == m].uplift.mean():+.2f}" for m in ("ctr", "cvr", "ctcvr", "gmv")
    ]
    assert f"| PLE | {' | '.join(expected)} |" in report(read_evidence(folder))


def test_the_documented_results_are_what_the_command_prints() -> None:
    folders = [ROOT / "checkpoints" / "evidence" / name for name in (*STUDIES, "regimes")]
    printed = CliRunner().invoke(app, ["report", *map(str, folders)]).stdout
    assert printed.count("\n## ") == 3
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert written.endswith(printed), (
        "docs/results.md is not what `aesm2 report` prints; write it again"
    )


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_standings_by_hand(name: str) -> None:
    """Mean and spread of one cell, straight from the parquet."""
    runs = pd.read_parquet(ROOT / "checkpoints" / "evidence" / name / "runs.parquet")
    own = runs[(runs.variant == "ple") & (runs.scope == "all") & (runs.task == "ctr")]["auc"] * 100
    line = next(x for x in standings_table(runs).splitlines() if x.startswith("| PLE |"))
    cell = line.strip("| ").split(" | ")[-2]
    assert cell.strip("*<u>/").replace("**", "").replace("</u>", "") == (
        f"{own.mean():.2f} ± {own.std():.2f}"
    )
