"""Slow, obvious readings of what the library reads fast."""

import bisect
import csv
import datetime
import io
import math
from typing import Any

import numpy as np
import pandas as pd

from aesm2.data.cleaning import cleaned
from aesm2.data.encoder import Encoder
from tests.fuzz.dice import Wrong

NOTHING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip  # what pandas takes for missing


def text(value: Any) -> str:
    """Spell a value as a category is spelt."""
    if isinstance(value, (bool, np.bool_)):
        return "1" if value else "0"
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def fields(encoder: Encoder, frame: pd.DataFrame) -> list[list[int]]:
    """Index of every feature of every row, one value at a time."""
    frame = cleaned(frame, encoder.description.source)
    found = []
    for row in range(len(frame)):
        line = []
        for name, feature in encoder.description.fields.items():
            value = frame[feature.column or name].iloc[row]
            if pd.isna(value):
                line.append(0)
            elif feature.kind == "categorical":
                known = list(encoder.categories[name])
                line.append(known.index(text(value)) + 2 if text(value) in known else 1)
            else:
                if isinstance(value, datetime.datetime):
                    moment = pd.Timestamp(value)
                    a_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[moment.unit]
                    value = int(moment.to_datetime64().astype("int64")) / a_second
                line.append(2 + bisect.bisect_right(list(encoder.edges[name]), float(value)))
        found.append(line)
    return found


def require_same_fields(encoder: Encoder, frame: pd.DataFrame) -> None:
    """Raise Wrong where the fast encoding of rows is not the slow one."""
    actual = encoder.encode(frame).fields.tolist()
    expected = fields(encoder, frame)
    if actual != expected:
        row = next(
            i for i, pair in enumerate(zip(actual, expected, strict=True)) if pair[0] != pair[1]
        )
        raise Wrong(f"row {row} is encoded as {actual[row]}, by hand {expected[row]}")


def require_same_csv(content: bytes, frame: pd.DataFrame, form: dict[str, Any]) -> None:
    """Raise Wrong where a frame is not what Python's own csv reads."""
    csv.field_size_limit(1 << 30)
    decoded = io.StringIO(content.decode("utf-8-sig"), newline="")
    lines = csv.reader(decoded, delimiter=form["sep"], strict=False)
    header, *rows = (line for line in lines if (line and line != [""]) or len(line) > 1)
    if len(frame.columns) != len(header):
        raise Wrong(f"{len(frame.columns)} columns, by hand {len(header)}: {header[:5]}")
    if len(rows) != len(frame):
        raise Wrong(f"{len(frame)} rows, by hand {len(rows)}")
    for place, line in enumerate(rows):
        for column, value in enumerate(frame.iloc[place].tolist()):
            cell = line[column] if column < len(line) else ""
            if not _same(cell, value, form["decimal"]):
                raise Wrong(f"row {place}, column {column}: {value!r}, in the file {cell!r}")


def _same(cell: str, value: Any, decimal: str) -> bool:
    if pd.isna(value):
        return cell.strip() in NOTHING or cell in NOTHING
    if isinstance(value, (bool, np.bool_)):
        return cell.strip().lower() == str(bool(value)).lower()
    if isinstance(value, str):
        swapped = cell.strip().replace(",", ".") if decimal == "," else cell
        return value in (cell, swapped, cell.replace("\r\n", "\n"))
    number = cell.strip().replace(decimal, ".") if decimal != "." else cell.strip()
    try:
        found = float(number)
        return found == float(value) or math.isclose(found, float(value), rel_tol=1e-12)
    except OverflowError:  # a whole number beyond all floats, which Python keeps
        return number.lstrip("+-").isdecimal() and int(number) == value
    except ValueError:
        return False


def require_same_values(columns: dict[str, list[Any]], frame: pd.DataFrame) -> None:
    """Raise Wrong where a frame does not hold the values that a parquet file does."""
    if list(frame.columns) != list(columns):
        raise Wrong(f"columns {list(frame.columns)[:6]}, in the file {list(columns)[:6]}")
    for name, expected in columns.items():
        for row, (value, wanted) in enumerate(zip(frame[name].tolist(), expected, strict=True)):
            if not _equal(value, wanted):
                raise Wrong(f"'{name}' of row {row} is {value!r}, in the file {wanted!r}")


def _equal(value: Any, wanted: Any) -> bool:
    if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
        return bool(np.all(pd.isna(value)))
    if isinstance(wanted, (list, dict)):
        return str(np.asarray(value, object).tolist()) == str(np.asarray(wanted, object).tolist())
    if isinstance(value, pd.Timestamp):
        return value == pd.Timestamp(wanted)
    if isinstance(value, float):
        return value == float(wanted)
    return bool(value == wanted) or str(value) == str(wanted)
