"""Running the command line in this process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from aesm2 import cli


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def aesm2_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, as the console script does."""

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["aesm2", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        status = ended.value.code
        return Result(status if isinstance(status, int) else 0, out, err)

    return run


@pytest.fixture
def refused(aesm2_command: Run) -> Callable[..., str]:
    """Run a command that must be refused, and return the one line it says."""

    def run(*arguments: str | Path) -> str:
        result = aesm2_command(*arguments)
        assert result.status == 2
        assert result.out == ""
        assert result.err.endswith("\n")
        *_progress, said = result.err.split("\r")  # a bar that was taken back
        (line,) = said.splitlines()
        assert line.startswith("aesm2: ")
        return line.removeprefix("aesm2: ")

    return run
