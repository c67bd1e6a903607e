"""Files and folders that are written whole or not at all, and files of one JSON value a line."""

import contextlib
import ctypes
import hashlib
import itertools
import json
import lzma
import os
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aesm2.errors import InputError

MOST_BYTES = 256 << 20  # of a file of text that is read whole: ten million categories fit
DAMAGES = (  # what a damaged zip file makes zipfile and its decompressors raise
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError,
    OSError, RuntimeError, NotImplementedError, ValueError, OverflowError,
)  # fmt: skip
_AT_FDCWD, _EXCHANGE = -100, 2  # of renameat2 in Linux
NOT_PARSED = (ValueError, RecursionError)  # of JSON and TOML: broken, huge numbers, deep nesting


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that after a crash it holds either the old content or all of the new.

    After an error, such as a full disk, nothing is left of the new; OSError then names the file.
    """
    data = content.encode() if isinstance(content, str) else content
    _remove_stale(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def settle(part: Path, path: Path) -> None:
    """Put a file that was written beside another into its place, once it is on the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _remove_stale(path: Path) -> None:
    """Remove what processes that were killed as they wrote this file have left of it."""
    head, tail = f".{path.name}.", ".part"
    for own in _names(path.parent):
        number = own.removeprefix(head).removesuffix(tail)
        if own == f"{head}{number}{tail}" and number.isdecimal() and not _runs(int(number)):
            with contextlib.suppress(OSError):
                (path.parent / own).unlink()


def _names(folder: Path) -> list[str]:
    try:
        return [own.name for own in folder.iterdir()]
    except OSError:  # whoever writes there will say what is wrong
        return []


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True


def require_place(path: Path) -> None:
    """Raise InputError where a file could not be written, before the work that leads to it."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if not exists(path.parent):
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")


def exchange(one: Path, other: Path) -> None:
    """Let two folders trade places, at once: at no moment is either name without a folder.

    Where the system cannot, one is moved away first; a crash just then leaves it beside, hidden.
    """
    sys.audit("os.rename", str(one), str(other), -1, -1)  # as os.rename does
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = os.fsencode(one), os.fsencode(other)
    if swap is not None and swap(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0:
        return
    aside = _aside(other)
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:  # it is gone: another writer of this folder was here
        aside.rename(other)
        raise
    aside.rename(one)


def exists(path: Path) -> bool:
    """Whether there is something of this name; InputError where it cannot be a name."""
    try:
        return path.exists()
    except OSError as error:  # too long
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def copy_folder(source: Path, target: Path, left_out: Iterable[str] = ()) -> None:
    """Copy a folder without files of some patterns; InputError where it cannot be written.

    A folder that is there already is filled. InputError too where one is a device or a pipe.
    """
    ignored = shutil.ignore_patterns(*left_out)
    try:
        shutil.copytree(source, target, ignore=ignored, copy_function=_copied, dirs_exist_ok=True)
    except shutil.Error as error:  # a list of what failed, which names every file
        raise InputError(f"{target}: cannot be written: {error.args[0][0][2]}") from None


def _copied(source: str, target: str) -> None:
    if not Path(source).is_file():  # it may never end
        raise InputError(f"{source}: cannot be copied: it is no file")
    shutil.copy2(source, target)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.aside")


@contextlib.contextmanager
def replaced(folder: Path, kept: bool = False) -> Iterator[Path]:
    """Yield a new folder to fill, which takes the place of another at the end, at once.

    kept: begin with a copy of what the other holds. After an error, or a crash, the other stands.
    """
    folder = folder.resolve()  # "." has no name to put another beside
    part, aside = folder.with_name(f".{folder.name}.part"), _aside(folder)
    if aside.exists() and not folder.exists():  # a crash within `exchange`
        aside.rename(folder)
    for left in (part, aside):
        shutil.rmtree(left, ignore_errors=True)
    try:
        if kept and folder.exists():
            copy_folder(folder, part)
        else:
            part.mkdir(parents=True)
        yield part
        if folder.exists():
            exchange(part, folder)
        else:
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a whole file of at most so many bytes; InputError where it is none, or too large."""
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():  # a folder, or a device or pipe, which may never end
            raise InputError(f"{path}: cannot be read: it is no file")
        if path.stat().st_size > most:
            raise InputError(f"{path}: larger than {most:,} bytes, which no such file should be")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    """Read a whole text in UTF-8; InputError says that it is not valid `what`."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid {what}: {error}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file; InputError where it is missing or broken."""
    try:
        return json.loads(read_text(path, "JSON"))
    except NOT_PARSED as error:
        raise _unparsed(path, "JSON", error) from None


def _unparsed(path: Path, what: str, error: Exception) -> InputError:
    """Say that a file is not valid, and why; what says so already is kept."""
    if isinstance(error, InputError):
        return error
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InputError(f"{path}: not valid {what}: {reason}")


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON value as a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    *lines, _cut_off = read_text(path, "JSON lines").split("\n")
    try:
        values = [json.loads(line) for line in lines]
    except NOT_PARSED as error:
        raise _unparsed(path, "JSON lines", error) from None
    if not all(isinstance(value, dict) for value in values):
        raise InputError(f"{path}: not valid JSON lines: every line must be an object")
    return values


def write_lines(path: Path, values: Iterable[dict[str, Any]]) -> None:
    """Write a file of JSON lines whole."""
    write_atomically(path, "".join(json.dumps(value) + "\n" for value in values))


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


TRASH = ".trash"


def to_trash(folder: Path) -> Path:
    """Move a folder to the trash beside it; return where it is, for `from_trash`."""
    trash = folder.parent / TRASH
    trash.mkdir(exist_ok=True)
    places = (trash / f"{folder.name}~{i}" for i in itertools.count())
    place = next(place for place in places if not place.exists())
    return folder.rename(place)


def from_trash(place: Path) -> Path:
    """Take a folder back from the trash; InputError where its name is taken by now."""
    folder = place.parents[1] / place.name.rpartition("~")[0]
    if folder.exists():
        raise InputError(f"there is a '{folder.name}' again; rename or discard it first")
    return place.rename(folder)
