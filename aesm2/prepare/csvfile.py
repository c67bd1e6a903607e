"""A CSV file of numbers, plain or zipped, read in batches, whose first bad line can be named."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import pyarrow as pa
import pyarrow.csv as pacsv
from tqdm import tqdm

from aesm2.errors import InputError
from aesm2.prepare.columns import Layout

Progress: TypeAlias = "tqdm[Any]"
BLOCK = 4 << 20  # bytes of CSV that are parsed at a time


@dataclass(frozen=True)
class CsvFile:
    """A comma-separated file without quotes, or a zip archive with one such file in it.

    Empty lines do not count as rows, and no line may be longer than BLOCK.
    """

    path: Path
    layout: Layout

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    @property
    def unpacked_size(self) -> int:
        """Bytes of CSV."""
        if not self._zipped:
            return self.size
        with self._archive() as (archive, _):
            return self._member(archive).file_size

    def batches(self, bar: Progress) -> Iterator[pa.RecordBatch]:
        """Read the columns of the layout in order of rows; bar: advanced by the bytes read.

        Raises InputError that names the line where it is not what the layout says.
        """
        rows = read = 0
        with self._open() as (stream, disk):
            names = self._names(stream)
            try:
                for batch in self._parse(stream, names):
                    if not self._plausible(batch):
                        raise self._fault(rows, "values out of range")
                    rows += len(batch)
                    bar.update(disk.tell() - read)
                    read = disk.tell()
                    yield batch
            except pa.ArrowInvalid as error:
                raise self._fault(rows, str(error).splitlines()[0]) from None
        bar.update(self.size - read)  # what is left is the archive's directory
        if rows == 0:
            raise InputError(f"{self.path}: no rows")

    def lines_with(self, name: str, value: int) -> list[int]:
        """Numbers of the lines whose column `name` is `value`; reads the whole file."""
        with self._open() as (stream, _):
            position = self._names(stream).index(name)
            lines = self._lines(stream)
            return [n for n, text in lines if int(text.split(",")[position]) == value]

    @property
    def _zipped(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open for reading; the second stream's position counts the bytes read from disk."""
        if not self._zipped:
            with self.path.open("rb") as disk:
                yield disk, disk
            return
        with self._archive() as (archive, disk), archive.open(self._member(archive)) as member:
            yield member, disk

    @contextlib.contextmanager
    def _archive(self) -> Iterator[tuple[zipfile.ZipFile, IO[bytes]]]:
        try:
            with self.path.open("rb") as disk, zipfile.ZipFile(disk) as archive:
                yield archive, disk
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(
                f"{self.path}: not a whole zip archive ({error}); download it again"
            ) from None
        except NotImplementedError as error:
            raise InputError(
                f"{self.path}: {error}; unpack it and leave the .csv in its place"
            ) from None

    def _member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise InputError(f"{self.path}: expected one CSV file in it, found {len(members)}")
        if members[0].header_offset < 0:  # where zipfile would seek
            raise zipfile.BadZipFile("bytes are missing")
        if members[0].flag_bits & 1:
            raise InputError(
                f"{self.path}: is encrypted; unpack it and leave the .csv in its place"
            )
        return members[0]

    def _names(self, stream: IO[bytes]) -> list[str]:
        """Return the names of all columns, read from the first line where it is a header."""
        if not self.layout.header:
            return list(self.layout.columns)
        line = stream.readline().decode("utf-8-sig", "replace")
        names = [name.strip() for name in line.split(",")]
        needed = [name for name in self.layout.columns if name not in self.layout.optional]
        missing = [name for name in needed if name not in names]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise InputError(
                f"{self.path}: line 1: the header lacks {', '.join(missing[:3])}{more};"
                f" found {_shown(line.strip())}"
            )
        twice = [name for name in self.layout.columns if names.count(name) > 1]
        if twice:
            raise InputError(f"{self.path}: line 1: the header names '{twice[0]}' twice")
        return names

    def _parse(self, stream: IO[bytes], names: list[str]) -> Iterator[pa.RecordBatch]:
        columns = {n: kind.arrow for n, kind in self.layout.columns.items() if n in names}
        reader = pacsv.open_csv(
            stream,
            # One thread: with more, Arrow reads ahead by a block for each of them.
            pacsv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
            pacsv.ParseOptions(quote_char=False),
            pacsv.ConvertOptions(
                column_types=columns, include_columns=list(columns), null_values=[""]
            ),
        )
        yield from (batch for batch in reader if len(batch))

    def _plausible(self, batch: pa.RecordBatch) -> bool:
        kinds = self.layout.columns
        if not all(kinds[name].holds(batch[name]) for name in batch.schema.names):
            return False
        if self.layout.implies is None:
            return True
        first, then = (batch[name].to_numpy() for name in self.layout.implies)
        return bool((first <= then).all())

    def _fault(self, rows: int, reason: str) -> InputError:
        """Say what is wrong with the first bad line after `rows` good ones, in a slow second pass.

        reason: what to say where this pass finds nothing wrong.
        """
        row = -1
        with self._open() as (stream, _):
            names = self._names(stream)
            for row, (number, text) in enumerate(self._lines(stream)):
                wrong = self._wrong(names, text.split(","), number) if row >= rows else ""
                if wrong:
                    return InputError(f"{self.path}: line {number}: {wrong}")
        return InputError(f"{self.path}: {'no rows' if row < 0 else reason}")

    def _lines(self, stream: IO[bytes]) -> Iterator[tuple[int, str]]:
        """Yield number and text of every line that is not empty, after the header."""
        for number, line in enumerate(stream, 2 if self.layout.header else 1):
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
            if text.strip("\r\n"):
                yield number, text.strip("\r\n")

    def _wrong(self, names: list[str], cells: list[str], number: int) -> str:
        """What is wrong with a line, "" where nothing is."""
        if number == 1 and not any(cell[:1].isdigit() for cell in cells):
            return f"expected numbers, found a header or text: {_shown(','.join(cells))}"
        if len(cells) != len(names):
            return f"expected {len(names)} columns, found {len(cells)}"
        row = dict(zip(names, cells, strict=True))
        for name, kind in self.layout.columns.items():
            if name in row and not kind.accepts(row[name]):
                return f"{name} is {_shown(row[name])}, expected {kind.words}"
        if self.layout.implies is not None:
            first, then = self.layout.implies
            if int(row[first]) > int(row[then]):
                return f"{first} is 1, but {then} is 0"
        return ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
