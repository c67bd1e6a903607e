"""Charts to take away: pinned, put in order, commented, and written as files that need no app."""

from aesm2.report.archive import to_zip
from aesm2.report.html import to_html
from aesm2.report.notebook import to_notebook
from aesm2.report.pin import Context, Help, Pin, Report, Table, pinned
from aesm2.report.saved import read_report, write_report

__all__ = [
    "Context", "Help", "Pin", "Report", "Table", "pinned", "read_report", "to_html", "to_notebook",
    "to_zip", "write_report",
]  # fmt: skip
