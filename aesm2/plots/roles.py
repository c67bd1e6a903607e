"""The role of every expert over training, one line an expert."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import Role, finish, narrow

LINE_PX = 24
ORDER = (Role.SPECIFIC, Role.SHARED, Role.BOTH, Role.UNSELECTED)


def roles_figure(roles: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw `alarms.roles_over_time`: colour and shape tell the role, time goes to the right."""
    lines = list(dict.fromkeys(zip(roles["layer"], roles["expert"], strict=True)))
    place = {line: index for index, line in enumerate(lines)}
    at = [place[line] for line in zip(roles["layer"], roles["expert"], strict=True)]
    drawn, figure = roles.assign(at=at), go.Figure()
    for role in ORDER:
        own = drawn[drawn["role"] == role.value]
        figure.add_trace(go.Scatter(
            x=own["step"].tolist(), y=own["at"].tolist(), mode="markers", name=role.value,
            marker={"symbol": role.symbol, "color": role.colour, "size": 10},
            customdata=np.stack([own["layer"], own["expert"], own["specific"], own["shared"]], -1),
            hovertemplate="%{customdata[0]}, expert %{customdata[1]}<br>step %{x}<br>specific"
            " %{customdata[2]:.1%}, shared %{customdata[3]:.1%}<extra>" + role.value + "</extra>",
        ))  # fmt: skip
    figure.update_xaxes(title="optimizer step", title_standoff=4, fixedrange=True, zeroline=False)
    figure.update_yaxes(
        range=[len(lines) - 0.5, -0.5], tickvals=list(range(len(lines))), automargin=True,
        ticktext=[f"{layer} · {expert}" for layer, expert in lines], fixedrange=True,
    )  # fmt: skip
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 130 + LINE_PX * len(lines), top=40, bottom=84))
