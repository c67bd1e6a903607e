"""What interventions do, in sentences a presenter can read out; every number is computed."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aesm2.data.scenarios import OVERALL
from aesm2.routing.findings import scenario_label
from aesm2.routing.interventions import Interventions, Retarget

Line = Mapping[Hashable, Any]
FEW_POSITIVES = 30  # fewer rows of a class than this make a normal interval doubtful


def change_words(line: Line, subject: str) -> str:
    """Say how the AUC of a line of `Effect.measures` or `Knockouts.to_frame` changes.

    subject: how it begins, e.g. "Without expert 3 of tab.1, ".
    """
    where = scenario_label(line["scope"], line["scenario"])
    preposition = "over" if line["scope"] == OVERALL else "in"
    what = f"{subject}{line['task']} AUC {preposition} {where}"
    if np.isnan(line["auc_change"]):
        return f"{what} is undefined: a class is missing among {line['n']:,} labelled rows."
    value, low, high = (line[f"auc_{part}"] for part in ("change", "low", "high"))
    n = f"n = {line['n']:,}"
    if np.isnan(low):
        return f"{what} moves by {signed(value)} points, without an interval, {n}."
    if low <= 0 <= high:
        interval = f"[{signed(low)}, {signed(high)}]"
        return f"{what} does not measurably change: {signed(value)} points {interval}, {n}."
    verb, ends = ("rises", (low, high)) if value > 0 else ("falls", (-high, -low))
    return f"{what} {verb} by {abs(value):.2f} points [{ends[0]:.2f}, {ends[1]:.2f}], {n}."


def knockout_words(line: Line) -> str:
    """Say what a line of `Knockouts.to_frame` says, and how many rows take the expert."""
    subject = f"Without expert {line['expert']} of {line['layer']}, "
    return f"{change_words(line, subject)[:-1]}; {line['share']:.0%} of these rows take it."


def importance_findings(cells: pd.DataFrame, task: str) -> list[str]:
    """Say which experts matter for a task: overall, where most, and how sure that is.

    cells: see `Knockouts.to_frame`.
    """
    own = cells[(cells["task"] == task) & cells["auc_change"].notna()]
    overall = own[own["scope"] == OVERALL]
    if overall.empty:
        return [f"The AUC of {task} is undefined here: a class is missing."]
    falls = overall[overall["auc_high"] < 0]
    total, rises = len(overall), int((overall["auc_low"] > 0).sum())
    said = [knockout_words(_first(overall))]
    sharpest = own[(own["scope"] != OVERALL) & (own["auc_high"] < 0) & _trusted(own)]
    if len(sharpest):
        said.append(f"The deepest fall in one scenario: {_lowered(_first(sharpest))}")
    said.append(
        f"Of {total} experts, the AUC over all rows measurably falls without {len(falls)}, rises"
        f" without {rises}, and stays within its interval without {total - len(falls) - rises}. By"
        f" chance alone about {total / 20:.0f} of {total} intervals would miss zero."
    )
    return said


def effect_findings(measures: pd.DataFrame, task: str) -> list[str]:
    """Say how the AUC of a task changes over all rows, and in which scenario most.

    measures: see `Effect.measures`.
    """
    own = measures[measures["task"] == task]
    lines = own.to_dict("records")
    said = [change_words(next(line for line in lines if line["scope"] == OVERALL), "")]
    known = own[(own["scope"] != OVERALL) & own["auc_change"].notna() & _trusted(own)]
    sure = known[(known["auc_low"] > 0) | (known["auc_high"] < 0)]
    if len(sure):
        most = _line(sure, int(sure["auc_change"].abs().to_numpy().argmax()))
        said.append(f"Of single scenarios most: {change_words(most, '')}")
    elif len(known):
        said.append(f"In none of {len(known)} single scenarios does it measurably change.")
    return said


def flip_findings(flips: pd.DataFrame) -> list[str]:
    """Say for how many rows the chosen sets change, layer by layer; flips: see `Effect.flips`."""
    said = []
    for line in flips[flips["scope"] == OVERALL].to_dict("records"):
        where = line["layer"] + (f" for {line['target']}" if line["target"] else "")
        said.append(
            f"In {where} other experts are chosen for {line['flipped']:,} of {line['rows']:,} rows"
            f" ({line['share']:.1%})."
        )
    return said


def retarget_findings(flips: pd.DataFrame, interventions: Interventions) -> list[str]:
    """Say for every Retarget how many rows' E_sh moved in its layer; it counts, it does not claim.

    KL(q, G̃[k, :]) does not depend on j, so the number is 0 unless something else moves G as well.
    """
    said, overall = [], flips[flips["scope"] == OVERALL].set_index("layer")
    for own in (i for i in interventions if isinstance(i, Retarget)):
        line = overall.loc[own.layer]
        why = (
            "whatever else is done moves its gates as well"
            if line["shared"]
            else "KL(q, ·) does not depend on j"
        )
        said.append(
            f"Retargeting {own.layer}: its shared set E_sh moved for {line['shared']:,} of"
            f" {line['rows']:,} rows ({why}), its specific set E_sp for {line['specific']:,}."
        )
    return said


def signed(value: float) -> str:
    """Write a number with its sign, unless it rounds to 0, and two decimals; a true minus."""
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def _trusted(own: pd.DataFrame) -> pd.Series:
    """Whether both classes have rows enough for the interval."""
    return own[["positives"]].assign(rest=own["n"] - own["positives"]).min(axis=1) >= FEW_POSITIVES


def _first(cells: pd.DataFrame) -> dict[Hashable, Any]:
    """Return the line whose AUC falls most."""
    return _line(cells, int(cells["auc_change"].to_numpy().argmin()))


def _line(cells: pd.DataFrame, place: int) -> dict[Hashable, Any]:
    return cells.iloc[[place]].to_dict("records")[0]


def _lowered(line: Line) -> str:
    said = knockout_words(line)
    return said[:1].lower() + said[1:]
