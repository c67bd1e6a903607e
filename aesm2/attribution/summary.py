"""What attributions say together: methods against each other, many rows, completeness in words."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, rankdata
from scipy.stats import t as student

from aesm2.attribution.methods import METHODS, Attribution, Method
from aesm2.data.scenarios import OVERALL

TOP = 3
LEVEL = 0.95


def agreement(found: Mapping[Method, Attribution], row: int = 0) -> pd.DataFrame:
    """Return how alike the methods order the features of a row, by |attribution|: a line a pair.

    Columns: method, other, spearman and kendall (τ-b), NaN where a method gives all the same; top,
    how many of the `TOP` features (fewer where there are fewer) with the largest they share.
    """
    sizes = {method: np.abs(own.contributions[row]) for method, own in found.items()}
    lines = []
    for (a, x), (b, y) in itertools.combinations(sizes.items(), 2):
        flat = len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0
        lines.append(
            {
                "method": METHODS[a],
                "other": METHODS[b],
                "spearman": np.nan if flat else np.corrcoef(rankdata(x), rankdata(y))[0, 1],
                "kendall": np.nan if flat else kendalltau(x, y).statistic,
                "top": len(_largest(x) & _largest(y)),
            }
        )
    return pd.DataFrame(lines, columns=["method", "other", "spearman", "kendall", "top"])


def completeness(found: Mapping[Method, Attribution], row: int = 0) -> pd.DataFrame:
    """Return what the attributions of a row add up to, a line a method.

    Columns: method, baseline, row (the target at both), sum (of the attributions), delta, changes.
    """
    lines = [
        {
            "method": METHODS[method], "baseline": own.at_baseline[row], "row": own.at_row[row],
            "sum": own.contributions[row].sum(), "delta": own.delta[row],
            "changes": int(own.changes[row]),
        }
        for method, own in found.items()
    ]  # fmt: skip
    return pd.DataFrame(lines)


def means(found: Attribution, of_row: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Average attributions over rows: one line a scenario and feature, all rows first.

    of_row: index of each row's scenario in `names`, (rows,).
    Columns: scenario, feature, n, mean, low, high (of the signed attribution), absolute,
    absolute_low, absolute_high (of its size); the 95 % intervals are Student's over rows taken as
    independent, NaN for fewer than two. Scenarios without a row are left out, and one that has all.
    """
    masks = [(name, of_row == i) for i, name in enumerate(names)]
    some = [(name, mask) for name, mask in masks if mask.any() and not mask.all()]
    parts = []
    for name, mask in [(OVERALL, np.ones(len(found), bool)), *some]:
        own = found.contributions[mask]
        mean, low, high = _interval(own)
        size, size_low, size_high = _interval(np.abs(own))
        parts.append(
            pd.DataFrame(
                {
                    "scenario": name, "feature": found.names, "n": len(own), "mean": mean,
                    "low": low, "high": high, "absolute": size, "absolute_low": size_low,
                    "absolute_high": size_high,
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def completeness_words(found: Attribution, row: int = 0) -> list[str]:
    """Say what the attributions of a row add up to, what they should, and what that means."""
    total, before, after = found.contributions[row].sum(), found.at_baseline[row], found.at_row[row]
    unit = "" if found.unit == "probability" else f" {found.unit}"
    told = (
        f"The attributions add up to {_signed(total)}{unit}. The target goes from"
        f" {_number(before)} at the baseline to {_number(after)} at the row, a difference of"
        f" {_signed(after - before)}. Delta: {_signed(found.delta[row])}"
        f"{_share(found.delta[row], after - before)}."
    )
    return [told, _meaning(found, row), *_switched(found, row, unit)]


def means_words(found: Attribution) -> str:
    """Say how far the attributions of many rows are from adding up, and how often choices change.

    Delta is of the typical size: the root of the mean square, beside that of the differences.
    """
    off, moved = _root_mean_square(found.delta), _root_mean_square(found.at_row - found.at_baseline)
    changing = float((found.changes > 0).mean())
    return (
        f"{len(found):,} rows. Delta, typical size over rows: {_number(off)}{_share(off, moved)},"
        f" where differences are typically {_number(moved)}. The choice of experts changes on the"
        f" path of {changing:.0%} of the rows, {found.changes.mean():.1f} times on average."
    )


def _meaning(found: Attribution, row: int) -> str:
    changes = int(found.changes[row])
    times = "once" if changes == 1 else f"{changes} times"
    if found.method == "held":
        return (
            "The row's choice of experts is held along the whole path, so there is no jump, and the"
            f" delta is only the error of {found.steps} steps. Left free, the choice would"
            f" {f'change {times}' if changes else 'not change'} on the way."
        )
    if found.method == "gradients" and changes:
        return (
            f"The choice of experts changes {times} on the path. The target jumps there, and a"
            " gradient does not see a jump: the delta holds the jumps, belongs to no feature, and"
            " does not go away with more steps. Hold the choice, or use ablation or Shapley values."
        )
    if found.method == "gradients":
        return (
            "The choice of experts does not change on the path, so the delta is only the error of"
            f" {found.steps} steps."
        )
    if found.method == "ablation":
        return (
            "Ablation takes one feature away at a time and leaves the others. It need not add up:"
            " the delta is what features do together, such as standing in for each other."
        )
    return (
        "Shapley values always add up: in each order, features come in until the row is whole, so"
        f" the delta is rounding. Each value is an average over {found.samples} random orders and"
        " has an error of its own, which the delta does not show."
    )


def _switched(found: Attribution, row: int, unit: str) -> list[str]:
    """Say what the change of experts between the baseline and the row does by itself."""
    switched = float(found.at_baseline[row] - found.model_baseline[row])
    if found.method != "held" or abs(switched) < 1e-6:
        return []
    return [
        f"At the baseline the model would choose other experts and give"
        f" {_number(found.model_baseline[row])}: {_signed(switched)}{unit} of the way to the row"
        " comes from choosing otherwise, and no feature's attribution has it."
    ]


def _largest(sizes: np.ndarray) -> set[int]:
    return set(np.argsort(-sizes, kind="stable")[:TOP].tolist())


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over rows and its 95 % interval: (rows, features) → (features,) each."""
    rows, mean = len(values), values.mean(0)
    if rows < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = student.ppf((1 + LEVEL) / 2, rows - 1) * values.std(0, ddof=1) / np.sqrt(rows)
    return mean, mean - half, mean + half


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _share(part: float, whole: float) -> str:
    return f" ({100 * abs(part / whole):.2g} % of the difference)" if abs(whole) > 1e-9 else ""


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.4g}".replace("-", "−")
