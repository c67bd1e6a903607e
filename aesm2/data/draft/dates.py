"""Dates written as text: which form of strptime reads them, and whether day and month are sure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from aesm2.data.cleaning import ISO

DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y", "%d. %B %Y",
    "%d-%b-%Y", "%d/%b/%Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%a %b %d %Y",
)  # fmt: skip
WITH_A_NAME = ("%Y%m%d", "%Y-%m", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%y", "%Y%m%d%H%M%S")
CLOCK = re.compile(
    r"(?P<between>T|:|, | )(?P<minutes>\d{1,2}:\d{2})(?P<seconds>:\d{2})?(?P<fraction>\.\d+)?"
    r"(?P<half> [AaPp][Mm])?(?P<zone> ?(Z|[+-]\d{2}:?\d{2})| UTC| GMT)?$"
)
YEARS = range(1970, 2101)
TRIED = 5  # texts that rule forms out before all are read


@dataclass(frozen=True)
class DateForm:
    """A form that reads every text; doubt says so where day and month may be the other way."""

    form: str
    doubt: str = ""


def date_form(texts: Sequence[str], named: bool) -> DateForm | None:
    """Find the form of dates, or None where some text is none.

    texts: distinct, in the order of the rows. named: the column's name tells of a date, which is
    needed for forms that other things take too, such as 20260311.
    """
    if not texts or not re.search(r"\d", texts[0]) or max(map(len, texts[:TRIED])) > 40:
        return None
    clock = _clock_form(texts[0])
    found = {}
    for form in (day + clock for day in ([*DAYS, *WITH_A_NAME] if named else DAYS)):
        if all(_fits(text, form) for text in texts[:TRIED]) and (read := _read(texts, form)):
            found[form] = read
    if not found and named and (read := _read(texts, ISO)):
        found[ISO] = read
    return _surest(found) if found else None


def _clock_form(text: str) -> str:
    """The form of the time of day at the end of a text, "" where there is none."""
    match = CLOCK.search(text)
    if match is None:
        return ""
    zone = match["zone"] or ""
    return "".join(
        (
            match["between"],
            "%I:%M" if match["half"] else "%H:%M",
            ":%S" if match["seconds"] else "",
            ".%f" if match["fraction"] else "",
            " %p" if match["half"] else "",
            " " * zone.startswith(" "),
            ("%Z" if zone.strip() in ("UTC", "GMT") else "%z") if zone else "",
        )
    )


def _fits(text: str, form: str) -> bool:
    try:
        return datetime.strptime(text, form).year in YEARS
    except (ValueError, re.error):  # no such date; or a day's form that has a clock already
        return False


def _read(texts: Sequence[str], form: str) -> list[pd.Timestamp] | None:
    try:
        dates = pd.to_datetime(
            pd.Series(list(texts)), format=form, utc="%z" in form.lower() or form == ISO
        )
    except (ValueError, OverflowError):
        return None
    return dates.tolist() if dates.dt.year.isin(YEARS).all() else None


def _surest(found: dict[str, list[pd.Timestamp]]) -> DateForm:
    """Choose between day first and month first: the reading whose dates lie closer together."""
    form = next(iter(found))
    other = next((f for f in found if f != form and sorted(f) == sorted(form)), None)
    if other is None:
        return DateForm(form)
    spans = {f: max(found[f]) - min(found[f]) for f in (form, other)}
    nearer, further = sorted(spans, key=lambda f: spans[f])  # of equal spans, the day first
    return DateForm(
        nearer,
        f"day and month may be the other way round: read as {nearer} the dates span"
        f" {spans[nearer].days} days, as {further} {spans[further].days}",
    )
