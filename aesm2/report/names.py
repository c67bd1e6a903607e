"""Names of exported files: what is in them, in characters that every system takes."""

import re
import unicodedata
from collections.abc import Iterable

from aesm2.report.pin import Pin, Report

LONGEST = 96  # characters, ending included
PART = 28
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)


def file_name(pin: Pin) -> str:
    """Name a pin's files by checkpoint, layer, scenario, rows and chart: no ending.

    "kuairand_tab.1_tab-4_test_lens-gates"
    """
    about = pin.context
    chart = part(pin.key)[:44].rstrip("-.") or "chart"
    parts = [about.checkpoint, about.layer, about.scenario, about.slice]
    head = "_".join(filter(None, (part(own)[:PART].rstrip("-.") for own in parts)))
    room = LONGEST - len(chart) - 12  # for "_", a number that tells names apart, and the ending
    return "_".join(filter(None, [head[:room].rstrip("-._"), chart]))


def file_names(report: Report) -> dict[str, str]:
    """Name the files of every pin, by id; no two alike, in capitals or not."""
    names: dict[str, str] = {}
    for own in report.pins:
        names[own.id] = _unique(file_name(own), names.values())
    return names


def part(text: str) -> str:
    """Return text with letters, digits, dots and dashes only; it neither begins nor ends with any.

    Accents are taken off; other characters become dashes.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    clean = re.sub(r"-{2,}", "-", re.sub(r"[^0-9A-Za-z.]+", "-", plain))
    clean = re.sub(r"\.{2,}", ".", clean).strip("-.")
    return f"{clean}-" if RESERVED.match(clean) else clean


def _unique(name: str, taken: Iterable[str]) -> str:
    used = {other.lower() for other in taken}
    number, found = 1, name
    while found.lower() in used:
        number += 1
        found = f"{name}-{number}"
    return found
