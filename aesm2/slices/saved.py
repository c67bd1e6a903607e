"""Slices that somebody named, kept in one small file a dataset."""

import json
from pathlib import Path

from aesm2.errors import InputError
from aesm2.files import read_json, write_atomically
from aesm2.lock import holding
from aesm2.slices.text import LONGEST, read

MOST, LONGEST_NAME, LARGEST = 200, 60, 2**20  # slices, characters, bytes of a file


def saved(folder: Path, dataset: str) -> dict[str, str]:
    """Return the texts of a dataset's saved slices by name; InputError where the file is broken."""
    file = _file(folder, dataset)
    if not file.exists():
        return {}
    if file.stat().st_size > LARGEST:
        raise InputError(f"{file}: larger than {LARGEST:,} bytes, which no saved slices are")
    found = read_json(file)
    texts = found.get("slices") if isinstance(found, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(v, str) for v in texts.values()):
        raise InputError(f"{file}: no saved slices in it; repair it or move it away")
    return {name: text for name, text in texts.items() if len(text) <= LONGEST}


def save(folder: Path, dataset: str, name: str, text: str, replace: bool = False) -> None:
    """Save a slice under a name; InputError for a bad or taken name, or a text that is no slice."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(f"a slice's name has 1 to {LONGEST_NAME} printable characters")
    if not len(read(text)):
        raise InputError("there is no condition to save")
    with holding(_file(folder, dataset).with_suffix(".lock"), wait=True):
        found = saved(folder, dataset)
        if name in found and not replace:
            raise InputError(f"there is a slice '{name}' already; choose another name")
        if name not in found and len(found) >= MOST:
            raise InputError(f"there are {MOST} saved slices already; delete some first")
        _write(folder, dataset, {**found, name: text})


def delete(folder: Path, dataset: str, name: str) -> str:
    """Delete a saved slice and return its text; InputError where there is none of the name."""
    with holding(_file(folder, dataset).with_suffix(".lock"), wait=True):
        found = saved(folder, dataset)
        if name not in found:
            raise InputError(f"no saved slice '{name}'")
        text = found.pop(name)
        _write(folder, dataset, found)
    return text


def _file(folder: Path, dataset: str) -> Path:
    return folder / f"{dataset}.json"


def _write(folder: Path, dataset: str, slices: dict[str, str]) -> None:
    content = json.dumps({"dataset": dataset, "slices": slices}, indent=2, ensure_ascii=False)
    if len(content.encode()) > LARGEST:
        raise InputError("the saved slices would be too large together; delete some first")
    write_atomically(_file(folder, dataset), content + "\n")
