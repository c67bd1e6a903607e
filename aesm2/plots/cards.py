"""Expert cards: the roles of all experts of a layer, and one expert's card in full."""

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aesm2.data.drift import Drift
from aesm2.plots.style import DIVERGING, Role, finish, headed, line_at, narrow
from aesm2.plots.utilisation import colour_axis
from aesm2.routing.cards import ROLE_NAMES, Cards
from aesm2.routing.findings import scenario_label

LINE_PX, PANEL_PX, COLUMNS = 17, 44, 2
MOST_SCENARIOS = 12  # drawn: those with most rows
MOST_FEATURES = 12
MOST_LIFT = 3.0  # |log₂ lift| at the ends of the colour scale
PATTERNS = {"specific": "", "both": "x", "shared": "/", "unselected": ""}
PLAIN = "#777777"


def drawn_scenarios(found: Cards) -> list[int]:
    """Return the scenarios that are drawn: those with most rows, in their own order."""
    most = np.argsort(-found.counted, kind="stable")[:MOST_SCENARIOS]
    return sorted(int(s) for s in most if found.counted[s] > 0)


def gallery_figure(found: Cards, chosen: int, stamp: str) -> go.Figure:
    """Draw the mix of roles of every expert, by scenario, as small multiples.

    customdata of every bar: the expert. chosen: whose title is marked.
    """
    experts, shown = found.spec.experts, drawn_scenarios(found)
    lines = -(-experts // COLUMNS)
    total = lines * (PANEL_PX + LINE_PX * len(shown))
    figure = make_subplots(
        rows=lines, cols=COLUMNS, shared_yaxes=True, shared_xaxes=True, horizontal_spacing=0.07,
        vertical_spacing=PANEL_PX / total if lines > 1 else 0.0,
        subplot_titles=[_title(found, k, chosen) for k in range(experts)],
    )  # fmt: skip
    labels = [scenario_label(found.by, found.scenarios[s]) for s in shown]
    share = found.share[shown]  # (S, n, 4)
    cells = [(expert, number) for expert in range(experts) for number in range(len(ROLE_NAMES))]
    figure.add_traces(
        [
            _bars(found, shown, labels, expert, share[:, expert, number], ROLE_NAMES[number])
            for expert, number in cells
        ],
        rows=[expert // COLUMNS + 1 for expert, _ in cells],
        cols=[expert % COLUMNS + 1 for expert, _ in cells],
    )
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.5, 1], ticktext=["0", "50", "100 %"],
                        fixedrange=True, zeroline=False)  # fmt: skip
    figure.update_yaxes(autorange="reversed", fixedrange=True, automargin=True, type="category")
    headed(figure, 12)
    figure.update_layout(barmode="stack", bargap=0.15, dragmode=False, clickmode="event+select")
    figure = narrow(finish(figure, stamp, total + 138, top=78, bottom=60))
    return figure.update_layout(legend={"yref": "container", "y": 1, "yanchor": "top"})


def gallery_table(found: Cards) -> pd.DataFrame:
    """Return one line an expert and scenario: rows, and the share of them in each role."""
    task = found.spec.gates[found.target] if found.spec.kind == "task" else ""
    share = found.share
    return pd.DataFrame([
        {"layer": found.spec.name, "task": task, "expert": expert, "scenario": name,
         "rows": int(found.counted[s]),
         **dict(zip(ROLE_NAMES, share[s, expert].tolist(), strict=True))}
        for expert in range(found.spec.experts)
        for s, name in enumerate(found.scenarios)
    ])  # fmt: skip


def feature_figure(
    drift: Drift, expert: int, order: list[int], names: list[str], chosen: int, stamp: str
) -> go.Figure:
    """Draw how much each feature sets an expert's rows apart; customdata: the feature's index.

    order: features, the most different first. A hollow mark is within chance. chosen: framed.
    """
    shown = order[:MOST_FEATURES]
    value = drift.adjusted[shown, expert]
    clear = drift.beyond_chance[shown, expert]
    hover = [
        f"{names[f]}<br>beyond chance {drift.adjusted[f, expert]:.3f}<br>divergence"
        f" {drift.divergence[f, expert]:.4f} bits, by chance {drift.chance[f, expert]:.4f}"
        for f in shown
    ]
    figure = go.Figure(go.Scatter(
        x=value, y=list(range(len(shown))), customdata=shown, mode="markers", hovertext=hover,
        hoverinfo="text", cliponaxis=False,
        error_x={"array": np.zeros(len(shown)), "arrayminus": np.maximum(value, 0), "width": 0,
                 "thickness": 3, "color": PLAIN},
        marker={"size": 11, "color": PLAIN,
                "symbol": ["circle" if own else "circle-open" for own in clear]},
    ))  # fmt: skip
    if chosen in shown:
        at = shown.index(chosen)
        figure.add_hrect(y0=at - 0.5, y1=at + 0.5, fillcolor="#EE3377", opacity=0.15, line_width=0)
    figure.update_xaxes(title="divergence beyond chance (0 to 1)", title_standoff=4,
                        rangemode="tozero", fixedrange=True, nticks=5)  # fmt: skip
    _lines(figure, [_short(names[f]) for f in shown])
    figure.update_layout(dragmode=False, clickmode="event+select")
    return narrow(finish(figure, stamp, 118 + 26 * len(shown), top=12, bottom=92))


def lift_figure(table: pd.DataFrame, stamp: str) -> go.Figure:
    """Draw `value_lifts` as marks with 95 % intervals around a line at 1; hollow: 1 is inside."""
    lift, low, high = (table[c].to_numpy(np.float64) for c in ("lift", "low", "high"))
    inside = (low <= 1) & (high >= 1)
    hover = [
        f"{line['value']}<br>lift {line['lift']:.3f} (95 %: {line['low']:.3f} to"
        f" {line['high']:.3f})<br>{line['taken']:,} of {line['rows']:,} rows take the expert"
        for line in table.to_dict("records")
    ]
    figure = go.Figure(go.Scatter(
        x=lift, y=list(range(len(table))), mode="markers", hovertext=hover, hoverinfo="text",
        cliponaxis=False,
        error_x={"array": np.maximum(high - lift, 0), "arrayminus": np.maximum(lift - low, 0),
                 "thickness": 1.5, "width": 3, "color": PLAIN},
        marker={"size": 10, "color": PLAIN,
                "symbol": ["circle-open" if own else "circle" for own in inside]},
    ))  # fmt: skip
    figure.layout.shapes = [line_at(1, line={"width": 1.5, "color": "#999999", "dash": "dot"})]
    figure.update_xaxes(title="lift (1: as common as everywhere)", title_standoff=4,
                        rangemode="tozero", fixedrange=True, nticks=6)  # fmt: skip
    pairs = zip(table["value"], table["rows"], strict=True)
    _lines(figure, [f"{_short(str(value))} (n = {n:,})" for value, n in pairs])
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 118 + 26 * len(table), top=12, bottom=92))


def together_figure(found: Cards, chosen: int, stamp: str) -> go.Figure:
    """Draw the lift of every pair of experts on a log₂ scale centred at 0; the text is the lift.

    The diagonal is empty. chosen: whose line is framed.
    """
    lift, experts = found.lift, list(range(found.spec.experts))
    with np.errstate(divide="ignore"):
        z = np.log2(lift).clip(-MOST_LIFT, MOST_LIFT)
    text = [["" if np.isnan(v) else f"{v:.2f}" for v in line] for line in lift]
    hover = [[_pair_words(found, i, k) for k in experts] for i in experts]
    figure = go.Figure(go.Heatmap(
        z=z, text=text, texttemplate="%{text}", textfont_size=11, customdata=hover,
        hovertemplate="%{customdata}<extra></extra>", coloraxis="coloraxis", xgap=1, ygap=1,
        hoverongaps=False,
    ))  # fmt: skip
    scale = {"colorscale": DIVERGING, "cmin": -MOST_LIFT, "cmax": MOST_LIFT}
    figure.add_shape(type="rect", x0=-0.5, x1=experts[-1] + 0.5, y0=chosen - 0.5, y1=chosen + 0.5,
                     name="chosen", line={"color": "#EE3377", "width": 2.5})  # fmt: skip
    figure.update_xaxes(title="expert", title_standoff=4, tickvals=experts, fixedrange=True,
                        showgrid=False, zeroline=False)  # fmt: skip
    figure.update_yaxes(title="expert", tickvals=experts, range=[experts[-1] + 0.5, -0.5],
                        fixedrange=True, showgrid=False, zeroline=False)  # fmt: skip
    figure.update_layout(coloraxis=colour_axis(1.0, "+.0f") | scale, dragmode=False)
    return narrow(finish(figure, stamp, 138 + 30 * len(experts), top=48, bottom=84))


def together_table(found: Cards) -> pd.DataFrame:
    """Return one line a pair of experts: rows that take both, expected if independent, lift."""
    own, rows = np.diag(found.together), len(found.rows)
    return pd.DataFrame([
        {"layer": found.spec.name, "expert": i, "with": k, "rows": rows, "take it": int(own[i]),
         "take the other": int(own[k]), "take both": int(found.together[i, k]),
         "expected": own[i] * own[k] / rows, "lift": found.lift[i, k]}
        for i in range(len(own)) for k in range(i + 1, len(own))
    ])  # fmt: skip


def history_figure(history: pd.DataFrame, kept: int, stamp: str) -> go.Figure:
    """Draw `role_history`: the share of rows that take the expert in each role, over training.

    kept: step of the checkpoint's weights, marked by a line.
    """
    figure = go.Figure()
    for role in (Role.SPECIFIC, Role.SHARED):
        figure.add_trace(go.Scatter(
            x=history["step"], y=history[role.value], name=f"{role.glyph} {role.value}",
            mode="lines+markers", line={"color": role.colour, "width": 2},
            marker={"symbol": role.symbol, "size": 8},
            hovertemplate="step %{x}: %{y:.1%}<extra>" + role.value + "</extra>",
        ))  # fmt: skip
    dotted = {"width": 1.5, "color": "#888888", "dash": "dot"}
    figure.layout.shapes = [line_at(kept, line=dotted, name="kept")]
    figure.update_xaxes(title="optimizer step (dotted: weights kept)",
                        title_standoff=4, fixedrange=True)  # fmt: skip
    figure.update_yaxes(title="share of rows", tickformat=".0%", range=[-0.03, 1.03],
                        fixedrange=True)  # fmt: skip
    figure.update_layout(dragmode=False)
    return narrow(finish(figure, stamp, 340, top=40, bottom=92))


def _title(found: Cards, expert: int, chosen: int) -> str:
    taken = 1 - found.overall[expert, -1]
    name = f"expert {expert} · {100 * taken:.0f} % of rows"
    return f"<b>▶ {name}</b>" if expert == chosen else name


def _bars(
    found: Cards, shown: list[int], labels: list[str], expert: int, share: np.ndarray,
    role: str,
) -> go.Bar:  # fmt: skip
    look = Role(role)
    told = [
        f"expert {expert}, {label}: {role} in {100 * s:.1f} % of {found.counted[at]:,} rows"
        for label, s, at in zip(labels, share, shown, strict=True)
    ]
    return go.Bar(
        x=share, y=labels, orientation="h", name=f"{look.glyph} {role}", legendgroup=role,
        showlegend=expert == 0, customdata=[expert] * len(labels), hovertext=told,
        hoverinfo="text", opacity=0.35 if role == "unselected" else 1.0,
        marker={"color": look.colour, "line": {"width": 0},
                "pattern": {"shape": PATTERNS[role], "size": 6, "solidity": 0.2,
                            "bgcolor": look.colour, "fgcolor": "#FFFFFF", "fgopacity": 0.6}},
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _pair_words(found: Cards, i: int, k: int) -> str:
    if i == k:
        return f"expert {i}: {found.together[i, i]:,} rows"
    lift = found.lift[i, k]
    told = "undefined" if np.isnan(lift) else f"{lift:.3f}"
    return f"experts {i} and {k}: {found.together[i, k]:,} rows take both<br>lift {told}"


def _lines(figure: go.Figure, names: list[str]) -> None:
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5],
        automargin=True, fixedrange=True, zeroline=False,
    )  # fmt: skip


def _short(text: str) -> str:
    return textwrap.shorten(text, 26, placeholder="…") if " " in text else text[:26]
