"""Charts to take away: pinned, put in order, commented, and written as files that need no app."""

from aesm2.report.archive import archive
from aesm2.report.html import html
from aesm2.report.notebook import notebook
from aesm2.report.pin import Context, Help, Pin, Report, Table, pin
from aesm2.report.saved import read_report, write_report

__all__ = [
    "Context", "Help", "Pin", "Report", "Table", "archive", "html", "notebook", "pin",
    "read_report", "write_report",
]  # fmt: skip
