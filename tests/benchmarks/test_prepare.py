"""The benchmark of preparing AliExpress runs at a tiny size and leaves nothing behind."""

from pathlib import Path

import pytest

from benchmarks import prepare


def test_prepare_prints_time_memory_and_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare.main(["--rows", "2000", "--fraction", "0.5", "--folder", str(tmp_path)])
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert "2,000 raw rows" in first and "commit" in first
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| before",
        "| files generated",
        "| prepare, fraction 1",
        "| prepare, fraction 0.5",
        "| sample read and encoded",
    ]
    assert list(tmp_path.iterdir()) == []
