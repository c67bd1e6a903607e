"""`aesm2 describe`: printed for a redirection, or written where it is asked for."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aesm2.data.dataset import Dataset
from tests.cli.conftest import Run
from tests.data.funnels import FUNNELS


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return FUNNELS["letter"](tmp_path / "there")


def test_written_beside_or_elsewhere_the_table_is_found(
    aesm2_command: Run, table: Path, tmp_path: Path
) -> None:
    for out in (tmp_path / "there", tmp_path / "mine.toml"):
        result = aesm2_command("describe", table, "--out", out)
        assert (result.status, result.out) == (0, "")
        file = out / "dataset.toml" if out.is_dir() else out
        assert result.err == (
            f"drafted {file}; check its guesses, then: aesm2 train {file} --run runs/letter\n"
        )
        assert len(Dataset.open(file).frame()) == 1500
    assert Dataset.open(tmp_path / "mine.toml").description.source.table == "there/letter.csv"


def test_printed_it_is_meant_for_the_folder_of_the_table(aesm2_command: Run, table: Path) -> None:
    result = aesm2_command("describe", table)
    assert 'table = "letter.csv"' in result.out
    (table.parent / "dataset.toml").write_text(result.out, encoding="utf-8")
    assert len(Dataset.open(table.parent).frame()) == 1500


def test_nothing_is_written_over(refused: Callable[..., str], table: Path, tmp_path: Path) -> None:
    file = tmp_path / "dataset.toml"
    file.write_text("mine", encoding="utf-8")
    assert refused("describe", table, "--out", tmp_path) == (
        f"{file}: is there already; name another file with --out, or delete it"
    )
    assert file.read_text() == "mine"
    shutil.rmtree(table.parent)
    assert refused("describe", table, "--out", tmp_path / "x") == f"{table}: no such file"
    assert not (tmp_path / "x").exists()


def test_the_folder_one_stands_in(
    aesm2_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FUNNELS["market"](tmp_path)
    monkeypatch.chdir(folder)
    result = aesm2_command("describe", ".")
    assert 'name = "market"' in result.out
    (folder / "dataset.toml").write_text(result.out, encoding="utf-8")
    assert len(Dataset.open(folder).frame()) == 3000
