"""Your data: the table at hand and its draft, kept for this session while the form is edited."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from aesm2.data.draft import Draft, draft_of, sample_of
from aesm2.data.draft import draft as draft_table
from aesm2.data.tables import frame_of, parquet_files
from aesm2.errors import InputError
from app import cache, locations, state
from app.lab.folder import lab
from app.people import who
from app.rows import upload

MAX_ROWS = 5_000_000  # of an upload; its megabytes are the real limit
_OWN = "own"


@dataclass(frozen=True)
class Own:
    """A table and its draft.

    id: determines the table. file: what it is called in a dataset's folder. content: of an upload;
    path: of a table that stays where it is. base: the draft as the table of columns was last drawn
    anew; draft: as it is now. round: how often it was drawn anew.
    """

    id: str
    file: str
    content: bytes | None
    path: Path | None
    base: Draft
    draft: Draft
    round: int = 0


def current() -> Own | None:
    """Return the table at hand, None where there is none yet."""
    own: Own | None = state.recall(_OWN)
    return own


def change(own: Own | None) -> None:
    """Keep a table at hand, or none."""
    state.remember(_OWN, own)


def from_upload(title: str, content: bytes) -> Own:
    """Draft an uploaded table; InputError where it is none."""
    who.require(who.Right.DATA)
    id_ = hashlib.sha256(title.encode() + content).hexdigest()[:16]
    upload.allow(id_, content)
    parquet = upload.is_parquet(content)
    if not parquet:
        content = upload.csv_text(title, content).encode() if content.strip() else content
    file = "table.parquet" if parquet else "table.csv"

    def make() -> Draft:
        return draft_of(sample_of(_frame(title, content, parquet), title))

    return _own(id_, file, content, None, make)


def from_path(text: str) -> Own:
    """Draft a table on this machine; InputError where it is none or may not be read."""
    who.require(who.Right.PATHS)
    path = allowed(text)
    changed = max(file.stat().st_mtime_ns for file in (path, *parquet_files(path)))
    id_ = hashlib.sha256(f"{path}@{changed}".encode()).hexdigest()[:16]
    return _own(id_, path.name, None, path, lambda: draft_table(path))


def allowed(text: str) -> Path:
    """Return the real path of a table; InputError where it is outside `roots`, or not there."""
    try:
        path = Path(text.strip()).expanduser()
        wanted = next((p for p in (r / path for r in roots()) if p.exists()), roots()[0] / path)
        wanted = wanted.resolve()
        files = [wanted, *(file.resolve() for file in parquet_files(wanted))]
    except (OSError, RuntimeError, ValueError):  # too long, nobody's home, no name of a file
        raise InputError(f"{text.strip()[:80]}: no such file") from None
    if not all(any(file.is_relative_to(root) for root in roots()) for file in files):
        raise InputError(
            f"{text}: outside the folders that this app may read ({', '.join(map(str, roots()))});"
            " copy the table into one of them, or name its folder in AESM2_DATA when you start it"
        )
    if not wanted.exists() or not all(map(_open, files)):
        raise InputError(f"{text}: no such file")
    return wanted


def _open(file: Path) -> bool:
    """Whether a file is in no hidden folder and in no folder of somebody else's."""
    root = next(root for root in roots() if file.is_relative_to(root))
    inside = file.relative_to(root)
    above = [root / parent for parent in inside.parents]
    hidden = any(part.startswith(".") for part in inside.parts)
    return not hidden and all(map(who.sees, above)) and not file.is_relative_to(lab().root)


def roots() -> list[Path]:
    """Folders below which a table may be named: where the app was started, and those of data."""
    places = [Path.cwd(), *locations.data_places()]
    return list(dict.fromkeys(place.resolve() for place in places))


def _own(
    id_: str, file: str, content: bytes | None, path: Path | None, make: Callable[[], Draft]
) -> Own:
    drafted = cache.drafted(id_, make)
    return Own(id_, file, content, path, drafted, drafted)


def _frame(title: str, content: bytes, parquet: bool) -> pd.DataFrame:
    """Read an upload exactly as training will read the saved file."""
    frame = upload.read_rows(title, content, MAX_ROWS)  # says what is wrong with it
    if parquet:
        return frame_of(pq.read_table(BytesIO(content)))
    return frame


def renewed(own: Own) -> Own:
    """Return the table with its columns to be drawn anew, from the draft as it is now."""
    return replace(own, base=own.draft, round=own.round + 1)
