"""How many values the columns of a parquet file hold, read from its footer.

pyarrow knows it as well, but asking it for the metadata of a column that is damaged ends the whole
process: its exception is not caught on the way to Python. So the footer, Thrift's compact protocol,
is read here; pyarrow has parsed it before, so it is well formed.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from aesm2.errors import InputError

MAGIC, TAIL = b"PAR1", 8
MOST_BYTES = 4 << 20  # of a footer: some seconds; that of a file with lists is mostly smaller
ROW_GROUPS, COLUMNS, METADATA, NUM_VALUES = 4, 1, 3, 5  # fields of parquet.thrift
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


def values_of(file: BinaryIO, columns: set[int]) -> int:
    """Return how many values some columns, by their place, hold in all row groups together.

    Raises InputError where the file has no footer of this kind, or a very large one.
    """
    try:
        file.seek(-TAIL, 2)
        size, magic = struct.unpack("<I4s", file.read(TAIL))
        if magic != MAGIC:
            raise InputError("no parquet file, or an encrypted one")
        if size > MOST_BYTES:
            raise InputError(f"has lists, and a footer larger than {MOST_BYTES:,} bytes")
        file.seek(-TAIL - size, 2)
        footer = _Compact(file.read(size)).structure()
        groups = [group[COLUMNS] for group in footer[ROW_GROUPS]]
        found = [group[place][METADATA][NUM_VALUES] for group in groups for place in columns]
        return sum(max(0, int(own)) for own in found)
    except (struct.error, IndexError, KeyError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"its footer is damaged: {type(error).__name__}") from None


class _Compact:
    """Reads values one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def structure(self) -> dict[int, Any]:
        return dict(self._fields())

    def _fields(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            kind = head & 15
            yield number, kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)

    def _value(self, kind: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            _TRUE: self._byte, _FALSE: self._byte, _BYTE: self._byte,
            _DOUBLE: lambda: self._take(8), _BINARY: lambda: self._take(self._varint()),
            _LIST: self._list, _SET: self._list, _MAP: self._map, _STRUCT: self.structure,
        }  # fmt: skip
        return readers.get(kind, self._whole)()

    def _list(self) -> list[Any]:
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._varint()
        return [self._value(head & 15) for _ in range(size)]

    def _map(self) -> list[Any]:
        size = self._varint()
        kinds = self._byte() if size else 0
        return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]

    def _whole(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def _take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]
