"""Checkpoints that travel: as one zip file, and from a run to where the app finds them."""

import contextlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from aesm2.checkpoint import CARD, MANIFEST, REQUIRED, Checkpoint, load
from aesm2.errors import InputError
from aesm2.files import DAMAGES, copy_folder, exists, read_bytes, write_atomically
from aesm2.lab.queue import NAME
from aesm2.owner import OWNER, give

FILES = {MANIFEST, CARD, *REQUIRED}
MOST_BYTES = 1 << 30  # of a checkpoint, unpacked


def pack(checkpoint: Path) -> bytes:
    """Return a checkpoint as a zip file; InputError where it does not verify or cannot be read."""
    load(checkpoint, "cpu")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(FILES):
            if (checkpoint / name).exists():
                own = read_bytes(checkpoint / name, MOST_BYTES)
                about = zipfile.ZipInfo.from_file(  # its time, not now; 1980 where it is older
                    checkpoint / name, name, strict_timestamps=False
                )
                archive.writestr(about, own, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def place_in(home: Path, name: str) -> Path:
    """Return where in a folder a checkpoint of a name goes; InputError for no name, or a path."""
    _require_name(name)
    return home / name


def unpack(content: bytes, folder: Path, owner: str = "") -> Checkpoint:
    """Write what `pack` returned into a new folder, which is there verified or not at all.

    owner: whose it will be, "" for everybody. InputError where it is no such file, holds anything
    else, is too large, or does not verify.
    """
    with _archive(content) as archive, _new(folder) as part:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        strange = next((name for name in names if name not in FILES), None)
        if strange is not None or len(set(names)) < len(names):
            raise InputError(
                f"the archive holds '{strange or names[0]}', which is no part of a checkpoint, or"
                " holds a file twice; export it again"
            )
        left = MOST_BYTES
        for entry in entries:
            with _opened(archive, entry) as source, (part / entry.filename).open("wb") as target:
                while chunk := _read(source, entry.filename):
                    left -= len(chunk)
                    if left < 0:
                        raise InputError(f"the archive unpacks to more than {MOST_BYTES:,} bytes")
                    target.write(chunk)
        give(part, owner)
        load(part, "cpu")
    return load(folder, "cpu")


def unpacked_size(content: bytes) -> int:
    """Return the bytes that `unpack` writes at most; InputError where it is no such file."""
    with _archive(content) as archive:
        return sum(entry.file_size for entry in archive.infolist())  # no more of it is read


def promote(checkpoint: Path, folder: Path, notes: str = "", owner: str = "") -> Checkpoint:
    """Copy a run's checkpoint to where the app finds it, with notes at the head of its card.

    owner: whose it will be, "" for everybody.
    """
    load(checkpoint, "cpu")
    with _new(folder) as part:
        copy_folder(checkpoint, part, [OWNER])
        give(part, owner)
        card = part / CARD
        if notes.strip() and card.exists():
            head, line, rest = card.read_text(encoding="utf-8").partition("\n")
            write_atomically(card, f"{head}{line}\n{notes.strip()}\n{rest}")
        load(part, "cpu")
    return load(folder, "cpu")


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes its name at the end, or is gone after an error."""
    _require_name(folder.name)
    if exists(folder):
        raise InputError(f"{folder}: exists already; choose another name")
    part = folder.with_name(f".{folder.name}.part")
    missing = [parent for parent in folder.parents if not parent.exists()]
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for parent in missing:
            with contextlib.suppress(OSError):  # it is not empty: all went well
                parent.rmdir()


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name for a checkpoint: up to 64 letters, digits, dots, dashes"
            " and underscores, the first a letter or digit"
        )


def _archive(content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except DAMAGES:
        raise InputError("this is no zip file, or a damaged one") from None


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(entry)
    except DAMAGES as error:
        raise InputError(f"the archive is damaged at '{entry.filename}': {error}") from None


def _read(source: IO[bytes], name: str) -> bytes:
    try:
        return source.read(1 << 20)
    except DAMAGES as error:
        raise InputError(f"the archive is damaged at '{name}': {error}") from None
