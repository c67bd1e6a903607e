"""`aesm2 audit`: its table, and its exit status."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from aesm2.data.dataset import Dataset
from aesm2.layers.towers import Towers
from tests import small
from tests.cli.conftest import Run


def table(out: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(out), keep_default_na=False).set_index("equation")


def test_a_sound_checkpoint_passes(aesm2_command: Run) -> None:
    result = aesm2_command("audit", small.run() / "checkpoint", small.dataset(), "--device", "cpu")
    assert result.status == 0
    lines = table(result.out)
    assert list(lines.index) == list(range(1, 23))
    assert (lines.drop(index=3)["status"] == "agrees").all()
    assert "all agree within 1e-5" in result.err


def test_rows_without_labels_and_how_many(aesm2_command: Run, tmp_path: Path) -> None:
    rows = Dataset.open(small.dataset()).split("test").drop(columns=["click", "buy"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    result = aesm2_command("audit", small.run() / "checkpoint", tmp_path / "rows.csv", "--rows", 3)
    assert result.status == 0
    lines = table(result.out)
    assert lines.loc[19, "why"] == "these rows have no labels"
    assert lines.loc[6, "compared"] == 3 * 6 * 4  # rows × features × width
    assert "audited on 3 rows" in result.err


def test_what_differs_ends_with_one(aesm2_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Towers.forward

    def off(self: Any, z: torch.Tensor) -> torch.Tensor:
        return forward(self, z) + 0.1

    monkeypatch.setattr(Towers, "forward", off)
    result = aesm2_command("audit", small.run() / "checkpoint", small.dataset(), "--device", "cpu")
    assert result.status == 1
    assert table(result.out).query("status == 'differs'").index.tolist() == [18]
    assert "does not follow Eq. 18" in result.err


def test_bad_input_is_told(refused: Callable[..., str], tmp_path: Path) -> None:
    rows = Dataset.open(small.dataset()).split("test")
    rows.iloc[:0].to_csv(tmp_path / "none.csv", index=False)
    checkpoint = small.run() / "checkpoint"
    assert "no rows to audit" in refused("audit", checkpoint, tmp_path / "none.csv")
    assert "'--rows'" in refused("audit", checkpoint, small.dataset(), "--rows", "0")
