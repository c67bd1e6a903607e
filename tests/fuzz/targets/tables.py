"""CSV and parquet files; what is accepted must be read as another reader reads it."""

import functools
import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aesm2.data.dataset import Dataset
from aesm2.data.tables import HEAD, csv_form, read_table
from tests import small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice
from tests.fuzz.guard import Case

NAMES = (
    "rows.csv",
    "rows.csv",
    "rows.csv",
    "rows.tsv",
    "rows.CSV",
    "rows.parquet",
    "rows.txt",
    "rows",
)


@functools.cache
def rows() -> pd.DataFrame:
    """Rows that the small checkpoint takes, with labels."""
    frame = Dataset.open(small.dataset()).split("test")
    return frame.drop(columns="split").reset_index(drop=True).head(40)


def prepare() -> None:
    """Make what all cases share, before they are forked."""
    rows()
    for length in (10, 2_000):
        _bomb(length)


def csv_files() -> Case:
    """A CSV file; accepted, it must be what Python's own csv module reads."""
    prepare()

    def case(dice: Dice, place: Path) -> None:
        name, content = csv_content(dice)
        (place / name).write_bytes(content)
        frame = read_table(place / name)
        form = csv_form(content[:HEAD].decode("utf-8-sig", "ignore"))
        slow.require_same_csv(content, frame, form)

    return case


def csv_content(dice: Dice) -> tuple[str, bytes]:
    """Draw the name and content of a CSV file."""
    frame = rows().copy()
    for _ in range(dice.randrange(3)):
        _spoil(dice, frame)
    text = frame.to_csv(index=dice.random() < 0.1, sep=dice.one(",,,;\t|"),
                        decimal=dice.one("...,"), quoting=dice.one((0, 0, 1, 2)))  # fmt: skip
    content = text.encode("utf-8", "replace")
    if dice.random() < 0.6:
        content = mutate.mutated(dice, content, "csv")
    elif dice.random() < 0.5:
        content = _misshapen(dice, content)
    return dice.one(NAMES), content


def _spoil(dice: Dice, frame: pd.DataFrame) -> None:
    """Put values into a column that do not belong there."""
    column = dice.one(list(frame.columns))
    values = [dice.one((*mutate.TEXTS, *mutate.NUMBERS, None)) for _ in range(dice.some(4))]
    values = [str(v)[:4000] if isinstance(v, int) and abs(v) > 2**63 else v for v in values]
    spoilt = frame[column].astype(object)
    for value in values:
        spoilt.iloc[dice.randrange(len(frame))] = value
    frame[column] = spoilt
    dice.note(f"{column} holds {values!r:.80}")


def _misshapen(dice: Dice, content: bytes) -> bytes:
    header, _, rest = content.partition(b"\n")
    kind = dice.one(("wide", "long", "header", "short", "nohead", "same", "remark", "lines"))
    dice.note(f"csv: {kind}")
    match kind:
        case "wide":
            return b",".join([header] * 800) + b"\n" + b",".join([b"1"] * 800) + b"\n"
        case "long":
            return content.replace(b"1", b"1" * dice.one((30, 5_000, 200_000)), 3)
        case "header":
            return header + b"\n" * dice.randrange(3)
        case "short":
            return header + b"\n" + b"1,2\n" * 5
        case "nohead":
            return rest
        case "same":
            first = header.split(b",")[0]
            return header.replace(b",", b"," + first + b",") + b"\n" + rest.replace(b",", b",7,")
        case "remark":
            return b"# a remark\n" + content
        case _:
            return header + b"\n" + (b"," * dice.one((3, 13, 40)) + b"\n") * 20


def parquet_files() -> Case:
    """A parquet file; accepted, it must hold what pyarrow reads from it."""
    prepare()

    def case(dice: Dice, place: Path) -> None:
        name, content = parquet_content(dice)
        target = place / name
        if dice.random() < 0.1:
            target = place / dice.one(
                ("folder", "folder/day=1", "folder/click=x", "folder/=", "f.csv")
            )
            target.mkdir(parents=True)
            dice.note(f"in {target.relative_to(place)}")
            (target / "a.parquet").write_bytes(content)
            read_table(place / target.relative_to(place).parts[0])
            return
        target.write_bytes(content)
        frame = read_table(target)
        if content[:4] != b"PAR1":
            return
        if len(frame) > 10_000:  # the loops would take minutes
            return
        whole = pq.ParquetFile(io.BytesIO(content)).read()
        if list(frame.columns) == whole.column_names:  # else the file names an index of its own
            pairs = zip(whole.column_names, whole.columns, strict=True)
            try:
                columns = {str(name): column.to_pylist() for name, column in pairs}
            except (OverflowError, ValueError):  # a time that Python has no value for
                return
            slow.require_same_values(columns, frame)

    return case


def parquet_content(dice: Dice) -> tuple[str, bytes]:
    """Draw the name and content of a parquet file."""
    table = pa.Table.from_pandas(rows(), preserve_index=False)
    for _ in range(dice.randrange(3)):
        odd = _odd(dice, table)
        if odd is None:
            length = dice.one((10, 2_000))
            dice.note(f"a million texts of {length}")
            return dice.one(("rows.parquet", "rows.pq")), _bomb(length)
        table = odd
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pq.write_table(table, out, compression=dice.one(("snappy", "gzip", "zstd", "none")),
                       row_group_size=dice.one((None, 1, 7)))  # fmt: skip
    content = out.getvalue()
    if dice.random() < 0.5:
        content = mutate.mutated(dice, content, "parquet", 8)
    return dice.one(("rows.parquet",) * 6 + ("rows.pq", "rows.csv")), content


@functools.cache
def _bomb(length: int) -> bytes:
    """A file of kilobytes that holds a million texts of a length, all alike."""
    out = io.BytesIO()
    schema = pa.schema({"age": pa.string()})
    with pq.ParquetWriter(out, schema, write_statistics=False) as writer:
        for _ in range(10):
            writer.write_table(pa.table({"age": ["z" * length] * 100_000}, schema))
    return out.getvalue()


def _odd(dice: Dice, table: pa.Table) -> pa.Table | None:
    """Put an odd column into a table; None for a bomb."""
    count, name = len(table), dice.one(("age", "click", "country", "x", "page", "\n", "user"))
    kind = dice.randrange(15)
    column: pa.Array
    match kind:
        case 0:
            column = pa.array([[1, 2]] * count)
        case 1:
            column = pa.array([{"a": 1}] * count)
        case 2:
            column = pa.array([None] * count)
        case 3:
            column = pa.array(
                [dice.one(mutate.TEXTS).encode("utf-8", "replace")] * count, pa.binary()
            )
        case 4:
            column = pa.array([dice.one((float("nan"), float("inf"), -1e308))] * count)
        case 5:
            column = pa.array([2**63 - 1 - i for i in range(count)])
        case 6:
            column = pa.array(np.arange(count), pa.timestamp(dice.one(("s", "ms", "us", "ns"))))
        case 7:
            column = pa.array([dice.one((0, -(2**62), 2**62))] * count, pa.timestamp("ms"))
        case 8:
            column = pa.array(["1.5"] * count).dictionary_encode()
        case 9:
            column = pa.array([True] * count)
        case 10:
            column = pa.array([1] * count).cast(pa.decimal128(38, 10))
        case 11:
            column = pa.array(["y" * dice.one((10, 100_000))] * count)
        case 12:
            dice.note("no rows" if dice.random() < 0.5 else "no columns")
            return table.slice(0, 0) if dice.notes[-1] == "no rows" else table.select([])
        case 13:
            return None
        case _:
            forged = dice.one((
                b"{", b"null", b'{"index_columns": ["age"], "columns": []}',
                b'{"index_columns": ["nope"], "column_indexes": [], "columns": []}',
            ))  # fmt: skip
            dice.note(f"pandas metadata {forged!r}")
            return table.replace_schema_metadata({b"pandas": forged})
    dice.note(f"{name!r} is {column.type}, kind {kind}")
    if name in table.column_names and dice.random() < 0.8:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
