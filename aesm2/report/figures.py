"""Figures as text: written from plotly figures, and checked where the text is a stranger's."""

import json
import re
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

from aesm2.errors import InputError
from aesm2.files import NOT_PARSED

LARGEST_FIGURE = 8 * 2**20  # characters of its JSON
TRACES = {  # all but those that fetch maps or pictures
    "bar", "barpolar", "box", "candlestick", "carpet", "contour", "contourcarpet", "funnel",
    "funnelarea", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "icicle",
    "indicator", "isosurface", "mesh3d", "ohlc", "parcats", "parcoords", "pie", "sankey", "scatter",
    "scatter3d", "scattercarpet", "scattergl", "scatterpolar", "scatterpolargl", "scattersmith",
    "scatterternary", "splom", "sunburst", "surface", "table", "treemap", "violin", "volume",
    "waterfall",
}  # fmt: skip
DEEPEST, TALLEST = 40, 20_000
LINK = re.compile(r"<\s*a\b|javascript:", re.IGNORECASE)


def figure_text(figure: go.Figure, name: str) -> str:
    """Return a figure as plotly JSON, without the look of the place it was drawn in."""
    whole = json.loads(figure.to_json())
    whole["layout"].pop("template", None)
    text = json.dumps({"data": whole["data"], "layout": whole["layout"]}, ensure_ascii=False)
    if len(text) > LARGEST_FIGURE:
        raise InputError(
            f"“{name}” is a figure of {len(text) / 2**20:.0f} MB, a report takes"
            f" {LARGEST_FIGURE // 2**20}: show less of it"
        )
    return text


def read_figure(text: str, where: str) -> go.Figure:
    """Build a figure from text that nobody vouches for.

    Raises InputError where it is no plotly figure, or would fetch or link to something elsewhere.
    """
    try:
        values = json.loads(text)
    except NOT_PARSED as error:
        raise InputError(f"{where}: the figure is not valid JSON: {error}") from None
    if not isinstance(values, dict) or not values.keys() <= {"data", "layout"}:
        raise InputError(f"{where}: the figure is not plotly JSON of data and layout")
    _check(values, where)
    try:
        return go.Figure(values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else "unknown"
        raise InputError(f"{where}: not a plotly figure: {first}") from None


def _check(values: dict[str, Any], where: str) -> None:
    """Refuse what reaches for other places, or is nested beyond sense."""
    traces = values.get("data", [])
    if not isinstance(traces, list):
        raise InputError(f"{where}: the figure's data are not a list of traces")
    kinds = [t.get("type", "scatter") if isinstance(t, dict) else t for t in traces]
    strange = next((k for k in kinds if not isinstance(k, str) or k not in TRACES), None)
    if strange is not None:
        raise InputError(f"{where}: a report takes no figure of type {str(strange)[:40]!r}")
    layout = values.get("layout", {})
    if isinstance(layout, dict) and {"images", "template"} & layout.keys():
        raise InputError(f"{where}: a report takes no figure with pictures or a template")
    height = layout.get("height", 0) if isinstance(layout, dict) else 0
    if isinstance(height, int | float) and not height <= TALLEST:
        raise InputError(f"{where}: the figure is taller than {TALLEST:,} pixels")
    for word, depth in _words(values, 0):
        if depth > DEEPEST:
            raise InputError(f"{where}: the figure is nested deeper than {DEEPEST} levels")
        if LINK.search(word):
            raise InputError(f"{where}: the figure holds a link, which a report does not take")


def _words(value: Any, depth: int) -> Iterator[tuple[str, int]]:
    """Yield every text in a value, names included, and how deep it stands."""
    if isinstance(value, str) or depth > DEEPEST:
        yield value if isinstance(value, str) else "", depth
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name, depth
            yield from _words(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, depth + 1)
