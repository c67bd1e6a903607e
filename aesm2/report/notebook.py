"""A report as a Jupyter notebook that computes its charts again, with the public API alone.

The code of a chart opens what it is about and then makes it. In the notebook the opening stands
once, in the first cell, and again only where a chart is about something else.
"""

import ast
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from aesm2.report.pin import Pin, Report

OPENING = ("checkpoint", "rows", "batch", "evidence")  # what the code of charts opens
IMPORT, SHOW = "import aesm2", "figure.show()"
WHERE = (
    "Run this notebook from the root of the project, where `checkpoints/` and `data_samples/` are."
)
FOREIGN = (
    "**Read before you run.** Charts marked ⚠ came from a report file that was opened, so their"
    " code was written elsewhere."
)


@dataclass
class Opened:
    """What the cells so far have opened: the statement that gave each name its value."""

    statements: dict[str, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)

    def lines(self, opening: list[str]) -> list[str]:
        """Return the statements that are still needed, and take note of them."""
        lines, changed = [], False
        for statement in opening:
            name = target(statement)
            if name is None and statement in self.imports:
                continue
            # What follows from something opened anew, such as rows → batch, is opened anew too.
            if changed or name is None or self.statements.get(name) != statement:
                lines.append(statement)
                changed = changed or name is not None
            if name is None:
                self.imports.add(statement)
            else:
                self.statements[name] = statement
        return lines

    def forget(self, body: str) -> None:
        """Drop what a cell gives another value."""
        for name in OPENING:
            if re.search(rf"^\s*{name}\b[^=\n(]*=(?!=)", body, re.MULTILINE):
                self.statements.pop(name, None)


def to_notebook(report: Report) -> str:
    """Return a report as the text of a notebook: a first cell that opens, two a chart."""
    opened = Opened()
    head = [f"# {_plain(report.title)}", WHERE]
    if any(own.reopened and own.code for own in report.pins):
        head.append(FOREIGN)
    cells = [_cell("markdown", "\n\n".join(head))]
    parts = [split(own.code) for own in report.pins]
    first = next((opening for opening, _ in parts if opening), [])
    if first:
        cells.append(_cell("code", "\n".join(opened.lines(first))))
    for own, (opening, body) in zip(report.pins, parts, strict=True):
        cells.append(_cell("markdown", _words(own, report)))
        if own.code:
            lines = opened.lines(opening)
            cells.append(_cell("code", "\n".join([*lines, body]).strip("\n")))
            opened.forget(body)
    return _written(cells)


def _written(cells: list[dict[str, Any]]) -> str:
    import nbformat  # only here: its import takes longer than the app's start should

    whole = {
        "cells": [own | {"id": f"cell-{place}"} for place, own in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    nbformat.validate(whole)
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _cell(kind: str, source: str) -> dict[str, Any]:
    own = {"cell_type": kind, "metadata": {}, "source": source}
    return own | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def split(code: str) -> tuple[list[str], str]:
    """Divide a chart's code into the statements that open and the rest, which ends in `figure`.

    Code that is no Python is left whole.
    """
    code = code.strip()
    try:
        parsed = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [], code
    texts = [ast.get_source_segment(code, statement) or "" for statement in parsed]
    opens = [target(text) in OPENING for text in texts]
    imports = [isinstance(statement, ast.Import | ast.ImportFrom) for statement in parsed]
    head = list(itertools.takewhile(any, zip(opens, imports, strict=True)))
    count = max((place for place, (own, _) in enumerate(head, 1) if own), default=0)
    if not count and texts[:1] == [IMPORT]:
        count = 1
    end = (parsed[count - 1].end_lineno or 0) if count else 0
    body = "\n".join(code.splitlines()[end:])
    if body.endswith(SHOW):
        body = body.removesuffix(SHOW) + "figure"
    return texts[:count], body


def target(statement: str) -> str | None:
    """Return the name a statement `name = …` gives a value, else None."""
    found = re.match(r"([A-Za-z_]\w*)\s*=(?!=)", statement)
    return found.group(1) if found else None


def _words(pin: Pin, report: Report) -> str:
    """Return what stands above a chart's code."""
    mark = "⚠ " if pin.reopened and pin.code else ""
    parts = [f"## {mark}{_plain(pin.title)}", _plain(report.comment(pin.id))]
    told = pin.help
    parts += [_plain(told.sentence), f"*{_plain(pin.stamp)}*"]
    if pin.context.address:
        parts.append(f"View: `{pin.context.address.replace('`', '')}`")
    if not pin.code:
        parts.append("This chart has no code of its own: its numbers are in the ZIP.")
    return "\n\n".join(filter(None, parts))


def _plain(text: str) -> str:
    """Keep HTML and Markdown out of words that come from data and people."""
    for sign in "\\`*_[]$<>#|~":
        text = text.replace(sign, f"\\{sign}")
    return text
