"""What the AliExpress files hold: the columns of both published forms and of the log made of them.

Raw columns are numbered from 1 in each table, `user_1` … `user_33` and `item_1` … `item_49`; the
processed form names them after their kind. Both give the same log.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

NUMBER_TEXT = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*", re.I)


@dataclass(frozen=True)
class Kind:
    """What the cells of a column may hold.

    values: the whole numbers allowed; None allows every number. required: no cell may be empty;
    elsewhere an empty cell is a missing value.
    """

    arrow: pa.DataType
    words: str
    values: range | None = None
    required: bool = False

    def accepts(self, cell: str) -> bool:
        """Whether a cell's text is allowed."""
        if not cell:
            return not self.required
        if self.values is None:
            return NUMBER_TEXT.fullmatch(cell) is not None
        return re.fullmatch(r"\s*-?\d{1,20}\s*", cell) is not None and int(cell) in self.values

    def holds(self, column: pa.Array) -> bool:
        """Whether a column that has this Arrow type holds allowed values only."""
        if not self.required or self.values is None:
            return True
        ends = pc.min_max(column).as_py()
        return column.null_count == 0 and ends["min"] in self.values and ends["max"] in self.values


PAGE = Kind(pa.int64(), "a search id, a whole number from 0", range(2**63 // 10), required=True)
CATEGORY = Kind(pa.int32(), "a whole number", range(-(2**31), 2**31))
NUMBER = Kind(pa.float32(), "a number")
FEEDBACK = Kind(pa.int8(), "0 (shown), 1 (clicked) or 2 (bought)", range(3), required=True)
LABEL = Kind(pa.int8(), "0 or 1", range(2), required=True)


@dataclass(frozen=True)
class Layout:
    """The columns of a CSV file, by name, in order.

    header: the first line names them; then their order is free, and others may stand between them.
    optional: columns that need not be there. implies: where the first column is 1, so is the other.
    """

    columns: Mapping[str, Kind]
    header: bool = False
    optional: frozenset[str] = frozenset()
    implies: tuple[str, str] | None = None


def _processed_names(
    table: str, columns: range, categorical: tuple[int, ...], before: tuple[int, int]
) -> dict[str, str]:
    """Raw → processed name; before: categorical and numerical columns that other tables have."""
    numerical = (column for column in columns if column not in categorical)
    named = {f"{table}_{c}": f"categorical_{i}" for i, c in enumerate(categorical, before[0] + 1)}
    return named | {
        f"{table}_{c}": f"numerical_{i}" for i, c in enumerate(numerical, before[1] + 1)
    }


USER_FEATURES = _processed_names("user", range(2, 34), (2, 3, 4, 5, 6, 7, 8, 32, 33), (0, 0))
ITEM_FEATURES = _processed_names("item", range(2, 49), (19, 34, 35, 36, 40, 41, 42), (9, 23))
CATEGORICAL = tuple(f"categorical_{i}" for i in range(1, 17))
NUMERICAL = tuple(f"numerical_{i}" for i in range(1, 64))
FEATURES = CATEGORICAL + NUMERICAL


def _kind(feature: str) -> Kind:
    return CATEGORY if feature.startswith("categorical") else NUMBER


def _raw(table: str, columns: range, features: Mapping[str, str]) -> dict[str, Kind]:
    names = [f"{table}_{column}" for column in columns]
    return {name: _kind(features[name]) for name in names if name in features}


USER = Layout({"user_1": PAGE, **_raw("user", range(2, 34), USER_FEATURES)})
ITEM = Layout({"item_1": PAGE, **_raw("item", range(2, 49), ITEM_FEATURES), "item_49": FEEDBACK})
PROCESSED = Layout(
    {"search_id": PAGE, **{f: _kind(f) for f in FEATURES}, "click": LABEL, "conversion": LABEL},
    header=True,
    optional=frozenset({"search_id"}),
    implies=("conversion", "click"),
)
LOG = pa.schema(
    [("country", pa.string()), ("part", pa.string())]
    + [(name, kind.arrow) for name, kind in PROCESSED.columns.items()]
)
