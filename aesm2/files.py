"""Files that are written whole or not at all, and files of one JSON value a line."""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aesm2.errors import InputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that after a crash it holds either the old content or all of the new."""
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> Any:
    """Read a JSON file; InputError where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON value as a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    *lines, _cut_off = path.read_text(encoding="utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON lines: {error}") from None


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
