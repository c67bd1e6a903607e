"""A report as one JSON file, and the reading of such a file, which may come from anybody."""

import io
import json
import zipfile

from pydantic import ConfigDict, ValidationError

from aesm2.config import Strict
from aesm2.errors import InputError
from aesm2.files import DAMAGES
from aesm2.report.figures import read_figure
from aesm2.report.pin import MOST_BYTES, MOST_CELLS, Pin, Report, pin_id

FORMAT = 1
NAME = "report.json"  # in a ZIP
LARGEST_FILE = 2 * MOST_BYTES


class Saved(Strict):
    """Content of the file."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    format: int
    report: Report


def write_report(report: Report) -> str:
    """Return a report as text that `read_report` reads back."""
    return Saved(format=FORMAT, report=report).model_dump_json(indent=1)


def read_report(content: bytes, where: str) -> Report:
    """Read a report, or a ZIP with one, that nobody vouches for.

    Its code stays text, and its pins are marked `reopened`.
    Raises InputError where it is too large, no report, of another version, or holds a figure that
    is no plotly figure or reaches for other places.
    """
    if content[:4] == b"PK\x03\x04":
        content = _unzipped(content, where)
    if len(content) > LARGEST_FILE:
        raise InputError(f"{where}: larger than {LARGEST_FILE // 2**20} MB, so it is no report")
    try:
        saved = Saved.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"])[:80]
        raise InputError(
            f"{where}: not a report of this app: {f'{at}: ' if at else ''}{first['msg'][:160]}"
        ) from None
    if saved.format != FORMAT:
        raise InputError(f"{where}: format {saved.format}, this version reads {FORMAT}")
    report = saved.report
    if sum(own.weight for own in report.pins) > MOST_BYTES:
        raise InputError(f"{where}: its charts are larger than {MOST_BYTES // 2**20} MB together")
    pins = tuple(
        _checked(own, f"{where}: chart {place}") for place, own in enumerate(report.pins, 1)
    )
    if len({own.id for own in pins}) < len(pins):
        raise InputError(f"{where}: holds a chart twice")
    ids = dict(zip((own.id for own in report.pins), (own.id for own in pins), strict=True))
    comments = {ids[id_]: words for id_, words in report.comments.items() if id_ in ids}
    return report.model_copy(update={"pins": pins, "comments": comments})


def _unzipped(content: bytes, where: str) -> bytes:
    """Return the report in a ZIP, and no more of it than a report may have."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as whole, whole.open(NAME) as file:
            return file.read(LARGEST_FILE + 1)
    except KeyError:
        raise InputError(f"{where}: a ZIP without {NAME}, so not one of this app") from None
    except DAMAGES as error:
        raise InputError(f"{where}: a damaged ZIP: {error}") from None


def _checked(found: Pin, where: str) -> Pin:
    """Check what types alone do not: the figure, and columns of one length."""
    read_figure(found.figure, where)
    lengths = {len(column.cells) for column in found.table.columns}
    if len(lengths) > 1 or sum(lengths) * len(found.table.columns) > MOST_CELLS:
        raise InputError(f"{where}: its table has columns of different lengths, or is too large")
    # Written anew, so that text which only looks like another chart's cannot take its place.
    text = json.dumps(json.loads(found.figure), ensure_ascii=False)
    id_ = pin_id(found.context.page, found.key, text)
    return found.model_copy(update={"figure": text, "id": id_, "reopened": True})
