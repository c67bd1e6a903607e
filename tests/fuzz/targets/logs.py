"""Folders of parquet that are read part by part, as `predict` and the like read them."""

import functools
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.scenarios import path_index
from aesm2.errors import InputError
from aesm2.streaming.engines import merged
from aesm2.streaming.outputs import Writing, complete, prepared
from aesm2.streaming.parts import Log
from aesm2.streaming.sources import open_log
from aesm2.streaming.works import Counting, Measuring, encoded, input_columns
from tests import small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case, unchanged
from tests.fuzz.targets.tables import rows

FOLDERS = (
    "", "", "", "", "page=1", "page=x", "country=fr/page=0", "day=2020-01-01", "country=%00",
    "country=__HIVE_DEFAULT_PARTITION__", "age=__HIVE_DEFAULT_PARTITION__", "=1", "age=", "x",
    "age=999999999999999999999999", "price=1.5", "click=1", "click=x", "_x", ".x", "a b",
    "page=-1", "page=01", "user=\u0663", "country=a%2Fb", "x=1/x=2", "price=1e999",
)  # fmt: skip
KINDS = (
    "damaged", "damaged", "cut", "empty", "nothing", "text", "lacks", "lacks", "type", "type",
    "type", "null", "other", "order", "twice", "more", "bomb", "nested", "time", "missing",
    "values",
)  # fmt: skip
FILES = ("", "", "", "", "", "_no", ".no", "é", "a b", "x" * 100, "\n", "[", "#")
ENDS = (".parquet",) * 6 + (".pq", ".PARQUET", ".txt", "")
TYPES: dict[str, Any] = {
    "price": pa.float32(), "age": pa.float16(), "user": pa.int8(), "page": pa.string(),
    "brand": pa.uint64(), "click": pa.bool_(), "buy": pa.float32(), "country": pa.large_string(),
    "user_past_click": pa.string(), "user_past_count": pa.decimal128(20, 4),
}  # fmt: skip


def logs() -> Case:
    """A folder of parts that differ or are damaged; accepted, its rows are those of its files."""
    checkpoint = load(small.run() / "checkpoint", "cpu")
    rows()
    for length in (10, 100_000):
        _bomb(length)

    def case(dice: Dice, place: Path) -> None:
        folder = place / "log"
        folder.mkdir()
        _write(dice, folder)
        what = dice.one(("count", "measure", "predict"))
        columns = input_columns(checkpoint, labels=what == "measure")
        source = str(folder) + dice.one(("", "", "", "/"))
        source = f"file://{source}" if dice.random() < 0.1 else source
        most = dice.one((1, 7, 30, 262_144))
        log = open_log(checkpoint, source, columns, most)
        if log.rows > 10_000:  # the loops would take minutes
            most = max(most, 10_000)
            for part in open_log(checkpoint, source, columns, most).parts:
                sum(len(chunk) for chunk in part.chunks(columns))
            return
        batches = [(f, encoded(checkpoint, part, f, what == "measure"))
                   for part in log.parts for f in part.chunks(columns)]  # fmt: skip
        try:
            found = by_hand(folder, columns)
        except OverflowError:  # a time that Python has no value for
            return
        _require_rows(checkpoint, batches, found)
        match what:
            case "count":
                _count(dice, checkpoint, log, found)
            case "measure":
                _measure(checkpoint, log, batches, found)
            case _:
                _predict(dice, checkpoint, log, found, place / "out")

    return case


# ---- what is in the folder --------------------------------------------------------------------


def _write(dice: Dice, folder: Path) -> None:
    count, start = dice.one((1, 2, 3)), 0
    for number in range(count):
        end = len(rows()) if number == count - 1 else start + dice.randrange(20)
        table = pa.Table.from_pandas(rows().iloc[start:end], preserve_index=False)
        below = folder / (dice.one(FOLDERS) if dice.random() < 0.3 else "")
        below.mkdir(parents=True, exist_ok=True)
        name, file = dice.one(FILES), dice.one(ENDS) if dice.random() < 0.2 else ".parquet"
        name = name if dice.random() < 0.2 else ""
        content = _content(dice, table) if dice.random() < 0.4 else _stored(dice, table)
        (below / f"{name}{number}{file}").write_bytes(content)
        if below != folder or name or file != ".parquet":
            dice.note(f"{below.relative_to(folder)}/{name!r:.20}{number}{file}")
        start = end
    if dice.random() < 0.15:
        _beside(dice, folder)


def _content(dice: Dice, table: pa.Table) -> bytes:
    """Draw a part that is not as the others are."""
    kind = dice.one(KINDS)
    dice.note(kind)
    content, name = _stored(dice, table), dice.one(table.column_names)
    match kind:
        case "damaged":
            return mutate.mutated(dice, content, "part", 8)
        case "cut":
            return content[: dice.randrange(len(content))]
        case "empty":
            return _stored(dice, table.slice(0, 0))
        case "nothing":
            return b""
        case "text":
            return rows().to_csv().encode()
        case "lacks":
            return _stored(dice, table.drop_columns([name]))
        case "other":
            return _stored(dice, pa.table({"a": [1, 2], "user": ["x", "y"]}))
        case "order":
            return _stored(dice, table.select(dice.sample(table.column_names, table.num_columns)))
        case "twice":
            again = table.column(name)
            return _stored(dice, table.append_column(name, again))
        case "bomb":
            return _bomb(dice.one((10, 100_000)))
        case "type":
            name = dice.one(sorted(TYPES))
            dice.note(f"{name} is {TYPES[name]}")
            return _stored(dice, _cast(table, name, TYPES[name]))
    column = _column(dice, kind, table, name)
    dice.note(f"{name} is {column.type}")
    place = table.column_names.index(name)
    return _stored(dice, table.set_column(place, name, column))


def _column(dice: Dice, kind: str, table: pa.Table, name: str) -> pa.Array:
    count = len(table)
    match kind:
        case "null":
            return pa.nulls(count)
        case "nested":
            lists, structs = pa.list_(pa.int64()), pa.struct({"a": pa.int64()})
            return dice.one((pa.array([[1]] * count, lists), pa.array([{"a": 1}] * count, structs)))
        case "time":
            unit = dice.one(("ms", "us", "ns"))
            return pa.array([dice.one((0, 1, -(2**62), 2**62))] * count, pa.timestamp(unit))
        case "missing":
            own = table.column(name)
            return pa.array([None if i % 2 else v for i, v in enumerate(own.to_pylist())], own.type)
        case "more":
            return table.column(name).combine_chunks().dictionary_encode()
    value = dice.one((*mutate.TEXTS, *(n for n in mutate.NUMBERS if isinstance(n, float))))
    dice.note(f"values {value!r:.30}")
    value = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    return pa.array([value] * count)


def _cast(table: pa.Table, name: str, type_: pa.DataType) -> pa.Table:
    place = table.column_names.index(name)
    values = table.column(name).to_pandas()
    values = values.astype(str) if pa.types.is_string(type_) else values
    try:
        column = pa.array(values, type_, from_pandas=True, safe=False)
    except (pa.ArrowException, OverflowError):  # it does not fit
        column = table.column(name)
    return table.set_column(place, name, column)


def _stored(dice: Dice, table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=dice.one((None, None, 1, 7)),
                   compression=dice.one(("snappy", "none", "zstd")),
                   use_dictionary=dice.random() < 0.7)  # fmt: skip
    return out.getvalue()


@functools.cache
def _bomb(length: int) -> bytes:
    """Rows by the ten thousand whose country is one long text, stored once."""
    whole = pa.Table.from_pandas(rows(), preserve_index=False)
    table = pa.concat_tables([whole] * 500).replace_schema_metadata(None)
    place = table.column_names.index("country")
    text = pa.array(["z" * length]).dictionary_encode().dictionary
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), text)
    made, out = table.set_column(place, "country", codes), io.BytesIO()
    with pq.ParquetWriter(out, made.schema, write_statistics=False, store_schema=False) as writer:
        writer.write_table(made)  # without the schema nobody knows that it is a dictionary
    return out.getvalue()


def _beside(dice: Dice, folder: Path) -> None:
    """Put something beside the parts that is no file."""
    kind = dice.one(("loop", "up", "two loops", "dangling", "pipe", "folder", "device", "link"))
    name = dice.one(("9.parquet", "sub", "sub.parquet"))
    dice.note(f"{name} is a {kind}")
    match kind:
        case "loop":
            (folder / name).symlink_to(name)
        case "up":
            (folder / name).symlink_to(".")
        case "two loops":
            (folder / "a").symlink_to(".")
            (folder / "b").symlink_to(".")
        case "dangling":
            (folder / name).symlink_to("nowhere")
        case "pipe":
            os.mkfifo(folder / name)
        case "folder":
            (folder / name).mkdir()
        case "device":
            (folder / name).symlink_to("/dev/zero")
        case _:
            (folder.parent / "elsewhere").write_bytes(_stored(dice, pa.Table.from_pandas(rows())))
            (folder / name).symlink_to("../elsewhere")


# ---- the same, slowly -------------------------------------------------------------------------


def by_hand(folder: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Every row of every file of a folder, one value at a time."""
    there = sorted(str(Path(place) / name) for place, _, names in os.walk(folder) for name in names)
    found: dict[str, list[Any]] = {column: [] for column in columns}
    files = []
    for file in filter(os.path.isfile, there):
        below = Path(file).relative_to(folder).parts
        if any(own.startswith(("_", ".")) for own in below):
            continue
        if file.lower().endswith((".parquet", ".pq")):
            files.append((file, below[:-1]))
    for file, below in files:
        constants = dict(_constants(below, [above for _, above in files]))
        opened = pq.ParquetFile(file)
        if len(set(opened.schema_arrow.names)) < len(opened.schema_arrow.names):
            raise Wrong("a file with a column twice is read")
        table = opened.read([column for column in columns if column not in constants])
        for column in columns:
            values = ([constants[column]] * len(table) if column in constants
                      else table.column(column).to_pylist())  # fmt: skip
            found[column] += values
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in found.items()})


def _constants(folders: tuple[str, ...], all_: list[tuple[str, ...]]) -> Iterator[tuple[str, Any]]:
    """What the folders of one file say: a number where those of every file say one."""
    for key, text in _pairs(folders):
        texts = [t for own in all_ for k, t in _pairs(own) if k == key and t is not None]
        whole = text is not None and all(map(_is_whole, texts))
        yield key, int(text) if text is not None and whole else text


def _pairs(folders: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    for own in folders:
        key, sign, text = own.partition("=")
        if sign:
            text = unquote(text)
            yield key, None if text == "__HIVE_DEFAULT_PARTITION__" else text


def _is_whole(text: str) -> bool:
    """Whether a folder says a whole number of 32 bits, in decimals."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and -(2**31) <= int(text) < 2**31


def _require_rows(checkpoint: Checkpoint, batches: list, found: pd.DataFrame) -> None:
    """Raise Wrong where a row is encoded otherwise than by hand."""
    fields = [line for _, batch in batches for line in batch.fields.tolist()]
    index = [number for frame, _ in batches for number in frame.index.tolist()]
    if index != list(range(len(found))):
        raise Wrong(f"{len(index)} rows, by hand {len(found)}")
    try:
        expected = slow.fields(checkpoint.encoder, found)
    except (ValueError, TypeError) as error:
        raise Wrong(f"accepted, but by hand: {error}") from None
    if fields != expected:
        row = next(i for i, pair in enumerate(zip(fields, expected, strict=True))
                   if pair[0] != pair[1])  # fmt: skip
        raise Wrong(f"row {row} is encoded as {fields[row]}, by hand {expected[row]}:"
                    f" {found.iloc[row].to_dict()!r:.600}")  # fmt: skip
    places = [line for _, batch in batches for line in batch.scenarios.tolist()]
    for row, place in enumerate(places):
        for level, own in zip(checkpoint.description.level, place, strict=True):
            value = found[level.column].iloc[row]
            known = list(map(str, level.values))
            gone = not isinstance(value, str) and pd.isna(value)
            text = "nan" if gone else slow.text(value)
            wanted = known.index(text) if text in known else len(known)
            if own != wanted:
                raise Wrong(f"row {row}: '{level.column}' is {value!r:.50}, read as {own}")


def _paths(checkpoint: Checkpoint, batches: list) -> list[int]:
    schema = checkpoint.encoder.schema
    return [int(own) for _, batch in batches for own in path_index(batch.scenarios.numpy(), schema)]


def _count(dice: Dice, checkpoint: Checkpoint, log: Log, found: pd.DataFrame) -> None:
    cluster = dice.one((None, "user", "country"))
    summary = merged(log, Counting(checkpoint.path, cluster=cluster, block=dice.one((1, 7))))
    if int(summary.rows.sum()) != len(found):
        raise Wrong(f"{int(summary.rows.sum())} rows counted, by hand {len(found)}")
    for layer in summary.layers:
        if int(layer.specific[:, 0].sum()) != layer.spec.specific * len(found):
            raise Wrong(f"{layer.spec.name}: choices of other rows")


def _measure(checkpoint: Checkpoint, log: Log, batches: list, found: pd.DataFrame) -> None:
    paths, summary = _paths(checkpoint, batches), merged(log, Measuring(checkpoint.path))
    n, positives = np.zeros_like(summary.n), np.zeros_like(summary.n)
    for row, path in enumerate(paths):
        click, buy = (found[name].iloc[row] for name in ("click", "buy"))
        labels = (float(click), 0.0 if float(click) == 0 else float(buy))
        for task, label in enumerate(labels):
            if label not in (0, 1):
                raise Wrong(f"row {row}: a label is {label}")
            n[path, task] += 1
            positives[path, task] += int(label)
    if (n != summary.n).any() or (positives != summary.positives).any():
        raise Wrong("other rows with a label, or other positives, than by hand")
    table = summary.to_frame()
    if ((table["auc"] < -1e-9) | (table["auc"] > 1 + 1e-9)).any():
        raise Wrong("an AUC is none")


def _predict(dice: Dice, checkpoint: Checkpoint, log: Log, found: pd.DataFrame, out: Path) -> None:
    work = Writing("predict", checkpoint.path, out, keep=dice.one(((), ("user",), ("country",))))
    with unchanged(out.parent / "log"):
        try:
            missing = prepared(log, work, checkpoint.hash, False)
            merged(missing, work)
        except InputError as error:
            half = [own.name for own in out.rglob("*") if own.name.startswith(".")]
            if half:
                raise Wrong(f"refused ({error}), yet {half} are left") from None
            raise
        complete(log, work, {})
    tables = [pq.read_table(file).to_pandas() for file in sorted(out.glob("part-*.parquet"))]
    told = pd.concat(tables, ignore_index=True)
    if told["row"].tolist() != list(range(len(found))):
        raise Wrong("rows are numbered otherwise")
    for name in work.keep:
        for row, (value, wanted) in enumerate(zip(told[name], found[name], strict=True)):
            gone = wanted is None or (isinstance(wanted, float) and math.isnan(wanted))
            if (pd.isna(value) if gone else slow.text(value) == slow.text(wanted)) is not True:
                raise Wrong(f"row {row}: '{name}' goes along as {value!r}, in the file {wanted!r}")
    if not ((told[["ctr", "ctcvr"]] >= 0) & (told[["ctr", "ctcvr"]] <= 1)).all().all():
        raise Wrong("a probability is none")
