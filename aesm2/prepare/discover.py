"""Which countries of the AliExpress data a folder holds, in which of the two published forms."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aesm2.errors import InputError, nearest
from aesm2.prepare.columns import ITEM, PROCESSED, USER
from aesm2.prepare.csvfile import CsvFile
from aesm2.prepare.draw import COUNTRIES, SPLITS

PAPER = COUNTRIES[:4]  # the countries of the paper's Table 2
ANY = "|".join(COUNTRIES)
RAW_FILE = re.compile(rf"({ANY})_((?:user|item)_(?:train|test))\.(zip|csv)", re.I)
PROCESSED_FILE = re.compile(r"(train|test)\.csv", re.I)
FOLDER = re.compile(rf"(?:aliexpress_)?({ANY})(?:_datasets)?", re.I)
ARCHIVE = re.compile(rf"aliexpress_({ANY})_datasets\.zip", re.I)
RAW_PARTS = tuple(f"{table}_{split}" for split in SPLITS for table in ("user", "item"))


@dataclass(frozen=True)
class Piece:
    """One original split of one country: what is prepared, and resumed, as a whole.

    files: the user and the item table in the raw form, one file in the processed form.
    """

    country: str
    split: str
    files: tuple[CsvFile, ...]

    @property
    def name(self) -> str:
        """Such as "NL-train"; its files in the log begin so."""
        return f"{self.country}-{self.split}"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


def find_pieces(folder: Path, countries: Sequence[str] | None) -> tuple[list[Piece], list[str]]:
    """Find the files of some countries, by default those of the paper, and those left out.

    Returns the pieces in the order of COUNTRIES, and the countries that are there, but not taken.
    Raises InputError where a country asked for is not there, not whole, or there twice.
    """
    found = _find(folder)
    wanted = _known(countries) if countries else [c for c in PAPER if c in found]
    missing = [country for country in wanted if country not in found]
    if missing or not wanted:
        raise InputError(
            f"{folder}: no data of {', '.join(missing or PAPER)}; found {_listed(folder, found)}"
        )
    pieces = [piece for country in wanted for piece in _pieces(country, found[country])]
    return pieces, [country for country in found if country not in wanted]


def _known(countries: Sequence[str]) -> list[str]:
    asked = [country.strip().upper() for country in countries]
    for country in asked:
        if country not in COUNTRIES:
            raise InputError(
                f"countries: no '{country}'{nearest(country, COUNTRIES)};"
                f" there are {', '.join(COUNTRIES)}"
            )
    return [country for country in COUNTRIES if country in asked]


def _listed(folder: Path, found: Iterable[str]) -> str:
    if found:
        return ", ".join(found)
    names = [path.relative_to(folder) for path in _places(folder)]
    for name in names:
        if ARCHIVE.fullmatch(name.name):
            return f"{name}: unpack it there first"
        if PROCESSED_FILE.fullmatch(name.name):
            return f"{name}, but of which country? Call its folder NL, FR, ES, US or RU"
    return "none of any country"


def _find(folder: Path) -> dict[str, tuple[Path, dict[str, Path]]]:
    """Country → its folder and its files by part: "user_train", … if raw, "train", … if not."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, tuple[Path, dict[str, Path]]] = {}
    for place in [folder, *_places(folder)]:
        if not place.is_dir():
            continue
        for country, part, path in _files(place):
            holder, parts = found.setdefault(country, (place, {}))
            if holder != place:
                raise InputError(f"{folder}: {country} is there twice, in {holder} and {place}")
            if path.suffix.lower() == ".zip" or part not in parts:  # an archive has a checksum
                parts[part] = path
    return {country: found[country] for country in COUNTRIES if country in found}


def _places(folder: Path) -> list[Path]:
    """Files and folders in a folder, and one level deeper, without hidden ones."""
    paths = sorted([*folder.glob("*"), *folder.glob("*/*")])
    return [p for p in paths if not any(n.startswith(".") for n in p.relative_to(folder).parts)]


def _files(place: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield country, part and path of every file of the data set right in a folder.

    The processed form does not name the country; its folder does, or the one above.
    """
    resolved = place.resolve()
    named = [FOLDER.fullmatch(name) for name in (resolved.name, resolved.parent.name)]
    country = next((match[1].upper() for match in named if match), None)
    for path in sorted(path for path in place.iterdir() if path.is_file()):
        raw, processed = RAW_FILE.fullmatch(path.name), PROCESSED_FILE.fullmatch(path.name)
        if raw:
            yield raw[1].upper(), raw[2].lower(), path
        elif processed and country:
            yield country, processed[1].lower(), path


def _pieces(country: str, found: tuple[Path, Mapping[str, Path]]) -> list[Piece]:
    """Return the two pieces of a country, from the raw form where it has both."""
    folder, parts = found
    raw = [part for part in RAW_PARTS if part in parts]
    processed = [part for part in SPLITS if part in parts]
    if len(raw) == len(RAW_PARTS):
        tables = (("user", USER), ("item", ITEM))
        return [
            Piece(country, s, tuple(CsvFile(parts[f"{t}_{s}"], layout) for t, layout in tables))
            for s in SPLITS
        ]
    if len(processed) == len(SPLITS):
        return [Piece(country, s, (CsvFile(parts[s], PROCESSED),)) for s in SPLITS]
    if raw:
        missing = [f"{country.lower()}_{p}.zip" for p in RAW_PARTS if p not in parts]
    else:
        missing = [f"{s}.csv" for s in SPLITS if s not in parts]
    raise InputError(f"{folder}: {country} is not whole; it lacks {', '.join(missing)}")
