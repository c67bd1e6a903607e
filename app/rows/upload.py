"""Rows of the user's own: a file is read in memory, checked, and kept for this session only.

What a file is, is told from its content, never from its name; nothing is unpickled.
"""

import hashlib
from io import BytesIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data.cleaning import cleaned
from aesm2.data.description import Description
from aesm2.data.encoder import require_columns
from aesm2.data.room import decoded, require_columns_bounded, stored_values, texts_of
from aesm2.data.tables import frame_of, read_csv
from aesm2.errors import InputError
from app import cache, failures, log, state
from app.cache import RowSet
from app.markdown import escaped
from app.people import quotas, who
from app.people.who import Right

PREFIX = "upload:"
MAX_ROWS = 100_000
MAX_MEGABYTES = 50  # as server.maxUploadSize; and ten times that once a parquet is unpacked
_UPLOADS = "uploads"  # in the session: row set id → (title, frame)
SUMMARIES = "summaries"  # in the session: id → (title, content), see `app.summaries`
_BYTES = "uploads-bytes"  # in the session: row set id → bytes of the file
_FORGOTTEN = "uploads-forgotten"  # in the session: how many times
_COUNTED = "uploads-counted"  # in the session: ids of files that were counted as uploads
_ENCODED = "uploads-encoded"  # in the session: (checkpoint hash, row set id) → RowSet


def uploaded() -> dict[str, str]:
    """Return the titles of this session's uploads, by row set id."""
    return {id_: title for id_, (title, _) in _uploads().items()}


def rows(checkpoint: Checkpoint, id_: str) -> RowSet:
    """Return uploaded rows as a checkpoint sees them; InputError where they do not fit it."""
    encoded = state.recall(_ENCODED) or {}
    key = (checkpoint.hash, id_)
    if key not in encoded:
        title, frame = _uploads()[id_]
        encoded = {key: row_set(checkpoint, id_, title, frame)}  # one at a time: they can be large
        state.remember(_ENCODED, encoded)
    found: RowSet = encoded[key]
    return found


def row_set(checkpoint: Checkpoint, id_: str, title: str, frame: pd.DataFrame) -> RowSet:
    """Encode a frame; labels are read where all label columns are there."""
    described = checkpoint.description
    require_columns(frame, described.input_columns, f"{title}: the table")
    labels = all(task.label in frame.columns for task in described.task)
    try:
        frame = cleaned(frame, described.source)
        return RowSet(id_, title, frame, checkpoint.encode(frame, labels=labels), labels)
    except InputError as error:
        raise InputError(f"{title}: {error} (row 0 is the first one below the header)") from None


def read_rows(title: str, content: bytes, most: int = MAX_ROWS) -> pd.DataFrame:
    """Read the content of a CSV or parquet file of at most so many rows.

    Raises InputError where it is empty, too large, or no table.
    """
    if not content.strip():
        raise InputError(f"{title}: the file is empty; it needs a header line and rows")
    if len(content) > MAX_MEGABYTES * 2**20:
        raise InputError(f"{title}: larger than {MAX_MEGABYTES} MB; upload fewer rows")
    parquet = is_parquet(content)
    frame = _parquet(title, content, most) if parquet else _csv(title, content, most)
    if frame.empty:
        raise InputError(f"{title}: a header but no rows below it")
    if len(frame) > most:
        raise InputError(f"{title}: more than {most:,} rows; upload fewer")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InputError(f"{title}: the column '{twice[0]}' is there twice")
    return frame


def is_parquet(content: bytes) -> bool:
    """Tell parquet from CSV by its first bytes."""
    return content[:4] == b"PAR1"


def csv_text(title: str, content: bytes) -> str:
    """Return CSV text without byte order mark, empty lines and remarks before its header."""
    if b"\0" in content[:65536]:
        raise InputError(f"{title}: not a table: neither CSV text nor parquet")
    try:
        text = content.decode("utf-8-sig").lstrip("\ufeff\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{title}: not UTF-8 text (byte {error.start}); save the CSV as UTF-8"
        ) from None
    while text.startswith("#"):  # the provenance line of this app's own exports
        text = text.partition("\n")[2]
    return text


def template(description: Description, frame: pd.DataFrame, rows: int = 5) -> bytes:
    """Return some rows as a CSV with exactly the columns a row must have."""
    return frame[list(description.input_columns)].head(rows).to_csv(index=False).encode()


def panel(checkpoint: Checkpoint, example: pd.DataFrame | None) -> None:
    """Draw the upload: file input, what was made of it, and a template to fill in.

    example: rows of the dataset for the template, None where the dataset is not here.
    """
    described = checkpoint.description
    labels = " and ".join(f"`{task.label}`" for task in described.task)
    st.caption(
        f"CSV or parquet, at most {MAX_ROWS:,} rows and {MAX_MEGABYTES} MB, with the"
        f" {len(described.input_columns)} columns of the template; {labels} (0 or 1) are optional."
        " The rows stay in this browser session's memory and are gone when you close it."
    )
    if not who.may(Right.UPLOAD):
        return
    file = st.file_uploader("Your rows", type=["csv", "parquet"], key=input_key("lens-upload"))
    if example is not None:
        st.download_button(
            "Download a template", template(described, example), "template.csv", "text/csv",
            on_click="ignore", icon=":material/download:", key="lens-template",
            help=f"Five rows of {escaped(described.title)} with just the columns that are needed.",
        )  # fmt: skip
    if file is not None:
        _take(checkpoint, file.name, file.getvalue())
    forgetting("lens-forget")


def forgetting(key: str) -> None:
    """Draw the button that takes all uploads out of the session, where there are any."""
    if kept():
        st.button("Forget the uploads", icon=":material/delete:", key=key, type="tertiary",
                  on_click=forget, help="takes rows and summaries out of the session")  # fmt: skip


@failures.callback
def forget() -> None:
    """Take all that was uploaded out of the session."""
    for name in (_UPLOADS, _ENCODED, _BYTES, SUMMARIES):
        state.remember(name, None)
    state.remember(_FORGOTTEN, (state.recall(_FORGOTTEN) or 0) + 1)


def input_key(name: str) -> str:
    """Return the key of a file input: a new one after `forget`, or the old file comes again."""
    times = state.recall(_FORGOTTEN) or 0
    return f"{name}-{times}" if times else name


def kept() -> int:
    """Return the bytes of the files that the session keeps, or their rows."""
    of_rows: dict[str, int] = state.recall(_BYTES) or {}
    summaries: dict[str, tuple[str, bytes]] = state.recall(SUMMARIES) or {}
    return sum(of_rows.values()) + sum(len(content) for _, content in summaries.values())


def allow(id_: str, content: bytes) -> None:
    """Check that whoever asks may upload this, and count it once; InputError says the quota."""
    own, counted = who.require(Right.UPLOAD), state.recall(_COUNTED) or frozenset()
    if id_ not in counted:  # a file that is refused is read again in every run
        quotas.require_upload(own, cache.ledger(), len(content), kept())
        state.remember(_COUNTED, counted | {id_})


def _take(checkpoint: Checkpoint, title: str, content: bytes) -> None:
    id_ = PREFIX + hashlib.sha256(content).hexdigest()
    try:
        new = id_ not in _uploads()
        if new:
            allow(id_, content)
            frame = read_rows(title, content)
            row_set(checkpoint, id_, title, frame)  # raises where the rows do not fit
            state.remember(_UPLOADS, {**_uploads(), id_: (title, frame)})
            log.event("rows uploaded", rows=len(frame), bytes=len(content))
            state.remember(_BYTES, {**(state.recall(_BYTES) or {}), id_: len(content)})
        found = rows(checkpoint, id_)
    except InputError as error:
        st.error(f"{escaped(str(error))}. Nothing was kept; correct the file and upload it again.")
        return
    if new:
        state.put(**{"rows": id_, "row": "", "q": "", "rows-page": ""})
        st.rerun()
    st.success(
        f"{escaped(title)}: {len(found.frame):,} rows"
        + (" with labels." if found.labels else ", without labels."),
        icon=":material/check:",
    )
    _unknown_values(checkpoint, found)


def _unknown_values(checkpoint: Checkpoint, found: RowSet) -> None:
    counts = checkpoint.encoder.unseen_counts(found.batch)
    odd = counts[(counts["missing"] > 0) | (counts["unseen"] > 0)]
    if odd.empty:
        st.caption("Every value is one that training has met.")
        return
    st.caption(
        f"{len(odd)} features have values that training never met. “Unseen” and “missing” have an"
        " embedding of their own: a prediction is made, but it knows less."
    )
    st.dataframe(odd, hide_index=True, height=210)


def _uploads() -> dict[str, tuple[str, pd.DataFrame]]:
    found: dict[str, tuple[str, pd.DataFrame]] = state.recall(_UPLOADS) or {}
    return found


def _parquet(title: str, content: bytes, most: int) -> pd.DataFrame:
    try:
        schema = pq.read_schema(BytesIO(content))
        file = pq.ParquetFile(BytesIO(content), read_dictionary=texts_of(schema))
        _require_modest(title, file, content, most)
        table = decoded(file.read(), schema, 10 * MAX_MEGABYTES * 2**20)
        frame = frame_of(table)
    except InputError as error:
        raise InputError(f"{title}: {str(error).removeprefix(f'{title}: ')}") from None
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputError(f"{title}: a damaged parquet file: {_first_line(error)}") from None
    return frame


def _require_modest(title: str, file: pq.ParquetFile, content: bytes, most: int) -> None:
    """Refuse what would not fit before any of it is unpacked."""
    about = file.metadata
    sizes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    size = max(sizes, stored_values(about, BytesIO(content)))
    require_columns_bounded(len(file.schema_arrow))
    if about.num_rows > most:
        raise InputError(f"{title}: {about.num_rows:,} rows; at most {most:,} can be uploaded")
    if size > 10 * MAX_MEGABYTES * 2**20:
        raise InputError(f"{title}: unpacks to more than {10 * MAX_MEGABYTES} MB")


def _csv(title: str, content: bytes, most: int) -> pd.DataFrame:
    text = csv_text(title, content)
    try:
        return read_csv(text.encode(), most + 1)
    except InputError as error:
        raise InputError(f"{title}: {error}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputError(f"{title}: not a CSV table: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
