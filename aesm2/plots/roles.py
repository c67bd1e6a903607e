"""Roles of experts over training: one line an expert, as flows, and how settled the choice is."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from aesm2.plots.style import Role, finish, narrow

LINE_PX = 24
MOMENTS = 6  # columns of an alluvial
DASHES = ("solid", "dash", "dot", "dashdot")
PLAIN_LINES = ("#777777", "#009E73", "#E69F00", "#56B4E9", "#882255", "#999933")
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


def alluvial_figure(roles: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw how experts of one layer move between roles: a column a moment, a stream a change.

    roles: `alarms.roles_over_time` of one layer. The moments are at most MOMENTS measurements,
    evenly spaced, the first and the last among them; a stream is as wide as it has experts.
    """
    steps = np.sort(roles["step"].unique())
    chosen = steps[np.unique(np.linspace(0, len(steps) - 1, MOMENTS).round().astype(int))]
    names = [role.value for role in ORDER]
    table = roles.pivot_table(index="expert", columns="step", values="role", aggfunc="first")
    codes = table[chosen].apply(lambda column: column.map(names.index)).to_numpy()  # (n, moments)
    nodes = [(moment, role) for moment in range(len(chosen)) for role in range(len(names))]
    members = [np.flatnonzero(codes[:, moment] == role) for moment, role in nodes]
    flows = [
        (moment * len(names) + a, (moment + 1) * len(names) + b, np.flatnonzero(
            (codes[:, moment] == a) & (codes[:, moment + 1] == b)))
        for moment in range(len(chosen) - 1) for a in range(len(names)) for b in range(len(names))
    ]  # fmt: skip
    flows = [flow for flow in flows if len(flow[2])]
    last = max(1, len(chosen) - 1)
    figure = go.Figure(go.Sankey(
        arrangement="snap",
        node={
            "label": [f"{ORDER[role].glyph} {len(own)}" if len(own) else ""
                      for (_, role), own in zip(nodes, members, strict=True)],
            "color": [ORDER[role].colour for _, role in nodes],
            "x": [0.001 + 0.998 * moment / last for moment, _ in nodes],
            "y": [0.05 + 0.9 * role / (len(names) - 1) for _, role in nodes],
            "customdata": [f"step {chosen[moment]:,}, {names[role]}: {_listed(own)}"
                           for (moment, role), own in zip(nodes, members, strict=True)],
            "hovertemplate": "%{customdata}<extra></extra>", "pad": 12, "thickness": 14,
        },
        link={
            "source": [a for a, _, _ in flows], "target": [b for _, b, _ in flows],
            "value": [len(own) for _, _, own in flows],
            "color": [_faint(ORDER[a % len(names)].colour) for a, _, _ in flows],
            "customdata": [_listed(own) for _, _, own in flows],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    ))  # fmt: skip
    figure.layout.annotations = [
        {"x": moment / last, "y": 1.04, "xref": "paper", "yref": "paper", "text": f"step {step:,}",
         "showarrow": False, "yanchor": "bottom", "font": {"size": 11},
         "xanchor": "left" if moment == 0 else "right" if moment == last else "center"}
        for moment, step in enumerate(chosen)
    ]  # fmt: skip
    return narrow(finish(figure, stamp, 340, top=48, bottom=64))


def saturation_figure(saturation: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw `saturation`: per layer and task, the share of rows that choose as in the end."""
    figure = go.Figure()
    for number, ((layer, target), own) in enumerate(
        saturation.groupby(["layer", "target"], sort=False)
    ):
        name = f"{layer} · {target}" if target else str(layer)
        figure.add_trace(go.Scatter(
            x=own["step"].tolist(), y=own["share"].tolist(), name=name, mode="lines+markers",
            line={"dash": DASHES[number % len(DASHES)], "width": 2},
            marker={"size": 5, "color": PLAIN_LINES[number % len(PLAIN_LINES)]},
            line_color=PLAIN_LINES[number % len(PLAIN_LINES)],
            hovertemplate=f"{name}<br>step %{{x}}: %{{y:.1%}} of n = {own['rows'].iloc[0]:,}"
            "<extra></extra>",
        ))  # fmt: skip
    figure.update_xaxes(title="optimizer step", title_standoff=4, zeroline=False)
    figure.update_yaxes(title="share of rows", range=[0, 1.03], tickformat=".0%")
    return narrow(finish(figure, stamp, 340, top=60, bottom=84))


def _listed(experts: np.ndarray) -> str:
    numbers = ", ".join(map(str, experts.tolist()))
    return f"expert{'s' if len(experts) != 1 else ''} {numbers}" if len(experts) else "none"


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"
