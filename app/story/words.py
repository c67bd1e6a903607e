"""What Story mode says, in plain words; every number is computed from what is passed in."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aesm2.data.counts import Counts
from aesm2.data.description import Description
from aesm2.data.words import listed
from aesm2.evidence.standings import BETTER, UNKNOWN, WORSE, cell_title, variant_title
from aesm2.plots.rates import Panel
from aesm2.plots.strip import Column
from aesm2.plots.style import Role
from aesm2.routing.findings import scenario_label
from aesm2.routing.highlights import Highlights
from app.lens import page as lens

FEW = 30  # rows; a rate or AUC of fewer is no ground for a sentence
SAME = "the same experts"
LAYERS = 4  # spoken of, one by one
UPLIFTS = {
    "ctr": "clicks",
    "cvr": "purchases per click",
    "ctcvr": "purchases",
    "gmv": "sales value",
}


def door_words(described: Description, counts: Counts) -> str:
    """Say through how many doors how many rows come."""
    kinds = [f"{len(lv.scenarios)} by {lv.title or lv.name}" for lv in described.level]
    return (
        f"One service, several doors: {int(counts.impressions.sum()):,} visits, told apart as"
        f" {listed(kinds)} ({described.title})."
    )


def rate_words(panel: Panel) -> str:
    """Say how different a rate is in the two most different scenarios that have rows enough."""
    lines = panel.lines.iloc[1:]  # the first is all rows
    known = lines[(lines["n"] >= FEW) & lines["value"].notna()].sort_values("value")
    if len(known) < 2:
        return f"{panel.title}: fewer than two scenarios have {FEW} rows, nothing to compare."
    low, high = known.iloc[0], known.iloc[-1]
    told = [
        f"{line['value']:.3g} % in {scenario_label(panel.by, line['scenario'])} (n = {line['n']:,},"
        f" 95 %: {line['low']:.3g} to {line['high']:.3g})"
        for line in (high, low)
    ]
    ratio = high["value"] / low["value"] if low["value"] > 0 else 0.0
    said = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"
    times = f", {said} times as often" if ratio else ""
    apart = "do not overlap" if low["high"] < high["low"] else "overlap, so chance may explain it"
    return f"{panel.title}: {told[0]} against {told[1]}{times}. The two intervals {apart}."


def trade_words(differences: pd.DataFrame, found: pd.DataFrame, margin: float) -> list[str]:
    """Say how many pairs of models trade places, and which trade is the sharpest.

    differences: of `seesaw.differences`, points of AUC × 100. found: of `seesaw.seesaw` with the
    same margin.
    """
    pairs, traders = len(found) // 2, int(found["trades"].sum()) // 2
    if not traders:
        return [
            f"Here none of the pairs of usual models ({pairs}) trades one place for another by more"
            f" than {margin:g} points of AUC × 100."
        ]
    said = [
        f"One model for all has to give in one place to win in another: of {pairs} pairs of models,"
        f" {traders} are each better by more than {margin:g} points of AUC × 100 somewhere and"
        " worse somewhere else."
    ]
    known = differences.dropna(subset=["difference"])
    ends = known.groupby(["reference", "variant"], sort=False)["difference"].agg(["max", "min"])
    sharpness = ends["max"].clip(lower=0).combine(-ends["min"].clip(upper=0), min)
    names = sharpness.index[int(sharpness.argmax())]
    own = known[(known["reference"] == names[0]) & (known["variant"] == names[1])]
    trades = own["difference"]
    up, down = own.iloc[int(trades.argmax())], own.iloc[int(trades.argmin())]
    said.append(
        f"The sharpest trade: {names[0]} is {up['difference']:.2f} points ahead of {names[1]} in"
        f" {_cell(up)}, and {-down['difference']:.2f} points behind in {_cell(down)}. These are"
        " means over seeds, and part of such differences is chance."
    )
    return said


def plain_verdict(challenged: pd.DataFrame) -> str:
    """Say without terms what the tests say of AESM² against the best other model.

    challenged: see `standings.challenge`, of one reference.
    """
    counts = challenged["outcome"].value_counts()
    better, worse = int(counts.get(BETTER, 0)), int(counts.get(WORSE, 0))
    total = len(challenged) - int(counts.get(UNKNOWN, 0))
    if not total:
        return "Nothing here was tested against AESM²."
    name = variant_title(str(challenged["reference"].iloc[0]))
    if not better and not worse:
        return (
            f"Read plainly: on these data {name} is neither shown to be better nor to be worse than"
            f" the best usual model, in any of {total} places."
        )
    if not better:
        return (
            f"Read plainly: on these data {name} is nowhere shown to be better than the best usual"
            f" model, and it is measurably behind in {worse} of {total} places."
        )
    behind = f"and measurably behind in {worse}" if worse else "and nowhere measurably behind"
    return f"Read plainly: {name} is measurably ahead in {better} of {total} places, {behind}."


def place_words(described: Description, scenarios: Sequence[int]) -> str:
    """Name the scenarios of a row: "Tab 1, User activity full_active"."""
    pairs = zip(described.level, scenarios, strict=True)
    return ", ".join(f"{lv.title or lv.name} {lv.scenarios[s]}" for lv, s in pairs)


def choice_words(shown: Sequence[Column], where: str, row: str) -> list[str]:
    """Say which experts the model chose for a row, layer by layer; shown: see `strip.columns`."""
    layers = list(dict.fromkeys(column.of.spec.name for column in shown))
    experts = {column.of.spec.name: column.of.spec.experts for column in shown}
    said = [
        f"One visit, row {row}, came through {where}. Of the {sum(experts.values())} experts in"
        f" {len(layers)} layers the model itself picked a few, for this visit alone."
    ]
    for column in shown[:LAYERS]:
        of = column.of
        parts = [
            f"{role.glyph} {_experts(mask)} as {what}"
            for role, mask, what in (
                (Role.SPECIFIC, of.specific, f"made for {of.gate_words}"),
                (Role.SHARED, of.shared, "good for everybody"),
            )
            if mask.any()
        ]
        most = int(of.mixing_weights.argmax())
        said.append(
            f"In {of.spec.name}: {' and '.join(parts)}. Expert {most} counts most,"
            f" {of.mixing_weights[most]:.0%} of the mix."
        )
    return said


def clear_words(found: Highlights) -> str:
    """Say how clear the choice of the most decisive row was."""
    call = found.decisive
    if call is None:
        return "In no layer of this model does a row choose among experts, so this is any row."
    return (
        f"Of {found.looked_at:,} visits looked at, none was chosen for more clearly: at its closest"
        f" call, in {call.layer}, the worst expert taken is {call.gap:.3g} nats ahead of the best"
        f" one left; for the median visit it is {call.median:.3g}."
    )


def answer_words(described: Description, row: pd.Series) -> str:
    """Say what the model predicts; row: probabilities by the names of tasks."""
    told = [
        f"{task.title or task.name} {lens.percent(float(row[task.name]))}"
        for task in described.task
        if not np.isnan(row[task.name])
    ]
    return f"What comes out: {listed(told)}." if told else "Nothing is predicted here."


def other_door(doors: pd.DataFrame, task: str) -> str | None:
    """Return the scenario whose prediction is furthest from the row's own; None without another.

    doors: of `counterfactual.doors`, of one level.
    """
    others = doors[~doors["own"]]
    own = float(doors.loc[doors["own"], task].iloc[0])
    moved = (others[task] - own).abs()
    if others.empty:
        return None
    at = 0 if moved.isna().all() else int(moved.argmax())
    return str(others["scenario"].iloc[at])


def through_words(doors: pd.DataFrame, described: Description, task: int, other: str) -> str:
    """Say what becomes of the prediction through another door."""
    own_task = described.task[task]
    title, by = own_task.title or own_task.name, str(doors["level"].iloc[0])
    own = doors[doors["own"]].iloc[0]
    new = doors[doors["scenario"] == other].iloc[0]
    names = scenario_label(by, own["scenario"]), scenario_label(by, other)
    before, after = float(own[own_task.name]), float(new[own_task.name])
    said = f"The same visit through {names[1]} instead of {names[0]}"
    if np.isnan(before) or np.isnan(after):
        return f"{said}: {title} does not exist in both."
    return (
        f"{said}: {title} goes from {lens.percent(before)} to {lens.percent(after)}"
        f" ({lens.points(after - before)}). Nothing but the door was changed."
    )


def moved_words(differences: pd.DataFrame) -> list[str]:
    """Say which experts enter and leave; differences: see `counterfactual.differences`."""
    said = []
    for line in differences.head(LAYERS).to_dict("records"):
        parts = [
            f"{Role(role).glyph} {role} {_numbers(line[f'entered_{role}'])} in place of"
            f" {_numbers(line[f'left_{role}'])}"
            for role in ("specific", "shared")
            if line[f"entered_{role}"] or line[f"left_{role}"]
        ]
        a, b = line["target_before"], line["target_after"]
        said.append(
            f"In {line['layer']} ({a if a == b else f'{a} → {b}'}): {', '.join(parts) or SAME};"
            f" {line['moved_weight']:.0%} of the mix moves."
        )
    return said


def quoted_words(published: pd.DataFrame) -> str:
    """Write the paper's uplifts in a line; published: of Table 8 or 9."""
    told = [
        f"{UPLIFTS[task]} {value:+.2f} %".replace("-", "−")
        for task, value in zip(published["task"], published["value"], strict=True)
        if task in UPLIFTS
    ]
    return listed(told)


def _cell(line: pd.Series) -> str:
    return cell_title(scenario_label(line["scope"], line["scenario"]), line["task"])


def _experts(mask: np.ndarray) -> str:
    numbers = np.flatnonzero(mask)
    return f"expert{'s' if len(numbers) > 1 else ''} {listed([str(k) for k in numbers])}"


def _numbers(members: Sequence[int]) -> str:
    return listed([str(k) for k in members]) if members else "none"
