"""Checkpoints as zip files, and strangers' zip files."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aesm2.checkpoint import load
from aesm2.cli import app
from aesm2.errors import InputError
from aesm2.lab import archive
from aesm2.lab.archive import pack, promote, unpack
from tests import small


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack(small.run() / "checkpoint")


def changed(content: bytes, **files: bytes | None) -> bytes:
    """The archive with files replaced, added, or left out where None."""
    made = io.BytesIO()
    names = {name.replace("__", "."): value for name, value in files.items()}
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            if name not in names:
                new.writestr(name, old.read(name))
        for name, value in names.items():
            if value is not None:
                new.writestr(name, value)
    return made.getvalue()


def with_path(content: bytes, path: str) -> bytes:
    made = io.BytesIO(content)
    with zipfile.ZipFile(made, "a") as file:
        file.writestr(path, "out")
    return made.getvalue()


def test_it_is_packed_alike_whenever_it_is(packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert pack(small.run() / "checkpoint") == packed


def test_files_older_than_zip_files_can_be_are_packed(tmp_path: Path) -> None:
    copy = small.copy_checkpoint(tmp_path / "copy")
    for file in copy.iterdir():
        os.utime(file, (0, 0))  # as container images and package builders leave them
    assert unpack(pack(copy), tmp_path / "again").hash == load(copy, "cpu").hash


def test_out_and_in_again_it_is_the_same_checkpoint(packed: bytes, tmp_path: Path) -> None:
    opened = unpack(packed, tmp_path / "again")
    assert opened.hash == load(small.run() / "checkpoint", "cpu").hash
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize("path", ["../out.txt", "/tmp/out.txt", "a/b.txt", "run.py", "state.pkl"])
def test_no_path_leaves_the_folder(packed: bytes, tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="no part of a checkpoint"):
        unpack(with_path(packed, path), tmp_path / "in" / "made")
    assert not list(tmp_path.rglob("*out*"))
    assert not (tmp_path / "in" / "made").exists()


def test_what_is_no_checkpoint_is_refused_and_leaves_nothing(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        "no zip file": b"PK but no",
        "no zip": packed[: len(packed) // 2],
        "truncated or altered": changed(packed, encoder__json=b"{}"),
        "checkpoint.json": changed(packed, checkpoint__json=None),
        "model.safetensors": changed(packed, model__safetensors=None),
    }
    for said, content in cases.items():
        with pytest.raises(InputError, match=said):
            unpack(content, tmp_path / "made")
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        unpack(packed, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_member_is_refused(packed: bytes, tmp_path: Path) -> None:
    broken = bytearray(packed)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        at = file.getinfo("model.safetensors").header_offset + 300
    broken[at : at + 40] = bytes(40)
    with pytest.raises(InputError):
        unpack(bytes(broken), tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_taken_or_none(packed: bytes, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "made")
    with pytest.raises(InputError, match="exists already"):
        unpack(packed, tmp_path / "made")
    for name in ("..", ".hidden", "a b"):
        with pytest.raises(InputError, match="no name for a checkpoint"):
            promote(small.run() / "checkpoint", tmp_path / name)


def test_promoting_keeps_content_and_adds_notes_to_the_card(tmp_path: Path) -> None:
    source = small.run() / "checkpoint"
    opened = promote(source, tmp_path / "best", "For the **spring** review.")
    assert opened.hash == load(source, "cpu").hash
    head, _, notes, *_ = (tmp_path / "best" / "README.md").read_text().splitlines()
    assert head == (source / "README.md").read_text().splitlines()[0]
    assert notes == "For the **spring** review."


@pytest.mark.parametrize("to", ["/dev/zero", "/dev"])
def test_a_device_in_a_checkpoint_is_not_read_to_its_end(tmp_path: Path, to: str) -> None:
    """A file that nobody needs to open the checkpoint: zeros without end would fill the disk."""
    copy = small.copy_checkpoint(tmp_path / "copy")
    (copy / "README.md").unlink()
    (copy / "README.md").symlink_to(to)
    with pytest.raises(InputError, match=r"README\.md: cannot be read: it is no file"):
        pack(copy)
    with pytest.raises(InputError, match=r"README\.md"):
        promote(copy, tmp_path / "best")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_the_commands(tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "c.zip"
    out = runner.invoke(app, ["export", str(small.run() / "checkpoint"), str(file)])
    assert out.exit_code == 0, out.output
    back = runner.invoke(app, ["import", str(file), str(tmp_path / "back")])
    assert back.exit_code == 0, back.output
    assert load(tmp_path / "back", "cpu").name
    missing = runner.invoke(app, ["import", str(tmp_path / "none.zip"), str(tmp_path / "x")])
    assert isinstance(missing.exception, InputError)
