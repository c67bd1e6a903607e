"""A report as one HTML file that opens anywhere, without a network.

It holds plotly.js once, and each figure as JSON, which a browser does not run. Whatever comes from
data or from people is escaped. A content security policy lets only the two scripts of this file
run, by their hashes, and lets the page reach for nothing else.
"""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape

from plotly.offline import get_plotlyjs

from aesm2.report.look import SCRIPT, STYLES
from aesm2.report.names import file_names
from aesm2.report.pin import Cell, Context, Pin, Report, Table

MOST_LINES = 200  # of a table in the file
GL = re.compile(r'"type": "(?:\w+gl|\w*3d|surface|isosurface|volume|splom|mesh3d|par\w+)"')
ABOUT = {
    "checkpoint": "Checkpoint", "hash": "Hash", "layer": "Layer", "scenario": "Scenario",
    "task": "Task", "slice": "Rows", "address": "View",
}  # fmt: skip


def to_html(report: Report, written: str = "") -> str:
    """Return a report as one HTML file. written: when, for its head."""
    names = file_names(report)
    sections = [_section(own, report, names, place) for place, own in enumerate(report.pins, 1)]
    return _page(report, sections, written, [plotly_script(), SCRIPT])


def figure_page(pin: Pin, report: Report, name: str, script: str) -> str:
    """Return one chart as a page that takes plotly.js from the file `script` beside it."""
    alone = report.model_copy(update={"pins": (pin,)})
    section = _section(pin, alone, {pin.id: name}, 1)
    return _page(alone, [section], "", [SCRIPT], script)


@functools.cache
def plotly_script() -> str:
    """Return plotly.js, with the line ends that a browser would give it before it is hashed."""
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def json_block(text: str) -> str:
    """Return JSON that nothing inside a script element can end early."""
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _page(
    report: Report, sections: list[str], written: str, scripts: list[str], beside: str = ""
) -> str:
    title, alone = escape(report.title), len(report.pins) == 1
    outer = f'<script src="{escape(beside)}"></script>' if beside else ""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="'
            f'{escape(_policy(report, scripts, bool(beside)))}">',
            f"<title>{title}</title>",
            f"<style>{STYLES}body {{ font-size: {report.font_size}px; }}</style>",
            "</head>\n<body>",
            f"<header><h1>{title}</h1>{_head(report, written)}</header>",
            "" if alone else _contents(report),
            "<noscript><p>The charts need JavaScript; their numbers do not.</p></noscript>",
            "<main>",
            *(sections or ["<p>This report has no charts.</p>"]),
            "</main>",
            outer,
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        ]
    )


def _policy(report: Report, scripts: list[str], beside: bool) -> str:
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    allowed += ["'self'", "file:"] if beside else []
    if any(GL.search(own.figure) for own in report.pins):  # these build their code as they draw
        allowed.append("'unsafe-eval'")
    return (
        f"default-src 'none'; script-src {' '.join(allowed)}; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _head(report: Report, written: str) -> str:
    count = len(report.pins)
    parts = [f"{count} chart{'' if count == 1 else 's'}", *([f"written {written}"] * bool(written))]
    return f'<p class="soft">{escape(" · ".join(parts))} · AESM² Explorer</p>'


def _contents(report: Report) -> str:
    if not report.pins:
        return ""
    lines = (
        f'<li><a href="#chart-{place}">{escape(own.title)}</a></li>'
        for place, own in enumerate(report.pins, 1)
    )
    return f'<nav aria-label="Contents"><strong>Contents</strong><ol>{"".join(lines)}</ol></nav>'


def _section(pin: Pin, report: Report, names: Mapping[str, str], place: int) -> str:
    comment, number = report.comment(pin.id), f"{place}. " if len(report.pins) > 1 else ""
    return "\n".join(
        filter(
            None,
            [
                f'<section id="chart-{place}"><h2>{number}{escape(pin.title)}</h2>',
                f'<div class="comment">{escape(comment)}</div>' if comment else "",
                f'<div class="chart" role="img" aria-label="{escape(pin.alt or pin.title)}"'
                f' data-figure="figure-{place}" data-name="{escape(names[pin.id])}"></div>',
                f'<script type="application/json" id="figure-{place}">{json_block(pin.figure)}'
                "</script>",
                _help(pin),
                _facts(pin),
                _numbers(pin.table),
                _code(pin),
                "</section>",
            ],
        )
    )


def _help(pin: Pin) -> str:
    told = pin.help
    source = f"Source: {told.source}, Zou et al., SIGIR 2022." if told.source else ""
    formula = f"<details><summary>Formula (LaTeX)</summary><pre>{escape(told.formula)}</pre>"
    return (
        f"<p>{escape(told.sentence)}</p>"
        f'<p class="soft">{escape(" ".join(filter(None, [told.reading, source])))}</p>'
        + (f"{formula}</details>" if told.formula else "")
    )


def _facts(pin: Pin) -> str:
    lines = {"Provenance": pin.stamp, "n": pin.size.removeprefix("n = ").removeprefix("n ")}
    lines |= {title: _of(pin.context, name) for name, title in ABOUT.items()}
    told = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in lines.items() if v)
    return f"<dl>{''.join(told)}</dl>"


def _of(context: Context, name: str) -> str:
    return str(getattr(context, name))


def _numbers(table: Table) -> str:
    """Write a table; of a long one the beginning, and where the rest is."""
    if not table.columns:
        return ""
    more = table.lines - MOST_LINES
    head = "".join(f"<th>{escape(column.name)}</th>" for column in table.columns)
    shown = zip(*(column.cells[:MOST_LINES] for column in table.columns), strict=True)
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in shown)
    note = (
        f'<p class="soft">The first {MOST_LINES:,} of {table.lines:,} lines; the CSV in the ZIP'
        " has all.</p>" if more > 0 else ""
    )  # fmt: skip
    return (
        f"<details><summary>Numbers ({table.lines:,} lines)</summary>{note}"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div></details>"
    )


def _cell(value: Cell) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str | bool):
        return f"<td>{escape(str(value))}</td>"
    written = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    return f'<td class="number">{written}</td>'


def _code(pin: Pin) -> str:
    if not pin.code:
        return ""
    return f"<details><summary>Python</summary><pre>{escape(pin.code)}</pre></details>"


def figure_json(pin: Pin) -> str:
    """Return a pin's figure as plotly JSON for people to read."""
    return json.dumps(json.loads(pin.figure), ensure_ascii=False, indent=1)
