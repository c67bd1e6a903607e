"""The differences of an audit on a log axis, against what rounding explains."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.audit.catalogue import EQUATIONS
from aesm2.audit.findings import TOLERANCE, TOLERANCE_TEXT
from aesm2.plots.style import AHEAD, BEHIND, finish, line_at, narrow

LEAST, MOST = 1e-12, 1e3  # drawn; what is equal stands at the least, infinities at the most


def audit_figure(findings: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw one mark a finding above its equation; findings: see `Audit.frame`."""
    figure = go.Figure()
    for name, ok, colour, symbol in (
        ("agrees", True, AHEAD, "circle-open"), ("differs", False, BEHIND, "x"),
    ):  # fmt: skip
        own = findings[findings["ok"] == ok]
        if own.empty:
            continue
        figure.add_scatter(
            x=own["equation"].tolist(), y=own["difference"].clip(LEAST, MOST).tolist(),
            mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 9},
            customdata=own["equation"].tolist(),
            text=[_told(line) for line in own.to_dict("records")],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    dashed = {"color": BEHIND, "dash": "dash", "width": 1}
    figure.layout.shapes = [line_at(y=TOLERANCE, line=dashed)]
    figure.layout.annotations = [
        {"x": 0.3, "y": np.log10(TOLERANCE), "yshift": 9, "text": f"tolerance {TOLERANCE_TEXT}",
         "showarrow": False, "xanchor": "left", "font": {"size": 11}, "name": "tolerance"}
    ]  # fmt: skip
    numbers = [equation.number for equation in EQUATIONS]
    figure.update_xaxes(
        title="equation", tickvals=numbers, range=[0.3, len(numbers) + 0.7], showgrid=False
    )
    top = max(1e-3, 10 * float(findings["difference"].clip(LEAST, MOST).max()))
    figure.update_yaxes(
        title="difference", type="log", range=np.log10([LEAST / 4, top]).tolist(),
        exponentformat="power", dtick=3,
    )  # fmt: skip
    figure.update_layout(showlegend=True)
    return narrow(finish(figure, stamp, 310, bottom=84))


def audit_words(findings: pd.DataFrame) -> str:
    """Say in words what the figure shows."""
    wrong = sorted(set(findings.loc[~findings["ok"], "equation"]))
    said = f"{len(findings)} quantities of {findings['equation'].nunique()} equations compared. "
    if wrong:
        return f"{said}Beyond the tolerance: Eq. {', '.join(map(str, wrong))}."
    return f"{said}The largest difference is {findings['difference'].max():.1e}."


def _told(line: dict[object, object]) -> str:
    """Hover text of a finding."""
    place = " · ".join(str(line[part]) for part in ("layer", "task", "where") if line[part])
    return (
        f"<b>Eq. {line['equation']}</b>: {line['quantity']}<br>{place}<br>audit {line['audit']}"
        f"<br>model {line['model']}<br>difference {line['difference']:.1e}"
    )
