"""Pins made by hand."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import finish
from aesm2.report import Context, Help, Pin, Report, pinned

EVIL = "</script><script>alert(1)</script>"
HELP = Help(sentence="It shows.", reading="Read it.", formula=r"a_{b} < c", source="Eq. 1, §3.1")
CODE = "import aesm2\ncheckpoint = aesm2.load('checkpoints/shop')\nfigure = 1\nfigure.show()"


def made(number: int = 0, title: str = "", frame: pd.DataFrame | None = None, **more: str) -> Pin:
    """A heatmap that depends on `number`, pinned on the Atlas."""
    figure = finish(
        go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3) + number)), "simulated", 200
    )
    data = pd.DataFrame({"n": [7, 7], "share": [0.1, np.nan], "who": ["fr", None]})
    about = {"checkpoint": "shop", "hash": "0" * 64, "layer": "tab.1", "scenario": "tab-4",
             "page": "atlas", "address": "/atlas?layer=tab.1"} | more  # fmt: skip
    return pinned(
        figure, data if frame is None else frame, f"chart-{number}", title or f"Chart {number}",
        HELP, alt="An alternative", code=CODE, context=Context(**about),
    )  # fmt: skip


def report(count: int = 3) -> Report:
    """A report of charts 0, 1, … with a comment on the second."""
    whole = Report(title="Mine")
    for number in range(count):
        whole = whole.added(made(number))
    return whole.commented(whole.pins[1].id, "Look <b>here</b>") if count > 1 else whole
