"""Files written whole or not at all, and files of JSON lines."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aesm2.errors import InputError
from aesm2.files import append_line, read_json, read_lines, sha256, write_atomically, write_lines


@pytest.mark.parametrize("content", ["λ = 0\n", b"\x00\xff", "", b""])
def test_a_file_is_written_and_replaced(tmp_path: Path, content: bytes | str) -> None:
    file = tmp_path / "file"
    for old in ("something longer that was there before", content):
        write_atomically(file, old)
    expected = content.encode() if isinstance(content, str) else content
    assert file.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), fail)
        write_atomically(file, "new")
    assert file.read_text(encoding="utf-8") == "old"
    write_atomically(file, "newer")
    assert file.read_text(encoding="utf-8") == "newer"


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"λ": [1, null]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"λ": [1, None]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not valid JSON: "),
        (b'{"a": ', "not valid JSON: "),
        (b"\xff\xfe", "not valid JSON: "),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    assert read_lines(file) == []
    values: list[dict[str, Any]] = [{"step": 1, "name": "a → b\nc"}, {"step": 2, "x": [1.5, None]}]
    for value in values:
        append_line(file, value)
    assert read_lines(file) == values
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2
    write_lines(file, values[:1])
    assert read_lines(file) == values[:1]
    write_lines(file, [])
    assert read_lines(file) == []


def test_a_line_that_was_cut_off_is_left_out_wherever_it_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    whole, last = '{"step": 1}\n', json.dumps({"step": 2, "name": "x"}) + "\n"
    for length in range(len(last)):
        file.write_text(whole + last[:length], encoding="utf-8")
        assert read_lines(file) == [{"step": 1}]
    file.write_text(whole + last, encoding="utf-8")
    assert read_lines(file) == [{"step": 1}, {"step": 2, "name": "x"}]


def test_a_line_that_is_broken_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"step": 1}\n{"step": \n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON lines") as caught:
        read_lines(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
