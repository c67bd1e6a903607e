"""What a replay means for a shop: extra clicks, purchases and sales per 1,000 result lists."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

LISTS = 1000
SHOWN = 10  # items of a list that are shown, as `replay` has it; a column `shown` says otherwise
MEASURES = {"clicks": "ctr", "purchases": "ctcvr", "sales value": "gmv"}  # of the replay
VALUE = "sales value"  # is per list, others are per item shown
COLUMNS = ["scenario", "measure", "lists", "seeds", "baseline", "extra", "low", "high", "possible"]


def impact(replay: pd.DataFrame, reference: str, variant: str) -> pd.DataFrame:
    """Return what ranking by the reference instead of a variant brings per LISTS result lists.

    replay: the table of that name. One line a scenario and measure, columns COLUMNS: lists
    (searches replayed); seeds (pairs of trained models); baseline, what the variant earns; extra,
    with its 95 % interval low to high; possible, what ranking by the truth would bring instead.
    Means over seeds. The interval adds that of the searches, averaged over seeds, and that of the
    mean over seeds (Student's t) as independent, which counts what both share twice: it is rather
    too wide than too narrow. With one seed it is that of the searches alone. Shares of items shown
    become numbers by the number of items of a list.
    """
    own = replay[(replay["reference"] == reference) & (replay["variant"] == variant)]
    lines = [
        _line(part, str(scenario), measure)
        for scenario in own["scenario"].unique()
        for measure, metric in MEASURES.items()
        if len(part := own[(own["scenario"] == scenario) & (own["metric"] == metric)])
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def impact_words(line: Mapping[Hashable, Any], reference: str, variant: str) -> str:
    """Say what a line of `impact` means, in plain words."""
    what, low, high = line["measure"], line["low"], line["high"]
    if np.isnan(line["extra"]):
        return f"{_capital(what)}: nothing to compare."
    between = f"between {signed(low)} and {signed(high)}"
    if np.isnan(low) or low <= 0 <= high:
        range_ = "too few searches to say how sure" if np.isnan(low) else between
        return (
            f"{_capital(what)}: no difference that could be told from chance"
            f" ({signed(line['extra'])} per {LISTS:,} result lists; {range_})."
        )
    change = "more" if line["extra"] > 0 else "less" if what == VALUE else "fewer"
    return (
        f"{_capital(what)}: {number(abs(line['extra']))} {change} per {LISTS:,} result lists with"
        f" {reference} than with {variant} ({between}); perfect knowledge would bring"
        f" {signed(line['possible'])}."
    )


def number(value: float) -> str:
    """Write a number with three significant digits, thousands apart."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """Write a number with its sign."""
    if np.isnan(value):
        return "unknown"
    text = number(abs(value))
    return text if float(text.replace(",", "")) == 0 else f"{'+' if value > 0 else '−'}{text}"


def _line(part: pd.DataFrame, scenario: str, measure: str) -> dict[str, Any]:
    unit = LISTS * (1 if measure == VALUE else part.get("shown", SHOWN))
    baseline = unit * part["baseline"]
    extra, low, high, possible = (
        baseline * part[column] / 100 for column in ("uplift", "low", "high", "ceiling")
    )
    seeds, mean = len(part), float(extra.mean())
    of_seeds = 0.0
    if seeds > 1:
        of_seeds = float(student.ppf(0.975, seeds - 1) * extra.std(ddof=1) / np.sqrt(seeds))
    below, above = (np.hypot(gap.mean(), of_seeds) for gap in (extra - low, high - extra))
    return {
        "scenario": scenario, "measure": measure, "lists": int(part["lists"].iloc[0]),
        "seeds": seeds, "baseline": float(baseline.mean()), "extra": mean,
        "low": mean - below, "high": mean + above, "possible": float(possible.mean()),
    }  # fmt: skip


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
