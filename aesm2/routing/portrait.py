"""What the numbers of an expert card say, in two sentences; every number is computed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aesm2.data.drift import FEW
from aesm2.data.scenarios import OVERALL
from aesm2.metrics import wilson
from aesm2.routing.cards import ROLE_NAMES, Cards
from aesm2.routing.findings import scenario_label
from aesm2.routing.shares import DEAD

ALIKE = 0.1  # shares within a tenth of each other count as even
_SPECIFIC, _BOTH, _SHARED, _UNSELECTED = range(len(ROLE_NAMES))


def portrait(
    found: Cards, expert: int, feature: str | None, lifts: pd.DataFrame | None
) -> list[str]:
    """Return two sentences: who takes the expert in which role, and what its rows have in common.

    feature: name of the feature that differs most, see `first_feature`; lifts: its `value_lifts`.
    """
    taken = int(found.taken[:, expert].sum())
    if taken < DEAD * len(found.rows):
        return [
            f"Expert {expert} is hardly used: {taken:,} of {len(found.rows):,} rows take it.",
            "That is too few to say what they have in common.",
        ]
    return [_who(found, expert), _what(found, expert, feature, lifts)]


def first_feature(found: Cards, expert: int) -> int | None:
    """Return the feature that differs most beyond chance; None where none is clear."""
    drift = found.drift
    if drift.few[expert]:
        return None
    clear = np.where(drift.beyond_chance[:, expert], drift.adjusted[:, expert], -np.inf)
    return int(clear.argmax()) if np.isfinite(clear.max()) else None


def features_ranked(found: Cards, expert: int) -> list[int]:
    """Return the features by divergence beyond chance, the most different first."""
    adjusted = np.nan_to_num(found.drift.adjusted[:, expert], nan=-1.0)
    order: list[int] = np.argsort(-adjusted, kind="stable").tolist()
    return order


def knockout_words(table: pd.DataFrame, tasks: Sequence[str]) -> str:
    """Say what the model loses over all rows without an expert; table: see `cards.knockout`."""
    parts = []
    for task in tasks:
        line = table[(table["scope"] == OVERALL) & (table["task"] == task)].iloc[0]
        if np.isnan(line["delta_auc"]):
            parts.append(f"of {task} is undefined (a class is missing)")
            continue
        told = f"of {task} changes by {_signed(line['delta_auc'])} points"
        if np.isnan(line["low"]):
            parts.append(told)
            continue
        holds = line["low"] <= 0 <= line["high"]
        parts.append(
            f"{told} (95 %: {_signed(line['low'])} to {_signed(line['high'])}"
            f"{', which holds zero' if holds else ''})"
        )
    return f"Without it, the AUC × 100 {'; that '.join(parts)}."


def _who(found: Cards, expert: int) -> str:
    share = found.overall[expert]
    specific, shared = share[_SPECIFIC] + share[_BOTH], share[_SHARED] + share[_BOTH]
    if abs(specific - shared) <= ALIKE * max(specific, shared):
        kind = "as often specific as shared"
    else:
        kind = f"mostly {'specific' if specific > shared else 'shared'}"
    said = (
        f"Expert {expert} is {kind}: {_percent(specific)} of the rows take it as specific and"
        f" {_percent(shared)} as shared"
    )
    there = np.flatnonzero(found.counted > 0)
    if len(there) < 2:
        return f"{said}."
    rate = 1 - found.share[there, expert, _UNSELECTED]
    most, least = (there[int(pick)] for pick in (rate.argmax(), rate.argmin()))
    return (
        f"{said}; in either role {_percent(rate.max())} in {_scenario(found, most)} and"
        f" {_percent(rate.min())} in {_scenario(found, least)}."
    )


def _what(found: Cards, expert: int, feature: str | None, lifts: pd.DataFrame | None) -> str:
    others = int((~found.taken[:, expert]).sum())
    if not others:
        return "Every row takes it, so nothing sets its rows apart."
    if others < FEW:
        common = f"All but {others:,} rows take it, so nothing sets them apart"
    elif feature is None or lifts is None:
        common = "No feature sets its rows apart beyond chance"
    else:
        at = int((lifts["taken"] - lifts["expected"]).argmax())
        line = lifts.iloc[at]
        common = (
            f"Its rows differ most in {feature}: “{line['value']}” is {line['lift']:.2f} times as"
            f" common among them ({line['taken']:,} of {int(found.taken[:, expert].sum()):,}) as"
            " among all rows"
        )
    lift = found.lift[expert]
    if np.isnan(lift).all():
        return f"{common}."
    partner = int(np.nanargmax(lift))
    both, own = found.together[expert, partner], found.together[expert, expert]
    low, high = wilson(np.array([both]), np.array([own]))
    base = found.together[partner, partner] / len(found.rows)
    return (
        f"{common}; its company of highest lift is expert {partner}, beside it in"
        f" {_percent(both / own)} of its rows (lift {lift[partner]:.2f}, 95 %:"
        f" {low[0] / base:.2f} to {high[0] / base:.2f})."
    )


def _scenario(found: Cards, index: int) -> str:
    return scenario_label(found.by, found.scenarios[index])


def _signed(points: float) -> str:
    """Write a difference with its sign; one that rounds to nothing has none."""
    rounded = round(points, 2)
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "0.00"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else f"{100 * share:.1g} %"
