"""Planning the parts of a parquet file, of a folder of them, or of a URL of either."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.data.description import Description
from aesm2.data.room import require_columns_bounded
from aesm2.data.tables import PARQUET
from aesm2.errors import InputError, nearest
from aesm2.streaming.parts import (
    ROWS_PER_PART,
    FilePart,
    Log,
    Part,
    damage_told,
    is_url,
    system_of,
)

FOOTERS = 16  # files whose footers are read at a time
NOTHING = "__HIVE_DEFAULT_PARTITION__"  # how a folder `key=value` spells a missing value


def of_files(
    source: str,
    columns: Sequence[str],
    rows_per_part: int = ROWS_PER_PART,
    described: Description | None = None,
) -> Log:
    """Plan the parts of a parquet file or of a folder of them, local or at any fsspec URL.

    columns: those that will be read; every file must have them, in alike types. Files are taken in
    the order of their paths; those that begin with "_" or ".", or lie in such a folder, are no
    data. Only the files' footers are read here.
    described: the dataset, to say where a missing column comes from.
    Raises InputError that names the file for a damaged one, a missing column or another type.
    """
    if rows_per_part < 1:
        raise InputError(f"rows per part: {rows_per_part}; expected 1 or more")
    files = _files(source)
    with ThreadPoolExecutor(FOOTERS) as threads:
        footers = list(threads.map(_footer, files))
    kinds: dict[str, tuple[str, str, pa.DataType]] = {}
    for footer in footers:
        _require(footer, columns, kinds, described)
    parts: list[Part] = []
    for footer in footers:
        first = parts[-1].first + parts[-1].rows if parts else 0
        parts += _parts(footer, first, len(parts), rows_per_part)
    if not parts:
        raise InputError(f"{source}: its parquet files hold no rows")
    return Log(source, tuple(parts), source.startswith("memory://"))


@dataclass(frozen=True)
class _File:
    url: str
    constants: tuple[tuple[str, pa.Scalar], ...]


@dataclass(frozen=True)
class _Footer:
    file: _File
    version: str
    schema: pa.Schema
    groups: tuple[int, ...]  # rows of each row group


def _files(source: str) -> list[_File]:
    system, root = system_of(source)
    root = root.rstrip("/") or root
    prefix = source.partition("://")[0] + "://" if is_url(source) else ""
    try:
        if system.isfile(root):
            return [_File(source, ())]
        found = system.find(root) if system.isdir(root) else None
    except Exception as error:  # each file system has exceptions of its own: rights, networks
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{source}: cannot be listed: {reason}") from None
    if found is None:
        raise InputError(f"{source}: no such file or folder")
    inside = {path: posixpath.relpath(path, root) for path in sorted(found)}
    kept = [path for path, below in inside.items() if _is_data(below)]
    if not kept:
        raise InputError(f"{source}: no parquet files in this folder, nor in those within it")
    told = [_told(inside[path]) for path in kept]
    texts: dict[str, set[str | None]] = defaultdict(set)
    for key, text in (pair for own in told for pair in own):
        texts[key].add(text)
    values = {key: _values(list(own)) for key, own in texts.items()}
    return [
        _File(
            f"{prefix}{path.lstrip('/') if prefix else path}",
            tuple((key, values[key][text]) for key, text in own),
        )
        for path, own in zip(kept, told, strict=True)
    ]


def _is_data(below: str) -> bool:
    hidden = any(name.startswith(("_", ".")) for name in below.split("/"))
    return not hidden and below.lower().endswith(PARQUET)


def _told(below: str) -> list[tuple[str, str | None]]:
    """Keys and texts of the folders `key=value` of a path."""
    pairs = [folder.split("=", 1) for folder in below.split("/")[:-1] if "=" in folder]
    texts = [(key, unquote(text)) for key, text in pairs]
    return [(key, None if text == NOTHING else text) for key, text in texts]


def _values(texts: list[str | None]) -> dict[str | None, pa.Scalar]:
    """What the texts of one key stand for: whole numbers if all are, as where a table is whole."""
    utf8 = [text and text.encode("utf-8", "backslashreplace").decode() for text in texts]
    spelt = pa.array(utf8, pa.string())
    try:
        return dict(zip(texts, spelt.cast(pa.int32()), strict=True))
    except pa.ArrowInvalid:  # one is no number of 32 bits
        return dict(zip(texts, spelt, strict=True))


def _footer(file: _File) -> _Footer:
    system, path = system_of(file.url)
    with damage_told(file.url):
        info = system.info(path)
        if info["type"] != "file":  # a pipe would wait for ever
            what = "folder" if info["type"] == "directory" else "device or the like"
            raise InputError(f"{file.url}: not a file, but a {what}")
        with system.open(path, "rb") as opened:
            about = pq.ParquetFile(opened)
        metadata = about.metadata
        groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        times = (info.get(name) for name in ("mtime", "LastModified", "last_modified", "created"))
        version = f"{info.get('size')} {next((t for t in times if t is not None), '')}"
        return _Footer(file, version, about.schema_arrow, groups)


def _require(
    footer: _Footer,
    columns: Sequence[str],
    kinds: dict[str, tuple[str, str, pa.DataType]],
    described: Description | None,
) -> None:
    """Hold a file's columns against what is needed, and against the files before it."""
    url, constants = footer.file.url, dict(footer.file.constants)
    require_columns_bounded(len(footer.schema.names))
    for where in (footer.schema.names, [key for key, _ in footer.file.constants]):
        twice = [name for name, count in Counter(where).items() if count > 1]
        if twice:
            raise InputError(f"{url}: the column '{twice[0]}' is there twice")
    names = [*footer.schema.names, *constants]
    missing = [column for column in columns if column not in names]
    if missing:
        hints = ", ".join(f"'{c}'{nearest(c, names)}" for c in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise InputError(f"{url} lacks {hints}{more}{_remedy(missing, described)}")
    for column in columns:
        if column in constants:
            continue
        type_ = footer.schema.field(column).type
        kind, where, before = kinds.setdefault(column, (_kind(type_), url, type_))
        if "nothing" in (kind, _kind(type_)):
            continue
        if kind != _kind(type_):
            raise InputError(
                f"{url}: '{column}' is {type_}, but {before} in {where}: files of one log need"
                " alike columns"
            )


def _remedy(missing: Sequence[str], described: Description | None) -> str:
    """Say where missing columns come from, where the dataset computes them on its whole log."""
    if described is None:
        return ""
    past = {column for block in described.history for column in block.columns}
    if not described.source.join and not past & set(missing):
        return ""
    what = "history needs" if past & set(missing) else "joins need"
    return (
        f": the dataset's {what} its whole log; write the rows with them first, as"
        " aesm2.Dataset.open(FOLDER).frame().to_parquet(FILE) does, and stream those"
    )


_KINDS: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
    ("nothing", pa.types.is_null),
    ("truth", pa.types.is_boolean),
    ("number", pa.types.is_integer),
    ("number", pa.types.is_floating),
    ("number", pa.types.is_decimal),
    ("text", pa.types.is_string),
    ("text", pa.types.is_large_string),
    ("text", pa.types.is_string_view),
    ("time", pa.types.is_temporal),
)


def _kind(type_: pa.DataType) -> str:
    """What a type holds, however wide."""
    while pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return next((kind for kind, is_one in _KINDS if is_one(type_)), str(type_))


def _parts(footer: _Footer, first: int, number: int, most: int) -> Iterator[FilePart]:
    """Pack consecutive row groups into parts of at most `most` rows, a larger one on its own."""
    start, rows = 0, 0
    for group, own in enumerate((*footer.groups, None)):
        if own is None or (rows and rows + own > most):
            if rows:
                url, constants = footer.file.url, footer.file.constants
                yield FilePart(
                    number, first, rows, url, footer.version, (start, group), constants, most
                )
                number, first = number + 1, first + rows
            start, rows = group, 0
        rows += own or 0
