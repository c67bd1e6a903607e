"""A report as a ZIP: every chart's numbers, its figure, and what it takes to make it again.

manifest.json       versions, machine, and for every chart its files and what it is of
report.json         the report itself; the app opens it again
report.ipynb        a notebook that computes the charts
data/NAME.csv       the numbers; the first line says where they come from
figures/NAME.json   the figure as plotly JSON
figures/NAME.html   the figure as a page, drawn by the one plotly.min.js beside it
code/NAME.py        the lines that make it
"""

import io
import json
import zipfile
from typing import Any

from aesm2.machine import place
from aesm2.report.html import figure_json, figure_page, plotly_script
from aesm2.report.names import file_names
from aesm2.report.notebook import to_notebook
from aesm2.report.pin import Pin, Report
from aesm2.report.saved import write_report

FORMAT = 1
PLOTLY = "plotly.min.js"
COMMAND = "streamlit run app/main.py"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same report gives the same bytes


def to_zip(report: Report, written: str = "") -> bytes:
    """Return a report as a ZIP file. written: when, for its manifest."""
    content = io.BytesIO()
    names = file_names(report)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as into:
        _add(into, "manifest.json", json.dumps(_manifest(report, names, written), indent=1))
        _add(into, "report.json", write_report(report))
        _add(into, "report.ipynb", to_notebook(report))
        if report.pins:
            _add(into, f"figures/{PLOTLY}", plotly_script())
        for own in report.pins:
            name = names[own.id]
            _add(into, f"data/{name}.csv", csv(own))
            _add(into, f"figures/{name}.json", figure_json(own))
            _add(into, f"figures/{name}.html", figure_page(own, report, name, PLOTLY))
            if own.code:
                _add(into, f"code/{name}.py", f"{own.code}\n")
    return content.getvalue()


def csv(pin: Pin) -> str:
    """Return the numbers of a pin as CSV; the first line says where they come from."""
    stamp = " ".join(pin.stamp.split())
    return f"# {stamp}\n{pin.table.frame().to_csv(index=False)}"


def _manifest(report: Report, names: dict[str, str], written: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "title": report.title,
        "command": COMMAND,
        "written": written,
        "made_with": place(),
        "charts": [_entry(own, report, names[own.id]) for own in report.pins],
    }


def _entry(pin: Pin, report: Report, name: str) -> dict[str, Any]:
    files = [f"data/{name}.csv", f"figures/{name}.json", f"figures/{name}.html"]
    return {
        "title": pin.title,
        "comment": report.comment(pin.id),
        "files": files + [f"code/{name}.py"] * bool(pin.code),
        "provenance": pin.stamp,
        "n": pin.size,
        **pin.context.model_dump(),
        "reopened": pin.reopened,
    }


def _add(into: zipfile.ZipFile, name: str, content: str) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    into.writestr(entry, content)
